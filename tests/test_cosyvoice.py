"""CosyVoice 3 without vllm-omni: what its stages are given, what is done with their sound, and how a call ends."""

import asyncio
import json
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from avatar.engines import cosyvoice
from avatar.engines.base import Voice
from avatar.engines.cosyvoice import BLANK, PARTS, PREFIX, RATE, TOKENIZER, CosyVoice3, Request, files, view
from avatar.engines.reference import Reference, prepare
from avatar.errors import EngineError, EngineTimeout, WeightsError
from avatar.events import AudioChunk, Samples
from avatar.settings import Settings

LOUD = (np.sin(np.arange(RATE // 2) / 9) * 0.3).astype(np.float32)


class Stages:
    """Says three pieces, or what it is told to."""

    def __init__(self, pieces: tuple[Samples, ...] = (LOUD, LOUD, LOUD), wait_s: float = 0.0) -> None:
        self.pieces, self.wait_s = pieces, wait_s
        self.asked, self.forgotten = list[Request](), list[str]()
        self.cut, self.closed = threading.Event(), threading.Event()
        self.starts_in_s, self.fault = 0.0, ""

    async def start(self) -> None:
        await asyncio.sleep(self.starts_in_s)
        if self.fault:
            raise MemoryError(self.fault)

    async def say(self, request: Request) -> AsyncGenerator[Samples, None]:
        self.asked.append(request)
        try:
            for piece in self.pieces:
                yield piece
                await asyncio.sleep(self.wait_s)
        except (asyncio.CancelledError, GeneratorExit):
            self.cut.set()
            raise

    def forget(self, voice_name: str) -> None:
        self.forgotten.append(voice_name)

    async def close(self) -> None:
        self.closed.set()


def noisy(seconds: float) -> Samples:
    rng = np.random.default_rng(3)
    return (np.sin(np.arange(int(seconds * RATE)) / 30) * 0.2 + rng.normal(0, 0.01, int(seconds * RATE))).astype(
        np.float32
    )


OWN: dict[str, tuple[str, Reference]] = {
    "english": ("en", prepare(noisy(4), RATE, "Some call me nature.")),
    "chinese": ("zh", prepare(noisy(4), RATE, "这就是我。")),
}


@pytest.fixture
def made():
    """made(stages): an engine, closed at the end."""
    engines: list[CosyVoice3] = []

    def make(stages: Stages) -> CosyVoice3:
        engines.append(CosyVoice3(stages, OWN, lambda text: text.replace("後", "后")))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()


def ann(words: str = "What was said there.", cache: Path | None = None) -> Voice:
    return Voice("Ann", "a1", AudioChunk(noisy(4), RATE), words, "en", consent="x", cache=cache)


def test_a_clause_is_yielded_while_it_is_written_and_the_reference_is_cut_once(made) -> None:
    engine = made(stages := Stages())
    said = list(engine.speak("The kettle is on.", ann(), "en"))
    assert [len(chunk.samples) for chunk in said] == [len(LOUD)] * 3 and said[0].sample_rate == RATE
    list(engine.speak("So is the tea.", ann(), "en"))
    first, second = stages.asked
    assert first.text == "The kettle is on." and first.reference_text == PREFIX + "What was said there. "
    assert first.voice_name == second.voice_name and first.reference is second.reference
    list(engine.speak("And now?", ann("Other words."), "en"))
    assert stages.asked[2].voice_name != first.voice_name


def test_its_own_voice_is_that_of_the_language_and_hanzi_are_simplified(made) -> None:
    engine = made(stages := Stages())
    list(engine.speak("Later.", Voice(), "fr"))
    list(engine.speak("以後。", Voice(), "zh-TW"))
    assert [request.voice_name for request in stages.asked] == ["own-english", "own-chinese"]
    assert stages.asked[1].text == "以后。"
    assert list(engine.speak("…", Voice(), "en")) == [] and len(stages.asked) == 2


@pytest.mark.parametrize(
    ("voice", "language", "code"),
    [
        (Voice(), "th", "NOT_ITS_LANGUAGE"),
        (Voice("Bob", "b1"), "en", "NO_CLONING"),
        (Voice("alba"), "en", "ENGINE_FAILED"),
        (Voice("Bob", "b1", AudioChunk(np.zeros(RATE, np.float32), RATE), "Hm."), "en", "NO_CLONING"),
    ],
)
def test_what_it_cannot_say_it_refuses(made, voice: Voice, language: str, code: str) -> None:
    engine = made(stages := Stages())
    with pytest.raises(EngineError) as refused:
        list(engine.speak("Hello.", voice, language))
    assert refused.value.code == code and not refused.value.lost and stages.asked == []


@pytest.mark.parametrize("sound", [np.zeros(RATE, np.float32), np.full(RATE, np.nan, np.float32)])
def test_sound_that_is_none_is_told(made, sound: Samples) -> None:
    with pytest.raises(EngineError, match="no sound|broken sound"):
        list(made(Stages((sound,))).speak("Hello.", Voice(), "en"))


def test_closing_the_generator_ends_the_request(made) -> None:
    engine = made(stages := Stages(wait_s=0.02))
    stages.wait_s = 5
    saying = engine.speak("A long story.", Voice(), "en")
    next(saying)
    saying.close()
    assert stages.cut.wait(5)


def test_stages_that_fall_silent_are_given_up(made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cosyvoice, "NEXT_S", 0.1)
    engine = made(stages := Stages(wait_s=5))
    with pytest.raises(EngineTimeout) as late:
        list(engine.speak("Hello.", Voice(), "en"))
    assert late.value.lost and stages.cut.wait(5)


def test_a_profile_that_is_deleted_is_forgotten_by_the_stages_too(made) -> None:
    engine = made(stages := Stages())
    list(engine.speak("Hello.", ann(), "en"))
    engine.forget("a1")
    engine.forget("never-heard")
    engine.close()
    assert stages.forgotten == [stages.asked[0].voice_name] and stages.closed.is_set()
    engine.forget("a1")


def test_a_profile_that_is_deleted_while_it_speaks_is_forgotten_at_the_end_of_the_clause(made) -> None:
    engine = made(stages := Stages(wait_s=0.02))
    saying = engine.speak("Hello.", ann(), "en")
    next(saying)
    engine.forget("a1")
    assert len(list(saying)) == 2
    list(engine.speak("Hello.", ann(), "en"))  # one that had begun to be prepared
    engine.close()
    assert len(stages.forgotten) == 2 == len(stages.asked)
    assert not engine._profiles._values and not engine._names


def test_what_was_cut_is_kept_with_the_profile_and_made_again_where_it_is_damaged(made, tmp_path: Path) -> None:
    folder = tmp_path / "voices" / "a1" / "cache"
    folder.mkdir(parents=True)
    list(made(before := Stages()).speak("Hello.", ann(cache=folder), "en"))
    (file,) = folder.iterdir()
    list(made(after := Stages()).speak("Hello.", ann(cache=folder), "en"))
    file.write_bytes(b"no numbers")
    list(made(again := Stages()).speak("Hello.", ann(cache=folder), "en"))
    (first,), (second,), (third,) = before.asked, after.asked, again.asked
    for other in (second, third):
        assert np.array_equal(first.reference, other.reference) and first.reference_text == other.reference_text
        assert (first.voice_name, first.sample_rate) == (other.voice_name, other.sample_rate)
    assert file.stat().st_size > 1000


def test_a_start_shows_its_progress_and_its_fault(made, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[float] = []
    stages = Stages()
    stages.starts_in_s = 0.05
    made(stages).start(shown.append, 5)
    assert shown and all(0 <= fraction < 0.95 for fraction in shown)
    stages.fault = "CUDA out of memory"
    with pytest.raises(MemoryError):
        made(stages).start(shown.append, 5)
    stages.fault, stages.starts_in_s = "", 9
    with pytest.raises(EngineTimeout, match="did not start"):
        made(stages).start(shown.append, 0.2)


def published(folder: Path, flat: bool = False) -> Path:
    for name in PARTS:
        (folder / name).write_bytes(b"x")
    tokenizer = folder if flat else folder / BLANK
    tokenizer.mkdir(exist_ok=True)
    for name in TOKENIZER:
        (tokenizer / name).write_text("{}")
    return folder


@pytest.mark.parametrize("flat", [False, True])
def test_a_folder_as_published_or_as_fetched_is_shown_as_vllm_omni_wants_it(tmp_path: Path, flat: bool) -> None:
    shown = view(files(Settings(cosyvoice_model=published(tmp_path, flat))))
    assert "cosyvoice3" in shown.name and json.loads((shown / "config.json").read_text())["model_type"] == "cosyvoice3"
    assert (shown / BLANK / "vocab.json").resolve().parent == (tmp_path if flat else tmp_path / BLANK)
    engine = CosyVoice3(Stages(), OWN, str, shown)
    engine.close()
    assert not shown.exists() and (tmp_path / "llm.pt").is_file()


def test_what_is_missing_of_the_model_is_named(tmp_path: Path) -> None:
    published(tmp_path)
    (tmp_path / "hift.pt").unlink()
    with pytest.raises(WeightsError, match=r"no CosyVoice 3 model: it has no hift\.pt"):
        files(Settings(cosyvoice_model=tmp_path))
    with pytest.raises(WeightsError):
        files(Settings(weights=tmp_path / "none"))


def test_without_a_share_of_a_card_it_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="needs a graphics card"):
        cosyvoice.load(Settings(cosyvoice_model=tmp_path), lambda fraction: None)
