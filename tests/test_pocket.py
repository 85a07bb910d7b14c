"""The pocket-tts adapter: what it finds without torch, and the real library with tiny random models."""

import logging
import shutil
import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pocket_models
import pytest
from fakes import FakeLLM, rung

from avatar.engines import pocket
from avatar.engines.base import Engine, Progress, Voice
from avatar.engines.catalog import CATALOG, Rung
from avatar.engines.conditioning import KEPT
from avatar.engines.pocket import PocketTTS
from avatar.engines.pool import EnginePool
from avatar.errors import EngineError, WeightsError
from avatar.events import AudioChunk, Clause, Failure, Serving, TurnDone
from avatar.pipeline import Pipeline
from avatar.settings import Settings

MINE = Voice("Ann", "a1", AudioChunk(np.random.default_rng(1).normal(0, 0.1, 32_000).astype(np.float32), 16_000), "Hi.")
TEXT = "Hello there, my friend."


def touch(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def found(root: Path) -> dict[str, Path]:
    return pocket.folders(Settings(pocket_model=root))


def test_weights_that_were_not_fetched_are_named_with_the_command(settings: Settings) -> None:
    with pytest.raises(WeightsError, match=r"pocket-tts-en .*avatar\.weights fetch pocket-tts-en"):
        pocket.load(settings, lambda _: None)


def test_one_folder_or_several_with_the_names_of_the_configurations(tmp_path: Path) -> None:
    touch(tmp_path / "german_24l/model.safetensors", tmp_path / "english/model.safetensors", tmp_path / "notes/x.txt")
    assert found(tmp_path) == {"english": tmp_path / "english", "german_24l": tmp_path / "german_24l"}
    assert found(tmp_path / "english") == {"english": tmp_path / "english"}
    touch(tmp_path / "mine/model.safetensors", tmp_path / "mine/dutch_v2.yaml")
    assert found(tmp_path / "mine") == {"dutch_v2": tmp_path / "mine"}


def test_a_folder_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="no model.safetensors in"):
        found(tmp_path)
    touch(tmp_path / "german/model.safetensors", tmp_path / "german_24l/model.safetensors")
    with pytest.raises(WeightsError, match="german and .*german_24l hold models of one language"):
        found(tmp_path)
    touch(tmp_path / "other/klingon/model.safetensors")
    with pytest.raises(WeightsError, match="english, french, german"):
        found(tmp_path / "other")


def test_no_path_of_the_configuration_leads_to_the_hub(tmp_path: Path) -> None:
    hub = "hf://someone/else/model.safetensors@1234"
    table = {"dim": 4, "tokenizer_path": "hf://someone/else/languages/x/tokenizer.json@1234"}
    config = {
        "weights_path": hub,
        "weights_path_without_voice_cloning": hub,
        "flow_lm": {"dtype": "float32", "weights_path": hub, "lookup_table": table},
        "mimi": {"sample_rate": 24_000, "weights_path": hub},
    }
    touch(tmp_path / "model.safetensors")
    with pytest.raises(WeightsError, match="tokenizer.json is missing"):
        pocket.local(config, tmp_path)
    touch(tmp_path / "tokenizer.json")
    local = pocket.local(config, tmp_path)
    assert "hf:" not in repr(local) and local["weights_path"] == str(tmp_path / "model.safetensors")
    assert local["flow_lm"]["lookup_table"] == {"dim": 4, "tokenizer_path": str(tmp_path / "tokenizer.json")}
    assert local["mimi"]["sample_rate"] == 24_000


Load = Callable[..., PocketTTS]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """models(name, **options): the folder of a tiny model, built once."""
    if find_spec("pocket_tts") is None:
        pytest.skip("pocket-tts is not installed: make voice")
    root = tmp_path_factory.mktemp("pocket")

    def folder(name: str = "english", **options: object) -> Path:
        place = root / "-".join(map(str, options.values())) / name
        return place if place.exists() else pocket_models.build(place, name, **options)  # type: ignore[arg-type]

    return folder


