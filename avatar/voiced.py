"""A recording, and where in it someone speaks (Silero VAD). What quality, embedding and cuts are all made from, so that
it is listened to once. Knows no speaker and no quality.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar.audio import resample
from avatar.events import Samples
from avatar.turntaking.voice import CHUNK, MIC_RATE, VOICED, Silero

SHORTEST_PAUSE = 4  # chunks, 0.13 s: what is shorter is inside a word, or a stop before a consonant
_WARM_UP = np.zeros((8, CHUNK), np.float32)  # heard before: without, it takes 60 ms to hear a voice at the very start
_SOFT = 2  # chunks kept around speech: Silero finds soft beginnings late, and words fade into a room


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """`samples`: float32 (n,) at `rate`; `low`: the same at 16 kHz; `speech`: one bool for each CHUNK of `low`."""

    samples: Samples
    rate: int
    low: Samples
    speech: NDArray[np.bool_]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate

    @property
    def speech_s(self) -> float:
        return int(self.speech.sum()) * CHUNK / MIC_RATE

    def voice(self) -> Samples:
        """The speech alone, with the 64 ms around it: float32 (m,) at 16 kHz."""
        kept = np.repeat(widened(self.speech, _SOFT), CHUNK)
        return self.low[kept[: len(self.low)]]

    def pauses(self) -> list[tuple[float, float]]:
        """Start and end in seconds of what is not speech, in order, the silence before and after included."""
        edges = np.flatnonzero(np.diff(np.concatenate([[1], self.speech, [1]]).astype(np.int8)))
        spans = [(int(start), int(end)) for start, end in edges.reshape(-1, 2)]
        last = len(self.speech)
        kept = [s for s in spans if s[1] - s[0] >= SHORTEST_PAUSE or s[0] == 0 or s[1] == last]
        ends = {last: self.duration_s}
        return [(start * CHUNK / MIC_RATE, ends.get(end, end * CHUNK / MIC_RATE)) for start, end in kept]

    def cut(self, start_s: float, end_s: float) -> "Heard":
        """The piece from `start_s` to `end_s`, judged as before: nothing is listened to again."""
        start, end = (round(s * MIC_RATE / CHUNK) for s in (start_s, end_s))
        high = slice(round(start * CHUNK * self.rate / MIC_RATE), round(end * CHUNK * self.rate / MIC_RATE))
        return Heard(self.samples[high], self.rate, self.low[start * CHUNK : end * CHUNK], self.speech[start:end])


def listen(samples: Samples, rate: int, silero: Silero) -> Heard:
    """samples: float32 (n,) in [-1, 1], any length, any `rate`. Blocks for 7 ms a second of sound. Deterministic."""
    samples = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low = resample(samples, rate, MIC_RATE)
    chunks = np.pad(low, (0, -len(low) % CHUNK)).reshape(-1, CHUNK)
    detect = silero.detector()
    for chunk in _WARM_UP:
        detect(chunk)
    speech = np.array([detect(chunk) >= VOICED for chunk in chunks], bool)
    return Heard(samples, rate, low, speech)


def widened(flags: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """True also within `by` of what is true."""
    if not len(flags):
        return flags
    wide: NDArray[np.bool_] = np.convolve(flags, np.ones(2 * by + 1), "full")[by : by + len(flags)] > 0.5
    return wide
