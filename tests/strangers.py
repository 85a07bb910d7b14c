"""Two guests of one open app.py: what is Ann's, and Bob, who has every name of it and tries to get at it."""

import itertools
import json
import sqlite3
import threading
import urllib.parse
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from running import NOWHERE, SPEECH, Outcome, Running

from avatar.guests import COOKIE, Guests

CANARY = "zanzibar"  # in all that is Ann's, and in nothing that Bob sends
FROM = [f"127.0.{b}.{c}" for b in (1, 2) for c in range(1, 251)]  # a client is an address: each has its own bucket
WORKERS = 6
TURNS = ("typed", "recorded", "again")  # handlers that run the engines: seconds each
FOREIGN = ("http://evil.example", "https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example")


class Guest:
    """A browser: its cookie, and connections from as many addresses as it takes to be many clients."""

    def __init__(self, app: Running, addresses: Iterable[str]) -> None:
        self.app, self._base = app, f"http://127.0.0.1:{app.port}"
        with httpx.Client(base_url=self._base, trust_env=False) as first:
            self.cookie = first.get("/").headers["set-cookie"].partition(";")[0]
        self._clients = [self._client(address) for address in addresses]
        self._next, self._lock = itertools.cycle(self._clients), threading.Lock()
        self.session = uuid.uuid4().hex[:10]

    def _client(self, address: str) -> httpx.Client:
        transport = httpx.HTTPTransport(local_address=address, limits=httpx.Limits(max_keepalive_connections=1))
        return httpx.Client(base_url=self._base, headers={"Cookie": self.cookie}, transport=transport, timeout=60)

    @property
    def http(self) -> httpx.Client:
        with self._lock:
            return next(self._next)

    def close(self) -> None:
        for client in self._clients:
            client.close()

    def join(self, fn_index: int, data: list[Any], event_data: object, session: str) -> httpx.Response:
        body = {"data": data, "fn_index": fn_index, "session_hash": session, "event_data": event_data}
        return self.http.post("/gradio_api/queue/join", json={**body, "trigger_id": None})

    def listen(self, session: str) -> str:
        """All that the server has to say to that session, as it came."""
        told: list[str] = []
        with (
            suppress(httpx.RemoteProtocolError),  # how Gradio ends the stream of a session that it does not know
            self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream,
        ):
            told += stream.iter_text()
        return "".join(told)

    def call(self, fn_index: int, data: list[Any], event_data: object = None) -> str:
        session = uuid.uuid4().hex[:10]
        joined = self.join(fn_index, data, event_data, session)
        return self.listen(session) if joined.status_code == 200 else joined.text

    def event(self, name: str, data: list[Any], event_data: object = None) -> Outcome:
        """As `Running.event`, with this guest's cookie."""
        own, self.app.http = self.app.http, self._clients[0]
        try:
            return self.app.event(name, data, event_data)
        finally:
            self.app.http = own

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        path = self.http.post("/gradio_api/upload", files={"files": (name, content)}).json()[0]
        return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


@dataclass
class Estate:
    """What is Ann's: the names by which it could be asked for, and the files that hold it."""

    ids: list[str] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    conversation: str = ""
    files: list[str] = field(default_factory=list)
    sent: dict[str, Any] = field(default_factory=dict)  # the recording, as Gradio keeps it


def settle(ann: Guest, app: Running) -> Estate:
    """Ann types, records, renames, teaches a word and says who it is."""
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
    replies = [outcome.outputs[4]["value"]["path"] for outcome in (typed, recorded)]
    sounds = [str(path) for path in (app.data / "audio").rglob("*.opus")]
    kept = [str(app.data / name) for name in ("avatar.db", "avatar.db-wal", "guests.key")]
    ids = [*conversations, *turns, "ann-typed", "ann-recorded", "Anns word", *(Path(path).stem for path in sounds)]
    return Estate(ids, turns, conversations[0], [sent["path"], *replies, *sounds, *kept], sent)


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
        }
    db.close()
    names = {str(value) for row in held["turns"] for value in row}
    held["audio"] = sorted((p.name, p.read_bytes()) for p in (data / "audio").rglob("*.opus") if p.name in names)
    return held


# -- what Bob tries ---------------------------------------------------------------------------------------------------


def spellings_of_id(name: str) -> list[Any]:
    return [
        name,
        name.upper(),
        f"{name} ",
        f"{name}\0",
        f"../{name}",
        f"{name}' OR '1'='1",
        urllib.parse.quote(f"{name}/."),
        f"\u200b{name}",
        f"{name}\n",
        f"{name}%",
        f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:]}",
        f'{{"id": "{name}"}}',
        [name],
        {"id": name},
    ]


