"""What can be said of a text, its language, its words."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import replies

from avatar.text import agreed, count_words, joined, language_of, speakable, visible, voice_language

SPEAKABLE = [
    ("Plain words.", "Plain words."),
    ("# Title", "Title"),
    ("###### Small", "Small"),
    ("- item", "item"),
    ("* item", "item"),
    ("• item", "item"),
    ("- [x] done", "done"),
    ("> quoted", "quoted"),
    (">> - twice", "twice"),
    ("1. First", "1. First"),
    ("**bold** and *thin* and ***both***", "bold and thin and both"),
    ("__bold__ and _thin_", "bold and thin"),
    ("~~gone~~", "gone"),
    ("snake_case and 3*4", "snake_case and 3*4"),
    ("`x = 1` is code", "x = 1 is code"),
    ("a ```b\nc``` d", "a d"),
    ("```\nonly code\n```", ""),
    ("[the docs](https://a.com/b?c=d)", "the docs"),
    ("![a cat](cat.png)", "a cat"),
    ("as shown [1][^2]", "as shown"),
    ("https://www.example.com/a/b?c=d#e", "example.com"),
    ("See http://example.com:8080/x.", "See example.com."),
    ("See www.example.com/x, please", "See example.com, please"),
    ("(https://a.io/b)", "(a.io)"),
    ("看https://a.com/b。好", "看a.com。好"),
    ("me@example.com", "me@example.com"),
    ("| Name | Age |", "Name Age"),
    ("|---|:--:|", ""),
    ("---", ""),
    ("a<br>b <b>c</b>", "a b c"),
    ("2 < 3", "2 < 3"),
    ("Nice 😀👍🏽 day 👩‍👩‍👧", "Nice day"),
    ("🇫🇷 France ❤️", "France"),
    ("1️⃣ one ✅", "1 one"),
    ("20°C, №5, ㎡", "20°C, №5, ㎡"),
    ("A → B", "A B"),
    ("$x^2$ is \\(y\\) or $$z$$", "x^2 is y or z"),
    ("\\frac{a}{b} \\times 2", "a over b times 2"),
    ("It is $5 or US$6", "It is $5 or US$6"),
    ("a\u202eb\u200bc\ufeff\x00d", "abcd"),
    ("می\u200cخواهم", "می\u200cخواهم"),
    ("  a \t b\n\n c ", "a b c"),
    ("Line\u2028two", "Line two"),
    ("...", ""),
    ("！？", ""),
    ("", ""),
    ("\ud800lone", "lone"),
    ("**你好**，世界", "你好，世界"),
]


@pytest.mark.parametrize(("text", "expected"), SPEAKABLE)
def test_speakable(text: str, expected: str) -> None:
    assert speakable(text) == expected


@given(st.one_of(replies, st.text(max_size=80), st.text("`*_-># []()!{}\\$|<>:/w.a1\n", max_size=40)))
def test_speakable_is_idempotent_and_clean(text: str) -> None:
    once = speakable(text)
    assert speakable(once) == once
    assert once == " ".join(once.split())
    assert not [char for char in once if unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn")]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("Hello there, friend.", 3),
        ("don't well-known 3.14", 3),
        ("你好，世界", 4),
        ("我用Python 3", 4),
        ("hello，world", 2),
        ("--- ** 😀", 0),
        ("나는 학생입니다", 2),
        ("こんにちは", 5),
        ("yes—no", 2),
    ],
)
def test_count_words(text: str, count: int) -> None:
    assert count_words(text) == count


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("", "en"),
        ("123 !?", "en"),
        ("Hello", "en"),
        ("Où est la gare ?", "en"),
        ("你好", "zh"),
        ("我喜欢用Python编程", "zh"),
        ("The word 你好 means hello", "en"),
        ("こんにちは世界", "ja"),
        ("안녕하세요 세계", "ko"),
        ("Привет, мир", "ru"),
        ("مرحبا", "ar"),
        ("नमस्ते", "hi"),
        ("สวัสดี", "th"),
        ("Γειά σου", "el"),
        ("שלום", "he"),
    ],
)
def test_language_of(text: str, language: str) -> None:
    assert language_of(text) == language


def test_joined() -> None:
    assert joined([]) == ""
    assert joined(["Yes.", "I can."]) == "Yes. I can."
    assert joined(["好。", "走吧。"]) == "好。走吧。"
    assert joined(["好。", "OK.", "走吧。"]) == "好。 OK. 走吧。"
    assert joined(["네.", "좋아요."]) == "네. 좋아요."


@pytest.mark.parametrize(
    ("text", "told", "language"),
    [
        ("Hello there.", None, None),
        ("Guten Tag.", "de-AT", "de-AT"),
        ("Hello there.", "zh-TW", None),  # a model that answers Chinese in English
        ("42", "zh", None),
        ("你好", None, "zh"),
        ("你好", "en", "zh"),
        ("你好", "zh-TW", "zh-TW"),
        ("東京", "ja", "ja"),
        ("おはよう", "zh", "ja"),
        ("The word 你好 means hello.", "en", "zh"),  # two letters that no English voice can say
        ("Привіт", "uk", "uk"),
        ("Привет", "en", "ru"),
        ("안녕하세요", None, "ko"),
        ("", None, None),
    ],
)
def test_voice_language(text: str, told: str | None, language: str | None) -> None:
    assert voice_language(text, told) == language


@pytest.mark.parametrize(
    ("before", "now", "stable"),
    [
        ("", "What is", ""),
        ("What is the wea", "What is the weather in", "What is the"),
        ("what is the weather.", "What is the weather in Paris", "What is the weather"),
        ("Hello world", "Hello, world. How", "Hello, world."),
        ("I don't kno", "I don’t know", "I"),
        ("Yes", "No", ""),
        ("今天天氣怎麼", "今天天氣，怎麼樣", "今天天氣，怎麼"),
        ("東京の天気は", "東京の天気を教えて", "東京の天気"),
        ("오늘 날씨가 어", "오늘 날씨가 어때", "오늘 날씨가"),
        ("我想用Pyth", "我想用Python寫", "我想用"),
    ],
)
def test_what_two_hearings_agree_on(before: str, now: str, stable: str) -> None:
    assert agreed(before, now) == stable


@given(st.text(alphabet="ab cé我のꀀ가'., ", max_size=30), st.text(alphabet="ab cé我のꀀ가'., ", max_size=30))
def test_agreement_is_a_beginning_that_cuts_no_word(before: str, now: str) -> None:
    stable = agreed(before, now)
    assert now.startswith(stable) and len(agreed(now, before)) <= len(before)
    assert count_words(agreed(now, before)) == count_words(stable)
    assert [c for c in agreed(now, now) if c.isalnum()] == [c for c in now if c.isalnum()]
    rest = now[len(stable) :]
    assert not (stable and rest and stable[-1] in "abcé" and rest[0] in "abcé")


@pytest.mark.parametrize(
    ("typed", "shown"),
    [
        ("می\u200cخواهم", "می\u200cخواهم"),  # without it, it is two words
        ("क्\u200dष", "क्\u200dष"),
        ("Family 👨\u200d👩\u200d👧", "Family 👨\u200d👩\u200d👧"),
        ("a\u200b\u202eb\u200d", "a b"),
        ("\u200d", ""),
        (" two\nlines\x00 ", "two lines"),
        ("half \ud83d", "half"),
    ],
)
def test_what_is_kept_of_a_name_is_what_its_reader_sees(typed: str, shown: str) -> None:
    assert visible(typed) == shown
