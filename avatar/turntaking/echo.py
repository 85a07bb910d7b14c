"""Is what the microphone hears the reply itself, come back through the loudspeaker?

Compares sound with sound: a recogniser mangles half-second pieces of an echo too much for their words to be compared
(32 of 38 pieces of a reply at -20 dB passed a test by words). Knows nothing of playback: the caller says which audio
may be in the air. Pure, 1-2 ms.
"""

import numpy as np
from numpy.typing import NDArray

from avatar.events import Samples

HEARD_RATE = 16_000  # Hz
HEARD_S = 0.5  # of the newest sound is compared: a user who begins while an echo rings is then heard
_HOP_S, _WINDOW_S = 0.01, 0.032
_EDGES_HZ = np.geomspace(200, 4800, 21)  # 20 bands that small loudspeakers and every TTS have
_FLOOR = 10**-2.5  # 25 dB below the loudest band counts as silence: below it lies the room, not the reply


def likeness(heard: Samples, reply: Samples, reply_rate: int) -> float:
    """How much the last 0.5 s of `heard` sound like some part of `reply`, -1..1; 0 when either is too short.

    heard: float32 (n,) at 16 kHz. reply: float32 (m,) at `reply_rate`, what may have left the loudspeaker meanwhile
    (2 s of it take 3 ms; a longer stretch finds more chance likeness). The correlation of band energies in
    dB at the best delay, each band's own mean removed, so that loudness and the colour of the room do not matter.
    """
    piece = _bands(heard[-int(HEARD_S * HEARD_RATE) :], HEARD_RATE)
    around = int(HEARD_S * reply_rate)  # what is heard may begin before the reply or end after it
    whole = _bands(np.pad(reply, around), reply_rate)
    n = len(piece)
    if n < 10 or len(whole) < n:
        return 0.0
    parts = np.lib.stride_tricks.sliding_window_view(_decibels(whole), n, axis=0)  # (delays, bands, n)
    parts = parts - parts.mean(axis=2, keepdims=True)
    shape = _decibels(piece).T
    shape = shape - shape.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.einsum("dbn,dbn->d", parts, parts) * np.sum(shape * shape)) + 1e-9
    return float(np.max(np.einsum("dbn,bn->d", parts, shape) / norms))


def _bands(samples: Samples, rate: int) -> NDArray[np.float32]:
    """Power in each band per 10 ms: (frames, 20)."""
    size, hop = int(_WINDOW_S * rate), int(_HOP_S * rate)
    if len(samples) < size:
        return np.zeros((0, len(_EDGES_HZ) - 1), np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop] * np.hanning(size).astype(np.float32)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    starts = np.searchsorted(np.fft.rfftfreq(size, 1 / rate), _EDGES_HZ)
    bands: NDArray[np.float32] = np.add.reduceat(power, starts, axis=1)[:, :-1].astype(np.float32)
    return bands


def _decibels(bands: NDArray[np.float32]) -> NDArray[np.float32]:
    level: NDArray[np.float32] = np.log10(bands + bands.max() * _FLOOR + 1e-12)
    return level
