"""While a reply plays: is the voice in the microphone an interruption, a listening noise, or the reply's own echo?

Pure. The reply is ducked at the onset; these rules only decide whether it is also stopped.
"""

from dataclasses import dataclass
from typing import Literal

from avatar.turntaking.words import BACKCHANNELS, HANZI, INVENTED, STOP_PHRASES, STOPS, tokens

Verdict = Literal["wait", "ignore", "interrupt"]

# When to transcribe the piece, in ms since its onset. Before 280 ms Moonshine tiny has little but inventions to offer;
# the last look leaves 200 ms of the 700 for Silero's late onsets, STT (20-60 ms for such pieces) and the flush.
LOOKS_MS = (280, 390, 500)
STOP_MS = 150  # less voice than this is a click or a cough; "stop" and "no" are shorter than other words
# Of 201 pieces of echo in a simulated room all reach 0.62, of 1,321 pieces of other voices 2.6 %: those wait for the
# next look (echo.likeness, 2 s of reply, 2026-11-23).
ECHO_LIKENESS = 0.62


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """How much voice, in ms, interrupts: any words at all, and a single word that has not ended yet."""

    short_ms: int
    single_ms: int


# "normal" is what was measured (avatar.bench bargein); the others move its two times by one look each, and ask for no
# other words: who sits in a noisy room wants "careful", who is never heard wants "quick". "stop" is the same in all.
SENSITIVITIES = {
    "careful": Sensitivity(LOOKS_MS[1], LOOKS_MS[2]),
    "normal": Sensitivity(250, LOOKS_MS[1]),
    "quick": Sensitivity(STOP_MS, LOOKS_MS[0]),
}
NORMAL = SENSITIVITIES["normal"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """`why` names the rule, never the words."""

    verdict: Verdict
    why: str


def judge(
    text: str,
    *,
    voiced_ms: int,
    over: bool = False,
    echo: float = 0.0,
    began: str = "",
    sensitivity: Sensitivity = NORMAL,
) -> Judgement:
    """Judge a piece of speech heard while a reply plays.

    `text` is its transcript so far, `voiced_ms` how much of it is voiced, `over` whether the piece has paused, `echo`
    the mean of what `echo.likeness` says now and said at the last look into this piece. "wait": ask again at the next
    look. `began` is the transcript at its first look. "ignore": unduck, keep talking, forget the piece.
    """
    undecided: Verdict = "ignore" if over else "wait"
    if not has_words(text):
        return Judgement(undecided, "no words")
    if echo >= ECHO_LIKENESS:
        return Judgement(undecided, "echo")
    if is_stop(text) and voiced_ms >= STOP_MS:
        return Judgement("interrupt", "stop word")
    if voiced_ms < sensitivity.short_ms:
        return Judgement(undecided, "short")
    if is_backchannel(text):
        return Judgement(undecided, "listening noise")
    if len(tokens(text)) == 1:
        if voiced_ms < sensitivity.single_ms and not over:  # an invention, often, that the next look corrects
            return Judgement("wait", "one word")
        if is_backchannel(began) and not text.lower().startswith(tokens(began)[0]):
            # a hum becomes "Ever." when it is heard again; "yes" becoming "yesterday" is a word
            return Judgement(undecided, "listening noise")
    return Judgement("interrupt", "words")


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
