"""How a lane tells a replica that is gone from one that thinks, and from a front that stood still itself."""

import ctypes
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from doors import Still, echoing

from avatar.engines import lane, lane_server
from avatar.engines.frames import Head, pack
from avatar.engines.lane import LOOK_S, LOOKS, TICK_S, Address, Lane
from avatar.engines.lane_server import LaneServer

HOLD = ctypes.PyDLL(None).usleep  # unlike CDLL, it keeps Python's lock meanwhile, as an engine's C code may
FASTER = 5
SILENT_S = LOOK_S * LOOKS / FASTER
NOTICED_S = 3.0  # 2.5 are promised


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "LOOK_S", LOOK_S / FASTER)
    for module in (lane, lane_server):
        monkeypatch.setattr(module, "TICK_S", TICK_S / FASTER)


def thinking(seconds: float) -> LaneServer:
    def answer(head: Head, blob: bytes) -> Generator[bytes, None, None]:
        time.sleep(seconds)
        yield pack({"is": "done"})

    return LaneServer("127.0.0.1", answer)


def ask(address: Address, first_s: float = 60.0, **head: float) -> Head:
    """The first frame of an answer."""
    with closing(Lane(address)) as way:
        way.send(pack(head))
        return next(way.frames(first_s, first_s))[0]


class Deaf(Still):
    """Takes no question in."""

    def _answer_all(self, front: object, incoming: Callable[[int], bytes]) -> None:
        self._forever.wait()


@pytest.mark.usefixtures("fast")
class TestAReplica:
    def test_that_thinks_is_waited_for(self) -> None:
        with closing(thinking(2 * SILENT_S)) as door:
            assert ask(door.address) == {"is": "done"}

    def test_that_thinks_for_too_long_is_late_and_not_gone(self) -> None:
        with closing(thinking(2 * SILENT_S)) as door, pytest.raises(TimeoutError) as late:
            ask(door.address, first_s=TICK_S)
        assert late.value.errno != errno.ETIMEDOUT

    def test_that_says_nothing_any_more_is_gone(self) -> None:
        with closing(Still(0)) as door, pytest.raises(ConnectionError, match="no sign of life"):
            ask(door.address)

    def test_that_takes_nothing_any_more_is_gone(self) -> None:
        gone = pytest.raises(ConnectionError, match="no sign of life")
        with closing(Deaf(0)) as door, closing(Lane(door.address)) as way, gone:
            way.send(b"\0" * (64 << 20))

    def test_lives_while_a_question_is_on_its_way(self) -> None:
        tick = pack({"is": "tick"})
        with closing(echoing()) as door, closing(Lane(door.address)) as way:
            question = pack({"times": 1}, b"\0" * 1000)
            way.send(question[:500])
            assert way.read(len(tick)) == tick
            way.send(question[500:])
            assert next(way.frames(60.0, 60.0))[0]["is"] == "echo"

    def test_says_nothing_after_its_answer(self) -> None:
        with closing(echoing()) as door, closing(Lane(door.address)) as way:
            way.send(pack({"times": 1}))
            next(way.frames(60.0, 60.0))
            time.sleep(3 * TICK_S / FASTER)
            assert not way.stale

    def test_lives_while_another_front_does_not_read(self) -> None:
        def answer(head: Head, blob: bytes) -> Generator[bytes, None, None]:
            if head["much"]:
                yield pack({"is": "audio"}, b"\0" * (32 << 20))
            time.sleep(2 * SILENT_S)
            yield pack({"is": "done"})

        with closing(LaneServer("127.0.0.1", answer)) as door, closing(Lane(door.address)) as other:
            other.send(pack({"much": True}))
            assert ask(door.address, much=False) == {"is": "done"}


@pytest.mark.usefixtures("fast")
def test_a_front_that_stood_still_has_lost_nobody() -> None:
    with closing(thinking(3 * SILENT_S)) as door:
        threading.Timer(0.1, HOLD, (int(2e6 * SILENT_S),)).start()  # meanwhile no thread here gets a word in
        assert ask(door.address) == {"is": "done"}


def test_a_machine_of_which_the_system_says_that_it_is_gone_is_not_looked_for_again() -> None:
    def gone(size: int) -> bytes:
        raise OSError(errno.ETIMEDOUT, "what Linux says after DEAD_MS")

    with closing(echoing()) as door, closing(Lane(door.address)) as way, pytest.raises(TimeoutError, match="Linux"):
        way._patiently(gone, 1)


REPLICA = """
import ctypes, sys, time
from avatar.engines.frames import pack
from avatar.engines.lane_server import LaneServer

def answer(head, blob):
    time.sleep(head.get("think_s", 0))
    ctypes.PyDLL(None).usleep(int(1e6 * head.get("hold_s", 0)))
    yield pack({"is": "done"})

print(LaneServer("127.0.0.1", answer).address, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def replica() -> Iterator[tuple[subprocess.Popen[str], Address]]:
    """A process of its own, with a door."""
    root = Path(__file__).parent.parent
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", REPLICA], cwd=root, text=True, **pipes) as process:  # type: ignore[call-overload]
        yield process, Address.parsed(process.stdout.readline())
        process.kill()


@pytest.mark.slow
class TestAtFullLength:
    def test_a_replica_whose_process_is_busy_lives(self, replica: tuple[subprocess.Popen[str], Address]) -> None:
        # up to 2.05 s are waited for: the last tick may be one old, and a busy machine wakes it late
        assert ask(replica[1], hold_s=1.6) == {"is": "done"}

    def test_a_front_that_stood_still_has_lost_nobody(self, replica: tuple[subprocess.Popen[str], Address]) -> None:
        threading.Timer(0.1, HOLD, (3_000_000,)).start()
        assert ask(replica[1], think_s=3.5) == {"is": "done"}

    def test_nor_while_much_was_said_to_it(self) -> None:
        """More than the system keeps for it."""

        def answer(head: Head, blob: bytes) -> Generator[bytes, None, None]:
            yield pack({"is": "audio"}, b"\0" * (32 << 20))

        with closing(LaneServer("127.0.0.1", answer)) as door, closing(Lane(door.address)) as way:
            way.send(pack({}))
            time.sleep(NOTICED_S)
            assert len(next(way.frames(60.0, 60.0))[1]) == 32 << 20

    def test_a_replica_that_is_stopped_is_noticed_in_time(self, replica: tuple[subprocess.Popen[str], Address]) -> None:
        process, address = replica
        stopped_at = 0.0

        def stop() -> None:
            nonlocal stopped_at
            os.kill(process.pid, signal.SIGSTOP)
            stopped_at = time.monotonic()

        threading.Timer(1.0, stop).start()
        with pytest.raises(ConnectionError, match="no sign of life"):
            ask(address, think_s=60.0)
        assert LOOK_S * LOOKS + TICK_S < NOTICED_S
        assert 1.9 < time.monotonic() - stopped_at < 3 * NOTICED_S  # of 60; on a busy machine each look takes longer
