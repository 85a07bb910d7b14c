"""A voice over the reply: an interruption, a listening noise, or the rest of what was asked."""

import numpy as np
import pytest
from fakes import Trouble
from live_session import SPEED

from avatar.audio import resample
from avatar.chat import Exchange
from avatar.engines.base import INTERRUPTED
from avatar.events import AudioChunk
from avatar.wire import MIC_RATE, REPLY_RATE, Preferences


async def test_an_interruption_ducks_then_silences_and_stores_what_was_heard(live, monkeypatch):
    monkeypatch.setattr("avatar.conversation.CONTINUE_S", 0.3)
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        await s.silence(SPEED * 0.5)  # of real time: past the window in which it would be a continuation
        long_reply, s.llm.text = s.llm.text, "Fine, I stop here."
        s.stt.words = "no stop that please"
        await s.hear(0.8)
        assert s.kinds("duck", "flush") == ["duck", "flush"]
        saved = await s.until("saved")
        assert saved["state"] == "interrupted"
        heard = s.saved[0][1]
        assert heard and long_reply.startswith(heard) and heard != long_reply
        assert [m.content for m in s.it.chat.messages()][1] == f"{heard}{INTERRUPTED}"
        await s.until("saved", 2)
        assert s.saved[1][0] == "no stop that please"
        assert s.llm.prompts[-1][2].content.endswith(INTERRUPTED)


def test_a_reply_that_nobody_heard_is_not_remembered_as_a_dash():
    exchange = Exchange("tell me about tea", reply="", interrupted_s=0.0)
    assert [(m.role, m.content) for m in exchange.messages()] == [("user", "tell me about tea")]


async def test_listening_noises_and_clicks_do_not_interrupt(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(40)) + "."
        await s.hear(1.0)
        await s.until("latency")
        for words, seconds in (("mhm", 0.4), ("", 0.1), ("yeah", 0.4), ("You", 0.3)):
            s.stt.words = words
            before = len(s.kinds("duck"))
            await s.hear(seconds)
            await s.silence(0.6)
            ducks = [m["on"] for m in s.messages if m["t"] == "duck"][before:]
            assert ducks == [True, False], words
        assert s.kinds("flush") == []


async def test_each_decision_is_kept_with_its_rule_and_without_words(live, monkeypatch):
    monkeypatch.setattr("avatar.conversation.CONTINUE_S", 0.3)
    async with live(patience_ms=600) as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        s.smart_turn.value = 0.01
        await s.hear(1.0)
        await s.until("latency")
        await s.silence(SPEED * 0.5)  # of real time: past the window in which it would be a continuation
        s.smart_turn.value, s.stt.words = 0.99, "yeah"
        await s.hear(0.4)
        await s.silence(0.6)
        s.stt.words, s.llm.text = "no stop that please", "Fine."
        await s.hear(0.8)
        await s.until("saved", 2)
        reasons = [reason for _, reason in s.it.reasons()]
        assert [(r.what, r.why) for r in reversed(reasons) if r.what != "wait"] == [
            ("patience", "question"),
            ("kept", "listening noise"),
            ("interrupt", "stop word"),
            ("answer", "closed"),
        ]
        assert reasons[0].probability == 0.99 and reasons[0].needed == 0.5 and reasons[0].ms >= 128
        ages = [age for age, _ in s.it.reasons()]
        assert ages == sorted(ages) and 0 <= ages[0] < ages[-1]
        for _ in range(50):
            s.it.on_reason(reasons[0])
        assert len(s.it.reasons()) == 20


async def test_the_wish_how_easily_it_is_interrupted_counts_at_once(live):
    async with live(bargein="careful") as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        s.stt.words = "what about"
        await s.hear(0.3)
        await s.silence(0.4)
        assert s.kinds("flush") == [] and s.it.reasons()[0][1].why == "short"
        s.it.prefer(Preferences(bargein="quick"))
        await s.hear(0.3)
        await s.until("flush")


