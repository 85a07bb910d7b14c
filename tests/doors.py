"""A replica's door for lanes, with an echo behind it, or one that stands still."""

import threading
import time
from collections.abc import Callable, Generator

import numpy as np

from avatar.engines.frames import Head, item, pack
from avatar.engines.lane_server import LaneServer
from avatar.events import AudioChunk


def until(done: Callable[[], object]) -> bool:
    """Whether it came about within twenty seconds."""
    deadline = time.monotonic() + 20
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(done())


def echoing() -> LaneServer:
    return LaneServer("127.0.0.1", echo)


def echo(head: Head, blob: bytes) -> Generator[bytes, None, None]:
    return (pack({"is": "echo", "number": n}, blob) for n in range(int(head["times"])))


class Still(LaneServer):
    """Says so many chunks of each answer, and then nothing, not even that it lives; its connections stay open."""

    def __init__(self, said: int) -> None:
        self._said, self._forever = said, threading.Event()
        super().__init__("127.0.0.1", self._stall)

    def _stall(self, head: Head, blob: bytes) -> Generator[bytes, None, None]:
        for _ in range(self._said):
            yield item(AudioChunk(np.zeros(240, np.float32), 24_000))
        self._forever.wait()

    def _tick(self) -> None:
        self._forever.wait()

    def close(self, within_s: float = 0.0) -> None:
        self._forever.set()
        super().close(within_s)
