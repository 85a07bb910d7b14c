"""The door: who may connect from where, the WebSocket of a live session, and the recordings of turns.

Gradio's own routes carry the page; these are AVATAR's: GET /avatar/audio/{turn}/{side} and the socket /avatar/ws.
"""

import asyncio
import json
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from avatar.assistant import Assistant
from avatar.conversation import Conversation
from avatar.errors import AvatarError, NotFound, ServerFull
from avatar.sessions import LOCAL
from avatar.settings import LOOPBACK, Settings
from avatar.wire import (
    MAX_MIC_BYTES,
    MIC_RATE,
    Bye,
    ClientMessage,
    Hello,
    Hold,
    Interrupt,
    Mute,
    New,
    Played,
    Preferences,
    Say,
    WireError,
    parse,
)

log = logging.getLogger(__name__)

HELLO_S = 10.0  # a socket that does not introduce itself is closed
BURST_S = 10.0  # microphone audio may run so far ahead of real time: a page that was suspended catches up
JSON_BYTES = 1 << 20  # the largest request that is not an upload
CLOSE_CODES = {"BAD_MESSAGE": 4400, "BAD_TOKEN": 4401, "SERVER_FULL": 4429}

OwnerOf = Callable[[Any], str]  # of a gr.Request or a Starlette connection; raises NotFound for who is not logged in


class Guard:
    """ASGI middleware: foreign hosts and origins, Gradio's URL relay and oversized bodies end here.

    Host: on loopback only loopback names, or a page elsewhere could rebind its name to this machine. Origin: a browser
    names the page that asks; it must be this one. Programs that send no Origin are not a browser's victims.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._hosts = LOOPBACK if settings.loopback else None
        self._upload_bytes = (settings.upload_mib + 1) << 20

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refuse(scope, headers)
        if refusal is not None and scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 4403})
        elif refusal is not None:
            await JSONResponse({"error": refusal[1]}, refusal[0])(scope, receive, send)
        else:
            await self._app(scope, _limited(receive, self._limit(scope)), send)

    def _refuse(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts:
            return 403, "This page is served to this machine only."
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return 403, "Requests from other pages are refused."
        if "file=http" in scope["path"]:  # Gradio would fetch that address and pass it on
            return 403, "Addresses are not relayed."
        if int(headers.get("content-length", "0") or 0) > self._limit(scope):
            return 413, "That is too large."
        return None

    def _limit(self, scope: Scope) -> int:
        return self._upload_bytes if scope["path"].endswith("/upload") else JSON_BYTES


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _limited(receive: Receive, limit: int) -> Receive:
    """A body without a declared length is cut off where a declared one would have been refused."""
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                return {"type": "http.disconnect"}
        return message

    return limited


def owners(settings: Settings) -> OwnerOf:
    """Who asks: `local` where only this machine can ask and no password is set, else the user who logged in.

    Works for Gradio's requests, which know their user, and for our own routes, which ask Gradio's login table.
    """

    def logged_in(connection: Any) -> str:
        name: str | None = getattr(connection, "username", None)
        if name is None:
            app, cookies = connection.app, connection.cookies
            tokens = (cookies.get(f"access-token-{kind}{app.cookie_id}") for kind in ("", "unsecure-"))
            name = next((app.tokens[token] for token in tokens if token in app.tokens), None)
        if name is None:
            raise NotFound("Log in first.")
        return name

    return logged_in if settings.auth else lambda _: LOCAL


def mount(app: FastAPI, assistant: Assistant, owner_of: OwnerOf) -> None:
    """Put AVATAR's routes before Gradio's catch-all."""

    async def audio(request: Request) -> Response:
        turn, side = request.path_params["turn"], request.path_params["side"]
        try:
            if side not in ("user", "reply"):
                raise NotFound("There is no such recording.")
            path = await asyncio.to_thread(assistant.store.audio_path, owner_of(request), turn, side)
        except NotFound as error:
            return JSONResponse({"error": error.sentence}, 404)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, media_type="audio/ogg", headers=headers)

    async def socket(websocket: WebSocket) -> None:
        await serve(websocket, assistant)

    app.router.routes[:0] = [
        Route("/avatar/audio/{turn}/{side}", audio),
        WebSocketRoute("/avatar/ws", socket),
    ]


async def serve(websocket: WebSocket, assistant: Assistant) -> None:
    """One live session from hello to close."""
    await websocket.accept()  # first: closing before accepting gives the browser only a bare 1006
    try:
        async with asyncio.timeout(HELLO_S):
            hello = parse(await websocket.receive_text())
        if not isinstance(hello, Hello):
            raise WireError("The page did not introduce itself. Reload it.")
        conversation = await assistant.join(assistant.redeem_token(hello.token), hello)
    except AvatarError as error:
        await _refuse(websocket, assistant, error)
        return
    except (WebSocketDisconnect, KeyError, TimeoutError):  # KeyError: a binary first frame has no text
        await websocket.close(4400)
        return
    receiving = asyncio.create_task(_receive(websocket, assistant, conversation))
    sending = asyncio.create_task(_send(websocket, conversation))
    try:
        await asyncio.wait((receiving, sending), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (receiving, sending):
            task.cancel()
        await asyncio.shield(assistant.leave(conversation))
        await asyncio.gather(receiving, sending, return_exceptions=True)


async def _refuse(websocket: WebSocket, assistant: Assistant, error: AvatarError) -> None:
    assistant.metrics.refusal(error.code)
    refusal: dict[str, Any] = {"t": "error", "code": error.code, "text": error.sentence}
    if isinstance(error, ServerFull):
        refusal |= {"n": assistant.seats.count(), "of": assistant.settings.max_sessions}
    await websocket.send_text(json.dumps(refusal))
    await websocket.close(CLOSE_CODES.get(error.code, 4500), error.code)


async def _send(websocket: WebSocket, conversation: Conversation) -> None:
    while (message := await conversation.outbox.get()) is not None:
        if isinstance(message, bytes):
            await websocket.send_bytes(message)
        else:
            await websocket.send_text(json.dumps(message, ensure_ascii=False))
    await websocket.close(1000)


async def _receive(websocket: WebSocket, assistant: Assistant, conversation: Conversation) -> None:
    started, received = time.monotonic(), 0
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        pcm16, text = message.get("bytes"), message.get("text")
        if pcm16 is not None:
            received += len(pcm16)
            ahead_s = received / (2 * MIC_RATE) - (time.monotonic() - started)
            if len(pcm16) > MAX_MIC_BYTES or len(pcm16) % 2 or ahead_s > BURST_S:
                conversation.hang_up("BAD_MESSAGE", "The page sent sound faster than it can be spoken. Reload it.")
                return
            conversation.mic(pcm16)
            continue
        try:
            parsed = parse(text or "")
        except WireError as error:
            conversation.hang_up(error.code, error.sentence)
            return
        if isinstance(parsed, Bye):
            return
        _act(conversation, parsed)
        if isinstance(parsed, New):
            assistant.greet(conversation)


def _act(conversation: Conversation, message: ClientMessage) -> None:
    match message:
        case Preferences():
            conversation.prefer(message)
        case Say(text, client_turn_id):
            conversation.say(text, client_turn_id)
        case Interrupt():
            conversation.interrupt()
        case Mute(on):
            conversation.mute(on)
        case Hold(on):
            conversation.hold(on)
        case Played(turn, samples):
            conversation.played(turn, samples)
        case New():
            conversation.begin_again()
