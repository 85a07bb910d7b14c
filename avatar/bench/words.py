"""Words compared: the word error rate, and whether an utterance contains what was said."""

import re
from difflib import SequenceMatcher

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_ONES, _TENS = _NUMBERS.split()[:20], ["", "", *_NUMBERS.split()[20:]]
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+")


def normalised(text: str) -> list[str]:
    """Words without case, punctuation and hyphens; numbers below a hundred as words, longer ones digit by digit."""
    plain = text.lower().replace("’", "'").replace("-", " ")
    return [word for token in _TOKEN.findall(plain) for word in (_spelled(token) if token.isdigit() else [token])]


def _spelled(digits: str) -> list[str]:
    if len(digits) > 2 or digits.startswith("0"):
        return [_ONES[int(digit)] for digit in digits]
    number = int(digits)
    if number < 20:
        return [_ONES[number]]
    return [_TENS[number // 10], *([_ONES[number % 10]] if number % 10 else [])]


def edits(said: list[str], heard: list[str]) -> int:
    """Levenshtein distance in words: substitutions, insertions and deletions count one each."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(diagonal + (word != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def word_error_rate(pairs: list[tuple[str, str]]) -> float:
    """Of (said, heard): all edits over all words said. 0.0 for nothing said."""
    sets = [(normalised(said), normalised(heard)) for said, heard in pairs]
    words = sum(len(said) for said, _ in sets)
    return sum(edits(said, heard) for said, heard in sets) / words if words else 0.0


def contains(heard: str, said: str) -> bool:
    """Whether at least half of the words said stand in what was heard, in order: recognisers mangle the rest."""
    words, all_heard = normalised(said), normalised(heard)
    blocks = SequenceMatcher(None, words, all_heard, autojunk=False).get_matching_blocks()
    return 2 * sum(block.size for block in blocks) >= len(words)
