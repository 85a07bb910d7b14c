"""Moonshine's adapter: what goes in and out around a fake model, and real words from real clips."""

import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from avatar.bench.clips import load
from avatar.engines import moonshine
from avatar.engines.moonshine import END, MoonshineSTT, tidy, vocabulary
from avatar.errors import WeightsError
from avatar.events import Samples
from avatar.settings import Settings

DATA = Path(__file__).parent / "data"
RATE = 16_000


class FakeModel:
    """Both of its sessions: "hears" the texts in turn, a token per word, and records what it is given."""

    OUTPUTS = ("logits", "present.0.decoder.key", "present.0.encoder.key")

    def __init__(self, *texts: str, endless: bool = False, logit: float = 1.0) -> None:
        self.texts, self.endless, self.logit = list(texts), endless, logit
        words = dict.fromkeys(word for text in texts for word in text.split())
        self.vocabulary = [b"", b"<s>", b"</s>", *(f"\u2581{word}".encode() for word in words)]
        self.lengths: list[int] = []
        self.steps: list[int] = []  # tokens judged in each call of the decoder
        self._heard: list[list[int]] = []

    @property
    def engine(self) -> MoonshineSTT:
        decoder = SimpleNamespace(run=self.decode, get_outputs=self.outputs, get_inputs=self.inputs)
        return MoonshineSTT(SimpleNamespace(run=self.encode), decoder, self.vocabulary)

    def outputs(self) -> list[Any]:
        return [SimpleNamespace(name=name) for name in self.OUTPUTS]

    def inputs(self) -> list[Any]:
        names = [name.replace("present", "past_key_values") for name in self.OUTPUTS[1:]]
        return [SimpleNamespace(name=name, shape=[1, 1, 0, 1]) for name in names]

    def encode(self, _: None, feed: dict[str, Any]) -> list[Any]:
        self.lengths.append(feed["input_values"].shape[1])
        text = self.texts.pop(0) if self.texts else ""
        self._heard.append([self.vocabulary.index(f"\u2581{word}".encode()) for word in text.split()])
        return [np.full((1, 4, 2), len(self._heard) - 1, np.float32)]

    def decode(self, names: Sequence[str], feed: dict[str, Any]) -> list[Any]:
        script = self._heard[int(feed["encoder_hidden_states"][0, 0, 0])]
        tokens, cached = feed["input_ids"][0], feed["past_key_values.0.decoder.key"].shape[2]
        assert feed["use_cache_branch"][0] == (cached > 0)
        self.steps.append(len(tokens))
        logits = np.zeros((1, len(tokens), len(self.vocabulary)), np.float32)
        for i in range(len(tokens)):
            at = cached + i
            logits[0, i, (script * 99)[at] if self.endless else script[at] if at < len(script) else END] = self.logit
        state = {
            "present.0.decoder.key": np.zeros((1, 1, cached + len(tokens), 1), np.float32),
            "present.0.encoder.key": np.zeros((1, 1, 4, 1), np.float32),
        }
        return [logits, *(state[name] for name in names[1:])]


def noise(seconds: float) -> Samples:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.05


def text_of(engine: MoonshineSTT, samples: Samples) -> str:
    *partial, last = engine.transcribe(samples, None)
    assert last.final and last.language == "en" and not any(transcript.final for transcript in partial)
    return last.text


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros(5), np.zeros(RATE), np.full(RATE, np.nan), np.full(RATE, np.inf)]
)
def test_what_holds_no_speech_never_reaches_the_engine(samples: Samples) -> None:
    fake = FakeModel("You")
    assert text_of(fake.engine, samples.astype(np.float32)) == ""
    assert fake.lengths == []


@pytest.mark.parametrize("invented", ["You", "you.", "?", "The", "♪♪♪♪", ""])
def test_what_it_says_to_noise_is_dropped(invented: str) -> None:
    assert text_of(FakeModel(invented).engine, noise(1)) == ""


