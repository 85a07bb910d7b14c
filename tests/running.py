"""What a browser does with the real app.py: pages, events, uploads, sockets."""

import json
import os
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import httpx
from assistants import Page
from gradio_client.utils import apply_diff
from websockets.asyncio.client import connect

from avatar.bench.served import ROOT, START_S, App

SPEECH = ROOT / "tests" / "data" / "speech"
WEIGHTS = Path("~/.cache/avatar/weights").expanduser()  # as `make test` has fetched them
NOWHERE = {"conversation": "", "live": ""}  # the stage of a page that has just been opened


@dataclass
class Outcome:
    """What an event of the page came to: its outputs as last set, and the toasts."""

    outputs: list[Any]
    toasts: list[str]
    took_s: float


class Running(App):
    """app.py as the bench starts it, with none of the user's settings, and a browser's connection to it."""

    def __init__(self, data: Path, env: Mapping[str, str] = MappingProxyType({}), **more: Any) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("AVATAR_")}
        super().__init__(data, kept | env, **more)

    def start(self, port: int = 0) -> Self:
        super().start(port)
        self.meet(self.port)
        return self

    def meet(self, port: int) -> None:
        """Talk to the one that listens there."""
        self.port, self.config = port, {}
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=60)

    def wait(self) -> float:
        self.until("press Start")
        return super().wait()

    def until(self, words: str) -> float:
        """Blocks until the log holds `words`. Returns seconds since the start."""
        while words not in self.said():
            self.check()
            assert time.monotonic() - self.started < START_S, self.said()[-2000:]
            time.sleep(0.05)
        return time.monotonic() - self.started

    def stop(self) -> bool:
        self.http.close()
        ended = super().stop()
        assert ended, f"it had to be killed: {self.said()[-2000:]}"
        return ended

    def request(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        """With the cookies of a login."""
        return self.http.request(method, path, content=body, headers={"Content-Type": "application/json"}).json()

    # -- what a page does -------------------------------------------------------------------------------------------
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
        async with connect(self.url, proxy=None, max_queue=None) as ws:
            yield Page(ws)

    @asynccontextmanager
    async def page(self, **hello: object) -> AsyncIterator[Page]:
        """A socket that has its seat."""
        async with self.socket() as page:
            await page.send("hello", token=self.token(), **hello)
            page.seen.append(await page.until("ready"))
            yield page


def _over(before: list[Any], after: list[Any]) -> list[Any]:
    """Outputs that were left as they are keep their value."""
    skips = {"__type__": "update"}, {"__type__": "update", "props": {"__type__": "update"}}  # the second, of gr.HTML
    before = before or [None] * len(after)
    return [old if new in skips else new for old, new in zip(before, after, strict=True)]
