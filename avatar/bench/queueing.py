"""People who talk to a few machines, simulated: who waits how long for a first sound. simpy keeps the time.

A machine does several calls at once, each the slower for every other one; of a stage no more than its engine takes in
parallel, the others wait in the order in which they came. Everybody talks all the time, in the rhythm of the bench.
"""

import random
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import simpy

from avatar.bench.costs import Costs, Trace
from avatar.bench.talk import RHYTHM_S
from avatar.hearing import PARTIAL_MS

WARM_S, RUN_S = 30.0, 240.0  # before anything counts, and what does
SPREAD_S = 15.0  # people begin within so many seconds of each other
EPSILON_S = 1e-9


@dataclass(slots=True, eq=False)
class _Call:
    stage: str
    left_s: float  # of work, alone
    done: Any  # simpy.Event


class Machine:
    """One card with all engines, or the cores of one computer."""

    def __init__(self, env: simpy.Environment, costs: Costs) -> None:
        self._env, self._costs = env, costs
        self._running: list[_Call] = []
        self._waiting: dict[str, deque[_Call]] = {stage: deque() for stage in costs.parallel}
        self._since, self._wake = 0.0, env.event()
        env.process(self._work())

    def load(self, stage: str) -> int:
        """Calls of this stage, begun or not."""
        return sum(call.stage == stage for call in self._running) + len(self._waiting[stage])

    def call(self, stage: str, work_ms: float) -> Any:
        """An event: it is done."""
        call = _Call(stage, work_ms / 1000, self._env.event())
        self._progress()
        self._waiting[stage].append(call)
        self._begin()
        if not self._wake.triggered:
            self._wake.succeed()
        return call.done

    def _begin(self) -> None:
        for stage, waiting in self._waiting.items():
            while waiting and sum(c.stage == stage for c in self._running) < self._costs.parallel[stage]:
                self._running.append(waiting.popleft())

    def _speed(self, call: _Call) -> float:
        slow = self._costs.slowdown[call.stage]
        return 1 / (1 + sum(slow[other.stage] for other in self._running if other is not call))

    def _progress(self) -> None:
        passed, self._since = self._env.now - self._since, self._env.now
        for call, speed in [(call, self._speed(call)) for call in self._running]:
            call.left_s -= passed * speed

    def _work(self) -> Generator[Any, Any, None]:
        while True:
            self._wake = self._env.event()
            next_s = min((call.left_s / self._speed(call) for call in self._running), default=None)
            if next_s is None:
                yield self._wake
            else:
                yield self._wake | self._env.timeout(max(0.0, next_s))
            self._progress()
            over = [call for call in self._running if call.left_s <= EPSILON_S]
            self._running = [call for call in self._running if call.left_s > EPSILON_S]
            self._begin()
            for call in over:
                call.done.succeed()


@dataclass(slots=True)
class Heard:
    """Of all people: ms to the first sound, of the turns that count, and how many replies had a gap."""

    first_ms: list[float] = field(default_factory=list)
    gaps: int = 0


def simulate(costs: Costs, talkers: int, machines: int, seed: int = 1) -> Heard:
    env, heard, rng = simpy.Environment(), Heard(), random.Random(seed)
    pool = [Machine(env, costs) for _ in range(machines)]
    for number in range(talkers):
        home = pool[number % machines]  # a seat keeps its language model
        env.process(_talk(env, costs.traces, pool, home, heard, random.Random(rng.random())))
    env.run(until=WARM_S + RUN_S)
    return heard


def _talk(
    env: simpy.Environment,
    traces: Sequence[Trace],
    pool: Sequence[Machine],
    home: Machine,
    heard: Heard,
    rng: random.Random,
) -> Generator[Any, Any, None]:
    def least(stage: str) -> Machine:
        return min(rng.sample(pool, min(2, len(pool))), key=lambda machine: machine.load(stage))

    yield env.timeout(rng.uniform(0, SPREAD_S))
    while True:
        trace = rng.choice(traces)
        yield env.timeout(rng.uniform(*RHYTHM_S))
        yield from _speak(env, trace, least)
        ended = env.now
        yield env.timeout((trace.eot_ms + trace.rest_ms) / 1000)
        yield least("stt").call("stt", trace.stt_ms)
        yield home.call("llm", trace.first_ms)
        writing = home.call("llm", trace.llm_ms - trace.first_ms)
        free = env.now  # when all that has come will have been heard
        for number, (work_ms, sound_s) in enumerate(trace.clauses):
            if number == 1:
                yield writing
            yield least("tts").call("tts", work_ms)
            if number == 0 and ended > WARM_S:
                heard.first_ms.append((env.now - ended) * 1000)
            heard.gaps += number > 0 and env.now > free and ended > WARM_S
            free = max(free, env.now) + sound_s
        if free > env.now:
            yield env.timeout(free - env.now)


def _speak(env: simpy.Environment, trace: Trace, least: Any) -> Generator[Any, Any, None]:
    """Speaking, and the partial transcripts meanwhile: one after the other, none while one is on its way."""
    until, partial = env.now + trace.speech_s, None
    while env.now < until:
        yield env.timeout(min(PARTIAL_MS / 1000, until - env.now))
        if partial is None or partial.processed:
            so_far = 1 - max(0.0, until - env.now) / trace.speech_s
            partial = least("stt").call("stt", trace.stt_ms * so_far)
