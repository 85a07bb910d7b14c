"""The Whisper engine over a scripted model: what it hears, in which language, and when it doubts."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from whisper_model import RATE, last, noise

from avatar.engines import whisper
from avatar.engines.whisper import TOKENS, WhisperSTT
from avatar.errors import EngineError, WeightsError
from avatar.events import Samples, Transcript
from avatar.planner import Share
from avatar.settings import Settings

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


def test_it_runs_where_the_plan_says() -> None:
    assert whisper.placement(None)["device"] == "cpu"
    on_card = whisper.placement(Share("whisper", card=1, bytes=1, of=2, compute_type="int8_float16"))
    assert on_card == {"device": "cuda", "device_index": 1, "compute_type": "int8_float16", "num_workers": 2}
