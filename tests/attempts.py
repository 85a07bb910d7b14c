"""What Bob, who has every name of what is Ann's, tries in order to see or change it; and what another page tries."""

import io
import itertools
import json
import urllib.parse
import uuid
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from running import NOWHERE, SPEECH
from strangers import CANARY, RAN, Call, Estate, Guest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

WORKERS, AT_ONCE = 3, 8  # connections, and calls on the way in each: the queue takes 32
TURNS = ("typed", "recorded", "again")  # handlers that run the engines: seconds each, so the plain names only
HEAVY = (*TURNS, "voice_recorded", "uploaded", "imported", "prove")  # the same, or they take a recording: Bob's own
SILENT_S = 5.0  # of a stream that goes on
# one after the other: they take seats, of which a guest has two, or share a session, whose messages go to one stream
ALONE = ("turn", "recording", "socket", "session", "event")
FOREIGN = ("http://evil.example", "https://evil.example", "null", "http://127.0.0.1:1", "http://localhost.evil.example")


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
    """A call of a handler, or something else that Bob sends; it returns what he was told."""

    kind: str
    what: str
    call: Call | None = None
    send: Callable[[Guest], str] | None = None


def attempts(config: dict[str, Any], estate: Estate) -> Iterator[Attempt]:
    """Every way that we know, once."""
    handlers = [d for d in config["dependencies"] if d["backend_fn"]]
    yield from _calls(config, handlers, estate)
    yield from _by_name(handlers, estate)
    yield from _gradios(config, handlers, estate)
    yield from _addresses(estate)
    for kind, name in estate.ids.items():
        yield Attempt("socket", kind, send=lambda bob, n=name: greeted(bob, n))


def _calls(config: dict[str, Any], handlers: list[dict[str, Any]], estate: Estate) -> Iterator[Attempt]:
    """By the number of the handler, through the queue."""
    parts = {component["id"]: component for component in config["components"]}
    for handler, (kind, name) in itertools.product(handlers, estate.ids.items()):
        number, api = handler["id"], handler["api_name"]
        inputs = [parts[i] for i in handler["inputs"]]
        if api in HEAVY:
            yield Attempt("turn" if api in TURNS else "recording", f"{api} {kind}", send=_heavy(number, inputs, name))
            continue
        for value in spellings_of_id(name):
            for data in _filled(inputs, value):
                yield Attempt("handler", f"{api} {kind} {value!r}", call=(number, data, _event(value)))
        if kind == "conversation":
            data = _filled(inputs, name)[0]
            yield Attempt("session", api, send=lambda bob, c=(number, data, None): bob.calls([c], estate.session)[0])


def _filled(inputs: list[dict[str, Any]], value: Any, sound: object = None) -> list[list[Any]]:
    """With that value wherever one fits; where there are choices, once with one of them and once with the value."""
    filled = []
    for choosing in (True, False):
        data: list[Any] = []
        for part in inputs:
            choices = part["props"].get("choices")
            match part["type"]:
                case "html":
                    data.append({"conversation": value, "live": value})
                case "audio" | "uploadbutton":
                    data.append(sound)
                case "number" | "slider" | "state":
                    data.append(min(100, part["props"].get("maximum") or 100))
                case "checkbox":
                    data.append(True)
                case _:
                    data.append(choices[0][1] if choices and choosing else value)
        if data not in filled:
            filled.append(data)
    return filled


def _event(value: Any) -> dict[str, Any]:
    return {"conversation": value, "turn": value, "live": value, "name": value, "act": "get", "id": value, "rating": 1}


def _heavy(number: int, inputs: list[dict[str, Any]], name: str) -> Callable[[Guest], str]:
    def send(bob: Guest) -> str:
        sound = bob.upload("bobs.wav", (SPEECH / "lk_hello.wav").read_bytes())
        return bob.calls([(number, _filled(inputs, name, sound)[0], _event(name))], bob.session)[0]

    return send