def spellings_of_file(path: str) -> list[str]:
    """Addresses, as they go over the wire."""
    name, folder = Path(path).name, str(Path(path).parent)
    written = [
        path,
        path.lstrip("/"),
        f"{folder}/./{name}",
        f"{folder}/../{Path(folder).name}/{name}",
        f"/tmp/..{path}",
        f"//{path}",
        f"{path}/",
        f"{path}\0.wav",
        f"../../../../../../../..{path}",
        f"/proc/self/root{path}",
        f"file://{path}",
        path.upper(),
        name,
    ]
    quoted = [urllib.parse.quote(spelling, safe="/:") for spelling in written]
    quoted += [urllib.parse.quote(path, safe=""), urllib.parse.quote(urllib.parse.quote(path, safe=""), safe="")]
    quoted.append("".join(f"%{byte:02x}" for byte in path.encode()))
    starts = ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/file/", "/avatar/audio/", "/static/", "/assets/")
    return [f"{start}{spelling}" for start in starts for spelling in quoted]


@dataclass
class Attempt:
    kind: str
    what: str
    send: Any  # called with Bob; returns what he was told


def attempts(config: dict[str, Any], estate: Estate, live: str, session: str) -> Iterator[Attempt]:
    """Every way that we know, once; those that run engines in few spellings."""
    parts = {component["id"]: component for component in config["components"]}
    handlers = [d for d in config["dependencies"] if d["backend_fn"]]
    ids = [*estate.ids, live]
    for handler, name in itertools.product(handlers, ids):
        number, api = handler["id"], handler["api_name"]
        types = [parts[i]["type"] for i in handler["inputs"]]
        if api in TURNS and name not in (estate.conversation, live):
            continue
        for value in spellings_of_id(name)[: 1 if api in TURNS else None]:
            data = [fill(kind, value, estate) for kind in types]
            asked = {"conversation": value, "turn": value, "live": value, "name": value, "act": "get", "id": value}
            yield Attempt("handler", f"{api} {value!r}", lambda bob, n=number, d=data, a=asked: bob.call(n, d, a))
    for component, function in itertools.product(config["components"], ("token", "look", "value", "__init__", "load")):
        if component["type"] == "html":
            body = {"data": live, "component_id": component["id"], "fn_name": function, "session_hash": session}
            yield Attempt(
                "server function",
                function,
                lambda bob, b=body: bob.http.post("/gradio_api/component_server", json=b).text,
            )
    for path in estate.files:
        for address in spellings_of_file(path):
            yield Attempt("file", address, lambda bob, a=address: got(bob.http.get(a)))
        forged = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "mine.wav"}
        recorded = next(d["id"] for d in handlers if d["api_name"] == "recorded")
        data = [forged, NOWHERE, "bob", "auto", 100]
        yield Attempt("forged upload", path, lambda bob, n=recorded, d=data: bob.call(n, d))
    for name, side in itertools.product(ids, ("user", "reply", "other", "user/..", "%2e%2e")):
        for value in (spelling for spelling in spellings_of_id(name) if isinstance(spelling, str)):
            address = f"/avatar/audio/{urllib.parse.quote(value, safe='')}/{side}"
            yield Attempt("recording", address, lambda bob, a=address: got(bob.http.get(a)))


def got(answer: httpx.Response) -> str:
    """What a refusal says, or that a file came."""
    sound = answer.headers.get("content-type", "").partition("/")[0] in ("audio", "application")
    return f"{CANARY}: a file" if answer.status_code in (200, 206) and sound and not _json(answer) else answer.text


def _json(answer: httpx.Response) -> bool:
    return answer.headers["content-type"].startswith(("application/json", "application/javascript"))


def fill(kind: str, value: Any, estate: Estate) -> Any:
    match kind:
        case "html":
            return {"conversation": value, "live": value}
        case "audio":
            return estate.sent
        case "dropdown":
            return "auto"
        case "number" | "slider" | "state":
            return 30
    return value


def attack(bob: Guest, tries: list[Attempt]) -> tuple[Counter[str], list[str]]:
    """Returns how many of each kind were made, and what brought something of Ann's to light."""
    made: Counter[str] = Counter()
    seen: list[str] = []

    def one(attempt: Attempt) -> None:
        told = attempt.send(bob)
        made[attempt.kind] += 1
        if CANARY in told.lower():
            seen.append(f"{attempt.kind}: {attempt.what}: {told[:300]}")

    with ThreadPoolExecutor(WORKERS) as workers:
        list(workers.map(one, tries))
    return made, seen


def foreign(config: dict[str, Any], estate: Estate, times: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(origin, path, request) of state changes that another page would have Ann's browser send."""
    handlers = [d for d in config["dependencies"] if d["backend_fn"]]
    bodies = itertools.cycle(handlers)
    for number, origin in zip(range(times), itertools.cycle(FOREIGN), strict=False):
        match number % 5:
            case 0:
                yield origin, "/gradio_api/upload", {"files": {"files": ("a.wav", b"RIFF")}}
            case 1:
                body = {"session_hash": "x", "fn_index": 0, "event_id": "x"}
                yield origin, "/gradio_api/cancel", {"json": body}
            case _:
                handler = next(bodies)
                data = [estate.conversation for _ in handler["inputs"]]
                body = {"data": data, "fn_index": handler["id"], "session_hash": "x"}
                kind = "application/json" if number % 2 else "text/plain"
                yield (
                    origin,
                    "/gradio_api/queue/join",
                    {"content": json.dumps(body), "headers": {"Content-Type": kind}},
                )
