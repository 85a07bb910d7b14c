"""The graphics memory fills up: from HQ to the fast voice, to fewer steps, to the voice on the CPU, and back."""

import asyncio

import pytest
from fakes import FakeLLM, FakeTTS, collect, freed, rung

from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError
from avatar.events import Serving, TurnDone
from avatar.gpu import GpuMemory
from avatar.pipeline import Pipeline
from avatar.planner import Share
from avatar.pressure import CALM_S, HELD_S, LOOK_S, Pressure
from avatar.relief import room_for, steps


class Eased(FakeTTS):
    eased = False

    def ease(self, on):
        self.eased = on


class Card:
    """100 bytes. What is loaded is on it; `others` is what other programs take."""

    def __init__(self):
        self.others, self.now, self.loaded = 0, 0.0, {}

    def __call__(self):
        used = min(100, self.others + sum(self.loaded.values()))
        return GpuMemory(used=used, free=100 - used, total=100, card=100)


@pytest.fixture
def card_and_pool(settings):
    card, engines = Card(), {}
    sizes = {"hq": 30, "fast": 20}
    rows = [
        rung(name, "tts", hq=name == "hq", share=Share(name, card=0, bytes=size, of=100))
        for name, size in sizes.items()
    ]
    rows += [rung("cpu", "tts"), rung("llm", "llm")]

    def load(row, *_):
        class Engine(Eased):
            def close(self):
                card.loaded.pop(row.name, None)

        if row.stage == "llm":
            return FakeLLM("Yes.")
        card.loaded[row.name] = sizes.get(row.name, 0)
        engines[row.name] = Engine()
        return engines[row.name]

    pool = EnginePool(settings, rows, load, room=lambda row: room_for(row, card()))
    for row in rows:
        pool.warm(row)
    yield card, pool, engines
    pool.close()


async def spoken_by(pool, hq=True):
    events = await collect(Pipeline(pool).turn("hello", hq=hq))
    assert isinstance(events[-1], TurnDone)
    return [event.engine for event in events if isinstance(event, Serving) and event.stage == "tts"][-1]


def let_pass(card, pressure, seconds):
    end = card.now + seconds
    while card.now < end:
        card.now += LOOK_S
        pressure.look()
        freed()


async def test_the_ladder_steps_down_under_pressure_and_back_up(card_and_pool):
    card, pool, engines = card_and_pool
    pressure = Pressure(card, steps(pool), lambda: card.now)
    assert await spoken_by(pool) == "Hq" and await spoken_by(pool, hq=False) == "Fast"
    card.others = 45  # with 30 and 20: 95 %
    let_pass(card, pressure, HELD_S + 1)
    assert await spoken_by(pool) == "Fast" and not engines["fast"].eased
    card.others = 75
    let_pass(card, pressure, HELD_S + 1)
    assert await spoken_by(pool) == "Fast" and engines["fast"].eased
    let_pass(card, pressure, HELD_S + 1)
    assert await spoken_by(pool) == "Cpu"
    told = [notice.sentence for notice in pressure.told(0)]
    assert [sentence.partition("full. ")[2].split()[0] for sentence in told] == ["Hq", "Fast", "Fast"]
    assert next(status.sentence for status in pool.status() if status.name == "hq") == told[0]
    card.others = 10
    let_pass(card, pressure, 4 * CALM_S)
    assert pressure.level == 0 and pressure.told(0)[-1].code == "CAME_BACK"
    for row in pool.rungs("tts"):
        pool.warm(row)
    assert await spoken_by(pool) == "Hq" and not engines["fast"].eased


async def test_a_clause_that_is_being_said_may_end_before_its_engine_is_freed(card_and_pool):
    card, pool, engines = card_and_pool
    hq = pool.rungs("tts")[0]
    with pool.lease(hq):
        assert pool.rest("hq", "The graphics memory is 95% full.")
        await asyncio.sleep(0.05)
        assert "hq" in card.loaded
    freed()
    assert "hq" not in card.loaded
    assert not pool.rest("hq", "again"), "there is nothing to free any more"


async def test_no_engine_is_loaded_beside_one_that_holds_its_memory(card_and_pool):
    card, pool, _ = card_and_pool
    hq = pool.rungs("tts")[0]
    card.others = 40  # of the hung one that was left behind
    pool.fail(hq, AvatarError("It hangs."), hung=True)
    await asyncio.sleep(0.05)
    card.loaded.pop("hq", None)
    card.others = 50
    with pytest.raises(AvatarError, match="needs 0.0 GiB of graphics memory"):
        pool.warm(hq)
    assert await spoken_by(pool) == "Fast"


def test_pressure_without_a_card_has_no_steps(make_pool):
    assert steps(make_pool({"voice": ("tts", FakeTTS())})) == []
