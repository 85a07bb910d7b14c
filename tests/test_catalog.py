"""The rows of the ladder as the settings make them."""

from pathlib import Path

import pytest
from fakes import FakeTTS, rung

from avatar.engines.catalog import CATALOG, Rung, allowed, wants_card
from avatar.engines.pool import EnginePool
from avatar.errors import SettingsError
from avatar.planner import Plan, Share
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
    with pytest.raises(
        SettingsError, match="AVATAR_WHISPER_MODEL=huge .* Choose one of: base, small, large-v3-turbo; or give"
    ):
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


def test_whisper_hears_with_what_the_card_has_room_for() -> None:
    share = Share(engine="whisper", card=0, bytes=1, of=2, model="large-v3-turbo", compute_type="float16")
    made = Plan(shares={"whisper": share})

    def whisper(**settings: object) -> Rung:
        ladder = allowed(CATALOG, Settings(**settings), made)  # type: ignore[arg-type]
        return next(rung for rung in ladder if rung.name == "whisper")

    assert (whisper().label, whisper().weights) == ("Whisper large-v3-turbo", ("whisper-large-v3-turbo",))
    assert whisper().share == share and whisper(whisper_model="small").weights == ("whisper-small",)


def test_without_a_card_its_engines_are_there_to_be_told_of(tmp_path: Path) -> None:
    ladder = {row.name: row for row in EnginePool(Settings(weights=tmp_path)).status()}
    for name in ("vllm", "f5"):
        assert ladder[name].state == "absent" and ladder[name].sentence


def test_what_the_settings_leave_out_is_not_planned_for() -> None:
    assert {"whisper", "moonshine", "llamacpp"} <= wants_card(Settings())
    assert "whisper" not in wants_card(Settings(stt="moonshine"))
    absent = [rung("vllm", "llm", package="no_such_package"), rung("f5", "tts")]
    assert wants_card(Settings(), absent) == {"f5"}


def test_an_engine_of_the_card_gets_its_share_or_says_why_not(settings: Settings) -> None:
    share = Share("f5", card=0, bytes=2 << 30, of=24 << 30)
    rows = [rung("f5", "tts", needs_card=True), rung("hq", "tts", needs_card=True), rung("cpu", "tts")]
    plan = Plan(shares={"f5": share}, reasons={"hq": "HQ needs 6 GiB, and 1 is left."})
    loaded = []
    pool = EnginePool(settings, rows, lambda rung, *_: loaded.append(rung.share) or FakeTTS(), plan=plan)
    assert [(status.name, status.state) for status in pool.status()] == [
        ("f5", "cold"),
        ("hq", "absent"),
        ("cpu", "cold"),
    ]
    assert pool.status()[1].sentence == "HQ needs 6 GiB, and 1 is left."
    for status in rows[::2]:
        pool.warm(status)
    assert loaded == [share, None]
    no_card = EnginePool(settings, rows)
    assert no_card.status()[0].sentence == "F5 needs a graphics card."


def test_an_adapter_gets_the_share_as_its_third_argument(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("avatar.engines.espeak.load", lambda *given: calls.append(len(given)) or FakeTTS())
    row = rung("espeak", "tts", module="avatar.engines.espeak")
    for plan in (Plan(), Plan(shares={"espeak": Share("espeak", card=0, bytes=1, of=2)})):
        EnginePool(settings, [row], plan=plan).warm(allowed([row], settings)[0])
    assert calls == [2, 3]
