"""What an utterance is asked before it is heard."""

import numpy as np
import pytest

from avatar.engines.sound import split, usable
from avatar.events import Samples

RATE = 16_000


def noise(seconds: float) -> Samples:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.05


def test_usable_needs_more_than_minus_60_dbfs() -> None:
    assert not usable(noise(1) * 0.01)
    assert usable(noise(1))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_one_value_that_is_not_finite_makes_it_unusable(bad: float) -> None:
    samples = noise(1)
    samples[777] = bad
    assert not usable(samples)


def test_a_long_utterance_is_cut_where_it_is_quiet_and_loses_nothing() -> None:
    samples = noise(31)
    samples[12 * RATE : 12 * RATE + RATE // 2] = 0
    pieces = split(samples, 20)
    assert len(pieces) == 2 and np.array_equal(np.concatenate(pieces), samples)
    assert 12.0 <= len(pieces[0]) / RATE <= 12.5
    assert [len(piece) for piece in split(noise(30), 30)] == [30 * RATE]
