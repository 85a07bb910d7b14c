"""Clear English is heard by the quick engine, everything else by the slow one, and who it was is told."""

import asyncio
import threading
from collections.abc import Generator
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeSTT, rung
from whisper_model import make

from avatar import weights
from avatar.bench.clips import load
from avatar.engines.calls import Timeouts
from avatar.engines.catalog import CATALOG, allowed
from avatar.engines.pool import EnginePool
from avatar.errors import EngineLoadError
from avatar.events import Samples, Serving, Transcript
from avatar.pipeline import Pipeline
from avatar.planner import Plan, Share
from avatar.settings import Settings
from avatar.weights import HubFile, HubFiles, Weight

SOUND = np.zeros(16_000, np.float32)


class Quick(FakeSTT):
    """English only; sure of what it hears, or not."""

    sure, hangs = True, False

    def surely(self, samples: Samples) -> Transcript | None:
        self.trouble.start()
        if self.hangs:
            self.trouble.hang.wait(10)
        return Transcript(self.words, final=True, language="en") if self.sure else None


class Slow(FakeSTT):
    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        self.trouble.start()
        yield Transcript(self.words, final=True, language=language or "zh")


@pytest.fixture
def quick() -> Quick:
    return Quick("hello there")


@pytest.fixture
def slow() -> Slow:
    return Slow("你好")


@pytest.fixture
def pool(settings: Settings, quick: Quick, slow: Slow) -> EnginePool:
    rows = [rung("slow", "stt", slower=True, languages=("en", "zh")), rung("quick", "stt")]
    engines = {"slow": slow, "quick": quick}
    pool = EnginePool(settings, rows, lambda row, *_: engines[row.name])
    for row in rows:
        pool.warm(row)
    return pool


async def heard(pool: EnginePool, language: str | None = None) -> tuple[str, str | None, str]:
    """The words, their language, and who heard them."""
    events = [event async for event in Pipeline(pool).transcribe(SOUND, language)]
    *_, last, serving = events
    assert isinstance(last, Transcript) and last.final and isinstance(serving, Serving)
    return last.text, last.language, serving.engine


async def test_where_the_quick_one_is_sure_the_slow_one_is_not_asked(
    pool: EnginePool, quick: Quick, slow: Slow
) -> None:
    assert await heard(pool) == ("hello there", "en", "Quick")
    assert slow.trouble.calls == 0
    quick.sure = False
    assert await heard(pool) == ("你好", "zh", "Slow")


async def test_a_chosen_language_is_heard_by_who_knows_it(pool: EnginePool, quick: Quick, slow: Slow) -> None:
    quick.sure = False
    assert await heard(pool, "en-GB") == ("hello there", "en", "Quick") and slow.trouble.calls == 0
    before = quick.trouble.calls
    assert await heard(pool, "zh-TW") == ("你好", "zh-TW", "Slow") and quick.trouble.calls == before


async def test_while_the_slow_one_hears_somebody_clear_english_does_not_wait(pool: EnginePool) -> None:
    with pool.lease(pool.choose("stt")):
        assert await heard(pool) == ("hello there", "en", "Quick")


async def test_a_turn_names_who_heard_it(pool: EnginePool, quick: Quick) -> None:
    events = [event async for event in Pipeline(pool).turn(SOUND)]
    assert [event.engine for event in events if isinstance(event, Serving) and event.stage == "stt"] == ["Quick"]
    assert await Pipeline(pool).plausible(SOUND, "hello there")


async def test_a_quick_one_that_fails_costs_nothing_but_its_speed(pool: EnginePool, quick: Quick) -> None:
    quick.trouble.fail_on = (1, 2)
    assert await heard(pool) == ("你好", "zh", "Slow")
    assert await heard(pool, "en") == ("你好", "en", "Slow")
    assert all(status.state == "ready" for status in pool.status())


async def test_a_quick_one_that_hangs_is_given_up_and_the_slow_one_hears_and_stays(
    pool: EnginePool, quick: Quick, slow: Slow
) -> None:
    ears, before = pool.rungs("stt"), pool.instance(pool.rungs("stt")[0])
    quick.hangs = True
    try:
        for state in ("cold", "failed"):  # the first hang costs what was loaded
            pool.warm(ears[1])
            events = [event async for event in Pipeline(pool, Timeouts(stt=0.5)).transcribe(SOUND, None)]
            assert [event.text for event in events if isinstance(event, Transcript)] == ["你好"]
            assert [status.state for status in pool.status()] == ["ready", state]
        assert pool.instance(ears[0]) is before and slow.trouble.calls == 2
    finally:
        quick.trouble.hang.set()


