"""How full the graphics card is: whether somebody new may begin, and which engines give way. Knows no driver, seat or
engine: it reads through one function, and a step down is a pair of functions.

A thread of its own looks; whoever asks gets the last look at once, so that a driver that hangs delays nobody.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from avatar.events import Notice
from avatar.gpu import GpuMemory
from avatar.planner import REFUSED

AGAIN = 0.87  # of the card: who was refused is let in again below it; the plan itself ends at 0.85
LOOK_S = 0.5  # between looks; a refusal is at most this old
HELD_S = 3.0  # how long the card must be full before something gives way, and before the next thing does
CALM_S = 30.0  # how long it must have had room for what comes back


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that can give way. `down` returns whether that frees anything; `needs` is what `up` takes, in bytes."""

    down: Callable[[str], bool]
    up: Callable[[], None]
    told: str  # to the user, after "The graphics memory is 93 % full"
    needs: int = 0


class Pressure:
    """`read` may block, and answers None where there is no card. Steps are taken in order, and taken back in reverse.
    `look` is for one thread; everything else may be called from any."""

    def __init__(
        self,
        read: Callable[[], GpuMemory | None],
        steps: Sequence[Step] = (),
        clock: Callable[[], float] = time.monotonic,
        told: list[Notice] | None = None,
    ) -> None:
        """`told`: where notices go; several cards may share one list."""
        self._read, self._steps, self._clock = read, steps, clock
        self._refusal = ""
        self._level = 0  # steps that were taken
        self._missed = False  # whether they took anything away
        self._full_since: float | None = None
        self._calm_since: float | None = None
        self._told: list[Notice] = [] if told is None else told
        self._stop = threading.Event()

    def refusal(self) -> str:
        """Why nobody new may begin, as a sentence; "" while they may. Answers at once."""
        return self._refusal

    @property
    def level(self) -> int:
        return self._level

    def told(self, since: int) -> list[Notice]:
        """What users should know of the steps, from number `since` on."""
        return self._told[since:]

    def start(self) -> None:
        self.look()
        threading.Thread(target=self._keep_looking, daemon=True, name="pressure").start()

    def close(self) -> None:
        self._stop.set()

    def _keep_looking(self) -> None:
        while not self._stop.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        """Read once, and draw the conclusions."""
        memory, now = self._read(), self._clock()
        if memory is None or not memory.total:
            self._refusal = ""
            return
        part = memory.used / memory.total
        if part >= REFUSED:
            self._refusal = _FULL.format(part=part, again=AGAIN)
        elif part < AGAIN:
            self._refusal = ""
        self._give_way(part, now)
        self._take_back(memory, now)

    def _give_way(self, part: float, now: float) -> None:
        if part < REFUSED:
            self._full_since = None
            return
        self._full_since = now if self._full_since is None else self._full_since
        if now - self._full_since < HELD_S:
            return
        self._full_since = now  # the reading follows within seconds: only then the next
        freed = False
        while not freed and self._level < len(self._steps):
            step = self._steps[self._level]
            sentence = f"The graphics memory is {part:.0%} full. {step.told}"
            freed = step.down(sentence)
            self._level += 1
            if freed:
                self._missed = True
                self._told.append(Notice("GAVE_WAY", sentence))

    def _take_back(self, memory: GpuMemory, now: float) -> None:
        room = bool(self._level) and memory.used + self._steps[self._level - 1].needs < AGAIN * memory.total
        if not room:
            self._calm_since = None
            return
        self._calm_since = now if self._calm_since is None else self._calm_since
        if now - self._calm_since >= CALM_S:
            self._calm_since = now
            self._level -= 1
            self._steps[self._level].up()
            if not self._level and self._missed:
                self._missed = False
                self._told.append(Notice("CAME_BACK", "There is graphics memory again. Everything is as it was."))


_FULL = (
    "The graphics memory is {part:.0%} full; new conversations begin below {again:.0%}. "
    "Try again when someone has ended."
)


def refusal(pressures: Sequence[Pressure]) -> str:
    """Why there is no room for somebody new on any of the cards; "" while there is."""
    return next(filter(None, (pressure.refusal() for pressure in pressures)), "")
