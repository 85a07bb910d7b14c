"""Clauses for F5-TTS: how long they may be and last, and whether the sound of one is whole. Pure: numpy and text."""

import re

import numpy as np

from avatar.engines.reference import weight
from avatar.events import Samples

RATE = 24_000  # Hz, of its reference and of its sound
HOP = 256
# Phrases of fewer than about five words lose their first (SWivid/F5-TTS issues 460 and 1185): they get the time of this
# many bytes, and the silence that this leaves is cut off again.
LEAST_WEIGHT = 24
SLOW = 2.0  # at most so many times as long as the reference's pace says, for the shortest
QUIET_DB, SILENT_RMS = -38.0, 10 ** (-55 / 20)
KEEP_BEFORE_S, KEEP_AFTER_S = 0.03, 0.15  # of the silence around a clause
_CUT = re.compile(r"[,.;:!?，。；：！？、]+\s*|\s+|(?<=[\u3400-\u9fff])")


def pieces(words: str, most: int) -> list[str]:
    """Cut into pieces of at most `most` (see reference.weight), at the last mark, else space or hanzi, that fits; each
    ends with punctuation, or the model trails off."""
    found: list[str] = []
    while weight(words) > most:
        ends = [match.end() for match in _CUT.finditer(words) if 0 < weight(words[: match.end()]) <= most]
        marks = [
            end
            for end in ends
            if words[end - 1] in ",.;:!?，。；：！？、 " and words[:end].rstrip()[-1] in ",.;:!?，。；：！？、"
        ]
        at = next((end for end in reversed(marks) if weight(words[:end]) * 2 > most), ends[-1] if ends else 0)
        at = at or max(1, len(words.encode()[:most].decode(errors="ignore")))  # a word without end
        found.append(words[:at].strip())
        words = words[at:].strip()
    return [ended(piece) for piece in (*found, words) if any(map(str.isalnum, piece))]


def ended(piece: str) -> str:
    return piece if not piece[-1].isalnum() else piece + ("。" if piece[-1] >= "\u3000" else ".")


def frames_for(piece: str, pace: float) -> int:
    """How many frames a piece gets: the reference's pace, and more for what is short enough to be swallowed."""
    size = weight(piece)
    return max(1, round(min(max(size, LEAST_WEIGHT), size * SLOW) * pace))


def voiced(sound: Samples) -> int:
    """Samples in those 10 ms that are louder than QUIET_DB below the loudest, and than silence."""
    level = _levels(sound)
    return int((level > max(SILENT_RMS, float(level.max(initial=0.0)) * 10 ** (QUIET_DB / 20))).sum()) * (RATE // 100)


def trimmed(sound: Samples) -> Samples:
    """Without the silence around it, but for what a pause between clauses needs; empty when all is silent."""
    level = _levels(sound)
    loud = np.flatnonzero(level > max(SILENT_RMS, float(level.max(initial=0.0)) * 10 ** (QUIET_DB / 20)))
    if not len(loud):
        return sound[:0]
    step = RATE // 100
    start = max(0, int(loud[0]) * step - int(KEEP_BEFORE_S * RATE))
    return sound[start : (int(loud[-1]) + 1) * step + int(KEEP_AFTER_S * RATE)]


def _levels(sound: Samples) -> np.ndarray:
    step = RATE // 100
    return np.asarray(np.sqrt(np.mean(np.square(sound[: len(sound) // step * step].reshape(-1, step)), axis=1)))