def test_a_short_clip_is_padded() -> None:
    fake = FakeModel("Yes.")
    assert text_of(fake.engine, noise(0.1)) == "Yes."
    assert fake.lengths == [RATE // 2]


def test_a_long_utterance_comes_piece_by_piece() -> None:
    samples = noise(31)
    transcripts = list(FakeModel("one", "two").engine.transcribe(samples, None))
    assert [(transcript.text, transcript.final) for transcript in transcripts] == [("one", False), ("one two", True)]


def test_threads_do_not_mix_their_words() -> None:
    texts = "abcdefgh"
    engine, said = FakeModel(*texts).engine, list[str]()
    threads = [threading.Thread(target=lambda: said.append(text_of(engine, noise(1)))) for _ in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == list(texts)


def test_the_words_of_a_shorter_hearing_are_a_draft_that_is_judged_in_one_step() -> None:
    fake = FakeModel("what is the tea", "what is the time", "what is the time")
    engine, utterance = fake.engine, noise(3)
    assert text_of(engine, utterance[:RATE]) == "what is the tea"
    assert fake.steps == [1] * 5
    fake.steps.clear()
    assert text_of(engine, utterance[: 2 * RATE]) == "what is the time"
    assert fake.steps == [5, 1]  # begin and four words at once, of which three stay and "time" comes; then the end
    fake.steps.clear()
    assert text_of(engine, utterance) == "what is the time"
    assert fake.steps == [5]


def test_another_utterance_is_no_draft() -> None:
    fake = FakeModel("yes", "no")
    engine = fake.engine
    assert (text_of(engine, noise(1)), text_of(engine, noise(1)[::-1].copy())) == ("yes", "no")
    assert max(fake.steps) == 1
    for _ in range(moonshine.DRAFTS + 1):
        text_of(engine, np.random.default_rng().standard_normal(RATE).astype(np.float32))
    assert len(engine._drafts) == moonshine.DRAFTS


def test_a_model_that_never_ends_is_stopped() -> None:
    fake = FakeModel("la la le", endless=True)
    assert text_of(fake.engine, noise(2))
    assert len(fake.steps) == int(2.2 * moonshine.TOKENS_PER_S)


def test_the_vocabulary_has_lengths_of_one_and_two_bytes(tmp_path: Path) -> None:
    long = b"x" * 200
    (tmp_path / "t").write_bytes(bytes([1]) + b"a" + bytes([0]) + bytes([128 + 200 % 128, 200 // 128]) + long)
    assert vocabulary(tmp_path / "t") == [b"a", b"", long]


@pytest.mark.parametrize(
    ("heard", "again", "verdict"),
    [
        ("Hello there", ("Hollow air", "Hello there"), True),
        ("Goy!", ("Dewey.", "The way.", "Do it."), False),
        ("叫你好", (), False),
    ],
)
def test_one_or_two_words_that_change_with_the_pace_are_not_plausible(
    heard: str, again: tuple[str, ...], verdict: bool
) -> None:
    fake = FakeModel(*again)
    assert fake.engine.plausible(noise(2), heard) is verdict
    assert (
        len(set(fake.lengths)) == len(fake.lengths) == len(again)
    )  # each at its own pace, and no more than are needed


@pytest.mark.parametrize(("probability", "verdict"), [(0.9, True), (0.6, True), (0.55, False), (0.2, False)])
def test_three_words_are_judged_by_their_own_probability(probability: float, verdict: bool) -> None:
    fake = FakeModel("what is the weather")
    fake.logit = float(np.log(probability / (1 - probability) * (len(fake.vocabulary) - 1)))
    assert fake.engine.plausible(noise(9), "What is the weather?") is verdict
    assert len(fake.lengths) == 1 and fake.lengths[0] <= moonshine.GUARD_SAMPLES + moonshine.TAIL_SAMPLES


def test_certainty_counts_the_words_that_were_kept_and_those_that_came() -> None:
    fake = FakeModel("what is the tea", "what is the time", "what is the time", logit=10.0)
    engine, utterance = fake.engine, noise(3)
    text_of(engine, utterance[: 2 * RATE])
    fake.logit = 2.0
    asked = engine._certainty(utterance)
    assert fake.steps[-2:] == [5, 1]
    alone = np.exp(2.0) / (np.exp(2.0) + len(fake.vocabulary) - 1)
    assert asked == pytest.approx(np.log(alone))


@pytest.mark.parametrize(
    ("text", "logit", "sure"),
    [
        ("Where is it?", 9.0, True),
        ("Where is it?", 1.0, False),
        ("你好 你好 你好", 9.0, False),
        ("Yeah, yeah.", 9.0, False),
    ],
)
def test_it_is_sure_of_likely_english_words(text: str, logit: float, sure: bool) -> None:
    heard = FakeModel(text, logit=logit).engine.surely(noise(2))
    assert (heard is not None) == sure and (heard is None or (heard.text, heard.final) == (text, True))


def test_every_piece_of_a_long_utterance_must_be_sure() -> None:
    model = FakeModel("the first", "the second", logit=9.0)
    heard = model.engine.surely(noise(30))
    assert heard is not None and heard.text == "the first the second" and len(model.lengths) == 2
    assert FakeModel("the first one", "第二", logit=9.0).engine.surely(noise(30)) is None


def test_the_scores_of_a_draft_that_was_dropped_do_not_count() -> None:
    model = FakeModel("one two three", "one four", logit=9.0)
    engine, samples, scores = model.engine, noise(2), list[float]()
    list(engine.transcribe(samples, None))
    assert engine._words(samples, scores) == "one four" and len(scores) == len(["one", "four", "END"])


def test_tidy_stops_a_loop_but_keeps_speech() -> None:
    assert tidy("it was the age, it was the age, it was the age, it was the age of") == "it was the age of"
    assert tidy("no no, I said 5% & $3.") == "no no, I said 5% & $3."


def test_missing_weights_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moonshine.weights.disk.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="moonshine-voice==0.0.73"):
        moonshine.load(Settings(weights=tmp_path), lambda fraction: None)


def clip(name: str) -> Samples:
    resampler = av.AudioResampler("s16", "mono", RATE)
    with av.open(str(DATA / name)) as container:
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    frames += resampler.resample(None)
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames]).astype(np.float32) / 32768
    return np.concatenate([noise(0.15) * 0.01, samples, np.zeros(RATE // 5, np.float32)])  # as turn-taking cuts it


@pytest.fixture(scope="module")
def engine():
    loaded = moonshine.load(Settings.from_env(), lambda fraction: None)
    yield loaded
    loaded.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("lk_hello.wav", ["hello", "world"]),
        ("lk_weather.wav", ["what", "is", "the", "weather", "in", "paris"]),
        ("un_dog.mp3", ["a", "dog", "or", "a", "cat"]),
    ],
)
def test_real_words(engine: MoonshineSTT, name: str, words: list[str]) -> None:
    text = text_of(engine, clip(name))
    assert moonshine.normal(text)[-len(words) :] == words
    assert engine.plausible(clip(name), text)
    assert engine._certainty(clip("lk_weather.wav")) > moonshine.CERTAIN / 2


@pytest.mark.slow
def test_a_real_draft_changes_no_word(engine: MoonshineSTT) -> None:
    samples = clip("lk_weather.wav")
    text_of(engine, samples[: int(1.4 * RATE)])
    assert moonshine.normal(text_of(engine, samples))[-3:] == ["weather", "in", "paris"]


@pytest.mark.slow
def test_real_chinese_is_found_out(engine: MoonshineSTT) -> None:
    samples = clip("cv_zero_shot.wav")
    assert not engine.plausible(samples, text_of(engine, samples))
    assert engine._certainty(samples) < 2 * moonshine.CERTAIN


@pytest.mark.slow
def test_real_noise_says_nothing(engine: MoonshineSTT) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    click = np.concatenate([np.zeros(4800), noise(0.005) * 10, np.zeros(4800)]).astype(np.float32)
    assert [text_of(engine, samples) for samples in (noise(2), tone, click)] == ["", "", ""]


@pytest.mark.slow
def test_real_english_is_sure_and_no_other_language_is(engine: MoonshineSTT) -> None:
    """Of the 14 English clips the first 18 s, and of the two Chinese ones 3 s from every second on."""
    clips = load(languages=("en", "zh"))
    english = [one for one in clips if one.row.language == "en"]
    unsure = [one.row.file for one in english if engine.surely(one.samples[: 18 * RATE]) is None]
    assert len(english) == 14 and len(unsure) <= 5, unsure
    chinese = [one.samples for one in clips if one.row.language == "zh"]
    pieces = [samples[at : at + 3 * RATE] for samples in chinese for at in range(0, len(samples) - 2 * RATE, RATE)]
    assert len(pieces) >= 7 and not any(engine.surely(piece) for piece in pieces)
