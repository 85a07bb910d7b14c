"""Models with random weights for the bench on a card: they load as the real ones do, and say as much."""

from pathlib import Path

import numpy as np
import pytest

from avatar.bench.gpu_models import HEARD_TOKENS, Sizes, some, whisper
from avatar.engines.whisper import load
from avatar.settings import Settings


def test_random_numbers_of_any_shape_have_the_spread_that_was_asked_for() -> None:
    made = some(300, 400, std=0.5)
    assert made.shape == (300, 400) and made.dtype == np.float16
    assert abs(float(made.std()) - 0.5) < 0.01 and np.array_equal(made, some(300, 400, std=0.5))


@pytest.mark.slow
def test_the_recogniser_hears_as_many_tokens_as_five_seconds_of_speech_have(tmp_path: Path) -> None:
    folder = whisper(tmp_path / "whisper", Sizes(64, 64, 1, 1, 1, 80))
    engine = load(Settings(whisper_model=folder), lambda fraction: None)
    noise = np.random.default_rng(0).standard_normal(5 * 16_000).astype(np.float32) * 0.1
    (heard,) = engine.transcribe(noise, None)
    assert len(heard.text.split()) == HEARD_TOKENS and heard.language == "en" and heard.final
