"""Who may talk now: the seats, and the single-use tokens that open a socket. Knows no socket, no Gradio and no engine.

Thread-safe. Nothing here takes longer than the VRAM reading it is given: an admission to 63 of 64 seats, 4 us.
"""

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import repeat

from avatar.errors import NotFound, ServerFull
from avatar.settings import LOCAL

SEATS_PER_OWNER = 2  # a second device or tab, but not the whole house
TOKEN_LIFE_S = 600.0
TOKENS_PER_OWNER = 16  # a page asks for one per connection attempt; the oldest give way


@dataclass(frozen=True, slots=True)
class Seat:
    """`key` names the session that holds it; times are the clock's, in seconds."""

    index: int  # 0-based, stable while held
    key: str
    owner: str
    since: float
    last_active: float


class Seats:
    """`full` says why there is no memory for somebody new, "" while there is. It answers at once and is asked on every
    admission, the refused ones too."""

    def __init__(
        self,
        max_sessions: int,
        idle_warn_s: float,
        idle_s: float,
        full: Callable[[], str] = lambda: "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.max_sessions = max_sessions
        self._idle_warn_s, self._idle_s = idle_warn_s, idle_s
        self._full, self._clock = full, clock
        self._lock = threading.Lock()
        self._held: dict[str, Seat] = {}
        self._closed = ""
        self._watchers: dict[object, Callable[[], None]] = {}

    def admit(self, owner: str, key: str, instead_of: Iterable[str] = ()) -> Seat:
        """Give the lowest free seat to `key`, a name made by the server; or that of one of `instead_of`, sessions of
        this owner which lose theirs. Raises ServerFull."""
        full = self._full()  # outside the lock: touch and release never wait for a driver
        with self._lock:
            if key in self._held:
                raise ValueError("this session holds a seat already")
            now = self._clock()
            left = [seat for seat in map(self._held.pop, instead_of, repeat(None)) if seat is not None]
            if left:
                index = left[0].index
            else:
                self._refuse(owner, full)
                taken = {seat.index for seat in self._held.values()}
                index = next(i for i in range(self.max_sessions) if i not in taken)
            seat = self._held[key] = Seat(index, key, owner, since=now, last_active=now)
        self._tell()
        return seat

    def check(self, owner: str) -> None:
        """Raises ServerFull if `admit` would now."""
        full = self._full()
        with self._lock:
            self._refuse(owner, full)

    def close(self, why: str) -> None:
        """Nobody new gets a seat from now on; `why` is told to them, with the code DRAINING."""
        with self._lock:
            self._closed = why

    def _refuse(self, owner: str, full: str) -> None:
        if self._closed:
            raise ServerFull(self._closed, code="DRAINING")
        if len(self._held) >= self.max_sessions:
            raise ServerFull(self._full_sentence())
        if owner != LOCAL and sum(seat.owner == owner for seat in self._held.values()) >= SEATS_PER_OWNER:
            raise ServerFull(f"You hold {SEATS_PER_OWNER} seats already. Close another of your AVATAR pages.")
        if full:
            raise ServerFull(full)

    def touch(self, key: str) -> None:
        """The session did something. Harmless when its seat is gone."""
        with self._lock:
            if key in self._held:
                self._held[key] = replace(self._held[key], last_active=self._clock())

    def release(self, key: str) -> None:
        """Free the seat. Twice is harmless."""
        with self._lock:
            freed = self._held.pop(key, None)
        if freed is not None:
            self._tell()

    def count(self) -> int:
        with self._lock:
            return len(self._held)

    def idle(self) -> list[tuple[Seat, float]]:
        """The seats to warn, each with the seconds it has left; at 0 or less it is to be released."""
        with self._lock:
            now, seats = self._clock(), list(self._held.values())
        return [(s, s.last_active + self._idle_s - now) for s in seats if now - s.last_active >= self._idle_warn_s]

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call `changed` after every admission and release, on the thread that did it; it must neither block nor raise.
        Returns the function that ends the watch."""
        watcher = object()
        with self._lock:
            self._watchers[watcher] = changed

        def unwatch() -> None:
            with self._lock:
                self._watchers.pop(watcher, None)

        return unwatch

    def _tell(self) -> None:
        with self._lock:
            watchers = list(self._watchers.values())
        for changed in watchers:  # outside the lock: they ask for count()
            changed()

    def _full_sentence(self) -> str:
        which = "The only seat is" if self.max_sessions == 1 else f"All {self.max_sessions} seats are"
        return f"{which} taken. A seat frees up when someone ends or closes the page."


class Tokens:
    """What a page sends first on its socket: made by the server for one owner, good once and for `life_s` seconds."""

    def __init__(self, life_s: float = TOKEN_LIFE_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._life_s, self._clock = life_s, clock
        self._lock = threading.Lock()
        self._issued: dict[bytes, tuple[str, float]] = {}  # digest -> owner, expiry; oldest first

    def issue(self, owner: str) -> str:
        """A new one; of those that an owner has not used yet only the newest TOKENS_PER_OWNER are good."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            now = self._clock()
            self._issued = {digest: known for digest, known in self._issued.items() if known[1] > now}
            mine = [digest for digest, known in self._issued.items() if known[0] == owner]
            for digest in mine[: max(0, len(mine) + 1 - TOKENS_PER_OWNER)]:
                del self._issued[digest]
            self._issued[_digest(token)] = owner, now + self._life_s
        return token

    def redeem(self, token: str) -> str:
        """Returns the owner. Raises NotFound for a token that is unknown, used or too old."""
        with self._lock:
            owner, expires = self._issued.pop(_digest(token), ("", 0.0))
            if not owner or expires <= self._clock():
                raise NotFound("This page is out of date. Reload it.", code="BAD_TOKEN")
        return owner


def _digest(token: str) -> bytes:
    """Looked up by digest, so that how long a lookup takes says nothing about the tokens that exist."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()  # JSON can carry lone surrogates
