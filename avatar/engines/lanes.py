"""A front's straight ways to the replicas of a cluster, past its proxies: a lane is one connection, for one question at
a time. Where a replica listens, it says through a proxy (`HEADER`). Knows no engine; blocks.

Through a proxy of Ray Serve a question takes 9 ms, and every frame passes two more processes on its way.
"""

import hmac
import ipaddress
import secrets
import select
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult

from avatar.engines.base import Stage

HEADER = "x-avatar-lane"
CONNECT_S = 1.0
DEAD_MS = 2_000  # a machine that does not even take note of a question for so long is gone
NONCE = 16  # bytes that each end proves itself with: what was heard once is no proof the next time
RENEW_S = 30.0  # then Ray Serve is asked again whose turn it is: replicas come and go
SHUN_S = 60.0  # before a replica that could not be reached is tried again: a firewall may be between
UNUSED_S = 240.0  # less than the other end waits for a question

Where = tuple[Stage, str]  # and the session, "" where any replica will do


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
        self._incoming = self._socket.makefile("rb")
        self.send: Callable[[bytes], None] = self._socket.sendall
        self.read: Callable[[int], bytes] = self._incoming.read
        self.wait: Callable[[float], None] = self._socket.settimeout
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
        self._incoming.close()
        self._socket.close()


class Lanes:
    """Those of one front. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[Where, list[Address]] = {}  # those that were reached
        self._renewed: dict[Where, float] = {}
        self._idle: dict[Address, list[Lane]] = {}
        self._asked: dict[Address, int] = {}  # questions on their way
        self._shunned: dict[Address, float] = {}  # until when
        self._closed = False

    def told(self, where: Where, header: str, proxy: SplitResult) -> None:
        """A replica that answered through `proxy` says where it listens. Nothing goes past a proxy that encrypts, nor
        to this machine for a replica on another."""
        try:
            address = Address.parsed(header)
        except ValueError:
            return
        if proxy.scheme != "http" or (_loopback(address.host) and not _loopback(proxy.hostname or "")):
            return
        now = time.monotonic()
        with self._lock:
            self._renewed[where] = now
            self._shunned = {one: until for one, until in self._shunned.items() if until > now}
            if address in self._known.get(where, ()) or address in self._shunned:
                return
            self._shunned[address] = now + SHUN_S  # until it is reached
        # not on the way of an answer: where a firewall is between, it takes a second to find out
        threading.Thread(target=self._reach, args=(where, address), daemon=True, name="lane").start()

    def _reach(self, where: Where, address: Address) -> None:
        with suppress(OSError):
            lane = Lane(address)
            with self._lock:
                self._shunned.pop(address, None)
                if self._closed:
                    lane.close()
                    return
                others = [] if where[1] else self._known.get(where, [])  # a session has one replica
                self._known[where] = [*others, address]
            self._keep(lane)

    def take(self, where: Where) -> Lane | None:
        """A lane to the replica that this front asks least, until it is given or lost. None where none is reached."""
        while True:
            with self._lock:
                if not (known := self._known.get(where)):
                    return None
                address = min(known, key=lambda one: self._asked.get(one, 0))
                idle = self._idle.get(address)
                lane = idle.pop() if idle else None
                self._asked[address] = self._asked.get(address, 0) + 1
            try:
                if lane is None:
                    return Lane(address)
                if not lane.stale:
                    return lane
            except OSError:
                self.lose(address)
            if lane is not None:
                lane.close()
            self._answered(address)

    def give(self, lane: Lane, whole: bool) -> None:
        """Its question is over. `whole`: answered to the end, so that it may be asked another."""
        self._answered(lane.address)
        if whole:
            self._keep(lane)
        else:
            lane.close()

    def lose(self, address: Address) -> None:
        """It failed; the replica may be gone, and has to be told again."""
        with self._lock:
            self._known = {where: [one for one in known if one != address] for where, known in self._known.items()}
        self._tidy()

    def due(self, where: Where) -> bool:
        """Whether it is time to ask a proxy again; true once."""
        now = time.monotonic()
        with self._lock:
            due = now - self._renewed.get(where, now) > RENEW_S
            if due:
                self._renewed[where] = now
        return due

    def close(self) -> None:
        with self._lock:
            self._closed, self._known = True, {}
        self._tidy()

    def _keep(self, lane: Lane) -> None:
        lane.used_at = time.monotonic()
        with self._lock:
            self._idle.setdefault(lane.address, []).append(lane)
        self._tidy()

    def _tidy(self) -> None:
        """Hang up on replicas that are not known any more, and where the other end soon will."""
        with self._lock:
            known = {address for some in self._known.values() for address in some}
            lanes = [lane for address in self._idle.keys() - known for lane in self._idle.pop(address)]
            for idle in self._idle.values():
                while idle and idle[0].unused:  # the last one given is the first one taken
                    lanes.append(idle.pop(0))
        for lane in lanes:
            lane.close()

    def _answered(self, address: Address) -> None:
        with self._lock:
            self._asked[address] -= 1
            if not self._asked[address]:
                del self._asked[address]


def notice_death(connection: socket.socket) -> None:
    """Have it fail with ETIMEDOUT after DEAD_MS."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DEAD_MS)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
