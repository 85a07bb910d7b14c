"""Words compared as they are said: without case and punctuation, numbers in words, hanzi one by one."""

import re
from collections.abc import Sequence

_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_ONES, _TENS = _NUMBERS.split()[:20], ["", "", *_NUMBERS.split()[20:]]
_TOKEN = re.compile(r"[a-z]+(?:'[a-z]+)?|\d+|[\u3400-\u4dbf\u4e00-\u9fff]")


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


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """Levenshtein distance in words: substitutions, insertions and deletions count one each."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(diagonal + (word != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]
