"""Which engine speaks a clause: by its language, its voice, a consent on record, a rate."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeTTS, collect, rung

from avatar.engines.base import Abilities, Voice
from avatar.engines.pool import EnginePool
from avatar.errors import ConsentError, EngineError
from avatar.events import AudioChunk, Clause, Failure, Notice, Serving, TurnDone
from avatar.pipeline import Pipeline


async def test_a_voice_that_can_begins_sooner_does_so_once_a_reply(engines, make_pool):
    class Hasty(FakeTTS):
        def __init__(self):
            super().__init__()
            self.begun = []

        def begin(self, text, voice, language):
            self.begun.append(text)
            yield from self.speak(text, voice, language)

    hasty = Hasty()
    pool = make_pool({stage: (stage, engine) for stage, engine in {**engines, "tts": hasty}.items()})
    await collect(Pipeline(pool).turn("hi"))
    await collect(Pipeline(pool).turn("hi"))
    assert len(hasty.said) == 4 and hasty.begun == [hasty.said[0], hasty.said[2]]


async def test_a_replys_first_clause_is_urgent_and_no_other_call_is(settings, engines):
    asked = []

    class Noting(EnginePool):
        def lease(self, rung, urgent=False, *more):
            asked.append((rung.name, urgent))
            return super().lease(rung, urgent, *more)

    pool = Noting(settings, [rung(stage, stage) for stage in engines], lambda row, *_: engines[row.name])
    await collect(Pipeline(pool).turn("hi"))
    assert [urgent for name, urgent in asked if name == "tts"] == [True, False]
    assert not any(urgent for name, urgent in asked if name != "tts")


@pytest.fixture
def two_voices(settings, engines):
    """natural (en) above plain (any language), both ready; and the pipeline over them."""
    engines["natural"], engines["plain"] = FakeTTS(), FakeTTS()
    rows = [rung("llm", "llm"), rung("natural", "tts", languages=("en",)), rung("plain", "tts")]
    pool = EnginePool(settings, rows, lambda row, *_: engines[row.name])
    for row in rows:
        pool.warm(row)
    return Pipeline(pool)


async def test_a_clause_goes_to_a_voice_that_knows_its_language(two_voices, engines):
    engines["llm"].text = "I am very well today. 你好，我很高興見到你。 How are you feeling now?"
    events = await collect(two_voices.turn("hello"))
    assert isinstance(events[-1], TurnDone)
    assert engines["plain"].said == ["你好，我很高興見到你。"]
    assert engines["natural"].said == ["I am very well today.", "How are you feeling now?"]
    served = [e.engine for e in events if isinstance(e, Serving) and e.stage == "tts"]
    assert served == ["Natural", "Plain", "Natural"]
    assert not [e for e in events if isinstance(e, Notice)]  # passing over is no failure


async def test_the_language_that_was_heard_chooses_the_voice(two_voices, engines):
    await collect(two_voices.turn("guten Tag", language="de"))
    assert engines["natural"].said == [] and len(engines["plain"].said) == 2


async def test_a_language_that_no_voice_knows_ends_in_a_sentence(settings, engines):
    engines["llm"].text = "你好，我很高興見到你。"
    rows = [rung("llm", "llm"), rung("tts", "tts", languages=("en",))]
    pool = EnginePool(settings, rows, lambda row, *_: engines[row.name])
    events = await collect(Pipeline(pool).turn("hello"))
    assert isinstance(events[-1], Failure) and events[-1].code == "NOT_ITS_LANGUAGE"


ANN = Voice("Ann", "a1", AudioChunk(np.zeros(9, np.float32), 24_000), "Hi.", consent="c")


def cloning(**more: bool) -> FakeTTS:
    engine = FakeTTS()
    engine.abilities = Abilities(("*",), **more)
    return engine


async def test_without_a_consent_on_record_nothing_is_said(make_pool, engines):
    engines["tts"] = cloning(clones=True)
    pipeline = Pipeline(pool := make_pool({stage: (stage, engine) for stage, engine in engines.items()}))
    pool.warm(pool.choose("tts"))
    events = await collect(pipeline.turn("hi", voice=replace(ANN, consent=None)))
    assert isinstance(events[-1], Failure) and events[-1].code == "NO_CONSENT" and "Ann" in events[-1].sentence
    with pytest.raises(ConsentError):
        await collect(pipeline.say("Hello.", replace(ANN, profile_id=None, consent="")))
    assert engines["tts"].said == []
    await collect(pipeline.turn("hi", voice=ANN))
    assert engines["tts"].said and set(engines["tts"].voices) == {ANN}


async def test_a_voice_that_is_deleted_meanwhile_falls_silent_before_the_next_clause(make_pool, engines):
    deleted = []

    def permit(voice):
        if deleted:
            raise ConsentError("This voice was deleted.")

    pool = make_pool(
        {stage: (stage, engine) for stage, engine in engines.items()} | {"tts": ("tts", cloning(clones=True))}
    )
    pool.warm(pool.choose("tts"))
    events = []
    async for event in Pipeline(pool, permit=permit).turn("hi", voice=ANN):
        events.append(event)
        deleted += [event] if isinstance(event, AudioChunk) else []
    assert isinstance(events[-1], Failure) and events[-1].code == "NO_CONSENT"
    assert len([e for e in events if isinstance(e, Clause)]) == 2
    assert len([e for e in events if isinstance(e, AudioChunk)]) == len("I am well today.")


async def test_a_profile_is_spoken_by_an_engine_that_clones_and_else_at_its_pitch(make_pool):
    able, plain, pitch = cloning(clones=True), cloning(), cloning(pitch=True)
    pool = make_pool({"able": ("tts", able), "plain": ("tts", plain), "pitch": ("tts", pitch)})
    for rung_ in pool._slots.values():
        pool.warm(rung_.rung)
    pipeline = Pipeline(pool)
    pitched = replace(ANN, pitch_hz=120.0)

    async def who(voice: Voice) -> str:
        return next(e.engine for e in await collect(pipeline.say("Hello there.", voice)) if isinstance(e, Serving))

    assert await who(pitched) == "Able"
    assert await who(Voice()) == "Able"
    pool.fail(pool.choose("tts"), EngineError("It broke.", stage="tts", engine="able"))
    assert await who(pitched) == "Pitch, pitch only"
    assert await who(Voice()) == "Plain"
    with pytest.raises(EngineError, match="cannot speak in the voice Ann") as refusal:
        await who(ANN)
    assert refusal.value.code == "NO_CLONING"
    pool.forget("a1")
    assert (plain.forgotten, pitch.forgotten) == (["a1"], ["a1"])


async def test_what_is_said_without_a_question_is_cut_into_clauses_and_follows_the_sayings(make_pool, engines):
    pipeline = Pipeline(make_pool({"tts": ("tts", engines["tts"])}))
    said = await collect(pipeline.say("The GIF is **here**. It costs $3.", sayings={"gif": "jif"}))
    assert engines["tts"].said == ["The jif is here.", "It costs three dollars."]
    assert isinstance(said[0], Serving) and all(isinstance(e, AudioChunk) for e in said[1:])


async def test_a_voice_is_spoken_by_the_engine_that_has_it_and_by_no_other(two_voices, engines):
    engines["llm"].text = "I am very well today."
    engines["natural"].abilities = Abilities(("en",), voices=("alba",))
    engines["plain"].abilities = Abilities(("*",), voices=("m1",))
    for name, by in (("alba", "natural"), ("m1", "plain"), ("default", "natural")):
        events = await collect(two_voices.turn("hello", voice=Voice(name)))
        assert isinstance(events[-1], TurnDone) and engines[by].voices[-1] == Voice(name)
    engines["llm"].text = "你好，我很高興見到你。"
    for name, sentence in (("alba", "does not speak this language (zh)"), ("carol", "is not here now")):
        engines["plain"].said.clear()
        events = await collect(two_voices.turn("hello", voice=Voice(name)))
        assert events[-1].code == "NO_VOICE" and sentence in events[-1].sentence
        assert engines["plain"].said == []


async def test_a_voice_is_not_replaced_when_its_engine_fails(two_voices, engines):
    engines["natural"].abilities = Abilities(("en",), voices=("alba",))
    engines["natural"].trouble.fail_on = (1,)
    events = await collect(two_voices.turn("hello", voice=Voice("alba")))
    assert events[-1].code == "ENGINE_FAILED" and engines["plain"].said == []
    assert not [e for e in events if isinstance(e, Notice)]


async def test_a_rate_is_left_to_an_engine_that_paces_itself_and_made_for_any_other(two_voices, engines):
    engines["llm"].text = "I am very well today, and hope that you are well, too."
    seconds = {}
    for rate in (1.0, 1.5):
        events = await collect(two_voices.turn("hello", voice=Voice(rate=rate)))
        assert isinstance(events[-1], TurnDone)
        seconds[rate] = sum(e.duration_s for e in events if isinstance(e, AudioChunk))
    assert seconds[1.5] == pytest.approx(seconds[1.0] / 1.5, rel=0.1)
    engines["natural"].abilities = Abilities(("en",), paces=True)
    events = await collect(two_voices.turn("hello", voice=Voice(rate=1.5)))
    assert sum(e.duration_s for e in events if isinstance(e, AudioChunk)) == pytest.approx(seconds[1.0])
    assert engines["natural"].voices[-1].rate == 1.5
