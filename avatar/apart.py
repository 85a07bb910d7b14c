"""What Gradio gives to whoever names it, kept to the owner it was made for. Knows Gradio's routes, and no page.

A browser chooses the names of its Gradio session and of its uploads, and who repeats such a name is given what belongs
to it: outputs, gr.State, progress (research/reliability.md, item 2). And who knows the path of a file in Gradio's
folder, an upload or a reply, may fetch it or pass it on as an upload; who knows the id of an event may read or stop it.
So here every owner has names of their own, and files and events are for those to whom this server has named them.
"""

import hashlib
import hmac
import json
import os
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from avatar.errors import NotFound
from avatar.guard import UPLOAD
from avatar.owners import OwnerOf

API = "/gradio_api/"
NAMES = ("session_hash", "upload_id")
REMEMBERED = 20_000  # files, and as many events; Gradio deletes its files after an hour
TELL = (UPLOAD, "/gradio_api/queue/data")  # routes whose answers name files to who asked for them
JOIN = "/gradio_api/queue/join"  # names an event
_SESSION_IN_PATH = re.compile(r"(.*?/gradio_api/(?:heartbeat|stream)/)([^/]+)(/.+)?", re.DOTALL)
_FILE = re.compile(r".*?/gradio_api/file[=/](.*)", re.DOTALL)
_CALL = re.compile(r".*?/gradio_api/call/.*", re.DOTALL)  # gives the outputs of an event to who names it; no page does
_EVENT = re.compile(r".*?/gradio_api/stream/([^/]+)(?:/close)?/?", re.DOTALL)


class Told:
    """Which files of `folder`, and which events, each owner has been told of. Used from the event loop only."""

    def __init__(self, folder: str) -> None:
        self.folder = os.path.realpath(folder) + os.sep
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._events: OrderedDict[tuple[str, str], None] = OrderedDict()

    def add(self, owner: str, path: str) -> None:
        """Of a path that we made."""
        if (real := os.path.realpath(path)).startswith(self.folder):
            _remember(self._known, (owner, real))

    def add_event(self, owner: str, event: str) -> None:
        _remember(self._events, (owner, event))

    def may_event(self, owner: str, event: str) -> bool:
        return (owner, event) in self._events

    def may(self, owner: str, path: str) -> bool:
        """Whether `owner` may have it, as far as we are concerned: what lies elsewhere is Gradio's to refuse."""
        try:
            real = os.path.realpath(path)
        except ValueError:  # a NUL
            return False
        return not real.startswith(self.folder) or (owner, real) in self._known


def _remember(table: OrderedDict[tuple[str, str], None], key: tuple[str, str]) -> None:
    table[key] = None
    table.move_to_end(key)
    if len(table) > REMEMBERED:
        table.popitem(last=False)


