"""Words to find, and where they stand in a text. Pure functions of text; knows no database.

A text is cut into tokens that SQLite's FTS5 (`unicode61`) takes as they are. Scripts without spaces give one token for
each character, so that 天氣 is the phrase 天 + 氣: FTS5's trigram tokenizer finds neither it nor "go". The same cutting
serves the index, the query and the marks on the page, so that what is found is what is marked.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

MAX_QUERY = 200  # characters
MAX_PHRASES = 12

# Thai and Lao, Myanmar, Khmer, kana, Han, Hangul: each character is a token
_ALONE = re.compile(
    r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    r"\uac00-\ud7a3\uf900-\ufaff\U00020000-\U0003134f]"
)
_PIECE = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class Token:
    """What is looked for and found as one."""

    word: str  # folded: no case, no accents, no width
    start: int  # in the text, in characters
    end: int
    alone: bool  # one character of a script without spaces


@dataclass(frozen=True, slots=True)
class Phrase:
    """Words that follow each other. `prefix`: the last one is still being typed, and may be longer in the text."""

    words: tuple[str, ...]
    prefix: bool = False


def tokens(text: str) -> list[Token]:
    """All words of `text` in order, and each character of a script without spaces by itself."""
    found: list[Token] = []
    word, start = "", 0
    for at, char in enumerate(text):
        folded, alone = _fold(char)
        if folded and not alone:
            start = start if word else at
            word += folded
            continue
        if word and unicodedata.combining(char):
            continue  # an accent that stands apart: the word goes on
        if word:
            found.append(Token(word, start, at, False))
            word = ""
        if alone:
            found.append(Token(folded, at, at + 1, True))
    if word:
        found.append(Token(word, start, len(text), False))
    return found


def indexed(text: str) -> str:
    """The tokens of a text, apart: what the index is given."""
    return " ".join(token.word for token in tokens(text))


def phrases(query: str) -> list[Phrase]:
    """What is asked for: all of these, each piece between spaces (or in quotation marks) as a phrase. [] for nothing
    that a text can hold."""
    query = query[:MAX_QUERY]
    found = []
    for piece in _PIECE.finditer(query):
        cut = tokens(piece[1] if piece[1] is not None else piece[2])
        if cut:
            typing = piece[2] is not None and piece.end() == len(query) and not cut[-1].alone
            found.append(Phrase(tuple(token.word for token in cut), typing))
    return found[:MAX_PHRASES]


def expression(wanted: Sequence[Phrase]) -> str:
    """For FTS5's MATCH. Tokens hold letters and digits only, so nothing of a query can be syntax."""
    return " AND ".join(f'"{" ".join(phrase.words)}"' + (" *" if phrase.prefix else "") for phrase in wanted)


def marks(text: str, wanted: Sequence[Phrase]) -> list[tuple[int, int]]:
    """Where the phrases stand in a text: (start, end) in order, none over another."""
    cut = tokens(text)
    words = [token.word for token in cut]
    spans = []
    for phrase in wanted:
        size = len(phrase.words)
        for at in range(len(words) - size + 1):
            last = words[at + size - 1]
            whole = last.startswith(phrase.words[-1]) if phrase.prefix else last == phrase.words[-1]
            if whole and tuple(words[at : at + size - 1]) == phrase.words[:-1]:
                spans.append((cut[at].start, cut[at + size - 1].end))
    joined: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((start, end))
    return joined


@lru_cache(maxsize=16_384)
def _fold(char: str) -> tuple[str, bool]:
    """A character as the index knows it, "" if it parts words; and whether it is a token of its own."""
    composed = unicodedata.normalize("NFKC", char)
    if len(composed) == 1 and _ALONE.match(composed):
        return (composed, True) if unicodedata.category(composed)[0] in "LN" else ("", False)
    plain = unicodedata.normalize("NFKD", char).casefold()
    return "".join(c for c in plain if unicodedata.category(c)[0] in "LN"), False
