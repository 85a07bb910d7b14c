import asyncio
import time
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble, rung

from avatar.engines.base import Abilities, Message, Voice
from avatar.engines.calls import Timeouts
from avatar.engines.pool import EnginePool
from avatar.errors import ConsentError, EngineError
from avatar.events import AudioChunk, Clause, Failure, Notice, Serving, Token, Transcript, TurnDone
from avatar.pipeline import Pipeline
from avatar.turn import prompted

SOUND = np.zeros(16_000, np.float32)


@pytest.fixture
def engines():
    return {"stt": FakeSTT(), "llm": FakeLLM(), "tts": FakeTTS()}


@pytest.fixture
def pipeline(engines, make_pool):
    pool = make_pool({stage: (stage, engine) for stage, engine in engines.items()})
    return Pipeline(pool, Timeouts(stt=0.3, llm=0.3, tts=0.3))


async def collect(turn):
    return [event async for event in turn]


async def test_events_come_in_order_and_end_in_one_turn_done(pipeline, engines):
    events = await collect(pipeline.turn(SOUND))
    assert [type(e) for e in events[:3]] == [Serving, Transcript, Transcript]
    assert events[2] == Transcript("hello there", final=True, language="en")
    assert isinstance(events[-1], TurnDone)
    assert sum(isinstance(e, TurnDone | Failure) for e in events) == 1
    assert "".join(e.text for e in events if isinstance(e, Token)) == engines["llm"].text == events[-1].reply_text
    said = [e.text for e in events if isinstance(e, Clause)]
    assert said == engines["tts"].said and len(said) == 2
    chunks = [e for e in events if isinstance(e, AudioChunk)]
    assert len(chunks) == sum(map(len, said))
    assert {"stt", "ttft", "llm", "tts"} == set(events[-1].timings_ms)
    assert [e for e in events if isinstance(e, Serving)] == [Serving(s, s.title()) for s in ("stt", "llm", "tts")]


async def test_the_voice_gets_words_and_everyone_else_what_is_written(pipeline, engines):
    engines["llm"].text = "The GIF costs $3.50. It was made in 1987."
    events = await collect(pipeline.turn("hi", sayings={"gif": "jif"}))
    assert [e.text for e in events if isinstance(e, Clause)] == ["The GIF costs $3.50.", "It was made in 1987."]
    assert events[-1].reply_text == engines["llm"].text
    assert engines["tts"].said == [
        "The jif costs three dollars and fifty cents.",
        "It was made in nineteen eighty-seven.",
    ]


async def test_a_clause_of_digits_is_said_in_the_language_of_the_question(pipeline, engines):
    engines["llm"].text = "42"
    await collect(pipeline.turn("六乘以七是多少？"))
    await collect(pipeline.turn("six times seven?"))
    assert engines["tts"].said == ["四十二", "forty-two"]


async def test_speaks_the_first_clause_while_the_llm_still_writes(pipeline, engines):
    trouble = Trouble(hang_at=6)  # hangs before the 7th word, in the second sentence
    engines["llm"].trouble = trouble
    heard = []
    async for event in pipeline.turn("hello"):
        heard.append(type(event))
        if heard.count(AudioChunk) == 3:
            trouble.hang.set()
    assert heard.count(Token) == 9
    assert heard.index(AudioChunk) < len(heard) - 1 - heard[::-1].index(Token)


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


async def test_typed_text_needs_no_ears(pipeline, engines):
    engines["stt"].trouble.fail_on = (1,)
    events = await collect(pipeline.turn("  what is new? "))
    assert events[0] == Transcript("what is new?", final=True)
    assert isinstance(events[-1], TurnDone)
    assert engines["llm"].prompts[0][-1].content == "what is new?"


async def test_silence_gets_no_reply(pipeline, engines):
    engines["stt"].words = ""
    events = await collect(pipeline.turn(SOUND))
    assert events[-1].user_text == events[-1].reply_text == ""
    assert engines["llm"].prompts == [] and engines["tts"].said == []


async def test_a_recording_in_another_language_gets_no_reply(pipeline, engines):
    engines["stt"].foreign = True
    events = await collect(pipeline.turn(SOUND))
    assert events[-1].code == "LANGUAGE" and engines["llm"].prompts == []


