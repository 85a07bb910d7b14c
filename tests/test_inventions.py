"""What Whisper invents is dropped; what people say is not."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.engines.inventions import COURTESIES, LOGPROB, NO_SPEECH, OUTROS, Decoded, plain, words

SURE = {"no_speech": 0.05, "logprob": -0.3}
NOISE = {"no_speech": 0.8, "logprob": -0.6}
GUESS = {"no_speech": 0.1, "logprob": -1.4}


@pytest.mark.parametrize(
    "text",
    [
        " Thanks for watching!",
        "Thank you for watching. See you next time!",
        "Subtitles by the Amara.org community",
        "字幕由Amara.org社區提供",
        "請不吝點贊 訂閱 轉發 打賞支持明鏡與點點欄目",
        "謝謝大家的收看，我們下次再見",
        "優優獨播劇場——YoYo Television Series Exclusive",
        "中文字幕志願者 李宗盛",
        "ご視聴ありがとうございました。",
        "チャンネル登録よろしくお願いします!",
        "시청해 주셔서 감사합니다.",
        "MBC 뉴스 이덕영입니다.",
        "Untertitel der Amara.org-Community",
        "Sous-titres réalisés par la communauté d'Amara.org",
        "Subtítulos realizados por la comunidad de Amara.org",
        "♪♪♪",
        ". . .",
        "",
    ],
)
def test_outros_and_credits_are_nobodys_words_however_sure_it_is(text: str) -> None:
    assert words(Decoded(text, **SURE)) == ""


@pytest.mark.parametrize("text", ["Thank you.", "you", "Bye-bye.", "謝謝。", "ありがとうございました。", "감사합니다."])
def test_what_people_say_too_is_dropped_only_in_doubt(text: str) -> None:
    assert words(Decoded(text, **SURE)) == text
    assert words(Decoded(text, **NOISE)) == words(Decoded(text, **GUESS)) == ""


@pytest.mark.parametrize(
    "text",
    [
        "Yes.",
        "No.",
        "Okay.",
        "Stop!",
        "好",
        "對",
        "不要",
        "沒有",
        "はい",
        "いいえ",
        "네",
        "아니요",
        "How do you say thanks for watching in Japanese?",
        "What is amara.org?",
        "謝謝觀看怎麼翻譯成英文？",
        "字幕由誰提供？",
        "KBS 뉴스 틀어줘",
        "자막 제공해 줘",
        "I want to subscribe to the New York Times.",
        "Turn on subtitles by default, please.",
        "7",
    ],
)
def test_real_answers_and_questions_stay_even_in_doubt(text: str) -> None:
    assert words(Decoded(text, **SURE)) == words(Decoded(text, **NOISE)) == words(Decoded(text, **GUESS)) == text


def test_words_with_no_speech_in_them_that_it_only_guessed_are_none() -> None:
    """The rule of openai/whisper; either half alone drops nothing."""
    assert words(Decoded("The quick brown fox.", NO_SPEECH + 0.1, LOGPROB - 0.1)) == ""
    assert words(Decoded("The quick brown fox.", NO_SPEECH + 0.1, LOGPROB + 0.1)) == "The quick brown fox."
    assert words(Decoded("The quick brown fox.", NO_SPEECH - 0.1, LOGPROB - 0.1)) == "The quick brown fox."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("It was the age, " * 20, "It was the age,"),
        ("對" * 60, "對"),
        ("Thanks for watching! " * 15, ""),
        ("no no no", "no no no"),
        ("對對對對對", "對對對對對"),
        ("1,000,000,000", "1,000,000,000"),
        ("a number " + "0" * 80, "a number " + "0" * 80),
    ],
)
def test_a_loop_is_said_once_and_emphasis_stays(text: str, said: str) -> None:
    assert words(Decoded(text, **SURE)) == said


def test_the_lists_are_as_plain_leaves_words() -> None:
    for phrase in OUTROS | COURTESIES:
        assert phrase and plain(phrase) == phrase
    assert not OUTROS & COURTESIES


@given(st.text(max_size=30), st.floats(0, 1), st.floats(-5, 0))
def test_it_only_ever_takes_away(text: str, no_speech: float, logprob: float) -> None:
    said = words(Decoded(text, no_speech, logprob))
    assert said == "" or plain(said) != ""
    assert len(said) <= len(text) and words(Decoded(said, no_speech, logprob)) in (said, "")


@given(st.sampled_from(sorted(OUTROS)), st.sampled_from(["", "!", "。", " ... ", "♪"]))
def test_signs_and_case_hide_nothing(phrase: str, sign: str) -> None:
    assert words(Decoded(sign + phrase.upper() + sign, **SURE)) == ""


def test_the_longest_loop_takes_no_time() -> None:
    started = time.thread_time()
    words(Decoded("ab cd ef " * 250 + "gh", **SURE))
    words(Decoded("".join(chr(0x4E00 + i % 41) for i in range(2_000)), **SURE))
    assert time.thread_time() - started < 0.05
