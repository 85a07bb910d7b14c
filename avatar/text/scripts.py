"""Which script a text is written in, and what that says of its language. Pure functions of text."""

import re

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
KANA = r"\u3041-\u30ff\u31f0-\u31ff"
CJK = _HAN + KANA
CJK_MARKS = r"\u2026\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
UNSPACED = frozenset({"zh", "ja", "th"})  # languages that put no spaces between words
ONE_CJK = re.compile(f"[{CJK}]")

_SCRIPTS = {
    "ko": re.compile(r"[\uac00-\ud7a3]+"),
    "ru": re.compile(r"[\u0400-\u04ff]+"),
    "ar": re.compile(r"[\u0600-\u06ff]+"),
    "hi": re.compile(r"[\u0900-\u097f]+"),
    "th": re.compile(r"[\u0e00-\u0e7f]+"),
    "el": re.compile(r"[\u0370-\u03ff]+"),
    "he": re.compile(r"[\u0590-\u05ff]+"),
    "en": re.compile(r"[a-zA-Z\u00c0-\u024f]+"),
}


def language_of(text: str) -> str:
    """BCP 47 by script alone, the one with the most words or hanzi; "en" for all that is written in Latin letters.

    Coarse: it cannot tell Spanish from English or Ukrainian from Russian. Kana in a fifth of the text make it Japanese.
    """
    counts = {language: len(pattern.findall(text)) for language, pattern in _SCRIPTS.items()}
    cjk = len(ONE_CJK.findall(text))
    kana = len(re.findall(f"[{KANA}]", text))
    counts["ja" if kana * 5 >= cjk else "zh"] = cjk
    best = max(counts, key=lambda language: counts[language])
    return best if counts[best] else "en"


_WRITTEN_ALIKE = {  # tags that name a language of this script more exactly than the script can
    "zh": {"zh", "yue", "ja"},
    "ja": {"ja"},
    "ko": {"ko"},
    "ru": {"ru", "uk", "be", "bg", "sr", "mk", "kk", "ky", "tg", "mn"},
    "ar": {"ar", "fa", "ur", "ps"},
    "hi": {"hi", "mr", "ne"},
    "th": {"th"},
    "el": {"el"},
    "he": {"he", "yi"},
}
_NOT_LATIN = frozenset[str]().union(*_WRITTEN_ALIKE.values())


def voice_language(text: str, told: str | None) -> str | None:
    """The language a voice must know to say `text`: `told` (BCP 47) where it is written like that, else by script.

    A few letters of another script decide, because a voice of Latin letters cannot say them. None: Latin letters, and
    nothing else is known.
    """
    written = language_of(_SCRIPTS["en"].sub(" ", text))
    tag = (told or "").partition("-")[0].lower()
    if written == "en":
        return None if tag in _NOT_LATIN else told
    return told if tag in _WRITTEN_ALIKE[written] else written
