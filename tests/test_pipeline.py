"""One turn over fakes: its events in order, what fails, hangs, is cancelled, or is asked again."""

import asyncio
import time

import numpy as np
import pytest
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble, collect

from avatar.engines.base import Message
from avatar.engines.calls import Timeouts
from avatar.events import AudioChunk, Clause, Failure, Notice, Serving, Token, Transcript, TurnDone
from avatar.pipeline import Pipeline
from avatar.turn import prompted

SOUND = np.zeros(16_000, np.float32)


@pytest.fixture
def pool(engines, make_pool):
    return make_pool({stage: (stage, engine) for stage, engine in engines.items()})


@pytest.fixture
def pipeline(pool):
    return Pipeline(pool)


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
async def test_a_hung_engine_ends_the_turn_in_time_and_the_next_turn_works(pool, pipeline, engines, stage):
    engines[stage].trouble.hang_at = 0
    started = time.monotonic()
    events = await collect(Pipeline(pool, Timeouts(**{stage: 0.3})).turn(SOUND))
    assert time.monotonic() - started < 5  # it hangs for 10 s
    assert (events[-1].stage, events[-1].code) == (stage, "ENGINE_TIMEOUT")
    engines[stage].trouble.hang.set()
    engines[stage].trouble.hang_at = None
    assert isinstance((await collect(pipeline.turn(SOUND)))[-1], TurnDone)


class Unhurried(FakeLLM):
    """A word each 20 ms, so that a reply takes longer than one item may."""

    def reply(self, messages, seat):
        for word in super().reply(messages, seat):
            time.sleep(0.02)
            yield word


async def test_who_waits_in_line_for_an_engine_that_works_is_answered_and_nothing_counts_as_a_hang(make_pool, engines):
    slow = Unhurried("One two three four five six seven eight nine ten. " * 4)
    pool = make_pool({stage: (stage, engine) for stage, engine in {**engines, "llm": slow}.items()})
    turns = [collect(Pipeline(pool, Timeouts(llm=0.7)).turn(f"question {n}")) for n in range(3)]
    for events in await asyncio.gather(*turns):
        assert isinstance(events[-1], TurnDone) and not [e for e in events if isinstance(e, Notice | Failure)]
    assert slow.trouble.closed == 0


async def test_who_waits_behind_a_call_that_hangs_unwatched_is_not_left_waiting(pool):
    with pool.lease(pool.choose("llm")):  # as of a reply that was interrupted: its thread is in the engine still
        started = time.monotonic()
        events = await collect(Pipeline(pool, Timeouts(llm=0.2)).turn("hello"))
        assert events[-1].code == "ENGINE_TIMEOUT" and time.monotonic() - started < 2
    assert isinstance((await collect(Pipeline(pool).turn("hello")))[-1], TurnDone)


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
    assert time.monotonic() - started < 2  # it hangs for 10 s
    engines["tts"].trouble.hang_at = None
    engines["tts"].trouble.hang.set()
    assert isinstance((await collect(pipeline.turn(SOUND)))[-1], TurnDone)


async def test_a_bug_surfaces_instead_of_hanging(pipeline):
    async def broken_room():
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup):
        await asyncio.wait_for(collect(pipeline.turn("hello", room=broken_room)), 20)


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
