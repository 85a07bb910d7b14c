"""What the voice is given to say: numbers, dates, times, money, units, phone numbers and abbreviations in words.

Pure functions of text; knows no engine. The chat, the captions and the history keep the text as it was written.
English and Chinese (both scripts, with English inside) have rules; another language goes to the voice as it is, except
for the owner's own sayings.
"""

import re
from collections.abc import Mapping

from avatar.saying import chinese, english
from avatar.text import language_of

MAX_SPOKEN = 4_000  # characters; ten times the longest clause: a clause of nothing but digits is 2,000 in English

_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = r"\u3041-\u30ff"
_JAPANESE = re.compile(f"[{_KANA}]")
_WORD = rf"[^\W{_KANA}\u3400-\u4dbf\u4e00-\u9fff]"  # hanzi are letters to `re`, but "AI" is a word of "AI很好"
_ALPHABETIC = re.compile(r"[0-9A-Za-z\u00aa-\u052f\u1e00-\u1fff]")  # Latin, Greek, Cyrillic: written with spaces
_ENGLISH_TAGS = ("", "en", "zh", "yue", "ja", "ko")  # who asks in Chinese gets a clause in Latin letters: it is English
_SMALL_WORD = re.compile("[a-z]{3}")  # without one it is no English: 128 GB, 2:00 PM
NO_SAYINGS: Mapping[str, str] = {}


def spoken(text: str, language: str | None = None, sayings: Mapping[str, str] = NO_SAYINGS) -> str:
    """The words to say for a speakable clause. Well under 1 ms; never raises, and loses no word.

    `language` (BCP 47) only decides where the writing does not: a clause of digits, Chinese or Japanese, English or
    French. `sayings` maps what is written to what its owner wants to hear; it is applied first, to each place once.
    """
    text = with_sayings(text, sayings)
    tag = (language or "").lower().partition("-")[0]
    if _HAN.search(text):
        chosen = "" if tag == "ja" or _JAPANESE.search(text) else "zh"
    elif any(map(str.isalpha, text)) and (tag not in ("zh", "yue") or _SMALL_WORD.search(text)):
        chosen = "en" if tag in _ENGLISH_TAGS and language_of(text) == "en" else ""
    else:
        chosen = {"": "en", "yue": "zh"}.get(tag, tag)
    if chosen == "zh":
        text = chinese.spoken(text, chinese.is_traditional(text, language))
    elif chosen == "en":
        text = english.spoken(text)
    return text[:MAX_SPOKEN]


def with_sayings(text: str, sayings: Mapping[str, str]) -> str:
    """`text` with each entry replaced, the longest first. Upper and lower case are one; what begins or ends in a letter
    of an alphabet matches there only at the edge of a word, hanzi anywhere."""
    folded = text.casefold()
    found = sorted((w for w in sayings if w and w.casefold() in folded), key=len, reverse=True)
    if not found:
        return text
    pattern = "|".join(f"({_edged(written)})" for written in found)
    return re.sub(pattern, lambda m: sayings[found[(m.lastindex or 1) - 1]], text)


def _edged(written: str) -> str:
    before = f"(?<!{_WORD})" if _ALPHABETIC.match(written[0]) else ""
    after = f"(?!{_WORD})" if _ALPHABETIC.match(written[-1]) else ""
    return f"{before}(?i:{re.escape(written)}){after}"  # the edges outside: (?i) takes 20 ms to compile their ranges


def prepare() -> None:
    """Import what the first number needs, 25 ms, so that nobody waits for it in a turn."""
    english.cardinal("1")
