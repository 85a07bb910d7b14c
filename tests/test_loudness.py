from pathlib import Path

import av
import av.filter
import numpy as np
import pytest
from clips import clip

from avatar.audio import read_opus, resample, wav_bytes, write_opus
from avatar.events import Samples
from avatar.loudness import CEILING, TARGET_LUFS, loudness, normalised


def ffmpegs(samples: Samples, rate: int) -> float:
    """What FFmpeg's ebur128 says."""
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=rate, layout="mono", time_base=f"1/{rate}")
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
    frame.rate = rate
    source.push(frame)
    source.push(None)
    said = "nothing"
    while True:
        try:
            said = sink.pull().metadata.get("lavfi.r128.I", said)
        except (av.EOFError, av.BlockingIOError):
            return float(said)


def test_a_full_scale_sine_has_the_loudness_of_the_standard() -> None:
    """BS.1770-4, annex 1: a 997 Hz sine at 0 dBFS in one channel reads -3.01 LKFS."""
    for rate in (16_000, 24_000, 48_000):
        sine = np.sin(2 * np.pi * 997 * np.arange(5 * rate) / rate).astype(np.float32)
        assert loudness(sine, rate) == pytest.approx(-3.01, abs=0.05)


@pytest.mark.parametrize("gain", [1.0, 0.03])
def test_speech_is_as_loud_as_ffmpeg_finds_it(gain: float) -> None:
    sound = clip("lk_weather.wav", 48_000) * np.float32(gain)
    assert loudness(sound, 48_000) == pytest.approx(ffmpegs(sound, 48_000), abs=0.2)


@pytest.mark.parametrize("gain", [0.1, 0.3, 1.5])
def test_quiet_and_loud_speech_is_kept_at_one_loudness_in_a_tenth_of_a_wav(gain: float, tmp_path: Path) -> None:
    sound = np.clip(clip("lk_weather.wav") * np.float32(gain), -1, 1)
    write_opus(tmp_path / "x.opus", normalised(sound, 16_000), 16_000, {})
    kept = read_opus(tmp_path / "x.opus")
    assert ffmpegs(kept.samples, kept.sample_rate) == pytest.approx(TARGET_LUFS, abs=1.0)
    assert (tmp_path / "x.opus").stat().st_size < 0.16 * len(wav_bytes(sound, 16_000))


def test_peaks_never_clip_silence_stays_and_a_click_is_a_sound() -> None:
    clicks = np.zeros(48_000, np.float32)
    clicks[::4800] = 0.9
    assert np.max(np.abs(normalised(clicks, 24_000))) <= CEILING + 1e-6
    for nothing in (np.zeros(0, np.float32), np.zeros(16_000, np.float32)):
        assert normalised(nothing, 16_000) is nothing and loudness(nothing, 16_000) == -np.inf
    short = resample(clip("lk_weather.wav")[8000:10_000], 16_000, 24_000)
    assert np.isfinite(loudness(short, 24_000)) and len(normalised(short, 24_000)) == len(short)
    tiny = np.full(16_000, 1e-3, np.float32) * np.sin(np.arange(16_000, dtype=np.float32))
    assert np.max(np.abs(normalised(tiny, 16_000))) < 0.02  # a room without a voice is not lifted to a voice's level
