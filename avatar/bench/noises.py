"""Sounds that are not speech to answer: clicks, coughs, hums, music. Made from numbers, the same ones for every seed.

They are shaped after what Silero and the recogniser react to (burst length, spectrum, pitch), not recorded; a real
cough is wilder. float32 (n,) in [-1, 1] at 16 kHz.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.events import Samples

RATE = 16_000
Generator = np.random.Generator


def _float32(sound: NDArray[Any]) -> Samples:
    return sound.astype(np.float32)


def _noise(rng: Generator, seconds: float, low_hz: float, high_hz: float) -> Samples:
    """White noise between two frequencies, soft-edged, unit RMS."""
    n = int(seconds * RATE)
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    band = 1 / (1 + (low_hz / np.maximum(hertz, 1)) ** 4) / (1 + (hertz / high_hz) ** 4)
    sound = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * band, n)
    return _float32(sound / sound.std())


def _hum(rng: Generator, seconds: float, from_hz: float, to_hz: float) -> Samples:
    """A closed-mouth voice: harmonics under a nasal low-pass, gliding pitch, some jitter."""
    n = int(seconds * RATE)
    jitter = np.interp(np.arange(n), np.arange(0, n, 400), rng.standard_normal(-(-n // 400)))
    pitch = np.geomspace(from_hz, to_hz, n) * (1 + 0.01 * jitter)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = sum(np.sin(k * phase) / (1 + (k * pitch / 350) ** 2) for k in range(1, 20))
    edge = np.minimum(1, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.04 * RATE))
    return _float32(np.asarray(sound) / np.std(sound) * edge)


def _decay(n: int, seconds: float) -> Samples:
    return _float32(np.exp(-np.arange(n) / (seconds * RATE)))


def _silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * RATE), np.float32)


def click(rng: Generator) -> Samples:
    """A mouse or a tongue: 2-8 ms."""
    burst = _noise(rng, 0.05, 1000, 6000)
    return burst * _decay(len(burst), rng.uniform(0.002, 0.008))


def typing(rng: Generator) -> Samples:
    """Six keys in about a second."""
    return np.concatenate([part for _ in range(6) for part in (click(rng), _silence(rng.uniform(0.06, 0.18)))])


def knock(rng: Generator) -> Samples:
    """A cup put down or a knock on the table: a damped low tone with a noisy edge, twice."""
    n = int(0.15 * RATE)
    tone = np.sin(2 * np.pi * rng.uniform(90, 250) * np.arange(n) / RATE).astype(np.float32) * _decay(n, 0.03)
    once = tone + 0.3 * _noise(rng, 0.15, 300, 3000) * _decay(n, 0.01)
    return np.concatenate([once, _silence(0.15), once])


def cough(rng: Generator) -> Samples:
    """One to three bursts: an explosive edge, 0.2-0.3 s of turbulent breath, a short voiced end."""
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        length = rng.uniform(0.2, 0.3)
        breath = _noise(rng, length, 400, rng.uniform(2500, 4500))
        attack = np.minimum(1, np.arange(len(breath)) / (0.005 * RATE))
        voice = 0.4 * _hum(rng, 0.1, 180, 110)
        burst = breath * attack * _decay(len(breath), 0.08)
        parts += [burst.astype(np.float32), voice, _silence(rng.uniform(0.05, 0.2))]
    return np.concatenate(parts)


def throat(rng: Generator) -> Samples:
    """Clearing the throat: a rough low voice mixed with breath, 0.4 s, twice."""
    voice = _hum(rng, 0.4, 95, 85)
    rough = 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(25, 40) * np.arange(len(voice)) / RATE)
    once = (voice * rough + 0.7 * _noise(rng, 0.4, 200, 2500)).astype(np.float32) * _decay(len(voice), 0.2)
    return np.concatenate([once, _silence(0.12), once])


def mhm(rng: Generator) -> Samples:
    """ "Mhm": two hums, the second one higher."""
    low = rng.uniform(95, 200)
    gap = 0.15 * _noise(rng, 0.05, 300, 2000)
    return np.concatenate([_hum(rng, 0.16, low * 1.05, low), gap, _hum(rng, 0.25, low * 1.1, low * 1.35)])


def breath(rng: Generator) -> Samples:
    """Breathing onto the microphone for 0.8 s."""
    sound = _noise(rng, 0.8, 200, 1500)
    return (sound * np.hanning(len(sound))).astype(np.float32)


def music(rng: Generator) -> Samples:
    """Four chords of plucked strings, 3 s."""
    root = rng.uniform(110, 220)
    chords = []
    for step in (0, 5, 7, 0):
        n = int(0.75 * RATE)
        t = np.arange(n) / RATE
        notes = [root * 2 ** ((step + third) / 12) for third in (0, 4, 7, 12)]
        chords.append(sum(np.sin(2 * np.pi * f * k * t) / k * np.exp(-k * t * 3) for f in notes for k in range(1, 6)))
    sound = np.concatenate(chords)
    return _float32(sound / sound.std())


def fan(rng: Generator) -> Samples:
    """A fan for 3 s."""
    return _noise(rng, 3, 50, 600)


KINDS: dict[str, Callable[[Generator], Samples]] = {
    f.__name__: f for f in (click, typing, knock, cough, throat, mhm, breath, music, fan)
}


def make(kind: str, seed: int, peak: float = 0.3) -> Samples:
    """One sound of a kind, its loudest sample at `peak`."""
    sound = KINDS[kind](np.random.default_rng(seed))
    return _float32(sound * (peak / np.abs(sound).max()))


def room(seconds: float, seed: int = 0, rms: float = 0.001) -> Samples:
    """A quiet room (-60 dBFS by default), for what lies between the sounds."""
    return _float32(_noise(np.random.default_rng(seed), seconds, 80, 4000) * rms)
