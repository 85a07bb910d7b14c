import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.finding import MAX_PHRASES, expression, indexed, marks, phrases, tokens


def marked(text: str, query: str) -> list[str]:
    return [text[start:end] for start, end in marks(text, phrases(query))]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("How's the weather?", "how s the weather"),
        ("今天天氣go吧", "今 天 天 氣 go 吧"),
        ("Café CAFE\u0301 ＡＢＣ", "cafe cafe abc"),
        ("ﬁne straße 3.5", "fine strasse 3 5"),
        ("ありがとう 고마워 ไทย", "あ り が と う 고 마 워 ไ ท ย"),
        ("\N{HOT BEVERAGE} … 「」", ""),
    ],
)
def test_a_text_is_cut_into_words_and_single_characters(text: str, words: str) -> None:
    assert indexed(text) == words


@pytest.mark.parametrize(
    ("text", "query", "found"),
    [
        ("明天的天氣好嗎", "天氣", ["天氣"]),
        ("天空的氣", "天氣", []),
        ("你好，好嗎", "好", ["好", "好"]),
        ("Go on, it is going well. Ergo", "go", ["Go", "going"]),  # the word that is being typed
        ("Go on, it is going well", "go ", ["Go"]),
        ("我想下載App很慢", "下載app很", ["下載App很"]),
        ("steep the oolong tea", "oolong tea", ["oolong", "tea"]),
        ("tea that is called oolong", "oolong tea", ["tea", "oolong"]),
        ("tea that is called oolong", '"oolong tea"', []),
        ("the CAFÉ", "cafe", ["CAFÉ"]),
        ("Don't", "don't", ["Don't"]),
    ],
)
def test_what_is_asked_for_is_marked(text: str, query: str, found: list[str]) -> None:
    assert marked(text, query) == found


@given(st.text(max_size=60), st.text(max_size=20))
def test_any_text_can_be_searched_with_any_query(text: str, query: str) -> None:
    wanted = phrases(query)
    assert len(wanted) <= MAX_PHRASES and (not wanted or expression(wanted))
    assert all(0 <= start < end <= len(text) for start, end in marks(text, wanted))
    for token in tokens(text):
        assert indexed(token.word) == token.word  # the index holds what a query asks for


def test_tokens_know_their_place() -> None:
    text = "A b天c\u0301d!"
    assert [text[t.start : t.end] for t in tokens(text)] == ["A", "b", "天", "c\u0301d"]
