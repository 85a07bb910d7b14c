"""Whose a graphics card is while a first clause is made: engines of other processes on the same card rest for it.

Processes have a card by turns, so F5-TTS takes twice as long for a clause beside a language model that writes: 98 ms
instead of 45. While that one rests for it, it takes 51, and what is written elsewhere comes 50 ms later, which nobody
hears: there is sound ahead (docs/benchmarks.md, "A graphics card").
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

LONGEST_S = 0.3  # of a rest, whatever becomes of the clause: six times what one takes
Rest = Callable[[bool], None]  # True: rest now; False: go on
Work = Callable[[], Coroutine[Any, Any, object]]


class CardTime:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rests: dict[Rest, int] = {}

    def shared(self, card: int, rest: Rest) -> None:
        """From now on `rest` is called, from any thread, when somebody needs `card` for themselves, and at the end."""
        with self._lock:
            self._rests[rest] = card

    def left(self, rest: Rest) -> None:
        """No more."""
        with self._lock:
            self._rests.pop(rest, None)

    @contextmanager
    def mine(self, card: int) -> Generator[None, None, None]:
        """Until its end, whoever shares `card` rests."""
        with self._lock:
            rests = [rest for rest, of in self._rests.items() if of == card]
        for rest in rests:
            rest(True)
        try:
            yield
        finally:
            for rest in rests:
                rest(False)


CARD_TIME = CardTime()  # a card is one, whatever this process loads onto it


class Rests:
    """A Rest of an engine whose client belongs to an event loop: one call of it after the other, none waited for."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        pause: Work,
        resume: Work,
        busy: Callable[[], bool],
        longest_s: float = LONGEST_S,
    ) -> None:
        """One that is not `busy`, as any thread may ask, rests already, and is not disturbed: that takes 4 ms."""
        self._loop, self._pause, self._resume, self._busy, self._longest_s = loop, pause, resume, busy, longest_s
        self._turn = asyncio.Lock()
        self._asked = False  # by who calls; the rest is the loop's
        self._wanted = self._resting = False
        self._limit: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self, rest: bool) -> None:
        if not (self._busy() if rest else self._asked):
            return
        self._asked = rest
        try:
            self._loop.call_soon_threadsafe(self._want, rest)
        except RuntimeError:  # the loop is closed, and the engine with it
            return

    def _want(self, rest: bool) -> None:
        if self._limit is not None:
            self._limit.cancel()
        self._limit = self._loop.call_later(self._longest_s, self._want, False) if rest else None
        self._wanted = rest
        task = self._loop.create_task(self._follow())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Ask no more of it. On its loop."""
        if self._limit is not None:
            self._limit.cancel()
        for task in (left := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _follow(self) -> None:
        async with self._turn:
            if self._resting is (wanted := self._wanted):
                return
            self._resting = True  # from before it is asked to, until it has said that it goes on
            try:
                await (self._pause if wanted else self._resume)()
            except Exception as exc:  # noqa: BLE001 - an engine that has stopped says so to who asks it something
                log.info("a rest for a first clause failed: %s", type(exc).__name__)
                return
            self._resting = wanted
