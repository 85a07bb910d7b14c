"""One engine in several copies, each on a card of its own: a lease per copy, and a copy that fails costs no other."""

import math
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from fakes import Clock, FakeLLM, FakeTTS, Trouble, freed, rung

from avatar.engines.catalog import Rung, allowed
from avatar.engines.loading import COPY_RETRY_S
from avatar.engines.pool import EnginePool
from avatar.errors import EngineError
from avatar.events import Serving, TurnDone
from avatar.gpu import GpuMemory
from avatar.pipeline import Pipeline
from avatar.planner import GIB, Plan, plan
from avatar.pressure import HELD_S, LOOK_S, Pressure
from avatar.relief import steps
from avatar.settings import Settings

CARD = GpuMemory(used=0, free=24 * GIB, total=24 * GIB, card=24 * GIB)
PLAN = plan([CARD] * 4, ("vllm", "f5"), seats=0)  # the voice on the cards 1, 2 and 3


class Voices:
    """Loads a fake voice for every share, and remembers where."""

    def __init__(self) -> None:
        self.on = dict[int, FakeTTS]()
        self.broken = set[int]()

    def load(self, row: Rung, *_: object) -> object:
        if row.stage == "llm":
            return FakeLLM("Yes.")
        card = -1 if row.share is None else row.share.card
        if card in self.broken:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        self.on[card] = FakeTTS()
        return self.on[card]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def voices() -> Voices:
    return Voices()


@pytest.fixture
def pool(settings: Settings, voices: Voices, clock: Clock) -> Iterator[EnginePool]:
    rows = [rung("vllm", "llm"), rung("f5", "tts"), rung("cpu", "tts")]
    pool = EnginePool(settings, rows, voices.load, clock, PLAN)
    for row in pool.rungs("tts") + pool.rungs("llm"):
        pool.warm(row)
    grow(pool)
    yield pool
    pool.close()


def grow(pool: EnginePool) -> None:
    """What the warmer does between two looks."""
    pool._grow(pool._slots["f5"])


def until(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return done()


async def spoken_by(pool: EnginePool) -> list[str]:
    events = [event async for event in Pipeline(pool).turn("hello")]
    assert isinstance(events[-1], TurnDone), events[-1]
    return [event.engine for event in events if isinstance(event, Serving) and event.stage == "tts"]


def test_the_plan_says_where_each_copy_goes(settings: Settings) -> None:
    row = next(row for row in allowed([rung("f5", "tts")], settings, PLAN))
    assert row.share is not None and [share.card for share in (row.share, *row.replicas)] == [1, 2, 3]
    assert allowed([rung("f5", "tts")], settings, Plan())[0].replicas == ()


def test_the_warmer_loads_the_copies_after_the_first(settings: Settings, voices: Voices) -> None:
    pool = EnginePool(settings, [rung("f5", "tts")], voices.load, plan=PLAN)
    pool.start()
    assert until(lambda: set(voices.on) == {1, 2, 3})
    pool.close()
    assert until(lambda: all(engine.trouble.closed == 1 for engine in voices.on.values()))


def test_every_copy_has_a_lease_of_its_own_and_the_fourth_caller_waits(pool: EnginePool, voices: Voices) -> None:
    f5, inside, most = pool.rungs("tts")[0], list[object](), 0
    gate, lock = threading.Event(), threading.Lock()

    def use() -> None:
        nonlocal most
        with pool.lease(f5) as engine:
            with lock:
                inside.append(engine)
                most = max(most, len(inside))
            gate.wait(5)
            with lock:
                inside.remove(engine)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    assert until(lambda: len(inside) == 3)
    time.sleep(0.05)
    assert len(inside) == 3 and set(map(id, inside)) == set(map(id, voices.on.values())) - {id(voices.on[-1])}
    gate.set()
    for thread in threads:
        thread.join(5)
    assert most == 3


def test_a_profile_is_forgotten_by_every_copy(pool: EnginePool, voices: Voices) -> None:
    pool.forget("ann")
    assert all(engine.forgotten == ["ann"] for engine in voices.on.values())


async def test_a_copy_that_fails_before_its_first_sound_costs_nothing(
    pool: EnginePool, voices: Voices, clock: Clock
) -> None:
    voices.on[1].trouble = Trouble(fail_on=(1,))
    assert await spoken_by(pool) == ["F5"], "another copy says it"
    assert until(lambda: voices.on[1].trouble.closed == 1)
    assert await spoken_by(pool) == ["F5"]
    grow(pool)
    assert voices.on[1].trouble.closed == 1, "not before its time"
    clock.now += COPY_RETRY_S
    grow(pool)
    assert voices.on[1].trouble.closed == 0 and not pool._slots["f5"].lacking(clock.now)


def test_two_callers_of_a_copy_that_fails_cost_no_other_copy(pool: EnginePool, voices: Voices) -> None:
    f5 = pool.choose("tts")
    instance, error = pool.instance(f5), EngineError("It broke.", stage="tts", engine="f5")
    broken = voices.on[1]
    assert all(pool.fail(f5, error, engine=broken, instance=instance) for _ in range(2))
    assert instance is not None and [copy.card for copy in instance.copies] == [2, 3]
    assert pool.instance(f5) is instance and until(lambda: broken.trouble.closed == 1)


async def test_only_when_all_copies_have_failed_another_rung_takes_over(pool: EnginePool, voices: Voices) -> None:
    for card in (1, 2, 3):
        voices.on[card].trouble = Trouble(fail_on=(1,))
    assert await spoken_by(pool) == ["F5", "Cpu"]


def test_a_copy_that_cannot_be_loaded_is_tried_again_later(settings: Settings, voices: Voices, clock: Clock) -> None:
    voices.broken = {2}
    pool = EnginePool(settings, [rung("f5", "tts")], voices.load, clock, PLAN)
    pool.warm(pool.rungs("tts")[0])
    grow(pool)
    assert set(voices.on) == {1, 3} and pool.status()[0].state == "ready"
    voices.broken = set()
    grow(pool)
    assert set(voices.on) == {1, 3}
    clock.now += COPY_RETRY_S
    grow(pool)
    assert set(voices.on) == {1, 2, 3}
    pool.close()


async def test_a_full_card_costs_its_own_copy_only(pool: EnginePool, voices: Voices, clock: Clock) -> None:
    used, now = 95, 0.0
    pressure = Pressure(lambda: GpuMemory(used, 100 - used, 100, 100), steps(pool, 2), lambda: now)
    while voices.on[2].trouble.closed == 0 and now < 4 * HELD_S:
        now += LOOK_S
        pressure.look()
        freed()
    assert voices.on[2].trouble.closed == 1 and pool._slots["f5"].without == {2: math.inf}
    assert await spoken_by(pool) == ["F5"] and [voices.on[card].trouble.closed for card in (1, 3)] == [0, 0]
    pool.wake("f5", 2)
    grow(pool)
    assert voices.on[2].trouble.closed == 0
    assert steps(pool, 0) == [], "no voice is on the language model's card"
