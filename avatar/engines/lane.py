"""A lane: one straight connection of a front to a replica, for one question at a time. Knows no engine; blocks.

While a question is asked, a thread of the replica says every TICK_S that it lives (lane_server.py): a machine that lost
its power says nothing, not even that it is gone. So a lane knows a replica that is gone from one that thinks.
"""

import errno
import hmac
import ipaddress
import secrets
import select
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from avatar.engines.frames import Head, unpack

CONNECT_S = 1.0
DEAD_MS = 2_000  # a machine that does not even take note of a question for so long is gone
NONCE = 16  # bytes that each end proves itself with: what was heard once is no proof the next time
TICK_S = 0.25
TICK = "tick"  # the frame that says no more than that the replica lives
# So many looks, of so long each, in vain: it does not live (`_patiently`). Beside Moonshine and SmolLM2 a thread waits
# 0.5 s at most (two cores of an AMD EPYC, load 20, 2026-11-26); ticks come in time where it waits not quite 2.
LOOK_S, LOOKS = 0.46, 5
UNUSED_S = 240.0  # less than the other end waits for a question
_READ = 1 << 16  # bytes at once, at most

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """Of a replica's door. `secret` is known to those whom it was told through a proxy, where the cluster's key is
    asked for: nobody who took over the port of a dead replica has it."""

    host: str
    port: int
    secret: str

    def __str__(self) -> str:
        return f"{self.host} {self.port} {self.secret}"

    @classmethod
    def parsed(cls, told: str) -> Self:
        """Raises ValueError."""
        host, port, secret = told.split()
        return cls(str(ipaddress.ip_address(host)), int(port), secret)

    def proof(self, who: str, nonce: bytes) -> bytes:
        """What `who`, "front" or "replica", says to the other end's `nonce`: 32 bytes."""
        return hmac.digest(self.secret.encode(), who.encode() + nonce, "sha256")


class Lane:
    def __init__(self, address: Address) -> None:
        """Raises OSError."""
        self.address, self.used_at = address, time.monotonic()
        self._socket = socket.create_connection((address.host, address.port), CONNECT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        notice_death(self._socket)
        self._come, self._looks = bytearray(), 1
        try:
            nonce = secrets.token_bytes(NONCE)
            self.send(nonce)
            asked, there = self.read(NONCE), address.proof("replica", nonce)
            if not hmac.compare_digest(self.read(len(there)), there):
                raise ConnectionError("somebody else listens there")
            self.send(address.proof("front", asked))
        except OSError:
            self.close()
            raise
        self._socket.settimeout(LOOK_S)
        self._looks = LOOKS

    def send(self, data: bytes) -> None:
        """Raises OSError."""
        left = memoryview(data)
        while left:
            left = left[self._patiently(self._socket.send, left) :]

    def read(self, size: int) -> bytes:
        """Exactly so many bytes, fewer only where the other end has hung up. Raises OSError."""
        while len(self._come) < size and (more := self._patiently(self._socket.recv, _READ)):
            self._come += more
        data = bytes(self._come[:size])
        del self._come[:size]
        return data

    def frames(self, first_s: float, next_s: float) -> Generator[tuple[Head, bytes], None, None]:
        """What comes, without end. Raises OSError and ValueError where the replica is gone, and TimeoutError where it
        lives, but says nothing for `first_s`, after the first frame for `next_s`. That is counted in its ticks, so by
        its clock: what a front that stood still finds here was said in time."""
        patience_s, ticks = first_s, 0
        while True:
            head, blob = unpack(self.read)
            if head["is"] != TICK:
                yield head, blob
                patience_s, ticks = next_s, 0
            elif (ticks := ticks + 1) * TICK_S > patience_s:
                raise TimeoutError

    def _patiently(self, call: Callable[[Any], T], argument: Any) -> T:
        """`call`, which the socket lets wait for one look. Not a clock but looks are counted: in those that took longer
        it was this process that stood still. Raises OSError."""
        for _ in range(self._looks):
            try:
                return call(argument)
            except TimeoutError as exc:
                if exc.errno == errno.ETIMEDOUT:
                    raise
        raise ConnectionError("no sign of life")

    @property
    def stale(self) -> bool:
        """Whether the other end has hung up, or soon may: a replica says nothing that it was not asked."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(0)) or self.unused

    @property
    def unused(self) -> bool:
        return time.monotonic() - self.used_at > UNUSED_S

    def close(self) -> None:
        self._socket.close()


def notice_death(connection: socket.socket) -> None:
    """Have it fail with ETIMEDOUT about DEAD_MS after the other machine has gone, whatever this end is at: where it
    waits, the two systems ask each other, and no process has to answer."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)
