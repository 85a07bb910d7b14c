"""What of a text may be read aloud, without markup, emoji, code and addresses. Pure functions of text."""

import re
import unicodedata

_LINE_START = re.compile(r"^\s*(?:>+|[-–—•](?:\s+|$))\s*(?:\[[ xX]\]\s*)?")
_RULE = re.compile(r"[\s|:=*_>+-]*")  # --- and the second row of a table
_INLINE: list[tuple[re.Pattern[str], str]] = [
    (re.compile(r"!?\[([^\[\]\n]{0,100})\]\([^()\s]{0,300}\)"), r"\1"),  # links and pictures
    (re.compile(r"\[\^?\d{1,3}\]"), ""),  # citations
    (re.compile(r"</?[a-zA-Z][\w-]*\s*/?>"), " "),
    # A full stop behind an address belongs to the sentence.
    (re.compile(r"https?://(?:www\.)?([\w.-]*\w)(?::\d+)?(?:[/?#](?:[!-~]*[\w/=&#%-])?)?", re.A | re.I), r"\1"),
    (re.compile(r"\bwww\.([\w-]+(?:\.[\w-]+)+)(?:[/?#](?:[!-~]*[\w/=&#%-])?)?", re.A | re.I), r"\1"),
    (re.compile(r"(?<!\S)#{1,6}(?=\s|$)"), ""),
    (re.compile(r"(?<!\d)\*+|\*+(?!\d)|~~|`"), ""),  # 3*4 stays
    (re.compile(r"(?<![^\W_])_+|_+(?![^\W_])"), ""),  # snake_case stays
    (re.compile(r"\}\{"), " over "),  # \frac{a}{b}
    (re.compile(r"\\(?:d?frac|text|left|right|mathrm|mathbf|begin|end)(?![a-zA-Z])"), ""),
    (re.compile(r"\\(?=[a-zA-Z])"), " "),  # \times is a word without it
    (re.compile(r"\\[()\[\]]?|\$\$|\$(?!\d)|[{}]"), ""),  # $5 stays
    (re.compile(r"\|"), " "),  # cells of a table
]
_JOINERS = "\u200c\u200d"
_MARKS = re.compile(r"[\ufe00-\ufe0f\u20e3\U0001f3fb-\U0001f3ff]")  # variation selectors, keycap, skin tones


def speakable(text: str) -> str:
    """What of `text` may be read aloud, on one line: no markup, emoji, code blocks or addresses; a link is its text,
    and an address its domain. Empty when nothing is left to say. Idempotent."""
    text = re.sub(r"```.*?(?:```|\Z)", "\n", text, flags=re.DOTALL)
    while (once := _stripped(text)) != text:  # what is stripped may lay markup bare: "`- a`"
        text = once
    return text if any(map(str.isalnum, text)) else ""


def _stripped(text: str) -> str:
    lines = []
    for line in _printable(text).splitlines():
        if _RULE.fullmatch(line):
            continue
        line = _LINE_START.sub("", line)
        for pattern, replacement in _INLINE:
            line = pattern.sub(replacement, line)
        lines.append(line)
    return " ".join(" ".join(lines).split())


def _printable(text: str) -> str:
    """Without emoji, control, bidi and unassigned characters."""
    kept: list[str] = []
    for char in _MARKS.sub("", text):
        category = unicodedata.category(char)
        if category == "Cc" and not char.isspace():
            continue
        if char in _JOINERS:  # Persian and Indic words are spelled with them; behind an emoji they are glue
            if kept and unicodedata.category(kept[-1])[0] in "LM":
                kept.append(char)
        elif category not in ("Cf", "Cs", "Co", "Cn") and not _is_picture(char, category):
            kept.append(char)
    return "".join(kept)


def _is_picture(char: str, category: str) -> bool:
    if category != "So":
        return "\u2190" <= char <= "\u21ff"  # arrows
    return char >= "\u2190" and not "\u3200" <= char <= "\u33ff"  # below are ° and №, between are ㎡ and ㈱


def visible(text: str) -> str:
    """One line without control characters, in NFC."""
    whole = unicodedata.normalize("NFC", text)
    kept = (c if unicodedata.category(c)[0] != "C" or _joins(whole, at) else " " for at, c in enumerate(whole))
    return " ".join("".join(kept).split())


def _joins(text: str, at: int) -> bool:
    """Whether it is a joiner within a word of Persian or Hindi, or within a picture of several."""
    around = (text[at - 1 : at], text[at + 1 : at + 2])
    return text[at] in _JOINERS and all(c and unicodedata.category(c)[0] in "LMS" for c in around)
