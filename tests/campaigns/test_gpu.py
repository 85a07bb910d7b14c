"""The engines of a graphics card, for real: each in a process of its own, loaded by its own `load`, with the share that
the plan of a card of 24 GiB gives it. Weights that cannot be had are of full size and random (bench/gpu_models.py).
"""

import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from avatar.bench.gpu import measured
from avatar.gpu import Gpu

pytestmark = pytest.mark.campaign
MODELS = Path(os.environ.get("BENCH_MODELS", Path(tempfile.gettempdir()) / "avatar-models"))


def found(step: str, package: str) -> dict[str, Any]:
    """What the bench found for `step`. Skips without a card or the package."""
    if Gpu().memory() is None:
        pytest.skip("There is no NVIDIA card here, and this runs on one only.")
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed here: make .venv/.gpu installs it.")
    result = measured(step, MODELS)
    print(step, result)
    assert "error" not in result, result["error"]
    return result


def test_f5_speaks_a_first_clause_and_a_sentence() -> None:
    result = found("f5", "f5_tts")
    assert 0.5 < result["first_clause_3s_reference"]["sound_s"] < 4
    assert 2 < result["sentence_3s_reference"]["sound_s"] < 9


def test_whisper_hears_alone_and_five_at_once() -> None:
    result = found("whisper", "faster_whisper")
    assert result["cublas"] == "found" and result["words"] == 25
    assert result["five_at_once"]["p95"] < 5 * result["one"]["p95"]


def test_vllm_with_real_weights_names_the_capital_of_france() -> None:
    result = found("smollm2", "vllm")
    assert "Paris" in result["said"]["What is the capital of France?"]


def test_cosyvoice_speaks_while_it_writes() -> None:
    result = found("cosyvoice", "vllm_omni")
    assert result["sentence"]["sound_s"] > 0.5
    assert result["sentence"]["first_chunk"]["p50"] < result["sentence"]["whole"]["p50"]