def _by_name(handlers: list[dict[str, Any]], estate: Estate) -> Iterator[Attempt]:
    """By the name of the handler, past the queue: Gradio's addresses for programs."""
    for handler, (kind, name) in itertools.product(handlers, estate.ids.items()):
        for way in ("run", "api", "call", "call/v2"):
            path = f"/gradio_api/{way}/{handler['api_name']}"
            body = {"data": [name] * len(handler["inputs"]), "session_hash": estate.session}
            yield Attempt("by name", f"{path} {kind}", send=lambda bob, p=path, b=body: bob.ask("POST", p, json=b).text)


def _gradios(config: dict[str, Any], handlers: list[dict[str, Any]], estate: Estate) -> Iterator[Attempt]:
    """Server functions, files passed on as uploads, events and sessions."""
    for component, function in itertools.product(config["components"], ("token", "look", "value", "__init__", "load")):
        for session, name in ((estate.session, estate.ids["live"]), ("bobs", estate.ids["conversation"])):
            if component["type"] in ("html", "audio", "uploadbutton", "dropdown"):
                body = {"data": name, "component_id": component["id"], "fn_name": function, "session_hash": session}
                yield Attempt(
                    "server function",
                    f"{component['type']} {function}",
                    send=lambda bob, b=body: bob.ask("POST", "/gradio_api/component_server", json=b).text,
                )
    parts = {component["id"]: component["type"] for component in config["components"]}
    for handler, path in itertools.product(handlers, estate.files):
        if "audio" in (types := [parts[i] for i in handler["inputs"]]) or "uploadbutton" in types:
            forged = {"path": path, "meta": {"_type": "gradio.FileData"}, "orig_name": "mine.wav"}
            data = [
                forged if kind in ("audio", "uploadbutton") else NOWHERE if kind == "html" else "" for kind in types
            ]
            yield Attempt("forged upload", f"{handler['api_name']} {path}", call=(handler["id"], data, None))
    event, session = estate.ids["event"], estate.session
    asked = ["/queue/data?session_hash=", "/deep_link?session_hash=", "/upload_progress?upload_id="]
    asked = [f"/gradio_api{path}{name}" for path in asked for name in (session, event)]
    asked += [f"/gradio_api/stream/{session}/{event}/{c['id']}/playlist.m3u8" for c in config["components"][:20]]
    asked += [f"/gradio_api/call/{handler['api_name']}/{event}" for handler in handlers]
    for path in asked:
        yield Attempt("event", path, send=lambda bob, p=path: heard(bob, p, estate))


def _addresses(estate: Estate) -> Iterator[Attempt]:
    """Files, and our own routes."""
    for path in estate.files:
        for address in spellings_of_file(path):
            yield Attempt("file", address, send=lambda bob, a=address: heard(bob, a, estate))
    starts = [f"/avatar/voices/{kind}/" for kind in ("clip", "export", "draft", "preview")] + ["/avatar/export/"]
    ways = [(start, "") for start in starts]
    ways += [("/avatar/audio/", f"/{side}") for side in ("user", "reply", "hq", "other", "user/..", "%2e%2e")]
    for name, (start, end) in itertools.product([*estate.ids.values(), "all"], ways):
        for value in (spelling for spelling in spellings_of_id(name) if isinstance(spelling, str)):
            address = f"{start}{urllib.parse.quote(value, safe='')}{end}"
            yield Attempt("route", address, send=lambda bob, a=address: heard(bob, a, estate))


