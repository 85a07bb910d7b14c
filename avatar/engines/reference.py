"""The reference that an engine imitates: a few seconds of a voice and the words said in them. Pure: numpy and text.

How long it is counts: F5-TTS computes the reference anew with every clause (36 ms with 3 s of it and 46 ms with 6 s,
for 1.5 s of speech in 7 steps: research/gpu.md A). Its words must be all of its words and no others, or the rest is
said aloud in the reply.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from avatar.events import Samples

BEST_S = (3.0, 6.0)  # a cut is looked for here
LONGEST_S = 12.0  # F5-TTS was trained on no more, and cuts there without regard for words
SHORTEST_S = 1.0
QUIET_DB = -35.0  # below the loudest 20 ms: a pause
PAUSE_S = 0.12
AGREE = 0.07  # of the whole: how far a pause may lie from where the words say that it is
EDGE_S = 0.1  # of silence that is kept on either side
LEVEL = 0.1  # RMS: as loud as F5-TTS wants its reference
_ENDS = re.compile(r"[,.;:!?，。；：！？、…—]+[\"'”’」』）)]*\s*")
_ENDED = re.compile(r"[.!?。！？]$")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """`samples`: float32 (n,) mono, level about LEVEL; `text` ends with punctuation and a space, or with a hanzi's."""

    samples: Samples
    text: str
    sample_rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


def prepare(samples: Samples, sample_rate: int, text: str) -> Reference:
    """Trim, cut to 3-6 s where a pause agrees with the punctuation of `text`, bring to level, end-punctuate.

    Without such a pause up to LONGEST_S stays whole. Raises ValueError with a sentence for what cannot be used.
    """
    text = " ".join(text.split())
    if not any(map(str.isalnum, text)):
        raise ValueError("The words of this voice's recording are not known. Record the voice again.")
    if not np.isfinite(samples).all():
        raise ValueError("The recording of this voice is damaged. Record the voice again.")
    level = _levels(samples, sample_rate)
    voiced = np.flatnonzero(level > QUIET_DB)
    step = sample_rate // 50
    if len(voiced) * step < SHORTEST_S * sample_rate or not samples.any():
        raise ValueError("The recording of this voice has less than a second of speech. Record a longer one.")
    edge = int(EDGE_S * sample_rate)
    start = max(0, int(voiced[0]) * step - edge)
    samples = samples[start : (int(voiced[-1]) + 1) * step + edge]
    if len(samples) > BEST_S[1] * sample_rate:
        samples, text = _cut(samples, sample_rate, text)
    if len(samples) > (LONGEST_S + 0.5) * sample_rate:
        raise ValueError(
            "The recording of this voice is longer than 12 s and has no pause to cut it at. Use a shorter one."
        )
    rms = float(np.sqrt(np.mean(np.square(samples))))
    samples = np.clip(samples * np.float32(min(LEVEL / rms, 0.99 / np.abs(samples).max())), -1.0, 1.0)
    return Reference(np.ascontiguousarray(samples, np.float32), punctuated(text), sample_rate)


def punctuated(text: str) -> str:
    """`text` with an end of sentence; after a Latin one a space, so that the next sentence begins as one."""
    text = text.rstrip(" ,;:，；：、")
    if not _ENDED.search(text):
        text += "。" if text[-1:] >= "\u3000" else "."
    return text if text[-1] >= "\u3000" else f"{text} "


def _cut(samples: Samples, sample_rate: int, text: str) -> tuple[Samples, str]:
    """The beginning up to the pause that agrees best with a punctuation mark; all of it where none does."""
    level = _levels(samples, sample_rate)
    spoken = np.cumsum(level > QUIET_DB) / max(1, int((level > QUIET_DB).sum()))  # of the speech, how much is over
    best: tuple[float, int, str] | None = None
    length = weight(text)
    for mark in _ENDS.finditer(text):
        said = weight(text[: mark.end()]) / length
        for first, last in _pauses(level, sample_rate):
            middle = (first + last) / 2 / 50
            off = abs(float(spoken[first]) - said)
            if BEST_S[0] <= middle <= BEST_S[1] and off <= AGREE and (best is None or off < best[0]):
                best = off, (first + last + 1) // 2 * (sample_rate // 50), text[: mark.end()]
    return (samples, text) if best is None else (samples[: best[1]], best[2])


def _pauses(level: np.ndarray, sample_rate: int) -> Iterator[tuple[int, int]]:
    """First and last 20 ms of every quiet stretch of at least PAUSE_S, the edges left out."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], (level <= QUIET_DB).astype(np.int8), [0]])))
    for first, after in zip(edges[::2], edges[1::2], strict=True):
        if after - first >= PAUSE_S * 50 and first > 0 and after < len(level):
            yield int(first), int(after) - 1


def _levels(samples: Samples, sample_rate: int) -> np.ndarray:
    """dB below the loudest, of each 20 ms."""
    step = sample_rate // 50
    frames = samples[: len(samples) // step * step].reshape(-1, step).astype(np.float64)
    power = np.mean(np.square(frames), axis=1) + 1e-12
    return np.asarray(10 * np.log10(power / power.max()) if len(power) else power)


def weight(text: str) -> int:
    """How long it takes to say, in bytes of UTF-8: F5-TTS's own measure, three for a hanzi as for three letters."""
    return len(text.strip().encode())