async def test_a_listening_noise_with_a_break_in_it_leaves_the_page_speaking(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        s.stt.words = "mhm"
        await s.hear(0.3)
        await s.silence(0.1)
        await s.hear(0.3)
        await s.silence(0.6)
        assert [m["state"] for m in s.messages if m["t"] == "state"][-1] == "speaking"


async def test_who_goes_on_after_an_early_reply_is_merged_into_one_turn(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        s.stt.words = "tell me about tea"
        await s.hear(1.0)
        await s.until("latency")
        s.stt.words = "and how long to steep it"
        await s.hear(0.9)
        assert (await s.until("merged"))["turn"] == 1
        await s.until("latency", 2)
        s.it.interrupt()
        await s.until("saved")
        assert [turn[0] for turn in s.saved] == ["tell me about tea and how long to steep it"]
        assert s.saved[0][3] / MIC_RATE > 1.8
        assert [m.content for m in s.llm.prompts[-1]][1:] == ["tell me about tea and how long to steep it"]
        assert len([line for line in s.it.chat.lines() if line.role == "user"]) == 1


async def test_who_goes_on_while_it_thinks_adds_to_the_question(live):
    async with live() as s:
        s.llm.trouble = Trouble(hang_at=0)
        s.stt.words = "tell me about tea"
        await s.hear(1.0)
        await s.until("turn")
        s.llm.trouble.hang_at = None
        s.stt.words = "and coffee"
        await s.hear(0.9)
        s.llm.trouble.hang.set()
        await s.until("saved")
        assert [turn[0] for turn in s.saved] == ["tell me about tea and coffee"]


async def test_words_whose_reply_was_withdrawn_are_kept_when_the_user_turns_to_typing(live):
    async with live() as s:
        s.llm.trouble = Trouble(hang_at=0)
        s.stt.words = "tell me about tea"
        await s.hear(1.0)
        await s.until("turn")
        s.stt.words = "and"
        await s.hear(0.6)
        await s.until("merged")
        s.llm.trouble.hang.set()
        s.it.say("never mind, what is coffee?")
        await s.until("saved", state="done")
        await s.until("saved", state="interrupted")
        assert sorted((turn[0], turn[2]) for turn in s.saved) == [
            ("never mind, what is coffee?", "done"),
            ("tell me about tea", "interrupted"),
        ]


async def test_who_goes_on_after_a_listening_noise_is_heard_from_the_noise_on(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        s.stt.growing, s.stt.words = [(0.75, "mhm")], "mhm, what about tea"
        s.stt.done.clear()
        await s.hear(0.25)
        await s.silence(0.24)  # over, as it seems, and is being written down
        await s.hear(0.3)
        s.stt.done.set()
        await s.hear(0.9)
        await s.until("latency", 2)
        s.it.interrupt()
        await s.until("saved")
        assert "kept" not in {reason.what for _, reason in s.it.reasons()}
        assert s.saved[0][3] / MIC_RATE > 2.9  # all of it, not what came after the noise was judged


@pytest.mark.parametrize("end", ["its end", "stop"])
async def test_the_echo_of_the_end_of_a_reply_is_not_answered(live, end):
    async with live() as s:
        babble = np.repeat(np.random.default_rng(2).uniform(0.02, 1, 40), REPLY_RATE // 40).astype(np.float32)
        babble *= 0.3 * np.random.default_rng(3).standard_normal(len(babble)).astype(np.float32).clip(-1, 1)
        s.tts.speak = lambda text, voice, language: iter([AudioChunk(babble, REPLY_RATE)])
        s.llm.text, s.stt.words = "This is how a reply ends.", "this is how the reply ends."
        s.it.say("what is tea?", "id-1")
        sent = await s.until("end")
        assert sent["samples"] == len(babble)
        echo = resample(babble, REPLY_RATE, MIC_RATE)
        s.voice = echo[len(echo) - MIC_RATE * 8 // 10 :]
        await s.hear(0.3)  # its voice is heard, and not judged yet
        if end == "stop":
            s.it.interrupt()
        else:
            s.it.played(1, sent["samples"])
        s.voice = s.voice[round(0.3 * MIC_RATE) :]
        await s.hear(0.5)
        await s.silence(2.5)
        assert s.kinds("turn", "heard") == ["turn"]
        assert [(r.what, r.why) for _, r in s.it.reasons()] == [("nothing", "echo")]
        s.stt.words, s.voice = "and what is coffee?", np.random.default_rng(4).uniform(-0.3, 0.3, MIC_RATE * 6)
        await s.hear(1.0)
        await s.until("turn", 2)


async def test_an_answer_to_a_reply_that_has_just_ended_is_heard(live):
    async with live() as s:
        s.llm.text, s.stt.words = "Do you like tea?", "Yes."
        s.it.say("what is tea?", "id-1")
        sent = await s.until("end")
        await s.hear(0.1)
        s.it.played(1, sent["samples"])
        await s.hear(0.3)
        await s.until("turn", 2)
        assert s.kinds("flush") == [] and (await s.until("saved", 2))["state"] == "done"


@pytest.mark.parametrize("end", ["mute", "failure", "half duplex"])
async def test_a_reply_is_not_left_ducked_when_the_voice_over_it_is_not_judged(live, end):
    async with live() as s:
        if end == "failure":
            s.stt.trouble.fail_on = (1,)
        s.llm.text = "I am well today. How are you feeling now? " * 3
        s.it.say("what is tea?", "id-1")
        await s.until("latency")
        await s.hear(0.15)
        await s.until("duck", on=True)
        if end == "mute":
            s.it.mute(True)
        elif end == "half duplex":
            s.it.prefer(Preferences(half_duplex=True))
        else:
            await s.hear(0.2)
        await s.until("duck", on=False)
        assert (await s.until("saved"))["state"] == "done"


async def test_half_duplex_hears_nothing_while_speaking(live):
    async with live(half_duplex=True) as s:
        s.llm.text = " ".join(f"word{n}" for n in range(30)) + "."
        await s.hear(1.0)
        await s.until("latency")
        await s.hear(1.0)
        assert s.kinds("duck", "flush") == []
