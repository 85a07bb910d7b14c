"""Moonshine's adapter: what goes in and out around a fake library, and real words from real clips."""

import ctypes
import threading
from pathlib import Path

import av
import numpy as np
import pytest

from avatar.engines import moonshine
from avatar.engines.moonshine import MoonshineSTT, split, tidy, usable
from avatar.errors import EngineError, WeightsError
from avatar.events import Samples
from avatar.settings import Settings

DATA = Path(__file__).parent / "data"
RATE = 16_000


class FakeTranscriber:
    """Speaks the C API: answers the texts in turn, and records the lengths it was given."""

    def __init__(self, *texts: str, error: int = 0) -> None:
        from moonshine_voice.moonshine_api import TranscriptC, TranscriptLineC

        self._handle: int | None = 1
        self._lib = self
        self.texts, self.error, self.lengths, self.inside, self.most_inside = list(texts), error, [], 0, 0
        self._line, self._transcript = TranscriptLineC(), TranscriptC()

    def moonshine_transcribe_without_streaming(self, handle, audio, count, rate, flags, out) -> int:
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        threading.Event().wait(0.01)
        self.lengths.append(count)
        self._text = ctypes.create_string_buffer(self.texts.pop(0).encode() if self.texts else b"")
        self._line.text = ctypes.cast(self._text, type(self._line.text))
        self._transcript.lines, self._transcript.line_count = ctypes.pointer(self._line), 1
        out._obj.contents = self._transcript
        self.inside -= 1
        return self.error

    def close(self) -> None:
        self._handle = None


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
    fake = FakeTranscriber("You")
    assert text_of(MoonshineSTT(fake), samples.astype(np.float32)) == ""
    assert fake.lengths == []


@pytest.mark.parametrize("invented", ["You", "you.", "?", "The", "♪♪♪♪", ""])
def test_what_it_says_to_noise_is_dropped(invented: str) -> None:
    assert text_of(MoonshineSTT(FakeTranscriber(invented)), noise(1)) == ""


def test_a_short_clip_is_padded() -> None:
    fake = FakeTranscriber("Yes.")
    assert text_of(MoonshineSTT(fake), noise(0.1)) == "Yes."
    assert fake.lengths == [RATE // 2]


def test_a_long_utterance_is_cut_where_it_is_quiet_and_loses_nothing() -> None:
    samples = noise(31)
    samples[12 * RATE : 12 * RATE + RATE // 2] = 0
    pieces = split(samples)
    assert len(pieces) == 2 and np.array_equal(np.concatenate(pieces), samples)
    assert 12.0 <= len(pieces[0]) / RATE <= 12.5
    transcripts = list(MoonshineSTT(FakeTranscriber("one", "two")).transcribe(samples, None))
    assert [(transcript.text, transcript.final) for transcript in transcripts] == [("one", False), ("one two", True)]


def test_two_threads_take_turns() -> None:
    fake = FakeTranscriber(*"abcdefgh")
    engine = MoonshineSTT(fake)
    threads = [threading.Thread(target=lambda: text_of(engine, noise(1))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fake.lengths) == 4 and fake.most_inside == 1


def test_an_error_of_the_library_and_a_closed_engine_are_named() -> None:
    engine = MoonshineSTT(FakeTranscriber("x", error=-1))
    with pytest.raises(EngineError, match="error -1"):
        text_of(engine, noise(1))
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        text_of(engine, noise(1))


@pytest.mark.parametrize(
    ("heard", "again", "verdict"),
    [
        ("What is the weather in Paris?", ("What is the weather in paris", "what is the weather in pairs?"), True),
        ("You're not a man, but a man.", ("You know, go to the beach.", "This is the first time"), False),
        ("叫你好", (), False),
        ("Hello there", (), True),
    ],
)
def test_words_that_change_with_the_pace_are_not_plausible(heard: str, again: tuple[str, ...], verdict: bool) -> None:
    fake = FakeTranscriber(*again)
    assert MoonshineSTT(fake).plausible(noise(2), heard) is verdict
    assert len(fake.lengths) == len(again)
    assert len(set(fake.lengths)) == len(again)  # each at its own pace


def test_tidy_stops_a_loop_but_keeps_speech() -> None:
    assert tidy("it was the age, it was the age, it was the age, it was the age of") == "it was the age of"
    assert tidy("no no, I said 5% & $3.") == "no no, I said 5% & $3."


def test_usable_needs_more_than_minus_60_dbfs() -> None:
    assert not usable(noise(1) * 0.01)
    assert usable(noise(1))


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


@pytest.mark.slow
def test_real_chinese_is_found_out(engine: MoonshineSTT) -> None:
    samples = clip("cv_zero_shot.wav")
    assert not engine.plausible(samples, text_of(engine, samples))


@pytest.mark.slow
def test_real_noise_says_nothing(engine: MoonshineSTT) -> None:
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE).astype(np.float32)
    click = np.concatenate([np.zeros(4800), noise(0.005) * 10, np.zeros(4800)]).astype(np.float32)
    assert [text_of(engine, samples) for samples in (noise(2), tone, click)] == ["", "", ""]
