"""Memory that runs out and engines that hang, injected into the real pipeline, pool, seats and store."""

import asyncio
import threading
import time

import numpy as np
import pytest
from assistants import make_assistant, put_away
from audio_files import wav
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble, collect

from avatar.engines.calls import Timeouts
from avatar.errors import AvatarError
from avatar.events import AudioChunk, Clause, Failure, Notice, Serving, TurnDone
from avatar.gpu import out_of_memory
from avatar.pipeline import Pipeline
from avatar.turn import GO_ON

SOUND = np.zeros(16_000, np.float32)


THREE = "I am well today. The sun is out. How are you feeling now?"


class OutOfMemoryError(RuntimeError):
    """Called like torch's, which is not installed here."""


MEMORY = {
    "python": lambda: MemoryError(),
    "torch": lambda: OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
    "ctranslate2": lambda: RuntimeError("CUDA failed with error out of memory"),
    "cublas": lambda: RuntimeError("CUBLAS_STATUS_ALLOC_FAILED"),
}


class Starved:
    """Wraps a fake: its memory runs out at item `at` of call `on_call`."""

    def __init__(self, engine, error, at=0, on_call=1):
        self.engine, self.error, self.at, self.on_call, self.calls, self.closed = engine, error, at, on_call, 0, False

    def _starve(self, items):
        self.calls += 1
        call = self.calls
        for number, item in enumerate(items):
            if call == self.on_call and number == self.at:
                raise self.error()
            yield item

    def transcribe(self, *given):
        return self._starve(self.engine.transcribe(*given))

    def plausible(self, *given):
        return True

    def reply(self, *given):
        return self._starve(self.engine.reply(*given))

    def prefill(self, *given):
        raise self.error()

    def speak(self, *given):
        return self._starve(self.engine.speak(*given))

    def close(self):
        self.closed = True


FAKES = {"stt": FakeSTT, "llm": lambda: FakeLLM(THREE), "tts": FakeTTS}


def ladder(make_pool, stage, better):
    """`better` above a fake of `stage`, fakes for the other stages; all loaded."""
    below = {name: fake() for name, fake in FAKES.items()}
    pool = make_pool({"better": (stage, better), **{name: (name, engine) for name, engine in below.items()}})
    for one in pool.rungs("stt") + pool.rungs("llm") + pool.rungs("tts"):
        pool.warm(one)
    return pool, below


def codes(events):
    return [event.code for event in events if isinstance(event, Notice)]


@pytest.mark.parametrize("kind", MEMORY)
def test_every_library_says_it_in_its_own_way(kind):
    assert out_of_memory(MEMORY[kind]())
    assert not out_of_memory(RuntimeError("a bad shape")) and not out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("kind", MEMORY)
@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_at_the_first_item_it_costs_nothing(make_pool, stage, kind):
    pool, _ = ladder(make_pool, stage, Starved(FAKES[stage](), MEMORY[kind]))
    events = await collect(Pipeline(pool).turn(SOUND))
    assert isinstance(events[-1], TurnDone) and events[-1].reply_text == THREE
    assert codes(events) == ["STEPPED_DOWN"]
    assert sum(isinstance(event, AudioChunk) for event in events) == len(THREE) - 2  # spaces between clauses


async def test_in_the_middle_of_a_transcript_it_is_heard_again(make_pool):
    pool, _ = ladder(make_pool, "stt", Starved(FakeSTT("hello there"), MEMORY["torch"], at=1))
    events = await collect(Pipeline(pool).turn(SOUND))
    assert isinstance(events[-1], TurnDone) and events[-1].user_text == "hello there"


async def test_in_the_middle_of_a_clause_the_rest_of_that_clause_is_lost(make_pool):
    pool, below = ladder(make_pool, "tts", Starved(FakeTTS(), MEMORY["torch"], at=4, on_call=2))
    events = await collect(Pipeline(pool).turn(SOUND))
    assert isinstance(events[-1], TurnDone) and events[-1].reply_text == THREE
    assert codes(events) == ["ENGINE_OUT_OF_MEMORY"]
    clauses = [event.text for event in events if isinstance(event, Clause)]
    assert len(clauses) == 3 and below["tts"].said == [clauses[2]]
    chunks = sum(isinstance(event, AudioChunk) for event in events)
    assert chunks == len(clauses[0]) + 4 + len(clauses[2])
    assert [event.engine for event in events if isinstance(event, Serving)][-1] == "Tts"


async def test_in_the_middle_of_an_answer_the_next_model_goes_on(make_pool):
    pool, below = ladder(make_pool, "llm", Starved(FakeLLM(THREE), MEMORY["ctranslate2"], at=6))
    below["llm"].text = "And it will be warm."
    events = await collect(Pipeline(pool).turn("how is the weather?"))
    assert isinstance(events[-1], TurnDone) and codes(events) == ["ENGINE_OUT_OF_MEMORY"]
    assert events[-1].reply_text == "I am well today. The sun And it will be warm."
    assert [event.text for event in events if isinstance(event, Clause)] == ["I am well today.", "And it will be warm."]
    assert [message.content for message in below["llm"].prompts[0][1:]] == [
        "how is the weather?",
        "I am well today. The sun",
        GO_ON["en"],
    ]


