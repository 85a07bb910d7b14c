"""A replica's own door for the lanes of fronts (engines/lanes.py): a thread for each, frames in and frames out.

Knows no engine and nothing of Ray.
"""

import hmac
import secrets
import select
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import closing, suppress

from avatar.engines.frames import Head, unpack
from avatar.engines.lanes import NONCE, Address

HELLO_S = 5.0
IDLE_S = 300.0  # without a question
READER_S = 20.0  # without a reader of its answer: the engine waits for it, and others for the engine
AGAIN_S = 0.1  # before the next look where no file is left to be opened
MOST = 512  # lanes at once

Answer = Callable[[Head, bytes], Generator[bytes, None, None]]


class LaneServer:
    def __init__(self, host: str, answer: Answer) -> None:
        """Listens at `host`, on any port that is free. `answer` is called on a lane's own thread, and raises
        ValueError, KeyError or TypeError for what is no question. Raises OSError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listening = socket.create_server((host, 0), family=family)
        self.address = Address(host, self._listening.getsockname()[1], secrets.token_hex(16))
        self._answer = answer
        self._changed = threading.Condition()
        self._lanes: dict[socket.socket, bool] = {}  # whether it is being answered
        self._closed = False
        threading.Thread(target=self._accept, daemon=True, name="lanes").start()

    def close(self, within_s: float = 0.0) -> None:
        """Nobody may ask any more. Blocks until what was asked is answered, or for so long."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            with suppress(OSError):  # closed before
                self._listening.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept; close alone does not
            self._listening.close()
            self._hang_up(lambda answering: not answering)
            self._changed.wait_for(lambda: not self._lanes, within_s)
            self._hang_up(lambda answering: True)

    def _hang_up(self, on: Callable[[bool], bool]) -> None:
        for lane, answering in self._lanes.items():
            if on(answering):
                with suppress(OSError):  # the other end was first
                    lane.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                lane, _ = self._listening.accept()
            except OSError:  # closed; or no file is left, or who came is gone
                with self._changed:
                    if self._changed.wait_for(lambda: self._closed, AGAIN_S):
                        return
                continue
            with self._changed:
                taken = not self._closed and len(self._lanes) < MOST
                if taken:
                    self._lanes[lane] = False
            if taken:
                threading.Thread(target=self._serve, args=(lane,), daemon=True, name="lane").start()
            else:
                lane.close()

    def _serve(self, lane: socket.socket) -> None:
        try:
            with lane, suppress(OSError):  # a front that is gone
                lane.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                lane.settimeout(HELLO_S)
                nonce = secrets.token_bytes(NONCE)
                with lane.makefile("rb") as incoming:
                    lane.sendall(nonce + self.address.proof("replica", incoming.read(NONCE)))
                    there = self.address.proof("front", nonce)
                    if hmac.compare_digest(incoming.read(len(there)), there):
                        self._answer_all(lane, incoming.read)
        finally:
            with self._changed:
                del self._lanes[lane]
                self._changed.notify_all()

    def _answer_all(self, lane: socket.socket, read: Callable[[int], bytes]) -> None:
        poll = select.poll()
        poll.register(lane, select.POLLIN)
        with suppress(ValueError, KeyError, TypeError):  # hung up, or no question: the proxy will say so
            while not self._closed:
                lane.settimeout(IDLE_S)
                head, blob = unpack(read)
                lane.settimeout(READER_S)
                self._set(lane, answering=True)
                with closing(self._answer(head, blob)) as frames:
                    for frame in frames:
                        if poll.poll(0):  # nobody says anything before the end, but hangs up
                            return
                        lane.sendall(frame)
                self._set(lane, answering=False)

    def _set(self, lane: socket.socket, answering: bool) -> None:
        with self._changed:
            self._lanes[lane] = answering
