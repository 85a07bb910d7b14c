"""Two guests of one open app.py, and what is Ann's in it. What Bob does to get at it: attempts.py."""

import itertools
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from running import NOWHERE, SPEECH, Outcome, Running

from avatar.guests import COOKIE, Guests

CANARY = "zanzibar"  # in all that is Ann's, and in nothing that Bob sends
FROM = [f"127.0.{b}.{c}" for b in (1, 2) for c in range(1, 251)]  # a client is an address: each has its own bucket
RAN = '"success":true'  # in what is told of a call whose handler came to its end
TURNED_AWAY = (429, 503)  # asked too often, or the queue is full: it was not an attempt
AGAIN_S, AGAIN = 0.1, 50
HEARTBEATS = 8  # each after 15 s in which there was nothing else to say


Call = tuple[int, list[Any], object]  # handler, inputs, event data


class Guest:
    """A browser: its cookie, and connections from as many addresses as it takes to be many clients."""

    def __init__(self, app: Running, addresses: Iterable[str]) -> None:
        self.app, self._base = app, f"http://127.0.0.1:{app.port}"
        with httpx.Client(base_url=self._base, trust_env=False, timeout=60) as first:
            self.cookie = first.get("/").headers["set-cookie"].partition(";")[0]
        self._clients = [self._client(address) for address in addresses]
        self._next, self._lock = itertools.cycle(self._clients), threading.Lock()
        self.session = uuid.uuid4().hex[:10]
        self.turned_away = 0

    def _client(self, address: str) -> httpx.Client:
        # uvicorn closes what was idle for 5 s: a connection that is about to be closed is not asked
        limits = httpx.Limits(max_keepalive_connections=1, keepalive_expiry=2.0)
        transport = httpx.HTTPTransport(local_address=address, limits=limits, retries=3)
        return httpx.Client(base_url=self._base, headers={"Cookie": self.cookie}, transport=transport, timeout=60)

    @property
    def http(self) -> httpx.Client:
        with self._lock:
            return next(self._next)

    def be(self, cookie: str) -> None:
        """Go on as the guest of that cookie, a browser's for one."""
        self.cookie = cookie
        for client in self._clients:
            client.headers["Cookie"] = cookie

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One request, asked again from another address when it is turned away."""
        for _ in range(AGAIN):
            answer = self.http.request(method, path, **more)
            if answer.status_code not in TURNED_AWAY:
                return answer
            with self._lock:
                self.turned_away += 1
            time.sleep(AGAIN_S)
        raise AssertionError(f"{path} was turned away {AGAIN} times: {answer.text}")

    def join(self, fn_index: int, data: list[Any], event_data: object, session: str) -> httpx.Response:
        body = {"data": data, "fn_index": fn_index, "session_hash": session, "event_data": event_data}
        return self.ask("POST", "/gradio_api/queue/join", json={**body, "trigger_id": None})

    def listen(self, session: str) -> str:
        """All that the server has to say to that session, as it came."""
        told: list[str] = []
        with (
            suppress(httpx.RemoteProtocolError),  # how Gradio ends the stream of a session that it does not know
            self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream,
        ):
            for text in stream.iter_text():
                told.append(text)
                assert told.count(text) < HEARTBEATS, "nothing comes"
        return "".join(told)

    def calls(self, calls: Sequence[Call], session: str) -> list[str]:
        """What is answered to each. A session's first call makes Gradio copy the whole page, so it is worth keeping."""
        joined = [self.join(*call, session) for call in calls]
        events = [answer.json().get("event_id", "") if answer.status_code == 200 else "" for answer in joined]
        told = self.listen(session).splitlines() if any(events) else []
        heard = ["\n".join(line for line in told if event and event in line) for event in events]
        return [heard or answer.text for heard, answer in zip(heard, joined, strict=True)]

    def call(self, name: str, data: list[Any], event_data: object = None) -> str:
        """A handler by its name, in this guest's own session."""
        number = next(d["id"] for d in self.app.config["dependencies"] if d["api_name"] == name)
        told = self.calls([(number, data, event_data)], self.session)[0]
        assert RAN in told, f"{name}: {told}"
        return told

    def event(self, name: str, data: list[Any], event_data: object = None) -> Outcome:
        """As `Running.event`, with this guest's cookie."""
        own, self.app.http = self.app.http, self._clients[0]
        try:
            return self.app.event(name, data, event_data)
        finally:
            self.app.http = own

    def token(self) -> str:
        stage = next(c for c in self.app.config["components"] if c["props"].get("elem_id") == "live")
        body = {"data": {}, "component_id": stage["id"], "fn_name": "token", "session_hash": self.session}
        return str(self.ask("POST", "/gradio_api/component_server", json=body).json()["token"])

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        path = self.ask("POST", "/gradio_api/upload", files={"files": (name, content)}).json()[0]
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


