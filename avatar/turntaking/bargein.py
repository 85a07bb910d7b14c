"""While a reply plays: is the voice in the microphone an interruption, a listening noise, or the reply's own echo?

Pure. The reply is ducked at the onset; these rules only decide whether it is also stopped.
"""

from difflib import SequenceMatcher
from typing import Literal

from avatar.turntaking import words as w

Verdict = Literal["wait", "ignore", "interrupt"]

# When to transcribe the piece, in ms since its onset. The last look leaves 700 - 560 = 140 ms for STT (60-110 ms for such
# pieces) and the flush; before 300 ms Moonshine tiny has nothing but inventions to offer.
LOOKS_MS = (300, 430, 560)
SHORT_MS = 250  # less voice than this is a click or a cough, unless it is "stop" or "no"
SPOKEN_RECENTLY = 40  # words: an echo arrives within a second, and speech is 2-4 words a second


def judge(text: str, *, voiced_ms: int, over: bool = False, reply: str = "") -> Verdict:
    """Judge a piece of speech heard while a reply plays.

    `text` is its transcript so far, `voiced_ms` how much of it is voiced, `over` whether the piece has paused, `reply` the
    words spoken so far. "wait": ask again at the next look. "ignore": unduck, keep talking, forget the piece.
    """
    words = w.tokens(text)
    undecided: Verdict = "ignore" if over else "wait"
    if not has_words(text) or is_echo(text, reply):
        return undecided
    if is_stop(text):
        return "interrupt"
    if voiced_ms < SHORT_MS or is_backchannel(text):
        return undecided
    if len(words) == 1 and voiced_ms < LOOKS_MS[1] and not over:
        return "wait"  # one word of a first look is often the invention that the next look corrects
    return "interrupt"


def has_words(text: str) -> bool:
    """False for nothing, punctuation, and the single words that Moonshine invents for noise."""
    words = w.tokens(text)
    return bool(words) and not (len(set(words)) <= 2 and all(word in w.INVENTED for word in words))


def is_stop(text: str) -> bool:
    """Whether it asks to stop: such words interrupt at once, even alone."""
    words = w.tokens(text)
    phrase = " ".join(words) if not any(w.HANZI.match(word) for word in words) else "".join(words)
    return bool(words) and (words[0] in w.STOPS or any(stop in phrase for stop in w.STOP_PHRASES))


def is_backchannel(text: str) -> bool:
    """Whether it is only listening noises ("mhm", "yeah, right", 嗯, 对对对): at most four words, all of the list."""
    words = w.tokens(text)
    return 0 < len(words) <= 4 and all(word in w.BACKCHANNELS for word in words)


def is_echo(heard: str, reply: str) -> bool:
    """Whether the words heard are the reply's own, come back through the room and mangled by the recogniser.

    Compared letter by letter against the last words spoken: half the letters of an echo come in the same order.
    """
    said = w.tokens(reply)[-SPOKEN_RECENTLY:]
    words = w.tokens(heard)
    if not said or not words:
        return False
    known = sum(word in said for word in words) / len(words)
    return known >= 0.75 or (len(words) >= 3 and _closest(" ".join(words), " ".join(said)) >= 0.7)


def _closest(part: str, whole: str) -> float:
    """How well `part` matches its best place in `whole`, 0..1."""
    matcher = SequenceMatcher(None, whole, part, autojunk=False)
    at = matcher.find_longest_match()
    start = max(0, at.a - at.b)
    return SequenceMatcher(None, whole[start : start + len(part)], part, autojunk=False).ratio()
