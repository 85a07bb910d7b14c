"""A place on the ladder: its rung, the loaded copies of its engine with their callers, and how often it has failed.
Knows no ladder.
"""

import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from avatar.engines.base import Abilities, Engine, Stage
from avatar.engines.catalog import Rung
from avatar.engines.hindrance import Hindrance
from avatar.errors import EngineLoadError
from avatar.planner import Share

State = Literal["absent", "cold", "warming", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class RungStatus:
    """What the page shows of a rung. `fraction` is None unless warming and known."""

    stage: Stage
    name: str
    label: str
    state: State
    fraction: float | None
    sentence: str  # why it cannot run, in English
    serving: bool
    languages: tuple[str, ...]
    clones: bool
    voices: tuple[str, ...]
    licence: str
    memory_mib: int
    demo: bool
    hq: bool = False
    slower: bool = False
    busy: bool = False
    hindrance: Hindrance | None = None  # the same for other languages
    again_s: float = 0.0  # until a failed one is tried again; 0: soon

    @property
    def lacks(self) -> tuple[str, ...]:
        """Weights that are all that is missing."""
        return self.hindrance.lacks if self.hindrance is not None else ()


@dataclass(slots=True, eq=False)
class Copy:
    """One loaded engine. `card`: where the plan put it; None on the CPU."""

    engine: Engine
    card: int | None = None
    busy: int = 0  # callers


class Withdrawn(Exception):
    """Nobody wants it any more: told to the thread that waited for an engine, and to nobody else."""


class Instance:
    """The loaded copies of a rung's engine, at least one, each for `parallel` callers at once, and `beside` urgent ones
    more. Waiting callers are woken with an error when all of it dies."""

    def __init__(self, copy: Copy, parallel: int, beside: int = 0) -> None:
        self.copies, self.parallel, self.beside, self.dead = [copy], parallel, beside, False
        self.changed = threading.Condition()
        self.moved_at = 0.0  # by time.monotonic(): when a caller last came in, got an item or left
        self._line: list[tuple[bool, int]] = []  # who waits: the urgent ones first, then as they came
        self._numbers = itertools.count()

    @property
    def engine(self) -> Engine:
        """Any of them: all can do the same."""
        return self.copies[0].engine

    @property
    def busy(self) -> int:
        return sum(copy.busy for copy in self.copies)

    def acquire(self, rung: Rung, urgent: bool = False, wanted: Callable[[], bool] = lambda: True) -> Copy:
        """The copy with the fewest callers, once one has room and nobody is before us in the line. `wanted`: false
        once nobody waits for it; then wake the line. Raises EngineLoadError, Withdrawn."""
        place, most = (not urgent, next(self._numbers)), self.parallel + (self.beside if urgent else 0)

        def our_turn() -> bool:
            return min(self._line) == place and any(copy.busy < most for copy in self.copies)

        with self.changed:
            self._line.append(place)
            try:
                self.changed.wait_for(lambda: self.dead or not wanted() or our_turn())
            finally:
                self._line.remove(place)
                self.changed.notify_all()  # the next one's turn, if there is room
            if not wanted():
                raise Withdrawn
            if self.dead:
                raise EngineLoadError(f"{rung.label} has just failed.", stage=rung.stage, engine=rung.name)
            copy = min(self.copies, key=lambda copy: copy.busy)
            copy.busy += 1
            self.moved()
            return copy

    def wake(self) -> None:
        """Somebody in the line may not want it any more."""
        with self.changed:
            self.changed.notify_all()

    def moved(self) -> None:
        self.moved_at = time.monotonic()

    def release(self, copy: Copy) -> None:
        with self.changed:
            copy.busy -= 1
            self.moved()
            self.changed.notify_all()

    def add(self, copy: Copy) -> None:
        with self.changed:
            self.copies.append(copy)
            self.changed.notify_all()

    def drop(self, which: Callable[[Copy], bool]) -> Copy | None:
        """Give up a copy, unless it is the only one."""
        with self.changed:
            found = next((copy for copy in self.copies if which(copy)), None)
            if found is None or len(self.copies) == 1:
                return None
            self.copies.remove(found)
            return found

    def idle(self, copy: Copy, timeout_s: float) -> None:
        """Wait until nobody uses it any more, or for so long."""
        with self.changed:
            self.changed.wait_for(lambda: copy.busy == 0, timeout_s)

    def kill(self) -> None:
        with self.changed:
            self.dead = True
            self.changed.notify_all()


@dataclass(slots=True)
class Slot:
    rung: Rung
    loading: threading.Lock = field(default_factory=threading.Lock)
    instance: Instance | None = None
    warming: bool = False
    fraction: float | None = None
    failures: int = 0
    hangs: int = 0
    retry_at: float = 0.0  # 0: not failed
    fault: Hindrance | None = None  # why it failed last
    resting: str = ""  # why it gave way: the memory is needed
    eased: bool = False  # it is to save work and memory
    wanted_at: float = -math.inf  # when HQ was last asked for
    missing: Hindrance | None = None  # why it is not installed, as of missing_at
    missing_at: float = -math.inf
    look: int = 0  # which look_again it was for
    without: dict[int, float] = field(default_factory=dict)  # cards that get no copy before that time

    @property
    def abilities(self) -> Abilities:
        """Those of the loaded engine; before it is loaded, and where it has none to tell, those of its row."""
        of_row = Abilities(self.rung.languages, self.rung.clones, pitch=self.rung.pitch)
        instance = self.instance
        return of_row if instance is None else getattr(instance.engine, "abilities", of_row)

    def lacking(self, now: float) -> list[Share]:
        """Where the plan wants a copy that is not there."""
        if self.instance is None or not self.rung.replicas:
            return []
        here = {copy.card for copy in self.instance.copies}
        wanted = [share for share in (self.rung.share, *self.rung.replicas) if share is not None]
        return [share for share in wanted if share.card not in here and self.without.get(share.card, 0.0) <= now]

    def knows(self, language: str | None) -> bool:
        languages = self.abilities.languages
        return language is None or "*" in languages or language.partition("-")[0].lower() in languages

    def status(self, now: float, missing: Hindrance | None, serving: bool) -> RungStatus:
        """What the page shows of it. missing: why it is not installed."""
        rung, able = self.rung, self.abilities
        state: State = "cold"
        hindrance: Hindrance | None = None
        again_s, again = 0.0, ""
        if self.instance:
            state = "ready"
        elif self.warming:
            state = "warming"
        elif self.resting:
            state, hindrance = "failed", Hindrance("RESTING", self.resting, {"name": rung.label})
        elif self.retry_at:
            state, hindrance, again_s = "failed", self.fault, max(0.0, self.retry_at - now)
            again = f" Trying again in {again_s / 60:.0f} min." if again_s > 60 else ""
        elif missing:
            state, hindrance = "absent", missing
        return RungStatus(
            stage=rung.stage,
            name=rung.name,
            label=rung.label,
            state=state,
            fraction=self.fraction,
            sentence=hindrance.sentence + again if hindrance else "",
            serving=serving,
            languages=able.languages,
            clones=able.clones,
            voices=able.voices,
            licence=rung.licence,
            memory_mib=rung.memory_mib,
            demo=rung.demo,
            hq=rung.hq,
            slower=rung.slower,
            busy=self.instance is not None and self.instance.busy > 0,
            hindrance=hindrance,
            again_s=again_s,
        )