class Apart:
    """ASGI middleware, before Gradio where several owners can ask. Who has no owner is one owner, of nothing."""

    def __init__(self, app: ASGIApp, owner_of: OwnerOf, folder: str) -> None:
        """`folder` is Gradio's for uploads and outputs."""
        self._app, self._owner_of, self._told = app, owner_of, Told(folder)
        self._key = secrets.token_bytes(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or API not in scope["path"]:
            await self._app(scope, receive, send)
            return
        try:
            owner = self._owner_of(HTTPConnection(scope))
        except NotFound:
            owner = ""
        if (file := _FILE.fullmatch(scope["path"])) is not None:
            if self._told.may(owner, file[1]):
                await self._app(scope, receive, send)
            else:
                await _refuse(404, "There is no such file.", scope, receive, send)
            return
        event = _EVENT.fullmatch(scope["path"]) if scope["method"] == "POST" else None
        if _CALL.fullmatch(scope["path"]) or (event is not None and not self._told.may_event(owner, event[1])):
            await _refuse(404, "There is no such event.", scope, receive, send)
            return
        scope = self._renamed(scope, owner)
        form = "multipart/form-data" in Headers(scope=scope).get("content-type", "")
        if scope["method"] == "POST" and form != scope["path"].endswith(UPLOAD):
            # neither is read: no path in a form would be seen here, and JSON of an upload's size held all up for 4 s
            await _refuse(415, "Uploads are sent as forms, and nothing else is.", scope, receive, send)
        elif scope["method"] == "POST" and not form:
            await self._post(owner, scope, receive, send)
        else:
            await self._app(scope, receive, self._listen(owner, send) if scope["path"].endswith(TELL) else send)

    async def _post(self, owner: str, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":  # Guard bounds it
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        else:
            return
        try:
            data = json.loads(body) if body else None
        except (ValueError, RecursionError):
            await _refuse(400, "That is not JSON.", scope, receive, send)
            return
        if not all(self._told.may(owner, path) for path in _paths(data)):
            await _refuse(404, "There is no such file.", scope, receive, send)
            return
        if isinstance(data, dict):
            event = data.get("event_id")  # of /cancel
            if isinstance(event, str) and not self._told.may_event(owner, event):
                await _refuse(404, "There is no such event.", scope, receive, send)
                return
            data |= {name: self._name(owner, data[name]) for name in NAMES if isinstance(data.get(name), str)}
            body = json.dumps(data).encode()
        headers = [(k, v) for k, v in scope["headers"] if k not in (b"content-length", b"transfer-encoding")]
        scope = {**scope, "headers": [*headers, (b"content-length", str(len(body)).encode())]}
        whole: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def again() -> Message:
            nonlocal whole
            if whole is None:
                return await receive()
            sent, whole = whole, None
            return sent

        await self._app(scope, again, self._hear(owner, send) if scope["path"].endswith(JOIN) else send)

    def _renamed(self, scope: Scope, owner: str) -> Scope:
        """With the names in its address made the owner's own."""
        found = _SESSION_IN_PATH.fullmatch(scope["path"])
        if found is not None and scope["method"] != "POST":  # POST /stream/{event} names an event, which Gradio chose
            path = found[1] + self._name(owner, found[2]) + (found[3] or "")
            scope = {**scope, "path": path, "raw_path": path.encode()}
        query = scope["query_string"].decode("latin-1")
        pairs = parse_qsl(query, keep_blank_values=True)
        if any(key in NAMES for key, _ in pairs):
            renamed = [(key, self._name(owner, value) if key in NAMES else value) for key, value in pairs]
            scope = {**scope, "query_string": urlencode(renamed).encode()}
        return scope

    def _name(self, owner: str, name: str) -> str:
        text = f"{owner}\0{name}".encode("utf-8", "surrogatepass")
        return hmac.new(self._key, text, hashlib.sha256).hexdigest()

    def _listen(self, owner: str, send: Send) -> Send:
        """Remembers the files that an answer names to its owner: in an object, or as the list that an upload gets."""
        mark = self._told.folder.encode()

        async def sent(message: Message) -> None:
            if mark in (body := message.get("body", b"")):
                for line in body.splitlines():  # an event of a stream comes in one piece
                    try:
                        data = json.loads(line.removeprefix(b"data:"))
                    except ValueError:
                        continue
                    for path in data if isinstance(data, list) else _paths(data):
                        self._told.add(owner, path)
            await send(message)

        return sent

    def _hear(self, owner: str, send: Send) -> Send:
        """Remembers the event that an answer names to its owner. Such an answer comes in one piece."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.body":
                try:
                    data = json.loads(message.get("body", b""))
                except ValueError:
                    data = None
                if isinstance(data, dict) and isinstance(event := data.get("event_id"), str):
                    self._told.add_event(owner, event)
            await send(message)

        return sent


def _paths(data: Any) -> Iterator[str]:
    """The files that Gradio would see in a value: the `path` of any object. Words that look like one are words."""
    open_ = [data]
    while open_:
        value = open_.pop()
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                yield path
            open_ += value.values()
        elif isinstance(value, list):
            open_ += value


async def _refuse(status: int, sentence: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"error": sentence, "detail": sentence}, status)(scope, receive, send)
