import numpy as np
import pytest

from avatar.bench.noises import KINDS, RATE, make


@pytest.mark.parametrize("kind", KINDS)
def test_each_noise_is_the_same_for_a_seed_and_within_range(kind: str) -> None:
    sound = make(kind, seed=3, peak=0.5)
    assert sound.dtype == np.float32 and len(sound) >= RATE // 25
    assert np.abs(sound).max() == pytest.approx(0.5)
    np.testing.assert_array_equal(sound, make(kind, seed=3, peak=0.5))
    assert len(sound) != len(make(kind, seed=4)) or not np.array_equal(sound, make(kind, seed=4, peak=0.5))
