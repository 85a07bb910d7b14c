"""Quality of a recording: real clips, spoilt by known amounts, are measured nearly right and in the right order."""

import time
from dataclasses import replace
from itertools import combinations, pairwise
from typing import get_args

import numpy as np
import pytest
import recordings
from recordings import RATE, heard

from avatar import clip, speaker
from avatar.audio import resample
from avatar.clip import ASPECTS, LIMITS, Quality, Severity, best_window, measure
from avatar.drafts import Draft
from avatar.events import Samples
from avatar.settings import Settings
from avatar.speaker import SpeakerEncoder
from avatar.ui.voice_fragments import report
from avatar.ui.words import voices
from avatar.voiced import Heard

CLEAN = "f5_ref_zh.wav"
LONG = "ms_two_cities.flac"


def speech_power(one: Heard) -> float:
    return float(np.square(clip._speech(one), dtype=np.float64).mean())


def noisy(name: str, snr_db: float) -> Samples:
    """White noise below 8 kHz, where it is measured, `snr_db` under the speech."""
    one = heard(name)
    noise = np.random.default_rng(5).normal(size=2 * len(one.samples) // 3 + 1).astype(np.float32)
    noise = resample(noise, 16_000, RATE)[: len(one.samples)]
    scale = np.sqrt(speech_power(one) / 10 ** (snr_db / 10) / np.square(noise).mean())
    return (one.samples + noise * np.float32(scale)).astype(np.float32)


def clipped(name: str, share: float) -> Samples:
    samples = recordings.samples(name)
    top = np.quantile(np.abs(samples), 1 - share)
    return np.clip(samples, -top, top)


def flat(seconds: float, level: float = 0.0) -> Heard:
    return heard(np.full(round(seconds * RATE), level, np.float32))


def found(quality: Quality) -> dict[str, str]:
    return {finding.aspect: finding.severity for finding in quality.findings}


def test_each_code_has_its_sentences_and_each_sentence_its_code() -> None:
    codes = {f"q_{aspect}_{severity}" for aspect in LIMITS for severity in get_args(Severity)}
    codes |= {f"q_{edge}_{severity}" for edge in ("start", "end") for severity in ("fine", "warn")}
    for table in (voices.ENGLISH, voices.CHINESE):
        assert {key for key in table if key.startswith("q_")} == codes | {"q_speakers_short", "q_speakers_unknown"}
    assert set(LIMITS) | {"start", "end"} == set(ASPECTS)


@pytest.mark.parametrize("bad", [{}, {"findings": []}, {"findings": [{"aspect": "x"}]}, {"findings": 5}])
def test_a_report_that_is_none_is_a_value_error(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Quality.from_json(bad)


@pytest.mark.parametrize(("tops", "least"), [(0.0, 0.0), (0.02, 0.01), (0.2, 0.1)])
def test_flat_tops_of_a_made_wave_are_counted(tops: float, least: float) -> None:
    wave = np.random.default_rng(2).laplace(0, 0.1, 4 * RATE).astype(np.float32)
    wave = np.convolve(wave, np.hanning(120), "same").astype(np.float32)  # as slow as a voice
    top = np.quantile(np.abs(wave), 1 - tops) if tops else np.inf
    assert least <= clip.clipping(np.clip(wave, -top, top)) <= max(0.002, 2 * tops)


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return speaker.load(Settings.from_env())


@pytest.mark.slow
class TestReal:
    @pytest.mark.parametrize("name", [CLEAN, "cv_zero_shot.wav", "ms_kokoro_bm_george.wav"])
    def test_known_noise_is_measured(self, name: str) -> None:
        levels = (30, 20, 10, 5)
        measured = [clip.snr_db(heard(noisy(name, level))) for level in levels]
        for level, snr in zip(levels, measured, strict=True):
            assert snr == pytest.approx(level, abs=3), name
        assert all(quieter > louder for quieter, louder in pairwise([clip.snr_db(heard(name)), *measured]))

    def test_more_noise_is_a_lower_score_and_at_last_refused(self) -> None:
        reports = [measure(heard(noisy(CLEAN, snr))) for snr in (40, 15, 8, 2)]
        assert [found(report)["noise"] for report in reports] == ["fine", "warn", "warn", "refuse"]
        assert all(better.score > worse.score for better, worse in pairwise(reports))
        assert not reports[-1].usable and reports[-1].findings[0].severity == "refuse"

    @pytest.mark.parametrize("name", [CLEAN, LONG, "ms_kokoro_af_bella.wav", "jfk.flac"])
    @pytest.mark.parametrize("through", [RATE, 16_000])
    def test_known_clipping_is_measured_resampled_or_not(self, name: str, through: int) -> None:
        shares = [0.0, 0.01, 0.05, 0.15]
        spoilt = [resample(clipped(name, share), RATE, through) for share in shares]
        measured = [clip.clipping(samples) for samples in spoilt]
        assert measured[0] < 0.003, "clean speech is not called clipped"
        assert all(less < more for less, more in pairwise(measured))
        for share, seen in zip(shares[1:], measured[1:], strict=True):
            assert 0.5 * share < seen < 1.7 * share

    @pytest.mark.parametrize("rate", [6_000, 8_000, 12_000, 16_000])
    def test_sound_that_was_once_at_a_low_rate_is_found(self, rate: int) -> None:
        for name in (CLEAN, "ms_zipvoice_irish_female.wav"):
            low = resample(resample(recordings.samples(name), RATE, rate), rate, RATE)
            report = measure(heard(low))
            assert report.bandwidth_hz == pytest.approx(rate / 2, rel=0.08)
            assert found(report)["bandwidth"] == ("warn" if rate < 14_000 else "fine")

    def test_a_cut_inside_a_word_is_found_at_either_end(self) -> None:
        one = heard(LONG)
        whole = measure(one)
        assert not whole.cut_start and not whole.cut_end
        spoken = np.flatnonzero(np.convolve(one.speech, np.ones(9), "same") == 9) * 0.032  # 0.13 s into speech or more
        hits = [measure(heard(one.samples[: round(at * RATE)])).cut_end for at in spoken[20::24]]
        hits += [measure(heard(one.samples[round(at * RATE) :])).cut_start for at in spoken[20:-60:24]]
        assert len(hits) > 25 and np.mean(hits) > 0.8, (
            f"{np.mean(hits):.2f} of {len(hits)}"
        )  # the rest fell on soft sounds

    def test_two_speakers_are_told_from_one(self, encoder: SpeakerEncoder) -> None:
        alone = {name: clip.one_speaker(heard(name), encoder) for name in (CLEAN, LONG, "jfk.flac", "vosk.wav")}
        limit = LIMITS["speakers"].warn
        assert all(value is not None and value >= limit for value in alone.values()), alone
        names = ["jfk.flac", "cv_zero_shot.wav", "f5_ref_zh.wav", "ms_kokoro_af_bella.wav", "vosk.wav"]
        for one, other in combinations(names, 2):
            both = np.concatenate([recordings.samples(name)[: 8 * RATE] for name in (one, other)])
            mixed = measure(heard(both), encoder)
            assert mixed.one_speaker is not None and mixed.one_speaker < limit, f"{one} + {other}"
            assert found(mixed)["speakers"] == "warn"

    def test_without_the_encoder_nothing_is_said_of_speakers(self) -> None:
        quality = measure(heard(LONG))
        assert quality.one_speaker is None and "speakers" not in found(quality)
        draft = Draft("d", "local", "upload", heard(LONG), quality, 0.0, 8.0, "", "en", None)
        assert "speaker model is not on this machine" in report(draft, "en", None)
        short = report(replace(draft, quality=replace(quality, speech_s=3.6)), "en", None)
        assert "takes 4 s of speech" in short and "on this machine" not in short

    def test_loudness_is_that_of_the_speech(self) -> None:
        loud, soft = measure(heard(CLEAN)), measure(heard(recordings.samples(CLEAN) * np.float32(0.03)))
        assert soft.level_dbfs == pytest.approx(loud.level_dbfs - 30.5, abs=0.5)
        assert found(soft)["level"] == "warn" and found(loud)["level"] == "fine" and soft.score < loud.score

    def test_what_has_no_speech_is_refused_with_a_score_of_nothing(self) -> None:
        noise = np.random.default_rng(1).normal(0, 0.1, 5 * RATE).astype(np.float32)
        for one in (flat(0), flat(0.01), flat(5), flat(5, 0.5), heard(noise), heard(np.full(RATE, np.nan, np.float32))):
            report = measure(one)
            assert not report.usable and report.score < 5 and found(report)["speech"] == "refuse"
            start, end = best_window(one)
            assert 0 <= start <= end <= one.duration_s

    def test_a_report_comes_back_from_json(self, encoder: SpeakerEncoder) -> None:
        report = measure(heard(LONG), encoder)
        assert Quality.from_json(report.to_json()) == report

    def test_the_window_lies_between_pauses_and_leaves_the_noise_out(self) -> None:
        one = heard(LONG)
        for spoilt in (one.samples, np.concatenate([noisy(LONG, 6)[: 9 * RATE], one.samples[9 * RATE :]])):
            start, end = best_window(heard(spoilt))
            assert 5 <= end - start <= 12
            inside = one.speech[[round(start / 0.032), round(end / 0.032) - 1]]
            assert not inside.any(), "it begins and ends in a pause"
        assert start > 8.3, "the clean part is chosen"

    def test_a_short_recording_is_taken_whole_between_its_edges(self) -> None:
        start, end = best_window(heard("cv_zero_shot.wav"))
        assert start == pytest.approx(0.2, abs=0.1) and end == pytest.approx(3.3, abs=0.15)

    def test_ten_seconds_are_judged_in_time(self, encoder: SpeakerEncoder) -> None:
        samples = recordings.samples(LONG)[: 10 * RATE]
        measure(heard(samples), encoder)
        took = []
        for _ in range(3):
            started = time.perf_counter()
            one = heard(samples)
            measure(one, encoder)
            best_window(one)
            clip.embedding(one, encoder)
            took.append(time.perf_counter() - started)
        assert min(took) < 1.5, took  # 0.4 s on two quiet cores; the suite shares them
