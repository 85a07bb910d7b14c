"""Mel filter banks and windows, as the models that we run were trained with them. Pure arithmetic, done once."""

from functools import cache

import numpy as np
from numpy.typing import NDArray


@cache
def hann(size: int) -> NDArray[np.float32]:
    """The periodic Hann window, as torch.hann_window gives it: float32 (size,). Not to be written to."""
    return np.hanning(size + 1)[:-1].astype(np.float32)


@cache
def filters(bands: int, fft: int, rate: int) -> NDArray[np.float32]:
    """Slaney's mel scale and area norm, as librosa.filters.mel gives them: float32 (bands, fft // 2 + 1).

    Not to be written to."""
    log_step = np.log(6.4) / 27
    top = 15 + np.log(rate / 2 / 1000) / log_step
    mels = np.linspace(0, top, bands + 2)
    hertz = np.where(mels < 15, mels * 200 / 3, 1000 * np.exp(log_step * (mels - 15)))
    bins = np.linspace(0, rate / 2, fft // 2 + 1)
    slopes = hertz[:, None] - bins
    widths = np.diff(hertz)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    bank = np.maximum(0, np.minimum(rising, falling)) * (2 / (hertz[2:] - hertz[:-2]))[:, None]
    as_float32: NDArray[np.float32] = bank.astype(np.float32)
    return as_float32
