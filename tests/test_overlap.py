import numpy as np
import pytest
from clips import clip

from avatar.turntaking.bargein import ECHO_LIKENESS, LOOKS_MS, NORMAL
from avatar.turntaking.overlap import LOOK_AGAIN_MS, RINGS, Air, Overlap
from avatar.wire import MIC_RATE, REPLY_RATE

VOICE = np.ones(MIC_RATE, np.float32)
NOTHING = np.zeros(0, np.float32)


def test_the_looks_come_at_their_times_and_then_again_and_again() -> None:
    overlap = Overlap()
    due = [overlap.due_ms]
    for _ in range(4):
        overlap.look_later(due[-1])
        due.append(overlap.due_ms)
    assert due == [*LOOKS_MS, LOOKS_MS[-1] + LOOK_AGAIN_MS, LOOKS_MS[-1] + 2 * LOOK_AGAIN_MS]


def test_likeness_is_the_mean_of_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([0.2, 0.8, 0.4])
    monkeypatch.setattr("avatar.turntaking.overlap.likeness", lambda heard, reply, rate: next(found))
    overlap, seen = Overlap(), []
    for _ in range(3):
        overlap.compare(VOICE, NOTHING)
        seen.append(overlap.echo)
    assert seen == pytest.approx([0.2, 0.5, 0.6])


@pytest.mark.parametrize(("name", "why"), [("lk_weather.wav", "echo"), ("lk_hello.wav", "words")])
def test_the_reply_itself_is_an_echo_and_another_voice_is_not(name: str, why: str) -> None:
    overlap = Overlap()
    overlap.compare(clip(name)[:MIC_RATE], clip("lk_weather.wav", REPLY_RATE))
    assert (overlap.echo >= ECHO_LIKENESS) is (why == "echo")
    assert overlap.judge("what about tea", voiced_ms=500, over=False, sensitivity=NORMAL).why == why


def test_the_words_of_the_first_look_are_remembered() -> None:
    """A hum that becomes "Ever." when it is heard again is still a hum."""
    overlap = Overlap()
    overlap.compare(VOICE, NOTHING)
    assert overlap.judge("Mhm", voiced_ms=280, over=False, sensitivity=NORMAL).verdict == "wait"
    judged = overlap.judge("Ever.", voiced_ms=500, over=False, sensitivity=NORMAL)
    assert (judged.verdict, judged.why) == ("wait", "listening noise")
    assert Overlap().judge("Ever.", voiced_ms=500, over=False, sensitivity=NORMAL).verdict == "interrupt"


def test_the_end_of_a_reply_is_its_echo_until_it_has_died_away() -> None:
    reply, voice = clip("lk_weather.wav", REPLY_RATE), clip("lk_weather.wav")
    air = Air()
    assert air.onset(0) is None and not air.echoes(voice) and not len(air.sound())
    air.reply(lambda: reply)
    assert isinstance(air.onset(100), Overlap) and not air.echoes(voice) and air.sound() is reply
    air.over(1000)
    assert air.echoes(voice) and not air.echoes(clip("lk_hello.wav")) and not len(air.sound())
    assert air.onset(1000 + RINGS) is None and air.echoes(voice)
    assert air.onset(1001 + RINGS) is None and not air.echoes(voice)


@pytest.mark.parametrize("then", ["somebody", "another reply"])
def test_what_is_no_echo_is_not_asked_again(then: str) -> None:
    voice = clip("lk_weather.wav")
    air = Air()
    air.reply(lambda: clip("lk_weather.wav", REPLY_RATE))
    air.over(0)
    if then == "somebody":
        air.no_echo()
    else:
        air.reply(lambda: NOTHING)
    assert not air.echoes(voice)
