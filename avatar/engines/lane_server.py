"""A replica's own door for the lanes of fronts (engines/lane.py): a thread for each, frames in and frames out, and one
that tells all who wait that the replica lives. Knows no engine and nothing of Ray.
"""

import hmac
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import closing, suppress

from avatar.engines.frames import Head, pack, unpack
from avatar.engines.lane import NONCE, TICK, TICK_S, Address

HELLO_S = 5.0
IDLE_S = 300.0  # without a question
READER_S = 20.0  # without a reader of its answer: the engine waits for it, and others for the engine
AGAIN_S = 0.1  # before the next look where no file is left to be opened
MOST = 512  # lanes at once
QUIET_S = 0.05  # a front that was told something so lately need not be told that the replica lives

_TICK = pack({"is": TICK})

Answer = Callable[[Head, bytes], Generator[bytes, None, None]]


class _Front:
    """Who is at the other end of a lane. `asks`: a question is on its way here, or being answered."""

    def __init__(self, lane: socket.socket) -> None:
        self.lane, self.asks = lane, False
        self._writing = threading.Lock()
        self._told_at = 0.0

    def tell(self, frame: bytes) -> None:
        """Blocks. Raises OSError."""
        with self._writing:
            self.lane.sendall(frame)
            self._told_at = time.monotonic()

    def tick(self) -> None:
        """Tell it, while it waits, that the replica lives; never blocks."""
        if not self.asks or not self._writing.acquire(blocking=False):
            return
        try:
            room = select.poll()
            room.register(self.lane, select.POLLOUT)  # then there is room for so few bytes
            if self.asks and time.monotonic() - self._told_at > QUIET_S and room.poll(0):
                self.lane.sendall(_TICK)
        except (OSError, ValueError):
            self.asks = False  # it is gone, as the lane's own thread will notice
        finally:
            self._writing.release()


class LaneServer:
    def __init__(self, host: str, answer: Answer) -> None:
        """Listens at `host`, on any port that is free. `answer` is called on a lane's own thread, and raises
        ValueError, KeyError or TypeError for what is no question. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family)
        self.address = Address(host, self._listening.getsockname()[1], secrets.token_hex(16))
        self._answer = answer
        self._changed = threading.Condition()
        self._fronts = set[_Front]()
        self._closed = False
        threading.Thread(target=self._accept, daemon=True, name="lanes").start()
        threading.Thread(target=self._tick, daemon=True, name="ticks").start()

    def close(self, within_s: float = 0.0) -> None:
        """Nobody may ask any more. Blocks until what was asked is answered, or for so long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            with suppress(OSError):  # closed before
                self._listening.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept; close alone does not
            self._listening.close()
            self._hang_up([front for front in self._fronts if not front.asks])
            self._changed.wait_for(lambda: not self._fronts, within_s)
            self._hang_up(self._fronts)

    def _hang_up(self, on: Iterable[_Front]) -> None:
        for front in on:
            with suppress(OSError):  # the other end was first
                front.lane.shutdown(socket.SHUT_RDWR)

    def _tick(self) -> None:
        """On a thread of its own: no engine keeps Python's lock for long (LOOKS in lane.py)."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._fronts or self._closed)
                if not self._fronts:
                    return
                fronts = list(self._fronts)
            for front in fronts:
                front.tick()
            time.sleep(TICK_S)

    def _accept(self) -> None:
        while True:
            try:
                lane, _ = self._listening.accept()
            except OSError:  # closed; or no file is left, or who came is gone
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, AGAIN_S):
                        return
                continue
            front = _Front(lane)
            with self._changed:
                taken = not self._closed and len(self._fronts) < MOST
                if taken:
                    self._fronts.add(front)
                    self._changed.notify_all()
            if taken:
                threading.Thread(target=self._serve, args=(front,), daemon=True, name="lane").start()
            else:
                lane.close()

    def _serve(self, front: _Front) -> None:
        lane = front.lane
        try:
            with lane, suppress(OSError):  # a front that is gone
                lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                lane.settimeout(HELLO_S)
                nonce = secrets.token_bytes(NONCE)
                with lane.makefile("rb") as incoming:
                    lane.sendall(nonce + self.address.proof("replica", incoming.read(NONCE)))
                    there = self.address.proof("front", nonce)
                    if hmac.compare_digest(incoming.read(len(there)), there):
                        self._answer_all(front, incoming.read)
        finally:
            with self._changed:
                self._fronts.remove(front)
                self._changed.notify_all()

    def _answer_all(self, front: _Front, incoming: Callable[[int], bytes]) -> None:
        lane, poll = front.lane, select.poll()
        poll.register(lane, select.POLLIN)

        def read(size: int) -> bytes:
            data = incoming(size)
            front.asks = True  # from its first bytes on: the others may take a while
            return data

        with suppress(ValueError, KeyError, TypeError):  # hung up, or no question: the proxy will say so
            while not self._closed:
                lane.settimeout(IDLE_S)
                head, blob = unpack(read)
                lane.settimeout(READER_S)
                with closing(self._answer(head, blob)) as frames:
                    for frame in frames:
                        if poll.poll(0):  # nobody says anything before the end, but hangs up
                            return
                        front.tell(frame)
                front.asks = False
