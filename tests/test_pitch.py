"""The pitch of made tones, of noise and of recorded voices."""

import numpy as np
import pytest
from clips import clip as recorded

from avatar.pitch import median_hz

RATE = 24_000


def voice(hz: float, seconds: float = 2.0, noise: float = 0.0) -> np.ndarray:
    """Twelve harmonics that fall off as those of a voice, in syllables."""
    t = np.arange(int(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 13)) * (np.sin(2 * np.pi * 3 * t) > -0.5)
    return (0.2 * tone + noise * np.random.default_rng(1).normal(size=len(t))).astype(np.float32)


@pytest.mark.parametrize("hz", [70, 95, 120, 180, 240, 330])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_the_pitch_of_a_made_voice(hz: float, noise: float) -> None:
    assert median_hz(voice(hz, noise=noise), RATE) == pytest.approx(hz, rel=0.02)


@pytest.mark.parametrize(
    "samples", [np.zeros(RATE), np.random.default_rng(0).normal(0, 0.1, 2 * RATE), np.zeros(0), voice(150, 0.1)]
)
def test_what_is_no_voice_has_none(samples: np.ndarray) -> None:
    assert median_hz(samples.astype(np.float32), RATE) is None


@pytest.mark.parametrize(
    ("clip", "low", "high"),
    [
        ("ms_zipvoice_american_female.wav", 180, 230),
        ("ms_zipvoice_american_male.wav", 85, 120),
        ("vosk.wav", 80, 115),
        ("ms_zipvoice_irish_female.wav", 190, 240),
    ],
)
def test_recorded_voices(clip: str, low: float, high: float) -> None:
    hz = median_hz(recorded(f"speech/{clip}", RATE), RATE)
    assert hz is not None and low < hz < high
