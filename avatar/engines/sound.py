"""What every speech recogniser asks of an utterance before it hears it: is there sound, and where may it be cut?"""

import numpy as np

from avatar.engines.base import STT_RATE
from avatar.events import Samples

FRAME = STT_RATE // 50  # 20 ms, where a long utterance may be cut
SILENCE_RMS = 0.001  # -60 dBFS: no microphone has speech below it


def usable(samples: Samples) -> bool:
    """Whether there can be speech in it: not empty, finite, above -60 dBFS somewhere."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames) or not np.isfinite(samples).all():
        return False
    return float(np.sqrt(np.mean(np.square(frames), axis=1)).max()) > SILENCE_RMS


def split(samples: Samples, longest_s: int) -> list[Samples]:
    """Cut into pieces of at most `longest_s` seconds, each at the quietest 20 ms of its second half."""
    longest, pieces = longest_s * STT_RATE, []
    while len(samples) > longest:
        half = samples[longest // 2 : longest].reshape(-1, FRAME)
        quietest = int(np.argmin(np.convolve(np.mean(np.square(half), axis=1), np.ones(5), "same")))
        cut = longest // 2 + quietest * FRAME + FRAME // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]
