"""Clauses out of a stream of tokens: where they end, and that nothing is lost."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import replies

from avatar.text import ClauseSplitter, count_words, speakable


def clauses(text: str, size: int = 0) -> list[str]:
    """All clauses of `text`, pushed in deltas of `size` characters; 0 is one delta."""
    splitter = ClauseSplitter()
    deltas = [text[at : at + size] for at in range(0, len(text), size)] if size else [text]
    return [clause for delta in deltas for clause in splitter.push(delta)] + splitter.flush()


# "/" marks where a clause ends; a case without one must stay whole.
SPLIT = [
    "Yes. / I can do that.",
    "Yes.",
    "Sure! / Here you are.",
    "Really?! / Yes!! / I mean it.",
    "The weather in Paris / is lovely, and it will stay sunny, / so bring a hat, a coat and a good book. / Bye.",
    "I like tea, coffee, / and water.",
    "Well, yes, of course I can.",
    "It is fine — really.",
    "I think it is fine — / really it is.",
    "We could walk to the station; / it is near.",
    "I would love to help you / but I cannot see.",
    "The city was founded long ago / because a river was there.",
    "You can take the early train / and then we can meet.",
    "Bread and butter and jam and tea and milk and cake and pie.",
    "The Eiffel Tower was completed / in the year eighteen eighty nine for the world.",
    # numbers
    "Pi is 3.14 and e is 2.71. / Good.",
    "It costs 1,000 dollars.",
    "Meet me at 10:30 today. / Bye.",
    "It is 3. / Then it is 4.",
    "Install version 3.11.7 now. / Done.",
    "It happened on July 4, 1776. / Right.",
    # abbreviations and initials
    "Dr. Smith met Mr. Jones. / They talked.",
    "Take fruit, e.g. apples. / They keep.",
    "She lives in the U.S. Army base.",
    "She lives in the U.S. / It is large.",
    "Come at 5 p.m. tomorrow. / Bye.",
    "J. K. Rowling wrote it. / Yes.",
    "No. / I cannot.",
    "It is No. 5 / on the list. / Nice.",
    "Apples, pears, etc. are fruit. / Eat them.",
    "We met on Jan. 5 here. / Yes.",
    "St. Louis is far. / Go.",
    # addresses, files, ellipses
    "See https://a.com/b.c?d=e. / Then go.",
    "Mail me@x.org today. / Bye.",
    "Open main.py first. / Then run it.",
    "Go to example.com. / It is free.",
    "Hmm... let me see.",
    "Well... I think so... / maybe later.",
    "Read [the docs. Really](https://a.com/b) now. / Done.",
    # quotes and markdown
    'She said "Hello there." / Then she left.',
    "He left (at last.) / We stayed.",
    "**Bold words.** / Plain words.",
    "1. Wash it. / 2. Cook it.",
    "Steps: 1. Wash it.",
    "# Title\n/ - one\n/ - two",
    "One line\n/ and another",
    # Chinese
    "好。",
    "好。/ 我们走吧。",
    "今天天气很好，/ 我们去公园。",
    "是的，我也可以，/ 你呢？/ 好！/ 走。",
    "他说：“好。”/ 然后走了。",
    "价格是3.5元。/ 很便宜。",
    "苹果、香蕉、梨和葡萄都很好吃。/ 你要吗？",
    "我想……也许可以。",
    "我今天想去公园散步/ 因为外面的阳光非常好。",
    "真的吗？！/ 是的。",
    # mixed
    "我喜欢用Python编程，/ 因为它很简单。/ 版本是3.12。",
    "Hello! / 你好。/ How are you?",
    "他用的是iPhone 15。/ It is new. / 好吗？",
    "Café Müller is open today, / naturally.",
]


@pytest.mark.parametrize("marked", SPLIT)
def test_clauses(marked: str) -> None:
    expected = [part.strip() for part in marked.split("/ ")]
    text = marked.replace(" / ", " ").replace("/ ", "")
    assert clauses(text) == expected
    assert clauses(text, 1) == expected


@pytest.mark.parametrize("word", ["因为", "因為", "不过", "不過", "然后", "然後", "并且", "並且", "同时", "同時"])
def test_a_conjunction_begins_a_clause_in_both_scripts(word: str) -> None:
    assert clauses(f"我今天想去公园散步{word}外面的天空很好。") == ["我今天想去公园散步", f"{word}外面的天空很好。"]


def test_later_clauses_are_whole_sentences_up_to_25_words() -> None:
    long = "the one with a rather long name, " * 6
    first, *others = clauses(f"Yes. Then, as I said, it is short. This is {long}and it ends.")
    assert others[0] == "Then, as I said, it is short."
    assert all(15 <= count_words(clause) <= 25 for clause in others[1:-1]) and len(others) > 2
    assert all(clause.endswith(",") for clause in others[1:-1])


@pytest.mark.parametrize("text", ["word " * 200, "字" * 300, "ไทย" * 400, "x" * 3000, "[" + "a b " * 300])
def test_nothing_is_held_for_ever(text: str) -> None:
    found = clauses(text, 3)
    assert "".join("".join(found).split()) == "".join(text.split())
    assert all(len(clause) <= 401 for clause in found)


@pytest.mark.parametrize(
    ("deltas", "needed"),
    [
        (["Yes", ".", " I", " can"], 3),  # the space after the full stop makes it sure
        (["It", " is", " 3", ".", "1"], None),
        (["好", "。"], 2),  # sure at once
        (["他", "说", "：", "“", "好", "。"], None),  # the quotation may close
        (["The", " weather", " is", " good", ",", " so"], 6),
        (["The", " sky", " is", " blue", " because", " of"], 6),
        (["今天", "天气", "很好", "，"], 4),
        (["Done", "!", "\n"], 3),
    ],
)
def test_look_ahead(deltas: list[str], needed: int | None) -> None:
    """How many deltas it takes until the first clause is out."""
    splitter = ClauseSplitter()
    out = [bool(splitter.push(delta)) for delta in deltas]
    assert (out.index(True) + 1 if any(out) else None) == needed


# Replies of SmolLM2-135M (temperature 0.7), where the first clause ended
@pytest.mark.parametrize(
    ("reply", "first", "tokens"),
    [
        ("The decision is yours, but I can offer a simple answer.", "The decision is yours,", 6),
        ("The sky is blue because of a process called scattering.", "The sky is blue", 6),
        ("Cooking rice can vary depending on the type and region.", "Cooking rice can vary depending", 7),
        ("The weather in the north is different from the south.", "The weather in the north", 7),
        ("I would be happy to tell you all of it.", "I would be happy", 6),
        ("The idea of the book is that you read.", "The idea of the book", 7),
        ("I'm fine. Just enjoying a relaxing day at the beach.", "I'm fine.", 5),
        ("Love is a wild thing, full of stars.", "Love is a wild thing,", 7),
    ],
)  # fmt: skip
def test_first_clause_of_real_replies(reply: str, first: str, tokens: int) -> None:
    splitter = ClauseSplitter()
    deltas = reply.replace(" ", "~ ").replace(",", "~,").replace(".", "~.").replace("'", "~'").split("~")
    for number, delta in enumerate(deltas, 1):
        if out := splitter.push(delta):
            assert out[0] == first and number <= tokens
            return
    pytest.fail("no clause")


def test_fenced_code_is_dropped_across_pushes_and_clauses() -> None:
    text = "Here it is:\n```python\nprint('Hi. There')\n\nx = 1\n```\nIt prints. Done."
    for size in (0, 1, 2, 3, 7):
        assert clauses(text, size) == ["Here it is:", "It prints.", "Done."]
    assert clauses("Look: ```a. b``` done.") == ["Look:", "done."]
    assert clauses("```\nnever closed. Really.") == []


def test_flush_makes_it_ready_for_the_next_reply() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("```open") + splitter.flush() == []
    assert splitter.push("The weather is very good, so") + splitter.flush() == ["The weather is very good,", "so"]
    assert splitter.push("The weather is very good, so") == ["The weather is very good,"]


def test_what_cannot_be_said_is_not_the_first_clause() -> None:
    assert clauses("---\n😀\nI like tea, coffee, and so on.") == ["I like tea, coffee,", "and so on."]


def test_a_long_reply_costs_next_to_nothing() -> None:
    began = time.process_time()
    clauses("The weather in Paris is lovely today, and it will stay sunny. " * 30, 4)
    clauses("今天的天气非常好我们可以去公园散步" * 30, 1)
    assert time.process_time() - began < 0.5  # 0.02 s


def letters(text: str) -> str:
    """What is said: without spaces, and without marks, which are not said where they stand alone."""
    return "".join(char for char in text if char.isalnum() or unicodedata.category(char)[0] == "M")


@given(replies)
def test_nothing_is_lost_or_reordered(text: str) -> None:
    assert letters("".join(map(speakable, clauses(text)))) == letters(speakable(text))


WORDS = [
    "The",
    "weather",
    "3.14",
    "1,000",
    "Dr. Who",
    "U.S.",
    "e.g. it",
    "https://x.org/y.z",
    "main.py",
    "今天",
    "因为",
    "and it",
]


plain = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from([" ", ", ", ". ", "! ", " — ", "... ", "，", "。", "？"]))
)


@given(plain)
def test_of_plain_text_not_even_a_mark_is_lost(words: list[tuple[str, str]]) -> None:
    text = "".join(word + mark for word, mark in words)
    assert "".join("".join(map(speakable, clauses(text))).split()) == "".join(speakable(text).split())


@given(st.one_of(replies, st.text(max_size=80)), st.integers(1, 9))
def test_chunking_does_not_matter(text: str, size: int) -> None:
    assert clauses(text, size) == clauses(text)


@given(replies)
def test_every_clause_can_be_said(text: str) -> None:
    assert all(speakable(clause) for clause in clauses(text))
