"""Clauses out of a token stream, to be spoken while the rest is written. Pure; knows no engine."""

import re

from avatar.text.markup import speakable
from avatar.text.scripts import CJK, ONE_CJK
from avatar.text.words import count_words

# Limits of a clause in hanzi. A word counts for 1.6 of them: it is 25 words where it is 40 hanzi.
HANZI_PER_WORD = 1.6
LETTERS_PER_WORD, LETTERS_PER_DIGIT = 4.5, 3.5  # long words and numbers take as long to say as several short words
FIRST_MIN = 6.0  # 4 words or 6 hanzi: shorter sounds clipped, and the next clause may not be ready when it ends
FIRST_SOFT = 8.0  # from 5 words or 8 hanzi without punctuation, the beginning of a phrase will do: 10-15 ms a token
FIRST_CAP = 26.0  # 16 words: any space will do
MAX = 40.0
MAX_CHARS = 400  # whatever the script

_CLOSERS = r"[\"'”’»)\]*_`」』）》】]*"
# What a clause must not start with: in the middle of a line these are words, at the start of one they are markup.
_NEXT = r"(?=\s+[^\s>•–—-])"
_SENTENCE = re.compile(
    rf"(?<![.…])[.!?]{_CLOSERS}{_NEXT}|[!?]{_CLOSERS}(?=[{CJK}])|[。！？]+[!?]*{_CLOSERS}(?=[^\s。！？!?”’」』）》】])|。$"
)
_SOFT = re.compile(
    rf"[,;:]{_CLOSERS}(?=\s+[^\s\d>•–—-])|[，；：]|\s[-–—]+(?=\s+[^\s>•–—-])|[—–]+(?=[^\W\d])|(?:\.{{2,}}|…+){_CLOSERS}{_NEXT}"
    rf"|…+(?=[{CJK}])"
)
_STRONG = re.compile(
    r"\s+(?=(?:but|because|although|though|which|while|whereas|unless|however|if|when|where)\s|"
    r"(?:and|so|or)\s(?:i|you|he|she|it|we|they|this|that|there|then)\s)|"
    r"(?<=[^\s，])(?=但是|因[为為]|所以|如果|不[过過]|然[后後]|而且)",
    re.IGNORECASE,
)
_WEAK = re.compile(
    r"\s+(?=(?:in|on|at|for|with|from|by|about|into|through|during|before|after|over|under|between)\s)|"
    r"(?<!with|from)(?<!for)(?<!of|in|on|at|to|by)\s+(?=(?:that|who)\s)|、|(?<=[^\s，])(?=但|或者|以及|[并並]且|同[时時])",
    re.IGNORECASE,
)
_VERB = r"(?:is|are|was|were|has|have|had|does|do|did|will|would|can|could|should|may|might|must)"
_PHRASE = re.compile(  # only in the first clause, which the voice says as one that goes on (engines/espeak.py)
    rf"{_WEAK.pattern}|\s+(?=(?:to|as)\s)"
    rf"|^(?:(?!\s{_VERB}\s|n?['’](?:s|m|re|ll|ve|d|t)\s).)+\s+(?={_VERB}\s)",  # between subject and predicate
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s+(?=[^\s>•–—|-])")
_ANYWHERE = re.compile(rf"\s+(?=[^\s>•–—|-])|(?<=[{CJK}])(?=[{CJK}])")
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
    hanzi = len(ONE_CJK.findall(text))
    digits = sum(map(str.isdigit, text))
    letters = sum(map(str.isalpha, text)) - hanzi + LETTERS_PER_DIGIT * digits
    return hanzi + HANZI_PER_WORD * max(count_words(text) - hanzi, letters / LETTERS_PER_WORD)
