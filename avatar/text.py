"""Clauses out of a token stream, and what of a text may be read aloud. Pure functions of text; knows no engine."""

import re
import unicodedata
from collections.abc import Iterable

_HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_KANA = r"\u3041-\u30ff\u31f0-\u31ff"
_CJK = _HAN + _KANA
_CJK_MARKS = r"\u2026\u3000-\u303f\uff00-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65"
_ONE_CJK = re.compile(f"[{_CJK}]")

# Limits of a clause in hanzi. A word counts for 1.6 of them: it is 25 words where it is 40 hanzi.
HANZI_PER_WORD = 1.6
FIRST_MIN = 6.0  # 4 words or 6 hanzi: shorter sounds clipped, and the next clause may not be ready when it ends
FIRST_SOFT = 8.0  # from 5 words or 8 hanzi without punctuation, the beginning of a phrase will do: 10-15 ms a token
FIRST_CAP = 26.0  # 16 words: any space will do
MAX = 40.0
MAX_CHARS = 400  # whatever the script

_CLOSERS = r"[\"'”’»)\]*_`」』）》】]*"
# What a clause must not start with: in the middle of a line these are words, at the start of one they are markup.
_NEXT = r"(?=\s+[^\s>•–—-])"
_SENTENCE = re.compile(
    rf"(?<![.…])[.!?]{_CLOSERS}{_NEXT}|[!?]{_CLOSERS}(?=[{_CJK}])|[。！？]+[!?]*{_CLOSERS}(?=[^\s。！？!?”’」』）》】])|。$"
)
_SOFT = re.compile(
    rf"[,;:]{_CLOSERS}(?=\s+[^\s\d>•–—-])|[，；：]|\s[-–—]+(?=\s+[^\s>•–—-])|[—–]+(?=[^\W\d])|(?:\.{{2,}}|…+){_CLOSERS}{_NEXT}"
    rf"|…+(?=[{_CJK}])"
)
_STRONG = re.compile(
    r"\s+(?=(?:but|because|although|though|which|while|whereas|unless|however|if|when|where)\s|"
    r"(?:and|so|or)\s(?:i|you|he|she|it|we|they|this|that|there|then)\s)|"
    r"(?<=[^\s，])(?=但是|因为|所以|如果|不过|然后|而且)",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\s+(?=(?:in|on|at|for|with|from|by|about|into|through|during|before|after|over|under|between)\s)|"
    r"(?<!with|from)(?<!for)(?<!of|in|on|at|to|by)\s+(?=(?:that|who)\s)|、|(?<=[^\s，])(?=但|或者|以及|并且|同时)",
    re.IGNORECASE,
)
_VERB = r"(?:is|are|was|were|has|have|had|does|do|did|will|would|can|could|should|may|might|must)"
_PHRASE = re.compile(  # only in the first clause, which the voice says as one that goes on (engines/espeak.py)
    rf"{_WEAK.pattern}|\s+(?=(?:to|as)\s)"
    rf"|^(?:(?!\s{_VERB}\s|n?['’](?:s|m|re|ll|ve|d|t)\s).)+\s+(?={_VERB}\s)",  # between subject and predicate
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+(?=[^\s>•–—|-])")
_ANYWHERE = re.compile(rf"\s+(?=[^\s>•–—|-])|(?<=[{_CJK}])(?=[{_CJK}])")
_OPEN_LINK = re.compile(r"\[[^\[\]\n]{0,100}$|\]\([^()\s]{0,300}$")

_TITLE = re.compile("dr|mr|mrs|ms|mx|prof|st|sr|jr|gen|sen|rep|rev|hon|capt|lt|col|sgt|mt")
_BEFORE_NUMBER = re.compile(
    "nos?|figs?|vol|pp?|ch|sec|art|eq|approx|ca|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|min|max"
)
_ABBREVIATION = re.compile(  # the last: U.S, J, a.m
    r"etc|vs|cf|al|inc|ltd|co|corp|ph\.d|dept|est|ave|blvd|(?:[^\W\d_]\.)*[^\W\d_]"
)
# After an abbreviation only these start a sentence for sure: "the U.S. Army", but "in the U.S. The army".
_STARTER = re.compile(
    r"\s+(?:the|it|its|he|she|they|we|i|you|this|that|these|those|there|in|but|and|so|if|what|how|when|however|would|do|"
    r"is|are|a|an)\b(?=\W)"
)
_LIST_NUMBER = re.compile(r"(?:^|[:;.!?]\s|[：；。！？])[\s*_]*\(?\d{1,3}$")
_OPENING, _CLOSING = "“「『（《", "”」』）》"
FENCE = "```"


class ClauseSplitter:
    """Cuts a reply into clauses to speak while it is being written. The first is short, so that speech starts early.

    The clauses depend on the text alone, not on how it is chunked. Fenced code is dropped. Nothing else is lost: the
    clauses in order are the text. Not thread-safe; ready for the next reply after `flush`.
    """

    def __init__(self) -> None:
        self._pending, self._fenced, self._first = "", False, True
        self._goes_on = False  # the last clause ended within a sentence: what follows is wanted soon

    def push(self, delta: str) -> list[str]:
        """Take the next piece of the reply; returns the clauses that are certain now."""
        clauses: list[str] = []
        for char in delta:  # one at a time, so that chunking cannot matter
            self._take(char, clauses)
        return clauses

    def flush(self) -> list[str]:
        """The reply is complete: returns what is left of it."""
        clauses: list[str] = []
        if not self._fenced:
            self._emit(len(self._pending), clauses)
        self._pending, self._fenced, self._first, self._goes_on = "", False, True, False
        return clauses

    def _take(self, char: str, clauses: list[str]) -> None:
        inside_word = char.isascii() and char.isalnum() and self._pending[-1:].isalnum()
        self._pending += char
        if self._fenced:
            self._pending = self._pending[-len(FENCE) :]
            if self._pending == FENCE:
                self._pending, self._fenced = "", False
        elif self._pending.endswith(FENCE):
            self._emit(len(self._pending) - len(FENCE), clauses)
            self._pending, self._fenced = "", True
        elif char == "\n":
            self._emit(len(self._pending), clauses)
        elif not inside_word or len(self._pending) > MAX_CHARS:
            while (at := self._boundary()) is not None:
                self._emit(at, clauses)

    def _emit(self, at: int, clauses: list[str]) -> None:
        clause, self._pending = self._pending[:at].strip(), self._pending[at:].lstrip()
        if speakable(clause):
            clauses.append(clause)
            self._goes_on, self._first = self._first and clause[-1].isalnum(), False

    def _boundary(self) -> int | None:
        text = self._pending
        ends = [m.end() for m in _SENTENCE.finditer(text) if _ends_sentence(text, m) and _closed(text[: m.end()])][:1]
        if (self._first or self._goes_on) and (soft := _first(_SOFT, text) + _first(_STRONG, text)):
            ends.append(min(soft))
        if ends:
            return min(ends)
        if len(text) > MAX_CHARS:
            return (_fitting(_ANYWHERE, text) or [len(text)])[-1]
        size = _size(text)
        if self._first and size >= FIRST_SOFT and (at := _fitting(_PHRASE, text)):
            return at[-1]
        if self._first and size >= FIRST_CAP and (at := _fitting(_SPACE, text)):
            return at[-1]
        if size > MAX:
            for pattern in (_SOFT, _STRONG, _WEAK, _ANYWHERE):
                if at := _fitting(pattern, text):
                    return at[-1]
        return None


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    """Whether the punctuation that was found ends a sentence, and not an abbreviation or the number of a list."""
    if match[0] == "。":  # certain at once, unless a quotation that is open may close behind it
        before = text[: match.start()]
        return match.end() < len(text) or sum(map(before.count, _OPENING)) <= sum(map(before.count, _CLOSING))
    if match[0][0] != ".":
        return True
    before, after = text[: match.start()], text[match.end() :]
    word = (before.split() or [""])[-1].lstrip("([\"'“‘*_").lower()
    if _TITLE.fullmatch(word) or _LIST_NUMBER.search(before):
        return False
    if _BEFORE_NUMBER.fullmatch(word):
        return not after.lstrip()[:1].isdigit()
    if _ABBREVIATION.fullmatch(word):
        return after.lstrip()[:1].isupper() and _STARTER.match(after.lower()) is not None
    return True


def _closed(text: str) -> bool:
    return _OPEN_LINK.search(text) is None


def _fitting(pattern: re.Pattern[str], text: str) -> list[int]:
    """Where `pattern` allows a cut that leaves a clause of at least the least size."""
    ends = (m.end() for m in pattern.finditer(text))
    return [at for at in ends if _size(text[:at]) >= FIRST_MIN and _closed(text[:at])]


def _first(pattern: re.Pattern[str], text: str) -> list[int]:
    return _fitting(pattern, text)[:1]


def _size(text: str) -> float:
    """How long it takes to say, in hanzi."""
    hanzi = len(_ONE_CJK.findall(text))
    return hanzi + HANZI_PER_WORD * (count_words(text) - hanzi)


_BREAKS = re.compile(rf"[{_CJK}{_CJK_MARKS}]|[—–]")


def count_words(text: str) -> int:
    """Words as a person counts them: hanzi and kana one by one, anything else by spaces. Markup alone is no word.

    Coarse for scripts that are written without spaces, such as Thai.
    """
    words = _BREAKS.sub(" ", text).split()
    return len(_ONE_CJK.findall(text)) + sum(any(map(str.isalnum, word)) for word in words)


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
    cjk = len(_ONE_CJK.findall(text))
    kana = len(re.findall(f"[{_KANA}]", text))
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


_CJK_END = re.compile(f"[{_CJK}{_CJK_MARKS}]$")
_CJK_START = re.compile(f"[{_CJK}{_CJK_MARKS}]")


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
        if char in "\u200c\u200d":  # Persian and Indic words are spelled with them; behind an emoji they are glue
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
    shown = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in unicodedata.normalize("NFC", text))
    return " ".join(shown.split())
