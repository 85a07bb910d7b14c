"""A front's straight ways to the replicas of a cluster, past its proxies (lane.py): which it knows, and which of them
it asks. Where a replica listens, it says through a proxy (`HEADER`). Knows no engine; blocks.

Through a proxy of Ray Serve a question takes 9 ms, and every frame passes two more processes on its way.
"""

import ipaddress
import threading
import time
from contextlib import suppress
from urllib.parse import SplitResult

from avatar.engines.base import Stage
from avatar.engines.lane import Address, Lane

HEADER = "x-avatar-lane"
RENEW_S = 30.0  # then Ray Serve is asked again whose turn it is: replicas come and go
SHUN_S = 60.0  # before a replica that could not be reached is tried again: a firewall may be between

Where = tuple[Stage, str]  # and the session, "" where any replica will do


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
                if not (near := self._near(where)):
                    return None
                address = min(near, key=lambda one: self._asked.get(one, 0))
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

    def _near(self, where: Where) -> list[Address]:
        """The replicas that a question may go to: those of the session, or of its stage where its own is lost, until a
        proxy is asked again. It may not have noticed yet."""
        known = self._known.get(where)
        if known or known is None:
            return known or []
        return [address for (stage, _), some in self._known.items() if stage == where[0] for address in some]

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


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
