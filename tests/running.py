"""The real app.py as a process of its own, and what a browser does with it: pages, events, uploads, sockets."""

import json
import os
import shlex
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from assistants import Page
from gradio_client.utils import apply_diff
from websockets.asyncio.client import connect

ROOT = Path(__file__).parent.parent
SPEECH = ROOT / "tests" / "data" / "speech"
WEIGHTS = Path("~/.cache/avatar/weights").expanduser()  # as `make test` has fetched them
NOWHERE = {"conversation": "", "live": ""}  # the stage of a page that has just been opened
START_S = 120.0  # 4 s on an idle machine


@dataclass
class Outcome:
    """What an event of the page came to: its outputs as last set, and the toasts."""

    outputs: list[Any]
    toasts: list[str]
    took_s: float


@dataclass
class Running:
    """Start with `start`; `wait` until the page is there."""

    data: Path
    env: dict[str, str] = field(default_factory=dict)
    wrap: str = ""  # a command line that starts another: `unshare -n ...`
    options: tuple[str, ...] = ()

    def start(self) -> "Running":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
        self.log = self.data.parent / f"{self.data.name}.log"
        self.started = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*shlex.split(self.wrap), sys.executable, "app.py", "--port", str(self.port), *self.options],
                cwd=ROOT,
                env=kept | {"AVATAR_DATA": str(self.data), "PYTHONUNBUFFERED": "1"} | self.env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", trust_env=False, timeout=60)
        return self

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def wait(self) -> float:
        """Blocks until the page is served and every engine is ready. Returns seconds since the start."""
        self.until("press Start")
        self.config = self.http.get("/config").json()
        deadline = self.started + START_S
        while time.monotonic() < deadline:
            if all(e and e["ready"] for e in self.ask("look")["engines"].values()):
                return time.monotonic() - self.started
            time.sleep(0.1)
        raise AssertionError(f"engines are not ready: {self.said()[-2000:]}")

    def until(self, words: str) -> float:
        """Blocks until the log holds `words`. Returns seconds since the start."""
        while words not in self.said():
            ended = self.process.poll() is not None or time.monotonic() - self.started > START_S
            assert not ended, f"app.py: {self.process.poll()} {self.said()[-2000:]}"
            time.sleep(0.05)
        return time.monotonic() - self.started

    def stop(self) -> None:
        """As Ctrl-C or a service manager does. Blocks until it has ended."""
        self.http.close()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    # -- what a page does -------------------------------------------------------------------------------------------
    def ask(self, function: str, session: str = "s") -> dict[str, Any]:
        """A server function of the stage: token or look."""
        stage = next(c["id"] for c in self.config["components"] if c["props"].get("elem_id") == "live")
        body = {"data": {}, "component_id": stage, "fn_name": function, "session_hash": session}
        return self.http.post("/gradio_api/component_server", json=body).json()

    def event(self, name: str, data: list[Any], event_data: object = None) -> Outcome:
        """One event of the page, through the queue as Gradio's own script does it. Blocks until it is over."""
        number = next(d["id"] for d in self.config["dependencies"] if d["api_name"] == name)
        session, began = uuid.uuid4().hex[:10], time.monotonic()
        body = {"data": data, "fn_index": number, "session_hash": session, "event_data": event_data, "trigger_id": None}
        joined = self.http.post("/gradio_api/queue/join", json=body)
        assert joined.status_code == 200, joined.text
        sent: list[Any] = []
        outcome = Outcome([], [], 0.0)
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": session}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {"msg": ""}
                output = (message.get("output") or {}).get("data") or []
                if message["msg"] == "log":
                    outcome.toasts.append(message["log"])
                elif message["msg"] == "process_generating":
                    sent = [apply_diff(old, new) for old, new in zip(sent, output, strict=True)] if sent else output
                    outcome.outputs = _over(outcome.outputs, sent)
                elif message["msg"] == "process_completed":
                    assert message["success"], message
                    outcome.outputs = _over(outcome.outputs, output)
                    break
        outcome.took_s = time.monotonic() - began
        return outcome

    def upload(self, name: str, content: bytes) -> dict[str, Any]:
        """What Gradio's upload button sends, and the value its component then has."""
        answer = self.http.post("/gradio_api/upload", files={"files": (name, content)})
        assert answer.status_code == 200, answer.text
        return {"path": answer.json()[0], "orig_name": name, "meta": {"_type": "gradio.FileData"}}

    @asynccontextmanager
    async def socket(self) -> AsyncIterator[Page]:
        async with connect(f"ws://127.0.0.1:{self.port}/avatar/ws", proxy=None, max_queue=None) as ws:
            yield Page(ws)

    @asynccontextmanager
    async def page(self, **hello: object) -> AsyncIterator[Page]:
        """A socket that has its seat."""
        async with self.socket() as page:
            await page.send("hello", token=self.ask("token")["token"], **hello)
            page.seen.append(await page.until("ready"))
            yield page


def _over(before: list[Any], after: list[Any]) -> list[Any]:
    """Outputs that were left as they are keep their value."""
    skip = {"__type__": "update"}
    before = before or [None] * len(after)
    return [old if new == skip else new for old, new in zip(before, after, strict=True)]
