"""A replica's door for lanes, with an echo behind it."""

import time
from collections.abc import Callable, Generator

from avatar.engines.frames import Head, pack
from avatar.engines.lane_server import LaneServer


def until(done: Callable[[], object]) -> bool:
    """Whether it came about within five seconds."""
    deadline = time.monotonic() + 5
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return bool(done())


def echoing() -> LaneServer:
    return LaneServer("127.0.0.1", echo)


def echo(head: Head, blob: bytes) -> Generator[bytes, None, None]:
    return (pack({"is": "echo", "number": n}, blob) for n in range(int(head["times"])))