def heard(bob: Guest, address: str, estate: Estate) -> str:
    """What a refusal says, what an archive holds, or that a recording came."""
    parts: list[bytes] = []
    wait_s = SILENT_S if "/queue/data" in address else 60
    with (
        bob.http.stream("GET", address, timeout=wait_s) as answer,
        suppress(httpx.RemoteProtocolError, httpx.ReadTimeout),  # of a stream: ended by Gradio, or nothing more is said
    ):
        parts += answer.iter_raw()
    content = b"".join(parts)
    kind = answer.headers.get("content-type", "").partition("/")[0]
    if content.startswith(b"PK"):  # of his own conversations
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            content = b"".join(archive.read(name) for name in archive.namelist())
    elif answer.status_code in (200, 206) and kind in ("audio", "application") and not _page(answer):
        return f"{CANARY}: a file"
    if any(piece in content for piece in estate.sounds):
        return f"{CANARY}: her sound"
    return content.decode(errors="replace")


def _page(answer: httpx.Response) -> bool:
    return answer.headers["content-type"].startswith(("application/json", "application/javascript"))


def greeted(bob: Guest, name: str) -> str:
    """What a socket of Bob's is told that asks for a conversation, or brings a token, of Ann's."""
    told = ""
    for token, conversation in ((bob.token(), name), (name, "")):
        with connect(bob.app.url, additional_headers={"Cookie": bob.cookie}, proxy=None) as socket:
            socket.send(json.dumps({"t": "hello", "token": token, "conversation": conversation[:64]}))
            try:
                first = json.loads(socket.recv(10))
            except (ConnectionClosed, TimeoutError):
                continue
            if first["t"] == "ready" and (token == name or first["conversation"] == name):
                return f"{CANARY}: a seat in her name"
            told += json.dumps(first)
    return told


def attack(bob: Guest, tries: Sequence[Attempt]) -> tuple[Counter[str], list[str]]:
    """Returns how many of each kind were made, calls by whether their handler ran, and what brought something of Ann's
    to light."""
    made: Counter[str] = Counter()
    seen: list[str] = []

    def judge(attempt: Attempt, told: str) -> None:
        ran = ", ran" if RAN in told else ", refused"
        made[attempt.kind + (ran if attempt.call else "")] += 1
        if CANARY in told.lower():
            seen.append(f"{attempt.kind}: {attempt.what}: {told[:300]}")

    def work(mine: Sequence[Attempt]) -> None:
        session = uuid.uuid4().hex[:10]
        calls = [attempt for attempt in mine if attempt.call is not None]
        for start in range(0, len(calls), AT_ONCE):
            batch = calls[start : start + AT_ONCE]
            for attempt, told in zip(batch, bob.calls([a.call for a in batch], session), strict=True):  # type: ignore[misc]
                judge(attempt, told)
        for attempt in mine:
            if attempt.send is not None:
                judge(attempt, attempt.send(bob))

    alone = [attempt for attempt in tries if attempt.kind in ALONE]
    many = [attempt for attempt in tries if attempt.kind not in ALONE]
    with ThreadPoolExecutor(WORKERS + 1) as workers:
        list(workers.map(work, [alone, *(many[n::WORKERS] for n in range(WORKERS))]))
    return made, seen


def foreign(config: dict[str, Any], estate: Estate, times: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(origin, path, request) of state changes that another page would have Ann's browser send."""
    handlers = [d for d in config["dependencies"] if d["backend_fn"]]
    bodies = itertools.cycle(handlers)
    for number, origin in zip(range(times), itertools.cycle(FOREIGN), strict=False):
        match number % 7:
            case 0:
                yield origin, "/gradio_api/upload", {"files": {"files": ("a.wav", b"RIFF")}}
            case 1:
                body = {"session_hash": "x", "fn_index": 0, "event_id": estate.ids["event"]}
                yield origin, "/gradio_api/cancel", {"json": body}
            case _:
                handler = next(bodies)
                data = [estate.ids["conversation"] for _ in handler["inputs"]]
                body = {"data": data, "fn_index": handler["id"], "session_hash": estate.session}
                kind = "application/json" if number % 2 else "text/plain"
                yield (
                    origin,
                    "/gradio_api/queue/join",
                    {"content": json.dumps(body), "headers": {"Content-Type": kind}},
                )
