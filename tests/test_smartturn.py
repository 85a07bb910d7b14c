from pathlib import Path

import numpy as np
import pytest
from clips import DATA, clip

from avatar import weights
from avatar.bench import noises
from avatar.errors import WeightsError
from avatar.settings import Settings
from avatar.turntaking.smartturn import WINDOW, SmartTurn, log_mel


def test_features_are_those_the_model_was_trained_with() -> None:
    expected = np.load(DATA / "log_mel.npy")
    np.testing.assert_allclose(log_mel(clip("lk_hello.wav"))[::8, ::10], expected, atol=1e-4)


def test_padding_shortcut_changes_nothing() -> None:
    samples = noises.make("mhm", 0)
    padded = np.concatenate([np.zeros(WINDOW - len(samples), np.float32), samples])
    np.testing.assert_allclose(log_mel(samples), log_mel(padded), atol=1e-4)


@pytest.mark.parametrize("length", [0, 1, 159, 400, WINDOW - 300, WINDOW - 1, WINDOW, WINDOW + 5])
def test_any_length_gives_one_shape(length: int) -> None:
    features = log_mel(noises.room(9.0)[:length])
    assert features.shape == (80, 800) and features.dtype == np.float32 and np.isfinite(features).all()


def test_a_file_that_is_not_the_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"x\.onnx"):
        SmartTurn.load(tmp_path / "x.onnx")


@pytest.mark.slow
def test_it_knows_a_finished_question_from_half_of_one() -> None:
    model = SmartTurn.load(weights.path("smart-turn-v3.2", Settings.from_env().weights))
    question = clip("lk_weather.wav")
    finished = np.concatenate([question, noises.room(0.2)])
    half = np.concatenate([question[: int(1.39 * 16_000)], noises.room(0.2)])  # "What is the weather in"
    assert model.probability(finished) > 0.9 > 0.3 > model.probability(half)
