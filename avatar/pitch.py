"""The pitch of a voice: the median of its fundamental frequency. Knows nothing of who speaks.

Autocorrelation of short frames, divided by that of the window (P. Boersma, "Accurate short-term analysis of the
fundamental frequency", IFA Proceedings 17, 1993), with the best lag refined by a parabola.
"""

import numpy as np
from numpy.typing import NDArray

from avatar.events import Samples

LOW_HZ, HIGH_HZ = 60.0, 500.0  # of speech: a deep man to a small child
FRAME_S, STEP_S = 0.05, 0.02  # three periods of the lowest pitch
VOICED = 0.55  # correlation from which a frame has a pitch; noise stays below
LOUD_DB = -25.0  # frames quieter than this below the loudest tenth say nothing
OCTAVE_COST = 0.05  # a lag of twice the period correlates as well: the shorter one wins
MIN_VOICED = 10  # frames; fewer are no voice


def median_hz(samples: Samples, sample_rate: int) -> float | None:
    """samples: float32 (n,) of speech at 8 kHz or more. None when too little of it has a pitch. 3 ms a second."""
    frames = _frames(samples, sample_rate)
    if not len(frames):
        return None
    energy = np.square(frames).mean(axis=1)
    frames = frames[energy > np.quantile(energy, 0.9) * 10 ** (LOUD_DB / 10)]
    pitches = _pitches(frames, sample_rate)
    return float(np.median(pitches)) if len(pitches) >= MIN_VOICED else None


def _frames(samples: Samples, sample_rate: int) -> NDArray[np.float64]:
    size, step = int(FRAME_S * sample_rate), int(STEP_S * sample_rate)
    if len(samples) < size:
        return np.zeros((0, size))
    views = np.lib.stride_tricks.sliding_window_view(samples, size)[::step].astype(np.float64)
    return np.asarray(views - views.mean(axis=1, keepdims=True))


def _pitches(frames: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    """Of the frames that have one, in Hz."""
    size = frames.shape[1]
    window = np.hanning(size).astype(np.float64)
    padded = 1 << (2 * size - 1).bit_length()

    def correlate(signal: NDArray[np.float64]) -> NDArray[np.float64]:
        power = np.square(np.abs(np.fft.rfft(signal, padded)))
        return np.asarray(np.fft.irfft(power)[..., :size])

    raw = correlate(frames * window)
    of_window = correlate(window)
    shortest, longest = int(sample_rate / HIGH_HZ), min(int(sample_rate / LOW_HZ), size - 2)
    lags = np.arange(shortest, longest + 1)
    whole = raw[:, :1] + 1e-12
    curve = raw[:, shortest - 1 : longest + 2] / whole / (of_window[shortest - 1 : longest + 2] / of_window[0])
    inner = curve[:, 1:-1]
    peaks = (inner >= curve[:, :-2]) & (inner >= curve[:, 2:])
    score = np.where(peaks, inner - OCTAVE_COST * np.log2(lags / shortest), -1.0)
    best = score.argmax(axis=1)
    rows = np.flatnonzero(score[np.arange(len(score)), best] + OCTAVE_COST * np.log2(lags[best] / shortest) > VOICED)
    left, top, right = (curve[rows, best[rows] + shift] for shift in (0, 1, 2))
    bend = left - 2 * top + right
    shift = np.where(bend < 0, 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), 0.0)
    return np.asarray(sample_rate / (lags[best[rows]] + shift))
