"""Words counted, joined and compared, in scripts with spaces between them and without. Pure functions of text."""

import re
from collections.abc import Iterable

from avatar.text.scripts import CJK, CJK_MARKS, ONE_CJK

_BREAKS = re.compile(rf"[{CJK}{CJK_MARKS}]|[—–]")


def count_words(text: str) -> int:
    """Words as a person counts them: hanzi and kana one by one, anything else by spaces. Markup alone is no word.

    Coarse for scripts that are written without spaces, such as Thai.
    """
    words = _BREAKS.sub(" ", text).split()
    return len(ONE_CJK.findall(text)) + sum(any(map(str.isalnum, word)) for word in words)


_CJK_END = re.compile(f"[{CJK}{CJK_MARKS}]$")
_CJK_START = re.compile(f"[{CJK}{CJK_MARKS}]")


def joined(clauses: Iterable[str]) -> str:
    """One text again: a space between clauses, nothing between Chinese or Japanese ones."""
    text = ""
    for clause in clauses:
        gap = "" if not text or (_CJK_END.search(text) and _CJK_START.match(clause)) else " "
        text += gap + clause
    return text


_ONE_SIGN = r"\u3040-\u30ff\u3400-\u9fff"  # kana and hanzi stand in no words that spaces part
_WORD = re.compile(rf"[{_ONE_SIGN}]|(?:(?![{_ONE_SIGN}])[^\W_])+(?:['’]\w+)*")
_SIGNS = re.compile(r"[^\w\s]*")


def agreed(before: str, now: str) -> str:
    """The beginning of `now` that `before` had too, in whole words with the signs behind them; case and signs are not
    compared. What two hearings of a growing utterance agree on seldom changes any more (LocalAgreement-2, Liu 2020).
    """
    end = 0
    for old, new in zip(_WORD.finditer(before), _WORD.finditer(now), strict=False):
        if old[0].casefold() != new[0].casefold():
            break
        end = new.end()
    signs = _SIGNS.match(now, end)
    return now[: signs.end()] if end and signs else ""
