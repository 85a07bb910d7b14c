"""What a replica of the cluster keeps of those who ask: how much it is, their seats, their voices. Knows no engine."""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace

from avatar.engines.base import Voice
from avatar.engines.frames import Head, voice_of

VOICES, VOICE_S = 16, 600.0  # cloned voices that are remembered, and for how long nobody may have asked

_Key = tuple[str, str]  # SHA-256 of what is large of a voice, and its profile


class Load:
    """How much a replica is at. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self.now = 0  # questions, those that wait for the engine too
        self._sum, self._changed_at = 0.0, clock()  # question seconds since it was last asked for the mean
        self._asked_at = self._changed_at
        self._items: dict[object, float] = {}  # since when the engine is at each

    @contextmanager
    def one(self) -> Generator[None, None, None]:
        """A question."""
        self._change(1)
        try:
            yield
        finally:
            self._change(-1)

    @contextmanager
    def item(self) -> Generator[None, None, None]:
        """Something that the engine is at."""
        one = object()
        self._items[one] = self._clock()
        try:
            yield
        finally:
            del self._items[one]

    def longest_s(self) -> float:
        """For how long the engine has been at an item."""
        return max((self._clock() - since for since in list(self._items.values())), default=0.0)

    def mean(self) -> float:
        """Questions at once, since this was last asked."""
        with self._lock:
            self._pass()
            passed_s = self._changed_at - self._asked_at
            mean = self._sum / passed_s if passed_s > 0 else float(self.now)
            self._sum, self._asked_at = 0.0, self._changed_at
        return mean

    def _change(self, by: int) -> None:
        with self._lock:
            self._pass()
            self.now += by

    def _pass(self) -> None:
        now = self._clock()
        self._sum, self._changed_at = self._sum + self.now * (now - self._changed_at), now


class Seating:
    """Which of an engine's seats each conversation has: seats are numbered in every front alike, here by who came."""

    def __init__(self, seats: int) -> None:
        self._seats, self._lock = seats, threading.Lock()
        self._seat: dict[str, int] = {}  # who asked last is last
        self._asking: dict[str, int] = {}

    @contextmanager
    def seat(self, session: str) -> Generator[int, None, None]:
        """The seat of a conversation while it asks. A new one gets that of the one that has not asked for longest."""
        with self._lock:
            seat = self._seat.pop(session, None)
            self._seat[session] = seat = self._new() if seat is None else seat
            self._asking[session] = self._asking.get(session, 0) + 1
        try:
            yield seat
        finally:
            with self._lock:
                self._asking[session] -= 1
                if not self._asking[session]:
                    del self._asking[session]

    def _new(self) -> int:
        taken = set(self._seat.values())
        if (free := next((n for n in range(self._seats) if n not in taken), None)) is not None:
            return free
        if (left := next((one for one in self._seat if one not in self._asking), None)) is not None:
            return self._seat.pop(left)
        return max(taken) + 1


class KnownVoices:
    """The voices that a replica was sent in full, for as long as they are asked for. In memory only.

    `drop` is told of each that is kept no more. To an engine that is for good (conditioning.py): a profile that is
    asked for again after a while comes to it under another id, or it would make it ready anew for every clause.
    """

    def __init__(self, drop: Callable[[str], None] = lambda profile_id: None) -> None:
        self._drop, self._lock = drop, threading.Lock()
        self._known: dict[_Key, tuple[Voice, float]] = {}  # oldest first
        self._dropped: dict[str, int] = {}  # how often, by profile

    def voice(self, head: Head, blob: bytes) -> Voice | None:
        """What is asked for now, with the large part that was sent once; None where that is needed and not known.
        Raises KeyError, ValueError."""
        plain = voice_of(head, blob)
        profile, key = plain.profile_id, (str(head["sha256"]), plain.profile_id or "")
        if not key[0]:
            return plain
        with self._lock:
            known, _ = self._known.pop(key, (None, 0.0))
            large = known or (plain if blob else None)
            if large is None:
                return None
            times = self._dropped.get(key[1], 0)
            own = profile if profile is None or not times else f"{profile} {times}"
            voice = replace(plain, profile_id=own, reference=large.reference, embedding=large.embedding)
            self._known[key] = voice, time.monotonic()
            oldest = set(list(self._known)[:-VOICES])
        self._leave(lambda key, at: key in oldest)
        return voice

    def forget(self, profile: str) -> None:
        """It was deleted."""
        self._leave(lambda key, at: key[1] == profile)

    def forget_unused(self) -> None:
        """Those that nobody has asked for lately."""
        self._leave(lambda key, at: time.monotonic() - at > VOICE_S)

    def _leave(self, which: Callable[[_Key, float], bool]) -> None:
        with self._lock:
            gone = {key: voice for key, (voice, at) in self._known.items() if which(key, at)}
            for key in gone:
                del self._known[key]
                self._dropped[key[1]] = self._dropped.get(key[1], 0) + 1
        for voice in gone.values():
            if voice.profile_id is not None:
                self._drop(voice.profile_id)
