"""Whisper's adapter: what goes in and out around a fake model, and real files and sound through the real load()."""

import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from clips import clip
from whisper_model import make

from avatar.engines import whisper
from avatar.engines.catalog import WHISPER_LANGUAGES
from avatar.engines.pool import EnginePool
from avatar.engines.whisper import TOKENS, WhisperSTT
from avatar.errors import EngineError, WeightsError
from avatar.events import Samples, Serving, Transcript
from avatar.pipeline import Pipeline
from avatar.planner import Share
from avatar.settings import Settings

RATE = 16_000
SAID = ["startoftranscript", "transcribe", "notimestamps"]
Heard = tuple[str, float, float]  # text, no-speech probability, mean logarithm


class FakeModel:
    """Says the texts in turn, a token per character; `language` is what it detects, and how sure it is of that."""

    def __init__(self, *heard: str | Heard, language: tuple[str, float] = ("en", 0.9)) -> None:
        self.heard = [one if isinstance(one, tuple) else (one, 0.01, -0.2) for one in heard]
        self.language, self.model, self.hf_tokenizer = language, self, self
        self.encoded: list[int] = []  # frames that held sound, per run of the encoder
        self.asked: list[tuple[str, dict[str, Any]]] = []  # language of the prompt and options, per decoding
        self.detected = 0

    @property
    def engine(self) -> WhisperSTT:
        return WhisperSTT(self, lambda text: text.replace("国", "國"))

    def token_to_id(self, token: str) -> int | None:
        return 1 if token in ("<|en|>", "<|zh|>", "<|ja|>", "<|jw|>") else None

    def feature_extractor(self, samples: Samples) -> Any:
        return np.ones((80, len(samples) // 160 + 1), np.float32)

    def encode(self, features: Any) -> int:
        assert features.shape == (80, 3000)
        self.encoded.append(int(features[0].sum()))
        return len(self.encoded)

    def detect_language(self, encoded: int) -> list[list[tuple[str, float]]]:
        self.detected += 1
        tag, probability = self.language
        return [[(f"<|{tag}|>", probability), ("<|la|>", 1 - probability)]]

    def generate(self, encoded: int, prompts: list[list[str]], **options: Any) -> list[Any]:
        (prompt,) = prompts
        assert [name for name in prompt if name[2:-2] in SAID] == [f"<|{name}|>" for name in SAID]
        assert encoded == len(self.encoded)
        self.asked.append((prompt[1][2:-2], options))
        text, no_speech, logprob = self.heard.pop(0) if self.heard else ("", 0.0, 0.0)
        tokens = [ord(char) for char in text]
        score = logprob * (len(tokens) + 1) / max(1, len(tokens))
        return [SimpleNamespace(sequences_ids=[tokens], scores=[score], no_speech_prob=no_speech)]

    def decode(self, tokens: list[int]) -> str:
        return "".join(map(chr, tokens))


def noise(seconds: float) -> Samples:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.05


def last(engine: WhisperSTT, samples: Samples, language: str | None = None) -> Transcript:
    *partial, final = engine.transcribe(samples, language)
    assert final.final and not any(transcript.final for transcript in partial)
    return final


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(5), np.zeros(RATE), np.full(RATE, np.nan), np.full(RATE, np.inf)]
)
def test_what_holds_no_speech_never_reaches_the_model(samples: Samples) -> None:
    fake = FakeModel("Thanks for watching!")
    assert last(fake.engine, samples.astype(np.float32)) == Transcript("", True, None)
    assert last(fake.engine, samples.astype(np.float32), "zh") == Transcript("", True, "zh")
    assert fake.encoded == [] and fake.asked == []


def test_the_language_is_heard_and_passed_on_by_one_run_of_the_encoder() -> None:
    fake = FakeModel("你好", language=("zh", 0.97))
    assert last(fake.engine, noise(2)) == Transcript("你好", True, "zh")
    assert (fake.encoded, fake.detected, [tag for tag, _ in fake.asked]) == ([200], 1, ["zh"])


def test_a_language_that_is_given_is_not_looked_for() -> None:
    fake = FakeModel("Hello.", language=("cy", 0.9))
    assert last(fake.engine, noise(2), "en") == Transcript("Hello.", True, "en")
    assert fake.detected == 0 and fake.asked[0][0] == "en"


def test_a_language_that_it_only_guesses_is_used_but_not_passed_on() -> None:
    fake = FakeModel("Ja.", language=("nn", 0.3))
    assert last(fake.engine, noise(0.4)) == Transcript("Ja.", True, None)
    assert fake.asked[0][0] == "nn"


@pytest.mark.parametrize(
    ("asked", "told", "answered"),
    [("zh-TW", "zh", "zh-TW"), ("jv", "jw", "jv"), ("EN-us", "en", "EN-us"), ("tlh", "en", "en"), ("", "en", "en")],
)
def test_tags_are_translated_and_unknown_ones_are_looked_for(asked: str, told: str, answered: str) -> None:
    fake = FakeModel("a")
    assert last(fake.engine, noise(1), asked).language == answered
    assert fake.asked[0][0] == told


