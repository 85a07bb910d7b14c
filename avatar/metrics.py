"""How the last turns went: times per stage, outcomes, refusals, and the memory of this program. Knows no page and keeps
no words. Thread-safe and bounded.
"""

import logging
import math
import threading
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

log = logging.getLogger(__name__)

BUCKETS_MS = (50, 100, 200, 300, 450, 600, 800, 1000, 1500, 2500, 5000, 10_000)  # bars and goals are edges


@dataclass(frozen=True, slots=True)
class Stage:
    n: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`stages` covers the window, `outcomes` and `refusals` everything since the start."""

    stages: Mapping[str, Stage]
    outcomes: Mapping[str, int]
    refusals: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Counted:
    """Everything since the start. `stages`: turns that took at most each of BUCKETS_MS, all of them, and their sum in
    ms."""

    outcomes: Mapping[str, int]
    refusals: Mapping[str, int]
    stages: Mapping[str, tuple[list[int], float]]


@dataclass(frozen=True, slots=True)
class TurnTimes:
    number: int  # 1, 2, 3... since the start
    timings_ms: Mapping[str, float]
    engines: Mapping[str, str]
    outcome: str


class Metrics:
    """Remembers the last `window` turns."""

    def __init__(self, window: int = 500) -> None:
        self._lock = threading.Lock()
        self._turns: deque[TurnTimes] = deque(maxlen=window)
        self._outcomes: Counter[str] = Counter()
        self._refusals: Counter[str] = Counter()
        self._buckets: dict[str, list[int]] = {}
        self._sums_ms: dict[str, float] = {}

    def turn(self, timings_ms: Mapping[str, float], engines: Mapping[str, str], outcome: str) -> None:
        """outcome: done, interrupted or failed. A stage that a turn did not reach is left out of its timings."""
        with self._lock:
            self._outcomes[outcome] += 1
            self._turns.append(TurnTimes(self._outcomes.total(), dict(timings_ms), dict(engines), outcome))
            for stage, ms in timings_ms.items():
                counts = self._buckets.setdefault(stage, [0] * (len(BUCKETS_MS) + 1))
                for i, edge in enumerate((*BUCKETS_MS, math.inf)):
                    counts[i] += ms <= edge
                self._sums_ms[stage] = self._sums_ms.get(stage, 0.0) + ms

    def refusal(self, code: str) -> None:
        """Someone was turned away with this error code. Logged here, so that no refusal is forgotten."""
        log.info("refusal", extra={"code": code})
        with self._lock:
            self._refusals[code] += 1

    def recent(self, n: int) -> list[TurnTimes]:
        """At most the last `n` turns, oldest first."""
        with self._lock:
            turns = list(self._turns)
        return turns[max(0, len(turns) - n) :]

    def counted(self) -> Counted:
        with self._lock:
            stages = {stage: (list(counts), self._sums_ms[stage]) for stage, counts in self._buckets.items()}
            return Counted(dict(self._outcomes), dict(self._refusals), stages)

    def snapshot(self) -> Snapshot:
        with self._lock:
            turns, outcomes, refusals = list(self._turns), dict(self._outcomes), dict(self._refusals)
        values: dict[str, list[float]] = {}
        for turn in turns:
            for stage, ms in turn.timings_ms.items():
                values.setdefault(stage, []).append(ms)
        stages = {stage: Stage(len(v), percentile(v, 50), percentile(v, 95)) for stage, v in values.items()}
        return Snapshot(stages, outcomes, refusals)


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest rank: the smallest value that at least `percent` % of the values do not exceed. Always one of them, never
    a mean of two, so a P95 that is reported has happened. Raises ValueError when there are none."""
    if not values:
        raise ValueError("a percentile of nothing")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def ram() -> tuple[int, int]:
    """Bytes held by this process and its children, and bytes of the machine. Pages that they share count for each."""
    me = psutil.Process()
    used = me.memory_info().rss
    for child in me.children(recursive=True):
        try:
            used += child.memory_info().rss
        except psutil.NoSuchProcess:  # it ended since it was listed
            continue
    return used, psutil.virtual_memory().total
