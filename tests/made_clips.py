"""Clips made of a tone and a hush, so that it is known where their voice ends. Not a test itself."""

import numpy as np

from avatar.bench.clips import RATE, Clip, Pause, Row, tone, voiced_span

RNG = np.random.default_rng(3)


def speech(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def hush(seconds: float) -> np.ndarray:
    return (0.0005 * RNG.standard_normal(round(seconds * RATE))).astype(np.float32)


def clip(*parts: np.ndarray, text: str = "one two three four", pauses: tuple[Pause, ...] = ()) -> Clip:
    samples = np.concatenate(parts)
    first, last = voiced_span(samples)
    row = Row("made.wav", "en", text, "made here", first, last)
    return Clip(row, samples, tone(samples), pauses)