@pytest.fixture
def load(models: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Load:
    """load(name, **options): the adapter's own load, where no connection can be made."""

    def refuse(*_: object) -> None:
        raise AssertionError("a connection was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return lambda *name, **options: pocket.load(Settings(pocket_model=models(*name, **options)), lambda _: None)


def spoken_s(engine: PocketTTS, text: str, voice: Voice = Voice(), language: str | None = None) -> float:  # noqa: B008
    chunks = list(engine.speak(text, voice, language))
    for chunk in chunks:
        assert chunk.sample_rate == 24_000 and chunk.samples.dtype == np.float32 and chunk.samples.ndim == 1
        assert np.abs(chunk.samples).max() <= 1.0
    return sum(len(chunk.samples) for chunk in chunks) / 24_000


def idle() -> bool:
    """Whether none of the library's threads is left."""
    return not [t for t in threading.enumerate() if "run_generation" in t.name or "_decode_audio_worker" in t.name]


@pytest.mark.slow
@pytest.mark.voice
class TestRealLibrary:
    def test_it_streams_frames_of_80_ms_of_sound(self, load: Load) -> None:
        speaking = load().speak(TEXT, Voice(), "en-GB")
        first = next(speaking)
        assert len(first.samples) % 1_920 == 0 and np.std(first.samples) > 0
        assert first.duration_s < 2.0  # of 9: the rest is still to come
        assert sum(chunk.duration_s for chunk in speaking) > 2.0
        assert idle()

    def test_a_model_that_does_not_end_is_cut_in_proportion_to_the_text(
        self, load: Load, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(pocket, "MAX_PIECE", 60)  # of 250: three minutes of sound take half a minute
        engine = load()
        tokens = len(f"▁{TEXT}")  # the fixture's tokenizer knows letters only
        assert spoken_s(engine, TEXT) == pytest.approx(2.0 + tokens / 3, abs=0.17)
        assert spoken_s(engine, "Yes.") == pytest.approx(2.0 + 5 / 3, abs=0.17)
        piece_s = 2.0 + (pocket.MAX_PIECE + 2) / 3  # with the full stop that the library adds
        assert spoken_s(engine, "x" * 2 * pocket.MAX_PIECE) == pytest.approx(2 * piece_s, abs=0.34)

    def test_a_text_without_end_is_cut(self, load: Load) -> None:
        engine = load(eos=100.0)
        assert spoken_s(engine, "go " * 30_000) == spoken_s(engine, ("go " * 30_000)[: pocket.MAX_CHARS])

    def test_a_model_that_ends_is_believed(self, load: Load) -> None:
        assert spoken_s(load(eos=100.0), TEXT) < 1.0

    def test_closing_stops_within_a_frame_and_leaves_the_model_free(self, load: Load) -> None:
        engine = load()
        speaking = engine.speak("A long text. " * 150, Voice(), None)
        next(speaking)
        assert not idle()
        speaking.close()
        assert idle()
        assert spoken_s(engine, TEXT) > 1.0

    def test_two_callers_take_turns(self, load: Load) -> None:
        engine = load()
        first, second = engine.speak(TEXT, Voice(), None), engine.speak(TEXT, Voice(), None)
        next(first)
        waiting = threading.Thread(target=next, args=(second,))
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        first.close()
        waiting.join(60)
        assert not waiting.is_alive()
        second.close()

    @pytest.mark.parametrize("text", ["", " \n", "...", "\x00\x07", "— “”"])
    def test_nothing_to_say_says_nothing(self, load: Load, text: str) -> None:
        assert spoken_s(load(eos=100.0), text) == 0.0

    def test_its_own_voices_are_prepared_once(self, load: Load) -> None:
        engine = load(eos=100.0)
        assert engine.abilities.voices == pocket_models.VOICES
        for name in ("default", "alba", "marius", "marius"):
            assert spoken_s(engine, "Yes.", Voice(name)) > 0
        assert list(engine._states) == [("en", "alba"), ("en", "marius")]
        with pytest.raises(EngineError, match="no voice siri here, but: alba, marius"):
            spoken_s(engine, "Yes.", Voice("siri"))

    def test_it_clones_with_the_gated_weights_and_prepares_each_recording_once(self, load: Load) -> None:
        engine = load(eos=100.0)
        assert engine.abilities.clones
        assert spoken_s(engine, "Yes.", MINE) > 0
        assert spoken_s(engine, "Yes.", replace(MINE, name="Anne")) > 0
        states = engine._profiles._values
        (state,) = states.values()
        for level in range(KEPT + 2):
            other = AudioChunk(np.full(8_000, 0.01 * (level + 1), np.float32), 24_000)
            assert spoken_s(engine, "Yes.", replace(MINE, reference=other)) > 0
        assert len(states) == KEPT and state not in states.values()
        engine.forget("a1")
        assert not states

    def test_what_it_made_of_a_profile_is_kept_on_disk_and_says_the_same(
        self, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (cache := tmp_path / "voices" / "a1" / "cache").mkdir(parents=True)
        mine = replace(MINE, cache=cache)
        first, again = load(eos=100.0), load(eos=100.0)
        assert spoken_s(first, "Yes.", mine) > 0
        (file,) = cache.iterdir()
        monkeypatch.setattr(pocket, "_prompted", lambda *_: pytest.fail("made again"))
        assert spoken_s(again, "Yes.", mine) > 0
        monkeypatch.undo()
        (made,), (read,) = first._profiles._values.values(), again._profiles._values.values()
        assert made.keys() == read.keys()
        for layer in made:
            assert all((made[layer][name] == read[layer][name]).all() for name in made[layer])
        file.write_bytes(b"damaged")
        assert spoken_s(load(eos=100.0), "Yes.", mine) > 0
        assert file.stat().st_size > 100

    def test_of_a_long_recording_the_first_30_s_count(self, load: Load) -> None:
        engine = load(eos=100.0)
        for seconds in (30, 31):
            recording = AudioChunk(np.random.default_rng(2).normal(0, 0.1, seconds * 16_000).astype(np.float32), 16_000)
            assert spoken_s(engine, "Yes.", replace(MINE, reference=recording)) > 0
        half_minute, longer = engine._profiles._values.values()
        layer = next(iter(longer))
        assert longer[layer]["cache"].shape == half_minute[layer]["cache"].shape

    def test_without_them_a_profile_is_refused_and_not_replaced(self, load: Load) -> None:
        engine = load(eos=100.0, cloning=False)
        assert not engine.abilities.clones
        with pytest.raises(EngineError, match="voice Ann: its weights here cannot clone voices") as refusal:
            spoken_s(engine, "Yes.", MINE)
        assert refusal.value.code == "NO_CLONING"
        with pytest.raises(EngineError, match="no recording"):
            spoken_s(engine, "Yes.", Voice("Ann", "a1"))
        assert spoken_s(engine, "Yes.") > 0

    def test_each_language_has_its_model_and_no_other_is_spoken(self, load: Load, models, tmp_path: Path) -> None:
        for name in ("english", "german"):
            shutil.copytree(models(name, eos=100.0), tmp_path / name)
        engine = pocket.load(Settings(pocket_model=tmp_path), lambda _: None)
        assert engine.abilities.languages == ("en", "de")
        assert spoken_s(engine, "„Guten Tag!“", language="de-AT") > 0
        assert [key for key in engine._states if key[0] == "de"]
        with pytest.raises(EngineError, match=r"no model for this language \(zh\)"):
            spoken_s(engine, "你好", language="zh-TW")

    def test_damaged_weights_fail_when_they_are_loaded(self, load: Load, models, tmp_path: Path) -> None:
        with pytest.raises(EngineError, match="weights are damaged"):
            load(broken=True)
        folder = shutil.copytree(models(eos=100.0), tmp_path / "english")
        (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
        with pytest.raises(Exception, match="(?i)incomplete|header"):
            pocket.load(Settings(pocket_model=folder), lambda _: None)
        for voice in pocket_models.VOICES:
            (folder / f"{voice}.safetensors").unlink()
        with pytest.raises(WeightsError, match="no voice in"):
            pocket.load(Settings(pocket_model=folder), lambda _: None)

    def test_the_words_stay_out_of_the_log(self, load: Load, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.DEBUG):
            engine = load(eos=100.0)
            spoken_s(engine, "Sesame " + "open " * 30)  # the library quotes what is longer than its limit
        assert "Sesame" not in caplog.text

    async def test_in_the_ladder_it_leaves_chinese_to_espeak(self, models, settings: Settings) -> None:
        ladder = [rung("mind", "llm"), *(row for row in CATALOG if row.name in ("pocket", "espeak"))]
        mind = FakeLLM("Hello to you, my good friend. 你好，我很高興見到你。 How are you feeling today?")

        def loader(row: Rung, settings: Settings, progress: Progress) -> Engine:
            return mind if row.stage == "llm" else import_module(row.module).load(settings, progress)

        folder = models(eos=100.0, cloning=False)
        pool = EnginePool(replace(settings, pocket_model=folder), ladder, loader)
        for row in ladder:
            pool.warm(row)
        seen = pool.status()[1]
        assert (seen.name, seen.serving, seen.languages, seen.clones) == ("pocket", True, ("en",), False)
        assert seen.voices == pocket_models.VOICES
        events = [event async for event in Pipeline(pool).turn("hi")]
        assert isinstance(events[-1], TurnDone)
        told = [e.engine if isinstance(e, Serving) else e.text for e in events if isinstance(e, Serving | Clause)]
        assert [what for what in told if what != "Mind"] == [
            "Hello to you, my good friend.",
            "Pocket TTS",
            "你好，我很高興見到你。",
            "eSpeak NG",
            "How are you feeling today?",
            "Pocket TTS",
        ]
        refused = [event async for event in Pipeline(pool).turn("hi", voice=replace(MINE, consent="c"))][-1]
        assert isinstance(refused, Failure) and refused.code == "NO_CLONING"
        by_pitch = replace(MINE, consent="c", pitch_hz=120.0)
        events = [event async for event in Pipeline(pool).turn("hi", voice=by_pitch)]
        assert isinstance(events[-1], TurnDone)
        assert {e.engine for e in events if isinstance(e, Serving)} == {"Mind", "eSpeak NG, pitch only"}
        pool.close()
