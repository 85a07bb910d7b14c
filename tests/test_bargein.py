import numpy as np
import pytest
from clips import clip

from avatar.bench import noises
from avatar.bench.bargein import beginning, echoed, replay
from avatar.engines import moonshine
from avatar.engines.moonshine import MoonshineSTT
from avatar.settings import Settings
from avatar.turntaking.bargein import SENSITIVITIES, has_words, judge
from avatar.turntaking.voice import Silero


@pytest.mark.parametrize(
    "text", ["Mhm.", "Uh-huh", "Mm-hmm,", "yeah, right", "Okay.", "嗯", "對對對", "好的", "M Mm-hmm,", "Haha."]
)
def test_listening_noises_do_not_interrupt(text: str) -> None:
    assert judge(text, voiced_ms=500).verdict == "wait"
    assert judge(text, voiced_ms=500, over=True).verdict == "ignore"


@pytest.mark.parametrize("text", ["안녕하세요", "はい", "Привет", "שלום", "ça va", "สวัสดี", "नमस्ते"])
def test_every_script_has_words(text: str) -> None:
    assert has_words(text)


@pytest.mark.parametrize(
    "text", ["Stop.", "Wait", "no, no", "okay, stop", "yeah hold on", "停", "等一下", "嗯，等等", "不是這樣"]
)
def test_stop_words_interrupt_at_once(text: str) -> None:
    assert judge(text, voiced_ms=290).verdict == "interrupt"


@pytest.mark.parametrize(
    "text", ["What about", "And so?", "I do not think", "yeah but what about cats", "我想問", "对了我想"]
)
def test_real_words_interrupt_at_the_first_look(text: str) -> None:
    assert judge(text, voiced_ms=290).verdict == "interrupt"


def test_one_word_is_heard_twice_before_it_counts() -> None:
    assert judge("Actually,", voiced_ms=290).verdict == "wait"
    assert judge("Actually,", voiced_ms=400).verdict == "interrupt"
    assert judge("Actually,", voiced_ms=290, over=True).verdict == "interrupt"


def test_a_hum_that_is_heard_again_as_one_word_is_still_a_hum() -> None:
    assert judge("Ever.", voiced_ms=480, began="Mm-Hmm").verdict == "wait"
    assert judge("Ever.", voiced_ms=480, over=True, began="Okay.").verdict == "ignore"
    assert judge("Yesterday.", voiced_ms=480, began="Yes.").verdict == "interrupt"
    assert judge("Ever since then", voiced_ms=600, began="Mm-Hmm").verdict == "interrupt"


def test_coughs_and_clicks_are_too_short_or_wordless() -> None:
    assert judge("Shut up.", voiced_ms=64, over=True).verdict == "ignore"  # what Moonshine once made of a cough
    assert judge("You", voiced_ms=400, over=True).verdict == "ignore"
    assert judge("", voiced_ms=400, over=True).verdict == "ignore"


def test_its_own_echo_does_not_interrupt_whatever_the_words() -> None:
    assert judge("Shut up, you said that.", voiced_ms=900, echo=0.8).verdict == "wait"
    assert judge("Shut up, you said that.", voiced_ms=900, echo=0.3).verdict == "interrupt"


@pytest.mark.parametrize(
    ("text", "voiced_ms", "interrupts"),
    [
        ("What about", 200, {"quick"}),
        ("What about", 300, {"normal", "quick"}),
        ("What about", 400, {"careful", "normal", "quick"}),
        ("Actually,", 300, {"quick"}),
        ("Actually,", 400, {"normal", "quick"}),
        ("Actually,", 500, {"careful", "normal", "quick"}),
        ("Stop.", 160, {"careful", "normal", "quick"}),
        ("Mhm.", 900, set()),
    ],
)
def test_the_wish_says_how_much_voice_interrupts(text: str, voiced_ms: int, interrupts: set[str]) -> None:
    found = {name: judge(text, voiced_ms=voiced_ms, sensitivity=wish) for name, wish in SENSITIVITIES.items()}
    assert {name for name, judgement in found.items() if judgement.verdict == "interrupt"} == interrupts


def test_why_names_the_rule_and_never_the_words() -> None:
    assert judge("Stop my secret.", voiced_ms=400).why == "stop word"
    assert judge("My secret", voiced_ms=400).why == "words"
    assert judge("My secret", voiced_ms=400, echo=0.7).why == "echo"
    assert judge("Secret", voiced_ms=100).why == "short"
    assert judge("Secret", voiced_ms=290).why == "one word"
    assert judge("Yeah.", voiced_ms=400).why == judge("Ever.", voiced_ms=480, began="Mhm").why == "listening noise"
    assert judge("You", voiced_ms=400, over=True).why == "no words"


@pytest.mark.parametrize("text", ["", "?", "...", "You", "the", "Mm-hmm.", "Uh, uh.", "嗯。"])
def test_inventions_are_no_words(text: str) -> None:
    assert not has_words(text)


@pytest.mark.parametrize("text", ["Yes.", "Thank you.", "You are right", "好", "Uh, tomorrow."])
def test_answers_are_words(text: str) -> None:
    assert has_words(text)


@pytest.fixture(scope="module")
def stt() -> MoonshineSTT:
    return moonshine.load(Settings.from_env(), lambda fraction: None)


@pytest.mark.slow
def test_twenty_noises_do_not_interrupt(stt: MoonshineSTT, silero: Silero) -> None:
    kinds = ["click", "typing", "knock", "cough", "throat", "mhm", "breath"] * 3
    heard = [replay(noises.make(kind, seed), silero.detector(), stt) for seed, kind in enumerate(kinds[:20])]
    assert [outcome.words for outcome in heard if outcome.interrupt_ms is not None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lk_hello.wav", "lk_weather.wav"])
def test_its_own_voice_at_minus_20_db_does_not_interrupt_but_a_user_does(
    stt: MoonshineSTT, name: str, silero: Silero
) -> None:
    voice = clip(name) * np.float32(0.3 / np.abs(clip(name)).max())
    own = replay(echoed(voice, -20), silero.detector(), stt, clip(name, 24_000))
    assert own.interrupt_ms is None
    ears_ms = 0.0  # what they take is for `bench barge` to judge: this machine may be busy
    user = replay(beginning(voice), silero.detector(), stt, noises.room(3.0), clock=lambda: ears_ms)
    assert user.duck_ms is not None and user.duck_ms <= 150
    assert user.interrupt_ms is not None and user.interrupt_ms <= 600