async def test_what_is_withdrawn_in_the_line_of_the_quick_one_is_no_failure_of_it(
    pool: EnginePool, caplog: pytest.LogCaptureFixture
) -> None:
    quick, before = pool.rungs("stt")[1], set(threading.enumerate())
    with pool.lease(quick):
        line = pool.instance(quick)._line  # type: ignore[union-attr]
        hearing = asyncio.create_task(heard(pool))
        async with asyncio.timeout(5):
            while not line:  # noqa: ASYNC110 - a thread's
                await asyncio.sleep(0.001)
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            while set(threading.enumerate()) - before:  # noqa: ASYNC110 - a thread's
                await asyncio.sleep(0.001)
    assert not caplog.records


async def test_a_slow_one_that_fails_is_stepped_down_from(pool: EnginePool, quick: Quick, slow: Slow) -> None:
    quick.sure, slow.trouble.fail_on = False, (1,)
    assert await heard(pool) == ("hello there", "en", "Quick")
    assert [status.state for status in pool.status()] == ["failed", "ready"]


def test_an_engine_is_spared_only_by_one_that_is_ready_and_can_tell(pool: EnginePool, settings: Settings) -> None:
    slow, quick = pool.rungs("stt")
    assert pool.quicker(slow) == quick and pool.quicker(quick) is None
    pool.fail(quick, EngineLoadError("It broke.", stage="stt", engine="quick"))
    assert pool.quicker(slow) is None
    plain = EnginePool(settings, [slow, quick], lambda row, *_: FakeSTT())
    for row in (slow, quick):
        plain.warm(row)
    assert plain.quicker(slow) is None


@pytest.mark.parametrize(
    ("given", "spared"),
    [({}, True), ({"whisper_model": "small"}, False), ({"hotwords": "Aragorn"}, False), ({"stt": "whisper"}, False)],
)
def test_a_whisper_that_was_chosen_or_told_names_hears_everything(given: dict[str, str], spared: bool) -> None:
    rows = {row.name: row for row in allowed(CATALOG, Settings(**given))}  # type: ignore[arg-type]
    assert rows["whisper"].slower == spared


def test_a_whisper_on_a_card_hears_everything() -> None:
    share = Share("whisper", card=0, bytes=1, of=2, model="small", compute_type="float16")
    rows = {row.name: row for row in allowed(CATALOG, Settings(), Plan(shares={"whisper": share}))}
    assert not rows["whisper"].slower


def test_with_whisper_alone_by_name_nobody_spares_it(settings: Settings) -> None:
    pool = EnginePool(replace(settings, stt="whisper"), loader=lambda row, *_: Quick())  # type: ignore[arg-type]
    assert pool.quicker(pool.rungs("stt")[0]) is None


@pytest.mark.slow
async def test_real_english_is_heard_by_moonshine_and_real_chinese_by_whisper(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a tiny Whisper of random weights, which hears something in everything."""
    folder = make(settings.weights / "whisper-base")
    files = tuple(HubFile(file.name, file.stat().st_size) for file in folder.iterdir())
    monkeypatch.setitem(weights.WEIGHTS, "whisper-base", Weight("whisper-base", HubFiles("x/y", "0", files), "", ""))
    pool = EnginePool(settings)
    for row in pool.rungs("stt"):
        pool.warm(row)
    clips = {clip.row.file: clip for clip in await asyncio.to_thread(load, languages=("en", "zh"))}

    async def ears(file: str, language: str | None = None) -> str:
        events = [event async for event in Pipeline(pool).transcribe(clips[file].samples, language)]
        assert isinstance(events[-1], Serving)
        return events[-1].engine

    assert pool.choose("stt").name == "whisper"
    assert await ears("ms_zipvoice_irish_female.wav") == "Moonshine tiny"
    assert await ears("f5_ref_zh.wav") == await ears("cv_zero_shot.wav") == "Whisper base"
    assert await ears("ms_zipvoice_irish_female.wav", "zh") == "Whisper base"
    assert await ears("lk_hello.wav", "en") == "Moonshine tiny"
    pool.close()
