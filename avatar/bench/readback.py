"""The reply heard again: do its own sounds say its words, undistorted, loud enough, and without holes between clauses?

Knows no server. What it cannot tell is how the voice sounds to people.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from avatar.audio import resample
from avatar.bench.report import summary
from avatar.bench.words import edits, normalised
from avatar.events import Samples
from avatar.saying import spoken
from avatar.wire import REPLY_RATE

STT_RATE = 16_000  # Hz
LIMIT = 32_767  # of int16: what is louder was cut off
FLAT = 3  # samples in a row at the limit: one may be a peak that just fits
QUIET = round(10 ** (-45 / 20) * 32_768)  # -45 dBFS, as where a reply begins to sound
STEP = REPLY_RATE // 100  # 10 ms
GAP_MS = 80.0  # a longer silence between clauses is noticed
# Behind a sentence a voice breathes: so much is right there, and what is more may be a gap. eSpeak's are 130 ms.
BREATH_MS = 300.0
SENTENCE_ENDS = ".!?。！？…\"'”’)」"

Hear = Callable[[Samples], str]  # 16 kHz -> words


@dataclass(frozen=True, slots=True)
class Sound:
    """What came of a reply. `clauses`: text, first sample; `waits`: first sample, and the ms of silence before it that
    the listener heard because it came late."""

    pcm16: bytes = field(repr=False)
    clauses: Sequence[tuple[str, int]]
    waits: Sequence[tuple[int, float]] = ()


@dataclass(frozen=True, slots=True)
class Readback:
    words: int
    wrong: int
    clipped: int  # samples
    level_dbfs: float  # RMS of what is voiced; -inf for silence
    between: int  # places where a clause follows another
    gaps_ms: list[float]  # by how much the silence there is too long, where that is over GAP_MS
    heard: str = field(repr=False, default="")


def judged(sound: Sound, hear: Hear) -> Readback:
    """Blocks while it is heard. English: numbers and abbreviations count as they are said."""
    samples = np.frombuffer(sound.pcm16, "<i2")
    floats = samples.astype(np.float32) / np.float32(32_768)
    heard = hear(resample(floats, REPLY_RATE, STT_RATE)) if len(floats) else ""
    said, understood = (normalised(spoken(text, "en")) for text in (" ".join(t for t, _ in sound.clauses), heard))
    return Readback(
        words=len(said),
        wrong=min(len(said), edits(said, understood)),
        clipped=clipped(samples),
        level_dbfs=level_dbfs(floats),
        between=max(0, len(sound.clauses) - 1),
        gaps_ms=gaps_ms(sound, samples),
        heard=heard,
    )


def clipped(samples: np.ndarray[Any, np.dtype[np.int16]]) -> int:
    """Samples that stand at the limit with others."""
    edges = np.diff(np.concatenate([[0], np.abs(samples.astype(np.int32)) >= LIMIT, [0]]).astype(np.int8))
    runs = np.flatnonzero(edges == -1) - np.flatnonzero(edges == 1)
    return int(runs[runs >= FLAT].sum())


def level_dbfs(samples: Samples) -> float:
    """RMS of the 10 ms steps that are within 30 dB of the loudest."""
    power = np.square(samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64)).mean(axis=1)
    if not power.size or not power.max():
        return -math.inf
    return round(10 * math.log10(power[power >= power.max() / 1000].mean()), 1)


def gaps_ms(sound: Sound, samples: np.ndarray[Any, np.dtype[np.int16]]) -> list[float]:
    """The silences around the beginnings of clauses, with what was waited for there."""
    found = []
    loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > QUIET)
    for (before, _), (_, at) in zip(sound.clauses, sound.clauses[1:], strict=False):
        start = int(loud[loud < at][-1]) + 1 if (loud < at).any() else 0
        end = int(loud[loud >= at][0]) if (loud >= at).any() else len(samples)
        silence = (end - start) / REPLY_RATE * 1000 + sum(ms for first, ms in sound.waits if start <= first <= end)
        too_long = silence - (BREATH_MS if before.strip()[-1:] in SENTENCE_ENDS else 0.0)
        if too_long > GAP_MS:
            found.append(round(too_long, 1))
    return found


def moonshine() -> Hear:
    """The bundled speech recognition, in this process."""
    from avatar.engines.moonshine import load
    from avatar.settings import Settings

    engine = load(Settings.from_env(), lambda fraction: None)

    def hear(samples: Samples) -> str:
        *_, last = engine.transcribe(samples, None)
        return last.text

    return hear


def told(readbacks: Sequence[Readback]) -> dict[str, Any]:
    """The part of a result. `accuracy` is None without words."""
    words = sum(one.words for one in readbacks)
    gaps = [gap for one in readbacks for gap in one.gaps_ms]
    return {
        "replies": len(readbacks),
        "words": words,
        "accuracy": round(1 - sum(one.wrong for one in readbacks) / words, 4) if words else None,
        "clipped": sum(one.clipped for one in readbacks),
        "level_dbfs": summary([one.level_dbfs for one in readbacks]),
        "least_dbfs": min((one.level_dbfs for one in readbacks), default=None),
        "between": sum(one.between for one in readbacks),
        "gaps": len(gaps),
        "gap_max_ms": max(gaps, default=0.0),
    }
