import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.engines.answer import ENOUGH, MOST, Clip, Openings, Thoughts

PIECES = st.lists(st.sampled_from(["<think>", "</think>", "<", "</", "think>", "<thi", "nk", "a", " b.", "<b>"]))
CUTS = st.lists(st.integers(1, 9), min_size=1)


def chunks(text: str, sizes: list[int]) -> list[str]:
    cut, i = [], 0
    while text:
        size = sizes[i % len(sizes)]
        cut, text, i = [*cut, text[:size]], text[size:], i + 1
    return cut


def unthought(text: str, sizes: list[int], inside: bool = False) -> str:
    thoughts = Thoughts(inside)
    return "".join([*map(thoughts.push, chunks(text, sizes)), thoughts.flush()])


@given(PIECES, CUTS, st.booleans())
def test_thoughts_are_dropped_however_the_text_is_cut(pieces: list[str], sizes: list[int], inside: bool) -> None:
    text = "".join(pieces)
    whole = f"<think>{text}" if inside else text
    assert unthought(text, sizes, inside) == re.sub(r"<think>.*?(?:</think>|\Z)|</think>", "", whole, flags=re.DOTALL)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("<think>They ask 2 < 3.</think>Yes.", "Yes."),
        ("A <think>x", "A "),
        ("1 < 2 and a <b", "1 < 2 and a <b"),
        ("One.<think>\n\n</think> Two.", "One. Two."),
    ],
)
def test_examples_of_thoughts(text: str, spoken: str) -> None:
    assert unthought(text, [1]) == unthought(text, [99]) == spoken


def test_nothing_waits_that_cannot_be_a_tag() -> None:
    thoughts = Thoughts()
    assert [thoughts.push(delta) for delta in ("Two <", "b", " is")] == ["Two ", "<b", " is"]


def test_a_thought_that_was_never_opened_is_noticed() -> None:
    thoughts = Thoughts()
    assert thoughts.push("Hmm, they greet me.</think>Hello") == "Hmm, they greet me.Hello"
    assert thoughts.unopened
    opened = Thoughts()
    opened.push("<think>a</think>b")
    assert not opened.unopened


def clipped(text: str, sizes: list[int]) -> str:
    clip, said = Clip(), ""
    for chunk in chunks(text, sizes):
        said += clip.push(chunk)
        if clip.full:
            return said
    return said


@given(st.text(alphabet="ab. !\n。你", max_size=600), CUTS)
def test_an_answer_is_cut_at_the_same_place_however_it_comes(text: str, sizes: list[int]) -> None:
    said = clipped(text, sizes)
    assert said == clipped(text, [1_000])
    assert text.lstrip().startswith(said) and len(said) <= MOST
    assert said == text.lstrip() or len(said) > ENOUGH // 3


def test_a_long_answer_ends_with_its_sentence_or_line() -> None:
    assert clipped("This is one sentence. " * 20, [4]) == "This is one sentence. " * 6 + "This is one sentence."
    assert clipped("这是一句话。" * 20, [4]) == "这是一句话。" * 8
    assert clipped("- an item\n" * 30, [4]) == "- an item\n" * 14 + "- an item"
    assert clipped("word " * 200, [4]) == ("word " * 200)[:MOST]
    assert clipped("  \nShort.", [1]) == "Short."


def uncircled(text: str, sizes: list[int]) -> str:
    openings, spoken = Openings(), ""
    for piece in chunks(text, sizes):
        spoken += openings.push(piece)
        if openings.again:
            return spoken
    return spoken + openings.flush()


SENTENCES = st.lists(
    st.sampled_from(["I'm glad you came. ", "I'm glad. ", "We do! ", "It is so, ", "Yes. ", "What is it? "])
)


@given(SENTENCES, CUTS)
def test_circles_end_at_the_same_place_however_the_text_is_cut(sentences: list[str], sizes: list[int]) -> None:
    text = "".join(sentences)
    spoken = uncircled(text, sizes)
    assert spoken == uncircled(text, [1]) and text.startswith(spoken)
    begun = [tuple(part.split()[:2]) for part in re.split(r"(?<=[.!?])\s", spoken) if part.strip()]
    assert len(begun) == len(set(begun))


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("I'm glad you're here. I'm glad you asked. I hope so.", "I'm glad you're here."),
        ("Hello, I am AVATAR. I am fine. How are you?", "Hello, I am AVATAR. I am fine. How are you?"),
        ("Yes. Yes.", "Yes."),
        ("It is 3.5 kilometres. We do", "It is 3.5 kilometres. We do"),
        ("今天很好。今天很好。", "今天很好。今天很好。"),
    ],
)
def test_examples_of_circles(text: str, spoken: str) -> None:
    assert uncircled(text, [1]) == uncircled(text, [99]) == spoken


def test_the_first_sentence_waits_for_nothing_and_a_later_one_for_two_words() -> None:
    openings = Openings()
    pieces = ["I", " am", " here", ".", " You", " are", " not", "."]
    assert [openings.push(piece) for piece in pieces] == ["I", " am", " here", ".", "", "", " You are not", "."]


@pytest.mark.parametrize(
    ("end", "more"), [("。」", "然後他走了。"), ("！」）", "他說。"), ('."', " Then he left."), (".", " Then.")]
)
def test_a_quotation_is_closed_before_the_answer_ends(end: str, more: str) -> None:
    whole = "「" * ("」" in end) + "word " * 40 + "so" + end
    clip = Clip()
    assert "".join(clip.push(char) for char in whole + more if not clip.full) == whole
