"""The speaker encoder gives what Resemblyzer gives, and tells voices apart."""

from pathlib import Path

import numpy as np
import pytest
from clips import DATA, clip

from avatar import speaker, weights
from avatar.errors import WeightsError
from avatar.settings import Settings
from avatar.speaker import RATE, SAME, SpeakerEncoder, similarity
from avatar.turntaking.voice import Silero
from avatar.voiced import listen

GOLDEN = np.load(DATA / "resemblyzer.npz")  # by Resemblyzer 0.1.4 with librosa 0.11.0 and torch 2.13.0
MALE, FEMALE = "speech/ms_zipvoice_american_male.wav", "speech/ms_zipvoice_irish_female.wav"


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return speaker.load(Settings.from_env())


def test_mel_frames_are_those_of_librosa() -> None:
    frames = speaker._mel_frames(clip("lk_weather.wav"))
    np.testing.assert_allclose(frames[::20, ::2], GOLDEN["mel"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("samples", "starts"),
    [(8_000, [0]), (25_600, [0]), (38_000, [0, 77]), (66_219, [0, 77, 154, 231]), (160_000, list(range(0, 924, 77)))],
)
def test_windows_lie_where_resemblyzer_puts_them(samples: int, starts: list[int]) -> None:
    assert speaker._starts(samples) == starts


def test_a_file_that_is_not_the_model_is_named(tmp_path: Path) -> None:
    (tmp_path / "pretrained.pt").write_bytes(b"no model")
    with pytest.raises(WeightsError, match=r"pretrained\.pt"):
        SpeakerEncoder.load(tmp_path / "pretrained.pt")


def test_absent_weights_are_a_sentence(settings: Settings) -> None:
    with pytest.raises(WeightsError, match="fetch resemblyzer"):
        speaker.load(settings)


def test_bytes_of_the_database_come_back_or_are_refused() -> None:
    embedding = speaker.normalised(np.arange(256, dtype=np.float32))
    np.testing.assert_array_equal(speaker.from_bytes(speaker.to_bytes(embedding)), embedding)
    for bad in (b"", bytes(1023), np.full(256, np.nan, "<f4").tobytes()):
        with pytest.raises(ValueError):
            speaker.from_bytes(bad)


@pytest.mark.slow
class TestReal:
    def test_it_is_resemblyzer(self, encoder: SpeakerEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(speaker, "LEVEL_DBFS", -120.0)  # the golden ones were made of the clips as they are
        for name, made in (("lk_weather.wav", "short"), (MALE, "long")):
            np.testing.assert_allclose(encoder.embed(clip(name)), GOLDEN[made], atol=1e-5)

    @pytest.mark.voice
    def test_it_is_what_torch_computes(self, encoder: SpeakerEncoder) -> None:
        torch = pytest.importorskip("torch")
        place = weights.path("resemblyzer", Settings.from_env().weights)
        state = torch.load(place, map_location="cpu", weights_only=True)["model_state"]
        lstm, linear = torch.nn.LSTM(40, 256, 3, batch_first=True), torch.nn.Linear(256, 256)
        lstm.load_state_dict({key[5:]: value for key, value in state.items() if key.startswith("lstm.")})
        linear.load_state_dict({key[7:]: value for key, value in state.items() if key.startswith("linear.")})
        for name in ("lk_weather.wav", MALE, FEMALE, "speech/vosk.wav"):
            samples = speaker._raised(clip(name))
            starts = speaker._starts(len(samples))
            frames = speaker._mel_frames(np.pad(samples, (0, 26_000)))
            windows = torch.from_numpy(np.stack([frames[start : start + 160] for start in starts]))
            with torch.no_grad():
                raw = torch.relu(linear(lstm(windows)[1][0][-1]))
                theirs = torch.nn.functional.normalize(torch.nn.functional.normalize(raw).mean(0), dim=0).numpy()
            assert similarity(encoder.embed(clip(name)), theirs) > 0.99999

    def test_one_voice_is_nearer_than_another(self, encoder: SpeakerEncoder, silero: Silero) -> None:
        one, other = (listen(clip(name), RATE, silero) for name in ("speech/vosk.wav", FEMALE))
        before, after = one.cut(0, 3.3), one.cut(3.3, one.duration_s)
        own = similarity(encoder.embed(before.voice()), encoder.embed(after.voice()))
        assert similarity(encoder.embed(one.voice()), encoder.embed(other.voice())) < SAME - 0.1
        assert own > SAME

    def test_loudness_changes_nothing(self, encoder: SpeakerEncoder) -> None:
        samples = clip(MALE)
        assert similarity(encoder.embed(samples * 0.02), encoder.embed(samples * 0.01)) > 0.9999

    def test_an_embedding_is_normalised_and_deterministic(self, encoder: SpeakerEncoder) -> None:
        first, again = encoder.embed(clip(MALE)), encoder.embed(clip(MALE))
        assert first.shape == (256,) and first.dtype == np.float32 and first.min() >= 0
        assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(first, again)

    @pytest.mark.parametrize("samples", [np.zeros(RATE), np.zeros(0), np.ones(RATE // 3), np.full(RATE, np.nan)])
    def test_too_little_is_a_value_error(self, encoder: SpeakerEncoder, samples: np.ndarray) -> None:
        with pytest.raises(ValueError, match="too little speech"):
            encoder.embed(samples.astype(np.float32))