async def test_a_model_without_memory_below_one_without_memory_ends_the_turn(make_pool):
    def poor() -> Starved:  # afresh: every load of it has as little
        return Starved(FakeLLM(THREE), MEMORY["python"])

    good = Starved(FakeLLM(THREE), MEMORY["torch"], at=6)
    pool = make_pool({"good": ("llm", good), "poor": ("llm", poor), "voice": ("tts", FakeTTS())})
    for one in pool.rungs("llm") + pool.rungs("tts"):
        pool.warm(one)
    async with asyncio.timeout(10):
        events = await collect(Pipeline(pool).turn("how is the weather?"))
    assert isinstance(events[-1], Failure) and events[-1].code == "ENGINE_OUT_OF_MEMORY"


async def test_without_any_voice_left_the_reply_is_text(make_pool):
    fakes = {"llm": ("llm", FakeLLM(THREE)), "voice": ("tts", Starved(FakeTTS(), MEMORY["python"], at=3))}
    pool = make_pool(fakes)
    for _ in range(2):  # in the second turn there is none from the start
        events = await collect(Pipeline(pool).turn("hello"))
        assert isinstance(events[-1], TurnDone) and events[-1].reply_text == THREE
        assert codes(events)[-1] == "TEXT_ONLY"
    assert not any(isinstance(event, AudioChunk) for event in events)


async def test_reading_ahead_may_fail_and_harms_nothing(make_pool):
    pool, _ = ladder(make_pool, "llm", Starved(FakeLLM(THREE), MEMORY["torch"], on_call=99))
    with pytest.raises(AvatarError, match="could not read ahead"):
        await Pipeline(pool).prefill("hello", (), 0)
    events = await collect(Pipeline(pool).turn("hello"))
    assert isinstance(events[-1], TurnDone) and codes(events) == []


def test_memory_that_runs_out_while_loading_fails_the_rung_only(make_pool):
    def starved():
        raise MEMORY["torch"]()

    pool = make_pool({"big": ("tts", starved), "small": ("tts", FakeTTS())})
    with pytest.raises(AvatarError, match="its memory ran out while it was loaded"):
        pool.warm(pool.rungs("tts")[0])
    assert pool.choose("tts").name == "small"


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_hung_engine_is_abandoned_and_seat_and_lease_come_back(settings, make_pool, stage, tmp_path):
    engine = FAKES[stage]()
    engine.trouble = Trouble(hang_at=0)
    assistant = make_assistant(settings, make_pool, **{stage: engine})
    assistant._single._pipeline._timeouts = Timeouts(**{stage: 0.2})
    asked = "hello"
    if stage == "stt":
        asked = tmp_path / "asked.wav"
        asked.write_bytes(wav(bytes(32_000)))
    try:
        with pytest.raises(AvatarError) as told:
            async for _ in assistant.answer("local", "", asked, "first", "auto"):
                assert assistant.seats.count() == 1
        assert told.value.code == "ENGINE_TIMEOUT" and assistant.seats.count() == 0
        assert not any(assistant.pool.busy(one) for one in assistant.pool.rungs(stage))
        engine.trouble.hang_at = None  # what is loaded afresh works, while the old thread still hangs
        assistant._single._pipeline._timeouts = Timeouts()
        updates = [update async for update in assistant.answer("local", "", asked, "second", "auto")]
        assert updates[-1].audio is not None and assistant.seats.count() == 0
    finally:
        engine.trouble.hang.set()
        put_away(assistant)


def test_a_load_that_hangs_is_given_up_and_keeps_nobody_waiting(make_pool):
    hang, loads = threading.Event(), []

    def load():
        loads.append(1)
        if len(loads) == 1:
            hang.wait(10)
        return FakeSTT()

    pool = make_pool({"slow": ("stt", load), "ears": ("stt", FakeSTT()), "voice": ("tts", FakeTTS())})
    pool._load_s = 0.05
    slow, *others = [*pool.rungs("stt"), *pool.rungs("tts")]
    pool.start()
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and not pool._slots["slow"].hangs:
            time.sleep(0.01)
        assert all(map(pool.ready, others))
        pool.warm(slow)  # a fresh load, beside the hung one
        assert pool.ready(slow) and len(loads) == 2
        fresh = pool._slots["slow"].instance
        hang.set()
        time.sleep(0.05)
        assert pool._slots["slow"].instance is fresh, "what came too late is put away"
    finally:
        hang.set()
        pool.close()


async def test_a_failure_that_is_not_memory_still_ends_the_turn(make_pool):
    pool, _ = ladder(make_pool, "tts", Starved(FakeTTS(), lambda: ValueError("bad"), at=2))
    events = await collect(Pipeline(pool).turn("hello"))
    assert isinstance(events[-1], Failure) and events[-1].code == "ENGINE_FAILED"
