"""The real page in front of a scripted assistant, and a socket whose server side the test speaks itself."""

import asyncio
import json
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from fastapi import WebSocket
from fastapi.responses import Response
from gradio import Blocks
from page_fakes import FakeAssistant, owner_of
from page_rows import tone
from starlette.routing import Route, WebSocketRoute

from avatar.bench.served import free_port
from avatar.ui.page import build, launch_options
from avatar.ui.quality import hq_possible
from avatar.voice_routes import voice_routes


class FakeSocket:
    """The server side of the socket. The test says what is sent; what the page sent is kept."""

    def __init__(self, assistant: FakeAssistant) -> None:
        self.assistant = assistant
        self.got: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.full = self.deaf = False
        self.ready = threading.Event()  # cleared, it is slow to say that it is
        self.ready.set()
        self.beats, self.answers = 0, True  # signs of life, and whether they are answered
        self.opened = 0
        self.paths: list[str] = []

    async def __call__(self, ws: WebSocket) -> None:
        self.ws, self.loop = ws, asyncio.get_running_loop()
        self.paths.append(str(ws.url))
        await ws.accept()
        if self.deaf:
            while (await ws.receive())["type"] != "websocket.disconnect":
                pass
            return
        hello = json.loads(await ws.receive_text())
        self.got.append(hello)
        if hello["token"] not in self.assistant.tokens:
            await ws.close(4401)
            return
        self.assistant.tokens.remove(hello["token"])
        if self.full:
            await ws.send_text(
                json.dumps({"t": "error", "code": "SERVER_FULL", "text": "All seats are taken.", "n": 5, "of": 5})
            )
            await ws.close(4429)
            return
        await asyncio.to_thread(self.ready.wait, 60)
        self.opened += 1
        ready = {"t": "ready", "live": f"live{self.opened}", "n": 2, "of": 5}
        await ws.send_text(json.dumps(ready | {"conversation": hello["conversation"] or f"new{self.opened}"}))
        await ws.send_text(json.dumps({"t": "state", "state": "listening", "patience_ms": 900}))
        while (message := await ws.receive())["type"] != "websocket.disconnect":
            if message.get("bytes") is not None:
                self.frames.append(message["bytes"])
            elif (said := json.loads(message["text"]))["t"] != "alive":
                self.got.append(said)
            else:
                self.beats += 1
                if self.answers:
                    await ws.send_text('{"t": "alive"}')

    def send(self, t: str, **fields: Any) -> None:
        self._run(self.ws.send_text(json.dumps({"t": t, **fields})))

    def audio(self, turn: int, samples: np.ndarray, frame: int = 1920) -> None:
        async def send() -> None:
            for i in range(0, len(samples), frame):
                await self.ws.send_bytes(struct.pack("<I", turn) + samples[i : i + frame].tobytes())

        self._run(send())  # in one go: a thread that waits in between would be a gap in the reply

    def drop(self, code: int = 1011) -> None:
        self._run(self.ws.close(code))

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def said(self, t: str) -> list[dict[str, Any]]:
        return [m for m in self.got if m["t"] == t]


class Behind:
    """Whoever is behind the page: another assistant and another socket for each test, with one server for many.

    The page is built around a studio and the switch to HQ: `shape` says for whom a page that is there will do.
    """

    def __init__(self, assistant: FakeAssistant) -> None:
        self.turn_to(assistant)
        self.met = False  # a page had all its answers
        self.queue: Any = None  # Gradio's, once it is served

    def busy(self) -> bool:
        return len(self.queue) > 0 or any(self.queue.active_jobs)

    def turn_to(self, assistant: FakeAssistant) -> None:
        self.assistant, self.socket = assistant, FakeSocket(assistant)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.assistant, name)

    @staticmethod
    def shape(assistant: FakeAssistant) -> tuple[object, bool]:
        return assistant.studio, hq_possible(assistant.pool.status())  # type: ignore[arg-type]


def built(assistant: FakeAssistant | Behind, owner_of: Callable[[object], str] = owner_of) -> Blocks:
    """Gradio makes locks while it builds; without a running loop it makes a loop for each and never closes it. In a
    thread, because Playwright's loop runs in the test's."""

    async def inside() -> Blocks:
        return build(assistant, owner_of, lambda: None)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(inside())).result()


@contextmanager
def served(behind: Behind) -> Iterator[str]:
    """The page on a free port of the loopback: its address."""
    page = built(behind)
    port = free_port()  # Gradio's own search leaves a socket open at each port that is taken
    app, address, _ = page.launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, **launch_options()
    )
    behind.queue = page._queue

    async def sound(request: Any) -> Response:
        return Response(wav(tone(0.4)), media_type="audio/wav")

    async def endpoint(ws: WebSocket) -> None:
        await behind.socket(ws)

    app.router.routes.insert(0, WebSocketRoute("/avatar/ws", endpoint))
    app.router.routes.insert(0, Route("/avatar/audio/{turn}/{side}", sound))
    if behind.studio is not None and behind.previews is not None:
        app.router.routes[:0] = voice_routes(behind.studio, behind.previews, owner_of)
    try:
        yield address
    finally:
        page.close()


def wav(samples: np.ndarray, rate: int = 24000) -> bytes:
    data = samples.tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16,
                       b"data", len(data))  # fmt: skip
    return head + data