@pytest.mark.parametrize("reply", ["", "—", "** **"])
async def test_an_answer_without_words_is_a_failure_not_silence(pipeline, engines, reply):
    engines["llm"].text = reply
    events = await collect(pipeline.turn("hello"))
    assert isinstance(events[-1], Failure)
    assert (events[-1].stage, events[-1].code) == ("llm", "EMPTY_REPLY")
    assert engines["tts"].said == []


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_failing_engine_is_named_and_nothing_leaks(pipeline, engines, stage):
    engines[stage].trouble.fail_on = (1,)
    events = await collect(pipeline.turn(SOUND))
    assert isinstance(events[-1], Failure)
    assert events[-1].stage == stage and events[-1].retryable
    assert "secret" not in events[-1].sentence and stage.title() in events[-1].sentence


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_hung_engine_ends_the_turn_in_time_and_the_next_turn_works(pipeline, engines, stage):
    engines[stage].trouble.hang_at = 0
    started = time.monotonic()
    events = await collect(pipeline.turn(SOUND))
    assert time.monotonic() - started < 2
    assert (events[-1].stage, events[-1].code) == (stage, "ENGINE_TIMEOUT")
    engines[stage].trouble.hang.set()
    engines[stage].trouble.hang_at = None
    assert isinstance((await collect(pipeline.turn(SOUND)))[-1], TurnDone)


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_steps_down_the_ladder_visibly(make_pool, engines, stage):
    bad = {"stt": FakeSTT, "llm": FakeLLM, "tts": FakeTTS}[stage](trouble=Trouble(fail_on=(1,)))
    pool = make_pool({"better": (stage, bad), **{s: (s, e) for s, e in engines.items()}})
    pool.warm(pool.below(pool.choose(stage)))
    events = await collect(Pipeline(pool).turn(SOUND))
    notices = [e for e in events if isinstance(e, Notice)]
    assert (
        len(notices) == 1 and "Better" in notices[0].sentence and f"{stage.title()} takes over" in notices[0].sentence
    )
    assert isinstance(events[-1], TurnDone)
    served = [e.engine for e in events if isinstance(e, Serving) and e.stage == stage]
    assert served == ["Better", stage.title()]


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


async def test_half_an_answer_is_not_started_again(make_pool, engines):
    class Breaks(FakeTTS):
        def speak(self, text, voice, language):
            yield next(super().speak(text, voice, language))
            raise RuntimeError

    pool = make_pool({"better": ("tts", Breaks()), **{s: (s, e) for s, e in engines.items()}})
    pool.warm(pool.below(pool.choose("tts")))
    events = await collect(Pipeline(pool).turn(SOUND))
    assert isinstance(events[-1], Failure) and events[-1].stage == "tts"
    assert sum(isinstance(e, AudioChunk) for e in events) == 1


async def test_closing_cancels_at_once_and_frees_the_leases(pipeline, engines):
    engines["tts"].trouble.hang_at = 5
    turn = pipeline.turn(SOUND)
    async for event in turn:
        if isinstance(event, AudioChunk):
            break
    started = time.monotonic()
    await turn.aclose()
    assert time.monotonic() - started < 0.2
    engines["tts"].trouble.hang_at = None
    engines["tts"].trouble.hang.set()
    assert isinstance((await collect(pipeline.turn(SOUND)))[-1], TurnDone)


async def test_a_bug_surfaces_instead_of_hanging(pipeline):
    async def broken_room():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(collect(pipeline.turn("hello", room=broken_room)), 2)


async def test_five_turns_at_once_share_one_voice(pipeline, engines):
    results = await asyncio.gather(*[collect(pipeline.turn("hi", seat=n)) for n in range(5)])
    assert all(isinstance(events[-1], TurnDone) for events in results)
    assert len(engines["tts"].said) == 10


async def test_memory_and_system_prompt_reach_the_llm(pipeline, engines):
    await collect(pipeline.turn("and you?", [Message("user", "hi"), Message("assistant", "hello")]))
    assert [m.role for m in engines["llm"].prompts[0]] == ["system", "user", "assistant", "user"]


async def test_an_empty_answer_is_asked_for_again_without_memory_then_said_to_be_none(make_pool):
    class Forgets(FakeLLM):
        def reply(self, messages, seat):
            self.prompts.append(messages)
            yield "" if len(messages) > 2 else self.text

    llm = Forgets("Tea is a drink.")
    pipeline = Pipeline(make_pool({"mind": ("llm", llm), "voice": ("tts", FakeTTS())}))
    events = await collect(pipeline.turn("what is tea?", [Message("user", "hi"), Message("assistant", "hello")]))
    assert events[-1].reply_text == "Tea is a drink." and len(llm.prompts) == 2
    llm.text = " "
    events = await collect(pipeline.turn("what is tea?"))
    assert isinstance(events[-1], Failure) and events[-1].code == "EMPTY_REPLY"


async def test_a_model_silenced_by_its_memory_is_asked_again_with_its_persona(pipeline, engines):
    engines["llm"].text = ""
    history = [Message("system", "A pirate."), Message("user", "hi"), Message("assistant", "Arr.")]
    await collect(pipeline.turn("hello", history))
    assert [[m.role for m in prompt] for prompt in engines["llm"].prompts] == [
        ["system", "user", "assistant", "user"],
        ["system", "user"],
    ]
    assert engines["llm"].prompts[1][0].content.endswith("\nA pirate.")
    engines["llm"].prompts.clear()
    await collect(pipeline.turn("hello", history[:1]))
    assert len(engines["llm"].prompts) == 1  # nothing is remembered that could be left out


def test_neighbours_of_one_role_become_one_message():
    prompt = prompted([Message("user", "tell me about tea")], "and coffee")
    assert [m.role for m in prompt] == ["system", "user"]
    assert prompt[1].content == "tell me about tea\nand coffee"


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