def test_its_own_name_for_a_language_does_not_leave_it() -> None:
    assert last(FakeModel("Sugeng", language=("jw", 0.8)).engine, noise(1)).language == "jv"


def test_chinese_is_written_as_in_taiwan_and_other_languages_are_left_alone() -> None:
    assert last(FakeModel("中国").engine, noise(1), "zh").text == "中國"
    assert last(FakeModel("中国").engine, noise(1), "ja").text == "中国"


def test_greedy_without_timestamps_and_never_much_longer_than_anyone_speaks() -> None:
    fake = FakeModel("a", "b")
    last(fake.engine, noise(1))
    last(fake.engine, noise(29))
    (_, short), (_, long) = fake.asked
    assert short["beam_size"] == 1 and "sampling_temperature" not in short
    assert short["max_length"] == 2 * 31 and long["max_length"] == 2 * TOKENS


LOOP = "he said that " * 15


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("A gess.", 0.1, -1.3), ("A guess.", 0.1, -1.1), "A guess."),
        (("A guess.", 0.1, -1.2), ("A gess.", 0.1, -1.5), "A guess."),
        ((LOOP, 0.1, -0.1), ("He said that.", 0.1, -1.4), "He said that."),
        ((LOOP, 0.1, -0.1), (LOOP, 0.1, -0.3), "he said that"),
    ],
)
def test_a_guess_or_a_loop_is_decoded_once_more_and_the_better_one_kept(first: Heard, second: Heard, said: str) -> None:
    fake = FakeModel(first, second)
    assert last(fake.engine, noise(4)).text == said
    assert len(fake.asked) == 2 and fake.asked[1][1]["sampling_temperature"] == whisper.TEMPERATURES[1]
    assert len(fake.encoded) == 1


@pytest.mark.parametrize(
    ("heard", "said"), [(("Sure.", 0.9, -0.3), "Sure."), (("Mm.", 0.9, -1.7), ""), (("Thank you.", 0.9, -0.3), "")]
)
def test_certainty_and_silence_are_not_decoded_again(heard: Heard, said: str) -> None:
    fake = FakeModel(heard)
    assert last(fake.engine, noise(1)).text == said
    assert len(fake.asked) == 1


def test_half_a_character_is_not_written() -> None:
    assert last(FakeModel("Hi\ufffd").engine, noise(1)).text == "Hi"


def test_a_long_utterance_comes_piece_by_piece_in_the_language_of_the_first() -> None:
    fake = FakeModel("一", ("謝謝觀看", 0.1, -0.2), "三", language=("zh", 0.9))
    samples = noise(70)
    for pause_s in (28, 56):
        samples[pause_s * RATE :][: RATE // 2] = 0
    out = list(fake.engine.transcribe(samples, None))
    assert [(t.text, t.final, t.language) for t in out] == [
        ("一", False, "zh"),
        ("一", False, "zh"),
        ("一三", True, "zh"),
    ]
    assert fake.detected == 1 and max(fake.encoded) <= 3000
    assert sum(fake.encoded) == pytest.approx(7000, abs=3)


def test_closing_it_leaves_the_next_piece_unheard() -> None:
    fake = FakeModel("one", "two")
    transcripts = fake.engine.transcribe(noise(45), "en")
    assert next(transcripts).text == "one"
    transcripts.close()
    assert len(fake.encoded) == len(fake.asked) == 1


def test_it_hears_any_language_and_says_so() -> None:
    assert FakeModel().engine.plausible(noise(1), "叫你好")


def test_closed_it_hears_no_more() -> None:
    engine = FakeModel("a").engine
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        next(engine.transcribe(noise(1), None))


@pytest.mark.parametrize("missing", whisper.NEEDED)
def test_a_folder_without_its_files_is_named_and_no_hub_is_asked(tmp_path: Path, missing: str) -> None:
    for name in whisper.NEEDED:
        if name != missing:
            (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=f"has no {missing}"):
        whisper.load(Settings(whisper_model=tmp_path), lambda fraction: None)


def test_missing_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="avatar.weights fetch whisper-base"):
        whisper.load(Settings(weights=tmp_path), lambda fraction: None)


# -- real files -------------------------------------------------------------------------------------------------------


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
    subprocess.run([sys.executable, "-c", LOAD, str(folder)], cwd=Path(__file__).parent.parent, check=True, timeout=60)


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


def test_it_runs_where_the_plan_says() -> None:
    assert whisper.placement(None)["device"] == "cpu"
    on_card = whisper.placement(Share("whisper", card=1, bytes=1, of=2, compute_type="int8_float16"))
    assert on_card == {"device": "cuda", "device_index": 1, "compute_type": "int8_float16", "num_workers": 2}
