"""While a reply plays: is the voice in the microphone an interruption, a listening noise, or the reply's own echo?

Pure. The reply is ducked at the onset; these rules only decide whether it is also stopped.
"""

from difflib import SequenceMatcher
from typing import Literal

from avatar.turntaking.words import BACKCHANNELS, HANZI, INVENTED, STOP_PHRASES, STOPS, tokens

Verdict = Literal["wait", "ignore", "interrupt"]

# When to transcribe the piece, in ms since its onset. Before 280 ms Moonshine tiny has little but inventions to offer;
# the last look leaves 200 ms of the 700 for Silero's late onsets, STT (20-60 ms for such pieces) and the flush.
LOOKS_MS = (280, 390, 500)
SHORT_MS = 250  # less voice than this is a click or a cough, unless it is "stop" or "no"
# Of 345 pieces of other voices 1 % reach 0.65, of 177 echoes in a simulated room 99 % do (echo.likeness, 2026-11-23).
ECHO_LIKENESS = 0.66
ECHO_WORDS = 3  # fewer words may be the reply's by chance: "what is", "it was"
SPOKEN_RECENTLY = 40  # words: an echo arrives within a second, and speech is 2-4 words a second


def judge(text: str, *, voiced_ms: int, over: bool = False, echo: float = 0.0, reply: str = "") -> Verdict:
    """Judge a piece of speech heard while a reply plays.

    `text` is its transcript so far, `voiced_ms` how much of it is voiced, `over` whether the piece has paused, `echo`
    what `echo.likeness` says, `reply` the words spoken so far. "wait": ask again at the next look. "ignore": unduck,
    keep talking, forget the piece.
    """
    undecided: Verdict = "ignore" if over else "wait"
    if not has_words(text) or echo >= ECHO_LIKENESS or is_echo(text, reply):
        return undecided
    if is_stop(text):
        return "interrupt"
    if voiced_ms < SHORT_MS or is_backchannel(text):
        return undecided
    if len(tokens(text)) == 1 and voiced_ms < LOOKS_MS[1] and not over:
        return "wait"  # the one word of a first look is often an invention that the next look corrects
    return "interrupt"


def has_words(text: str) -> bool:
    """False for nothing, punctuation, and the single words that Moonshine invents for noise."""
    words = tokens(text)
    return bool(words) and not (len(set(words)) <= 2 and all(word in INVENTED for word in words))


def is_stop(text: str) -> bool:
    """Whether it asks to stop: such words interrupt at once, even alone."""
    words = tokens(text)
    phrase = " ".join(words) if not any(HANZI.match(word) for word in words) else "".join(words)
    return bool(words) and (words[0] in STOPS or any(stop in phrase for stop in STOP_PHRASES))


def is_backchannel(text: str) -> bool:
    """Whether it is only listening noises ("mhm", "yeah, right", 嗯, 对对对): at most four words, all of the list."""
    words = tokens(text)
    return 0 < len(words) <= 4 and all(word in BACKCHANNELS for word in words)


def is_echo(heard: str, reply: str) -> bool:
    """Whether at least three words heard are the reply's own, in order, allowing for what the recogniser mangles.

    Catches what `echo.likeness` cannot: a reply on a second device, or one that comes back too late.
    """
    said = tokens(reply)[-SPOKEN_RECENTLY:]
    words = tokens(heard)
    return len(words) >= ECHO_WORDS and bool(said) and _closest(" ".join(words), " ".join(said)) >= 0.8


def _closest(part: str, whole: str) -> float:
    """How well `part` matches its best place in `whole`, 0..1."""
    starts = [i for i in range(len(whole)) if i == 0 or whole[i - 1] == " "]
    return max(SequenceMatcher(None, whole[i : i + len(part)], part, autojunk=False).ratio() for i in starts)
