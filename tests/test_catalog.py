"""The rows of the ladder as the settings make them."""

from pathlib import Path

import pytest

from avatar.engines.catalog import CATALOG, allowed
from avatar.engines.pool import EnginePool
from avatar.errors import SettingsError
from avatar.settings import Settings


def rows(**settings: object) -> dict[str, object]:
    return {rung.name: rung for rung in allowed(CATALOG, Settings(**settings))}  # type: ignore[arg-type]


def test_a_model_of_the_table_needs_its_weights() -> None:
    whisper = rows()["whisper"]
    assert (whisper.label, whisper.weights) == ("Whisper base", ("whisper-base",))


def test_a_model_of_the_users_replaces_weights_name_and_demo(tmp_path: Path) -> None:
    ours = rows()["llamacpp"]
    assert ours.demo and ours.weights and ours.label == "SmolLM2 135M"
    gguf = rows(gguf=tmp_path / "qwen2.5-7b.gguf")["llamacpp"]
    assert (gguf.label, gguf.weights, gguf.demo) == ("qwen2.5-7b", (), False)
    whisper = rows(whisper_model=tmp_path / "faster-whisper-large-v3.5")["whisper"]
    assert (whisper.label, whisper.weights) == ("faster-whisper-large-v3.5", ())
    pocket = rows(pocket_model=tmp_path / "german_24l")["pocket"]
    assert (pocket.label, pocket.weights) == ("Pocket TTS", ())


def test_a_model_that_nobody_knows_stops_the_start_with_the_choices(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="AVATAR_WHISPER_MODEL=huge .* Choose one of: base; or give the path"):
        rows(whisper_model="huge")
    assert "whisper" not in rows(whisper_model="huge", stt="moonshine")


def test_the_ladder_understands_what_the_rung_in_use_does(tmp_path: Path) -> None:
    settings = Settings(whisper_model=tmp_path, weights=tmp_path)
    pool = EnginePool(settings, loader=lambda rung, settings, progress: object())  # type: ignore[arg-type, return-value]
    assert pool.understands("en") and not pool.understands("zh")  # Moonshine, until something better is there
    pool.warm(next(rung for rung in allowed(CATALOG, settings) if rung.name == "whisper"))
    assert all(map(pool.understands, ("en", "zh", "ja", "ko", "jv"))) and not pool.understands("tlh")
    assert [row.label for row in pool.status() if row.serving] == [tmp_path.name]


def test_without_weights_it_is_absent_and_says_how_to_get_them(tmp_path: Path) -> None:
    row = EnginePool(Settings(weights=tmp_path)).status()[0]
    assert (row.name, row.state) == ("whisper", "absent") and "avatar.weights fetch whisper-base" in row.sentence
