"""The Whisper engine over real files with random weights."""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from clips import clip
from whisper_model import RATE, last, make, noise

from avatar.engines import whisper
from avatar.engines.catalog import WHISPER_LANGUAGES
from avatar.engines.pool import EnginePool
from avatar.engines.whisper import TOKENS, WhisperSTT
from avatar.errors import WeightsError
from avatar.events import Serving, Transcript
from avatar.pipeline import Pipeline
from avatar.settings import Settings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[WhisperSTT]:
    told: list[float] = []
    loaded = whisper.load(Settings(whisper_model=folder), told.append)
    assert told[-1] == 1.0
    yield loaded
    loaded.close()


LOAD = """
import sys
from pathlib import Path
from avatar.engines import whisper
from avatar.settings import Settings
engine = whisper.load(Settings(whisper_model=Path(sys.argv[1])), lambda fraction: None)
assert "torch" not in sys.modules
"""


@pytest.mark.slow
def test_loading_imports_no_torch_where_it_is_installed(folder: Path) -> None:
    subprocess.run([sys.executable, "-c", LOAD, str(folder)], cwd=Path(__file__).parent.parent, check=True, timeout=180)


CLIPS = ("lk_hello.wav", "speech/f5_ref_zh.wav", "speech/vosk.wav")


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("language", [None, "zh", "jv", "tlh"])
def test_real_sound_gives_words_in_a_language(engine: WhisperSTT, name: str, language: str | None) -> None:
    samples = clip(name)
    transcript = last(engine, samples, language)
    seconds = len(samples) / RATE
    limit = min(TOKENS, whisper.TOKENS_LEAST + math.ceil(whisper.TOKENS_PER_S * seconds))
    assert limit / 2 < len(transcript.text.split()) <= limit  # random weights babble on until they are stopped
    if language in ("zh", "jv"):
        assert transcript.language == language
    else:
        assert transcript.language in WHISPER_LANGUAGES.split()  # this one is certain of everything
    assert last(engine, samples, language) == transcript


@pytest.mark.slow
async def test_the_pool_and_the_pipeline_reach_it(folder: Path) -> None:
    pool = EnginePool(Settings(stt="whisper", whisper_model=folder))
    *_, transcript, serving = [event async for event in Pipeline(pool).transcribe(clip("lk_hello.wav"), None)]
    assert isinstance(transcript, Transcript) and transcript.final and transcript.text
    assert serving == Serving("stt", folder.name) and pool.understands("zh")
    pool.close()


@pytest.mark.slow
def test_a_model_that_is_sure_of_nothing_names_no_language_and_is_stopped(tmp_path: Path) -> None:
    engine = whisper.load(Settings(whisper_model=make(tmp_path / "unsure", certain=False)), lambda fraction: None)
    assert last(engine, clip("lk_hello.wav")).language is None
    samples = np.tile(clip("speech/vosk.wav"), 8)[: 40 * RATE]
    first, final = engine.transcribe(samples, None)
    assert final.text.startswith(first.text) and not first.final
    engine.close()


@pytest.mark.slow
def test_threads_share_it_and_hear_what_they_would_alone(engine: WhisperSTT) -> None:
    alone = {name: last(engine, clip(name), "en").text for name in CLIPS}
    heard: dict[str, str] = {}
    threads = [
        threading.Thread(target=lambda name=name: heard.update({name: last(engine, clip(name), "en").text}))
        for name in CLIPS
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert heard == alone


@pytest.mark.slow
def test_closed_while_it_hears_it_finishes_that_piece(folder: Path) -> None:
    engine = whisper.load(Settings(whisper_model=folder), lambda fraction: None)
    transcripts = engine.transcribe(noise(40), "en")
    first = next(transcripts)
    engine.close()
    assert next(transcripts).text.startswith(first.text)


@pytest.mark.slow
def test_a_model_for_english_only_is_refused(tmp_path: Path) -> None:
    folder = make(tmp_path / "tiny.en", multilingual=False)
    with pytest.raises(WeightsError, match="English only"):
        whisper.load(Settings(whisper_model=folder), lambda fraction: None)


@pytest.mark.slow
def test_real_simplified_becomes_traditional(engine: WhisperSTT) -> None:
    assert engine._traditional("台湾的软件什么时候出发？OK") == "臺灣的軟件什麼時候出發？OK"  # characters, not words
    assert engine._traditional("現在幾點") == "現在幾點"
