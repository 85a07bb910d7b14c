"""An Assistant over fake engines, and a server in front of it with the socket's other end: what a page would do."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from fakes import FakeLLM, FakeSTT, FakeTTS
from fastapi import FastAPI
from starlette.middleware import Middleware
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from avatar.assistant import Assistant
from avatar.audio import Decoder, Limits
from avatar.events import Samples
from avatar.guard import Guard
from avatar.metrics import Metrics
from avatar.owners import owners
from avatar.pipeline import Pipeline
from avatar.server import routes
from avatar.sessions import LOCAL, Seats, Tokens
from avatar.settings import Settings
from avatar.single import Update
from avatar.store import Store
from avatar.studio import Studio
from avatar.voices import Voices
from avatar.weights.downloads import Downloads

AUTH = "ann:secret"


class Deaf:
    """In place of Silero: hears no voice. What is heard in real speech is tested in test_app_real.py."""

    def detector(self) -> Callable[[Samples], float]:
        return lambda _: 0.0


def make_assistant(settings: Settings, make_pool: Any, *, profiles: bool = False, **engines: object) -> Assistant:
    """engines: stt, llm, tts; each a fake that works unless given. `profiles`: with a store of voices, and no ears to
    judge new ones."""
    fakes = {"stt": FakeSTT(), "llm": FakeLLM(), "tts": FakeTTS(), **engines}
    pool = make_pool({stage: (stage, engine) for stage, engine in fakes.items()})
    store = Store(settings.data)
    voices = Voices(settings.data, store.profiles, on_delete=pool.forget)
    pipeline = Pipeline(pool, permit=voices.permit)
    decoder = Decoder(Limits(max_bytes=settings.upload_mib << 20))
    return Assistant(
        settings=settings,
        pool=pool,
        pipeline=pipeline,
        store=store,
        studio=Studio(voices, store, pipeline, decoder, None, None) if profiles else None,
        seats=Seats(settings.seats, settings.idle_warn_s, settings.idle_s),
        tokens=Tokens(),
        metrics=Metrics(),
        decoder=decoder,
        downloads=Downloads(settings.weights),
        silero=Deaf(),
        smart_turn=None,
    )


def put_away(assistant: Assistant) -> None:
    assistant._single._decoder.close()
    assistant.pool.close()
    assistant.store.close()


async def typed(
    assistant: Assistant,
    text: str | Path | None = "how are you",
    conversation: str = "",
    turn: str = "t1",
    owner: str = LOCAL,
    language: str = "auto",
) -> list[Update]:
    """All that comes of a turn without a socket."""
    return [update async for update in assistant.answer(owner, conversation, text, turn, language)]


@dataclass
class Page:
    """One socket. `sound` collects the reply's int16 samples by turn number."""

    ws: ClientConnection
    sound: dict[int, bytes] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)

    async def send(self, kind: str, **fields: object) -> None:
        await self.ws.send(json.dumps({"t": kind, **fields}))

    async def until(self, kind: str, within_s: float = 20, **wanted: object) -> dict[str, Any]:
        """The next message of this kind with these fields."""
        async with asyncio.timeout(within_s):
            while True:
                raw = await self.ws.recv()
                if isinstance(raw, bytes):
                    turn = int.from_bytes(raw[:4], "little")
                    self.sound[turn] = self.sound.get(turn, b"") + raw[4:]
                    if kind == "audio":
                        return {"turn": turn}
                    continue
                message = json.loads(raw)
                self.seen.append(message)
                if message["t"] == kind and wanted.items() <= message.items():
                    return message

    async def closed(self, within_s: float = 20) -> int:
        """The code with which the server closes; what it says before is in `seen`."""
        async with asyncio.timeout(within_s):
            with suppress(ConnectionClosed):
                while True:
                    if isinstance(raw := await self.ws.recv(), str):
                        self.seen.append(json.loads(raw))
        return self.ws.close_code or 0


async def one_turn(page: Page, text: str, client_turn_id: str) -> dict[str, object]:
    """Say something over the socket and hear the reply to its end; returns what is said of the stored turn."""
    await page.send("say", text=text, client_turn_id=client_turn_id)
    turn = await page.until("turn")
    end = await page.until("end")
    await page.send("played", turn=turn["turn"], samples=end["samples"])
    return await page.until("saved")


@dataclass
class Door:
    """A running server. `app` has what Gradio's App has of the login: cookie_id and tokens (cookie -> user)."""

    assistant: Assistant
    app: FastAPI
    host: str  # 127.0.0.1:port

    @asynccontextmanager
    async def socket(self, **headers: str) -> AsyncIterator[Page]:
        async with connect(f"ws://{self.host}/avatar/ws", additional_headers=headers, proxy=None, max_queue=None) as ws:
            yield Page(ws)

    @asynccontextmanager
    async def page(self, owner: str = "local", headers: dict[str, str] | None = None, **hello: object):
        """A socket that has its seat."""
        async with self.socket(**headers or {}) as page:
            await page.send("hello", token=self.assistant.issue_token(owner), **hello)
            page.seen.append(await page.until("ready"))
            yield page

    async def wait(self, true: Any, within_s: float = 20) -> None:
        async with asyncio.timeout(within_s):
            while not true():  # noqa: ASYNC110 - what is waited for has no event
                await asyncio.sleep(0.005)


@asynccontextmanager
async def door(assistant: Assistant) -> AsyncIterator[Door]:
    settings = assistant.settings
    own = routes(assistant, owners(settings))
    app = FastAPI(middleware=[Middleware(Guard, settings=settings)], routes=own)
    app.cookie_id, app.tokens = "id", {}
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws_ping_interval=None))
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([listener])  # not serve(): that looks every 0.1 s whether it is to end
    try:
        yield Door(assistant, app, f"127.0.0.1:{listener.getsockname()[1]}")
    finally:
        await server.shutdown([listener])
        if assistant.attendant._task is not None:
            assistant.attendant._task.cancel()
