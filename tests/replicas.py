"""The replicas of a cluster without Ray: the same class behind the same HTTP, on a thread."""

import asyncio
import socket
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from avatar.engines.base import Voice
from avatar.events import AudioChunk
from avatar.replica import Replica

ANN = Voice(
    name="Ann",
    profile_id="ann",
    reference=AudioChunk(np.full(2400, 0.25, np.float32), 24_000),
    reference_text="These are my words.",
    embedding=np.full(256, 1 / 16, np.float32),
    consent="c0ffee",
    cache=Path("/nowhere"),
)
RUNGS = {"stt": "moonshine", "llm": "llamacpp", "tts": "espeak"}


class Alone(Replica):
    """The only replica of its stage: whom it tells of a profile that was deleted is itself."""

    def _tell_all(self, profile: str) -> None:
        self.forget(profile)


class Cluster:
    """From enter to exit. `engines` by stage; `broken` stages answer 503, as Ray Serve does without a replica. `lanes`:
    replicas have doors of their own. `rungs`: whose places the engines take, where not those of RUNGS."""

    def __init__(self, lanes: bool = False, rungs: dict[str, str] | None = None, **engines: Any) -> None:
        self.lanes, host = lanes, "127.0.0.1" if lanes else ""
        rungs = RUNGS | (rungs or {})
        self.replicas = {s: Alone(rungs[s], host=host, loader=lambda *_, e=e: e) for s, e in engines.items()}
        self.broken = set[str]()
        self.asked = list[str]()
        self.sessions = list[str]()
        self.opened = list[Any]()  # rungs that use it, closed at the end

    def __enter__(self) -> "Cluster":
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        app = Starlette(routes=[Route("/{stage}", self._answer, methods=["POST"])])
        self._server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        deadline = time.monotonic() + 20
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.01)
        return self

    def keep(self, rung: Any) -> Any:
        """Closed at the end. With lanes: blocks until it has one."""
        self.opened.append(rung)
        deadline = time.monotonic() + 20
        while self.lanes and not rung._client._lanes._known and time.monotonic() < deadline:
            time.sleep(0.01)
        return rung

    def lose(self, stage: str) -> None:
        """Until it is taken out of `broken`; then it answers through the proxy."""
        self.broken.add(stage)
        self.replicas[stage].__del__()

    def __exit__(self, *_: object) -> None:
        for rung in self.opened:
            rung.close()
        for replica in self.replicas.values():
            replica.__del__()  # as Ray Serve calls it
        self._server.should_exit = True
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._socket]))

    async def _answer(self, request: Request) -> Response:
        stage = request.path_params["stage"]
        self.asked.append(stage)
        self.sessions.append(request.headers.get("x-session-id", ""))
        if stage in self.broken or stage not in self.replicas:
            return Response("no replicas", 503)
        return await self.replicas[stage](request)
