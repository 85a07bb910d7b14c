"""How loud a recording sounds (ITU-R BS.1770-4, gated as in EBU R128), and the same recording at one loudness.

Pure functions of samples. Conversations are kept at one loudness, so that hearing both sides again needs no hand on the
volume. tests/test_loudness.py compares with FFmpeg's ebur128.
"""

import numpy as np
from numpy.typing import NDArray

from avatar.events import Samples

TARGET_LUFS = -20.0  # speech: louder than broadcasts (-23), and rarely held back by the ceiling
CEILING = 10 ** (-1 / 20)  # -1 dBFS: room for what the codec adds
MAX_GAIN_DB = 24.0  # more would lift the room, not the voice
SILENCE_LUFS = -70.0  # the absolute gate
_GATE_LU = 10.0
_BLOCK_S, _STEP_S = 0.4, 0.1


def loudness(samples: Samples, rate: int) -> float:
    """Integrated loudness in LUFS of float32 (n,) mono at `rate` Hz; -inf for silence. A recording shorter than one
    block of 0.4 s is one block."""
    if not len(samples):
        return -np.inf
    power = np.square(_weighted(np.asarray(samples, np.float64), rate))
    size, step = min(len(power), round(_BLOCK_S * rate)), round(_STEP_S * rate)
    sums = np.concatenate([[0.0], np.cumsum(power)])
    starts = np.arange(0, len(power) - size + 1, step)
    blocks = np.maximum(sums[starts + size] - sums[starts], 0.0) / size
    heard = blocks[_lufs(blocks) > SILENCE_LUFS]
    if not len(heard):
        return -np.inf
    gate = _lufs(np.mean(heard)) - _GATE_LU
    return float(_lufs(np.mean(heard[_lufs(heard) > gate])))


def normalised(samples: Samples, rate: int) -> Samples:
    """The same sound at TARGET_LUFS, or as near as MAX_GAIN_DB and the ceiling of its peak allow. Silence stays."""
    now = loudness(samples, rate)
    if not np.isfinite(now):
        return samples
    gain = 10 ** (min(TARGET_LUFS - now, MAX_GAIN_DB) / 20)
    peak = float(np.max(np.abs(samples)))
    return np.asarray(samples * np.float32(min(gain, max(CEILING / peak, 0.0))), np.float32)


def _lufs(power: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):
        return np.asarray(-0.691 + 10 * np.log10(power))


def _weighted(samples: NDArray[np.float64], rate: int) -> NDArray[np.float64]:
    """K-weighting: the two filters of BS.1770 at any rate, applied to the spectrum. Their answer is over within 0.2 s,
    so that this much padding keeps the end from reaching round to the start."""
    size = len(samples) + round(0.2 * rate)
    size = 1 << (size - 1).bit_length()
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    spectrum = np.fft.rfft(samples, size)
    for b, a in (_shelf(rate), _high_pass(rate)):
        spectrum *= (b[0] + b[1] * z + b[2] * z**2) / (a[0] + a[1] * z + a[2] * z**2)
    return np.fft.irfft(spectrum, size)[: len(samples)]


# The analogue filters behind the coefficients that BS.1770 gives for 48 kHz (as in libebur128, ebur128.c)
def _shelf(rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    f0, gain_db, q = 1681.974450955533, 3.999843853973347, 0.7071752369554196
    k, vh = np.tan(np.pi * f0 / rate), 10 ** (gain_db / 20)
    vb = vh**0.4996667741545416
    b = (vh + vb * k / q + k * k, 2 * (k * k - vh), vh - vb * k / q + k * k)
    return b, (1 + k / q + k * k, 2 * (k * k - 1), 1 - k / q + k * k)


def _high_pass(rate: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    f0, q = 38.13547087602444, 0.5003270373238773
    k = np.tan(np.pi * f0 / rate)
    a0 = 1 + k / q + k * k
    return (1.0, -2.0, 1.0), (1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0)