@dataclass
class Estate:
    """What is Ann's: the names by which it could be asked for, by kind, and the files that hold it."""

    ids: dict[str, str]  # kind -> name
    files: list[str]
    session: str
    sounds: list[bytes]  # a piece of each recording


def settle(ann: Guest, app: Running) -> Estate:
    """Ann types, records, renames, teaches a word, says who it is, keeps a voice, and makes another."""
    typed = ann.event("typed", [f"Tell me about {CANARY}", NOWHERE, "ann-typed", "auto", 100])
    sent = ann.upload("anns.wav", (SPEECH / "lk_weather.wav").read_bytes())
    recorded = ann.event("recorded", [sent, NOWHERE, "ann-recorded", "auto", 100])
    first = typed.outputs[3]["conversation"]
    held = rows(app.data, owner(app, ann))
    conversations = sorted((row[0] for row in held["conversations"]), key=lambda id_: id_ != first)
    ann.event("rename", [conversations[0], f"All about {CANARY}"])
    ann.event("teach", ["Anns word", f"{CANARY} spoken"])
    ann.event("keep_persona", [f"You live in {CANARY}", {"conversation": conversations[1], "live": ""}])
    turns = [row[1] for row in held["turns"]]
    ids = {"conversation": conversations[0], "other": conversations[1], "turn": turns[0], "turn 2": turns[1]}
    ids |= {"sent as": "ann-typed", "saying": "Anns word", "session": ann.session} | _voices(ann)
    event = ann.join(0, [], None, ann.session).json()["event_id"]
    ann.listen(ann.session)
    ids |= {"event": event, "token": ann.token()}
    sounds = [path for path in app.data.rglob("*") if path.suffix in (".opus", ".flac")]
    ids |= {f"sound {n}": path.stem for n, path in enumerate(sounds) if len(path.stem) == 32}
    replies = [outcome.outputs[4]["value"]["path"] for outcome in (typed, recorded)]
    kept = [str(app.data / name) for name in ("avatar.db", "avatar.db-wal", "guests.key")]
    pieces = [path.read_bytes()[1000:1064] for path in (*sounds, *map(Path, replies))]
    return Estate(ids, [sent["path"], *replies, *map(str, sounds), *kept], ann.session, pieces)


def _voices(ann: Guest) -> dict[str, str]:
    """A voice, a draft of another, a sentence to read aloud and a preview that can be heard."""
    ann.call("uploaded", [ann.upload("v.flac", (SPEECH / "jfk.flac").read_bytes())])
    ann.call("save", [None, f"Voice of {CANARY}", "Hello.", "en", "permitted", CANARY, f"{CANARY} note", True, None])
    listed = ann.call("profiles_listed", [None])
    voice = re.search(rf'"choices":\[\["[^"]*{CANARY}[^"]*","([^"]+)"', listed)
    assert voice is not None, listed
    preview = ann.call("preview", [voice[1], f"I am {CANARY}."])
    draft = ann.call("uploaded", [ann.upload("w.flac", (SPEECH / "ms_two_cities.flac").read_bytes())])
    ann.call("sentence", [None, "en"])
    found = {"voice": voice[1], "draft": re.search("voices/draft/([0-9A-Za-z_-]+)", draft)}
    found["preview"] = re.search("voices/preview/([0-9A-Za-z_-]+)", preview)
    return {kind: one if isinstance(one, str) else one[1] for kind, one in found.items()}


def owner(app: Running, guest: Guest) -> str:
    return Guests.open(app.data).owner(guest.cookie.removeprefix(f"{COOKIE}=")) or ""


def rows(data: Path, owner: str) -> dict[str, list[tuple[Any, ...]]]:
    """All that the database holds of an owner, and the audio of it."""
    with sqlite3.connect(f"file:{data / 'avatar.db'}?mode=ro", uri=True) as db:
        mine = "(SELECT id FROM conversations WHERE owner = ?)"
        held = {
            "conversations": db.execute("SELECT * FROM conversations WHERE owner = ? ORDER BY id", (owner,)).fetchall(),
            "turns": db.execute(f"SELECT * FROM turns WHERE conversation IN {mine} ORDER BY id", (owner,)).fetchall(),
            "sayings": db.execute("SELECT * FROM sayings WHERE owner = ? ORDER BY written", (owner,)).fetchall(),
            "voices": db.execute("SELECT * FROM voice_profiles WHERE owner = ? ORDER BY id", (owner,)).fetchall(),
        }
    db.close()
    names = {str(value) for row in held["turns"] for value in row}
    held["audio"] = sorted((p.name, p.read_bytes()) for p in (data / "audio").rglob("*.opus") if p.name in names)
    folders = [data / "voices" / row[0] for row in held["voices"]]
    held["voice files"] = sorted((p.name, p.read_bytes()) for folder in folders for p in folder.glob("*.*"))
    return held
