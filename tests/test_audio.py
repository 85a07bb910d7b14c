"""Sound inside: PCM, levels, WAV, resampling, Opus."""

import os
import subprocess
import sys
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from audio_files import RATE, pitch, read_tags, tone
from hypothesis import given
from hypothesis import strategies as st

from avatar import audio
from avatar.errors import AudioError

# -- PCM, levels, WAV -------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
def test_pcm16_round_trip_is_exact(data: bytes) -> None:
    assert audio.pcm16(audio.from_pcm16(data)) == data[: len(data) // 2 * 2]


def test_pcm16_clips_and_silences_what_is_not_finite() -> None:
    samples = np.array([2.0, -2.0, np.nan, np.inf, -np.inf, 0.5], np.float32)
    assert np.frombuffer(audio.pcm16(samples), "<i2").tolist() == [32767, -32768, 0, 0, 0, 16384]


def test_level() -> None:
    assert audio.level_dbfs(np.zeros(100, np.float32)) == audio.level_dbfs(np.zeros(0, np.float32)) == -120
    assert audio.level_dbfs(np.ones(100, np.float32)) == pytest.approx(0)
    assert audio.level_dbfs(tone(1)) == pytest.approx(20 * np.log10(0.3 / np.sqrt(2)), abs=0.01)


def test_wav_bytes_can_be_read_by_others() -> None:
    with wave.open(BytesIO(audio.wav_bytes(tone(0.5, 24_000), 24_000))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (24_000, 1, 12_000)


# -- resampling -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "to_rate"), [(22_050, 24_000), (24_000, 16_000), (8_000, 48_000), (16_000, 16_000)])
def test_resample_keeps_pitch_length_and_level(rate: int, to_rate: int) -> None:
    out = audio.resample(tone(1, rate), rate, to_rate)
    assert len(out) == to_rate and out.dtype == np.float32
    assert pitch(out, to_rate) == pytest.approx(440, abs=1)
    assert audio.level_dbfs(out) == pytest.approx(audio.level_dbfs(tone(1, rate)), abs=0.1)


@given(st.lists(st.integers(0, 3000), max_size=8))
def test_chunked_resampling_equals_one_piece(sizes: list[int]) -> None:
    samples = tone(sum(sizes) / 22_050, 22_050)
    stream = audio.Resampler(22_050, 24_000)
    pieces = [stream.push(part) for part in np.split(samples, np.cumsum(sizes))[:-1]]
    pieces.append(stream.push(np.zeros(0, np.float32), last=True))
    np.testing.assert_allclose(np.concatenate(pieces), audio.resample(samples, 22_050, 24_000), atol=1e-6)


def test_resampler_gives_most_of_the_first_chunk_at_once() -> None:
    ready = audio.Resampler(22_050, 24_000).push(tone(0.2, 22_050))
    assert len(ready) > 0.15 * 24_000  # up to 40 ms stay in the filter


# -- Opus -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100, 48_000])
def test_opus_keeps_sound_length_and_tags(tmp_path: Path, rate: int) -> None:
    path = tmp_path / "reply.opus"
    audio.write_opus(path, tone(1.234, rate), rate, {"AI_GENERATED": "yes", "NOTE": "你好"})
    chunk = audio.read_opus(path)
    assert chunk.sample_rate == 48_000 and chunk.duration_s == pytest.approx(1.234, abs=0.001)
    assert pitch(chunk.samples, 48_000) == pytest.approx(440, abs=2)
    assert audio.level_dbfs(chunk.samples) == pytest.approx(audio.level_dbfs(tone(1, rate)), abs=1)
    assert read_tags(path).items() >= {"AI_GENERATED": "yes", "NOTE": "你好"}.items()
    assert path.stat().st_size < 8_000 and list(tmp_path.iterdir()) == [path]


def test_there_is_no_opus_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sound"):
        audio.write_opus(tmp_path / "a.opus", np.zeros(0, np.float32), 24_000, {})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.opus"
    audio.write_opus(path, tone(0.5), RATE, {})
    before = path.read_bytes()

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        audio.write_opus(path, tone(1), RATE, {})
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("data", [b"", b"OggS" + b"\0" * 200, b"ID3" + b"x" * 500])
def test_damaged_opus_is_an_audio_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.opus").write_bytes(data)
    with pytest.raises(AudioError, match="damaged"):
        audio.read_opus(tmp_path / "a.opus")


def test_read_opus_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio.write_opus(tmp_path / "a.opus", tone(2), RATE, {})
    monkeypatch.setattr(audio, "MAX_OPUS_S", 1)
    with pytest.raises(AudioError) as caught:
        audio.read_opus(tmp_path / "a.opus")
    assert caught.value.code == "AUDIO_TOO_LONG"


def test_importing_audio_does_not_import_what_is_heavy() -> None:
    code = "import sys, avatar.audio; sys.exit(bool({'av', 'soxr'} & sys.modules.keys()))"
    subprocess.run([sys.executable, "-c", code], check=True)
