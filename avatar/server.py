"""The routes beside Gradio's own: the socket of a live session, /avatar/ws, and GET /avatar/audio/{turn}/{side}."""

import asyncio
import json
import logging
import time
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from avatar.assistant import Assistant
from avatar.attendant import RESTART
from avatar.conversation import Conversation
from avatar.errors import AvatarError, NotFound, ServerFull
from avatar.export_routes import export_routes
from avatar.log import unquoted
from avatar.owners import OwnerOf
from avatar.pulse import Pulse
from avatar.voice_routes import voice_routes
from avatar.wire import (
    MAX_MIC_BYTES,
    MIC_RATE,
    Alive,
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
SEND_S = 10.0  # a page that has read nothing for so long is gone; its seat is not
LAST_WORDS_S = 2.0  # for the sentence that says why the socket closes
CLOSE_CODES = {"BAD_MESSAGE": 4400, "BAD_TOKEN": 4401, "SERVER_FULL": 4429, "DRAINING": RESTART}
SILENT_CODE = 1013  # "try again later": a page that is back after all connects anew, to the same conversation


def routes(assistant: Assistant, owner_of: OwnerOf) -> list[BaseRoute]:
    """For Gradio's app to be made with: before its catch-all, and there as soon as the page is."""

    async def audio(request: Request) -> Response:
        turn, side = request.path_params["turn"], request.path_params["side"]
        try:
            if side not in ("user", "reply", "hq"):
                raise NotFound("There is no such recording.")
            path = await asyncio.to_thread(assistant.store.audio_path, owner_of(request), turn, side)
        except AvatarError as error:
            return JSONResponse({"error": error.sentence}, 404 if isinstance(error, NotFound) else 503)
        headers = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
        return FileResponse(path, media_type="audio/ogg", headers=headers)

    async def socket(websocket: WebSocket) -> None:
        await serve(websocket, assistant, owner_of)

    studio, previews = assistant.studio, assistant.previews
    voices = voice_routes(studio, previews, owner_of) if studio is not None and previews is not None else []
    return [
        *voices,
        *export_routes(assistant.exports, owner_of),
        Route("/avatar/audio/{turn}/{side}", audio),
        WebSocketRoute("/avatar/ws", socket),
    ]


async def serve(websocket: WebSocket, assistant: Assistant, owner_of: OwnerOf) -> None:
    """One live session from hello to close."""
    await websocket.accept()  # first: closing before accepting gives the browser only a bare 1006
    with suppress(WebSocketDisconnect):  # gone before it had a seat
        try:
            conversation = await _admit(websocket, assistant, owner_of)
        except AvatarError as error:
            await _refuse(websocket, assistant, error)
        except (KeyError, TimeoutError):  # KeyError: a binary first frame has no text
            await websocket.close(4400)
        else:
            await _converse(websocket, assistant, conversation)


async def _admit(websocket: WebSocket, assistant: Assistant, owner_of: OwnerOf) -> Conversation:
    async with asyncio.timeout(HELLO_S):
        hello = parse(await websocket.receive_text())
    if not isinstance(hello, Hello):
        raise WireError("The page did not introduce itself. Reload it.")
    owner = assistant.redeem_token(hello.token)
    if owner_of(websocket) != owner:  # a token is good for the one it was made for only, and only while logged in
        raise NotFound("This page is out of date. Reload it.", code="BAD_TOKEN")
    return await assistant.join(owner, hello)


async def _converse(websocket: WebSocket, assistant: Assistant, conversation: Conversation) -> None:
    pulse = Pulse()
    receiving = asyncio.create_task(_receive(websocket, assistant, conversation, pulse))
    sending = asyncio.create_task(_send(websocket, conversation))
    silence = asyncio.create_task(pulse.stopped())
    try:
        await asyncio.wait((receiving, sending, silence), return_when=asyncio.FIRST_COMPLETED)
        if (error := _error(receiving)) is not None:
            conversation.hang_up(error.code, error.sentence)
            await asyncio.wait((sending,), timeout=LAST_WORDS_S)
        _error(sending)
    finally:
        for task in (receiving, sending, silence):
            task.cancel()
        await asyncio.shield(assistant.leave(conversation))
        await asyncio.gather(receiving, sending, silence, return_exceptions=True)
    if not silence.cancelled():
        with suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await websocket.close(SILENT_CODE)


def _error(task: asyncio.Task[None]) -> AvatarError | None:
    """What ended one half of a session, if it did not end well. A bug is logged, and costs this session only."""
    if not task.done() or (error := task.exception()) is None:
        return None
    if isinstance(error, AvatarError):
        return error
    log.error("a live session ended in a bug: %s", unquoted(error))
    return AvatarError("Something went wrong inside AVATAR. The log has the details.", code="BUG")


async def _refuse(websocket: WebSocket, assistant: Assistant, error: AvatarError) -> None:
    assistant.metrics.refusal(error.code)
    refusal: dict[str, Any] = {"t": "error", "code": error.code, "text": error.sentence}
    if isinstance(error, ServerFull):
        refusal |= {"n": assistant.seats.count(), "of": assistant.settings.seats}
    await websocket.send_text(json.dumps(refusal))
    await websocket.close(CLOSE_CODES.get(error.code, 4500), error.code)


async def _send(websocket: WebSocket, conversation: Conversation) -> None:
    with suppress(WebSocketDisconnect, TimeoutError):
        while (message := await conversation.outbox.get()) is not None:
            async with asyncio.timeout(SEND_S):
                if isinstance(message, bytes):
                    await websocket.send_bytes(message)
                else:
                    await websocket.send_text(json.dumps(message, ensure_ascii=False))
        async with asyncio.timeout(SEND_S):
            await websocket.close(conversation.outbox.close_code)


async def _receive(websocket: WebSocket, assistant: Assistant, conversation: Conversation, pulse: Pulse) -> None:
    """Returns when the page has gone. Raises WireError for a page that does not keep to the protocol."""
    ahead_s, at = 0.0, time.monotonic()
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        pulse.sign()
        pcm16 = message.get("bytes")
        if pcm16 is not None:
            now = time.monotonic()
            ahead_s, at = max(0.0, ahead_s - (now - at)) + len(pcm16) / (2 * MIC_RATE), now
            if len(pcm16) > MAX_MIC_BYTES or len(pcm16) % 2 or ahead_s > BURST_S:
                raise WireError("The page sent sound faster than it can be spoken. Reload it.")
            conversation.mic(pcm16)
            continue
        parsed = parse(message["text"])
        if isinstance(parsed, Bye):
            return
        if isinstance(parsed, Alive):
            pulse.beat()
        _act(conversation, parsed)
        if isinstance(parsed, New):
            await assistant.greet_anew(conversation)


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
        case Alive():
            conversation.post("alive")
