"""When to answer: Smart Turn's probability and the words so far become a time to wait.

Pure. The sound alone calls 57 % of the pauses inside speech finished, so words that cannot end a sentence overrule it,
and greetings, which are too short for it, need less of it. Measured: `python -m avatar.bench.endpointing`.
"""

import re
from dataclasses import dataclass
from enum import Enum

from avatar.turntaking.words import (
    CLOSED_ZH,
    COMPLETE,
    GREETINGS,
    HANZI,
    NUMBERS,
    OPEN,
    OPEN_ZH,
    OPENERS,
    QUESTION,
    SUBORDINATE,
    WEAK,
    WEAK_ZH,
    has_verb,
    tokens,
)


class Ending(Enum):
    """How the words so far end. Value: Smart Turn's probability needed at the soft pause, and at later looks, and the
    share of the patience that a probability just below that saves."""

    CLOSED = (0.5, 0.7, 0.5)
    QUESTION = (0.3, 0.4, 0.5)  # begins like a question, and the recogniser wrote the sign
    GREETING = (0.05, 0.05, 0.5)
    NO_WORDS = (0.7, 0.7, 0.5)  # no transcript (yet): the sound alone must be clear
    WEAK = (0.9, 0.95, 0.0)  # a word that ends few sentences, a number that may go on, a clause before its main clause
    ALONE = (1.01, 0.97, 0.0)  # one word, or words that only open
    OPEN = (1.01, 1.01, 0.0)  # cannot end here


SOFT_PAUSE_MS = 240  # a look before this much silence is the first one; those after it are later looks
SHORT_MS = 500  # voiced; 6 of 9 cut-offs this short sound finished to Smart Turn, and no whole clip is so short
HESITANT_MS = 400  # of the 8 mid pauses 3 are longer, all by one speaker
LONGER_MS = 250  # than the longest pause after which the user went on: so long is waited at least


@dataclass(frozen=True, slots=True)
class Decision:
    """Answer when the silence reaches `wait_ms`; `sure` when that is now. `why` names the rule, never the words.
    `needed` is the `probability` that the rule asks for; above 1 no sound is enough."""

    wait_ms: int
    sure: bool
    why: str
    probability: float = 0.0
    needed: float = 0.0


def decide(
    probability: float,
    text: str,
    *,
    voiced_ms: int,
    silence_ms: int,
    patience_ms: int,
    longest_pause_ms: int = 0,
    habit_ms: int = 0,
) -> Decision:
    """Judge one look into a pause. Call at each Pause event; a later decision replaces an earlier one.

    `text` is the transcript so far ("" if none), `silence_ms` the silence that Smart Turn heard, `longest_pause_ms` the
    longest pause in this utterance after which the user went on (an early reply counts). `habit_ms` of silence must
    pass before a statement of someone who was answered too early before: see habit.py.
    """
    ending, rule = classify(text)
    if ending in (Ending.CLOSED, Ending.QUESTION) and voiced_ms < SHORT_MS and rule != "complete word":
        ending, rule = Ending.ALONE, "short"  # whatever a recogniser makes of 0.4 s: "The way." for 对
    first, later, saves = ending.value
    needed = later if silence_ms > SOFT_PAUSE_MS else first
    hesitant = longest_pause_ms >= HESITANT_MS
    if hesitant and ending is Ending.CLOSED:
        needed = later  # who paused this long and went on gets the later look's certainty at once
    if ending in (Ending.QUESTION, Ending.GREETING):
        habit_ms = 0  # these end where they end
    if probability >= needed and not (hesitant and silence_ms > SOFT_PAUSE_MS):
        if silence_ms < min(habit_ms, patience_ms):
            return Decision(min(habit_ms, patience_ms), False, "pauses", probability, needed)
        return Decision(silence_ms, True, rule, probability, needed)
    # the pauses of someone who went on after longer ones sound finished in the end, too: 4 of 8 between the clauses
    # of ms_two_cities.flac do after 480 ms
    wait_ms = round(patience_ms * (1 - saves * min(1.0, probability / needed)))
    if longest_pause_ms or habit_ms:
        longest_ms = longest_pause_ms + LONGER_MS if longest_pause_ms else 0
        wait_ms = min(patience_ms, max(wait_ms, longest_ms, habit_ms))
    return Decision(max(wait_ms, silence_ms), False, rule, probability, needed)


def likely(text: str) -> bool:
    """Whether Smart Turn alone may end the turn at the soft pause after these words."""
    return classify(text)[0].value[0] <= 1


def classify(text: str) -> tuple[Ending, str]:
    """How `text` ends, and the rule that said so."""
    text = text.strip()
    words = tokens(text)
    if not words:
        return Ending.NO_WORDS, "no words"
    if text.endswith((",", "，", "、", "-", "…", "...", ":", "：", ";", "；")):
        return Ending.OPEN, "comma"
    return _classify_zh("".join(words)) if HANZI.match(words[-1]) else _classify_en(text, words)


def _classify_en(text: str, words: list[str]) -> tuple[Ending, str]:
    if words[0] in GREETINGS and len(words) <= 3:
        return Ending.GREETING, "greeting"
    if len(words) == 1:
        return (Ending.CLOSED, "complete word") if words[0] in COMPLETE else (Ending.ALONE, "one word")
    if words[-1] in OPEN:
        return Ending.OPEN, "open word"
    if all(word in OPENERS for word in words):
        return Ending.ALONE, "only openers"
    sentence = tokens(re.split(r"[.!?]\s+", text)[-1])
    question = _asks(sentence)
    if words[0] in OPENERS and not text.endswith("?") and not has_verb(words):
        return Ending.OPEN, "opener without a verb"
    if words[-1] in WEAK:
        return (Ending.WEAK if question else Ending.OPEN), "weak word"
    if words[-1] in NUMBERS or words[-1].isdigit():
        return Ending.WEAK, "number"
    if question and text.endswith("?"):
        return Ending.QUESTION, "question"
    if sentence and sentence[0] in SUBORDINATE and "," not in text and len(sentence) < 8:
        return Ending.WEAK, "first clause"
    return Ending.CLOSED, "closed"


def _asks(sentence: list[str]) -> bool:
    """Whether its first word, openers aside, is a question word or an auxiliary."""
    return next((word in QUESTION for word in sentence if word not in OPENERS), False)


def _classify_zh(hanzi: str) -> tuple[Ending, str]:
    if hanzi in GREETINGS:
        return Ending.GREETING, "greeting"
    if hanzi in COMPLETE:
        return Ending.CLOSED, "complete word"
    if len(hanzi) <= 2 or hanzi in OPENERS:
        return Ending.ALONE, "one word"
    if hanzi.endswith(CLOSED_ZH):
        return Ending.CLOSED, "closed"
    if last := max((word for word in OPEN_ZH if hanzi.endswith(word)), key=len, default=""):
        return (Ending.WEAK if last in WEAK_ZH else Ending.OPEN), "open word"
    return Ending.CLOSED, "closed"
