"""The bench's clips, its word error rate and its microphone."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from made_clips import RNG, clip, hush, speech

from avatar.bench import report
from avatar.bench.clips import FOLDER, RATE, ClipsError, Pause, load, measure, tone, voiced_span, with_pauses
from avatar.bench.microphone import FRAME, Microphone
from avatar.bench.words import contains, normalised, word_error_rate


def test_the_voice_ends_where_the_energy_does() -> None:
    first, last = voiced_span(np.concatenate([hush(0.5), speech(1), hush(0.7)]))
    assert first == pytest.approx(0.5, abs=0.02)
    assert last == pytest.approx(1.5, abs=0.02)


def test_a_loud_floor_is_not_voice() -> None:
    samples = np.concatenate([hush(0.5), speech(1), hush(0.7)])
    samples += (0.01 * RNG.standard_normal(len(samples))).astype(np.float32)  # 26 dB below the voice
    assert voiced_span(samples) == pytest.approx((0.5, 1.5), abs=0.02)


def test_the_tone_is_the_quiet_part_and_repeats_without_a_seam() -> None:
    quiet = tone(np.concatenate([speech(1), hush(0.3), speech(1)]))
    assert np.abs(np.tile(quiet, 5)).max() < 0.01


@pytest.mark.parametrize("length_s", [0.1, 0.4, 1.0])
def test_a_pause_gets_its_length_and_the_rest_stays(length_s: float) -> None:
    pauses = (Pause(1.0, 1.3, "mid", "one two"), Pause(2.3, 2.5, "mid", "three"))
    original = clip(speech(1), hush(0.3), speech(1), hush(0.2), speech(1), hush(0.5), pauses=pauses)
    stretched = with_pauses(original, pauses, length_s)
    grown = 2 * length_s - 0.5
    assert len(stretched.samples) == pytest.approx(len(original.samples) + grown * RATE, abs=2)
    assert stretched.row.last_voiced_s == pytest.approx(original.row.last_voiced_s + grown)
    assert voiced_span(stretched.samples)[1] == pytest.approx(stretched.row.last_voiced_s, abs=0.02)
    np.testing.assert_array_equal(stretched.samples[:RATE], original.samples[:RATE])
    silent = stretched.samples[round(1.03 * RATE) : round((0.97 + length_s) * RATE)]
    assert len(silent) == 0 or np.abs(silent).max() < 0.01


@pytest.mark.slow
def test_the_bundled_clips_end_where_their_manifest_says() -> None:
    written = json.loads((Path(report.__file__).parent / "clips.json").read_text(encoding="utf-8"))
    assert measure(FOLDER) == written
    assert len(load()) == 14
    assert {pause.kind for clip in load() for pause in clip.pauses} == {"mid", "clause"}


def test_clips_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "clips.json").write_text('[{"file": "mine.wav", "language": "en", "text": "a", "source": "b"}]')
    with pytest.raises(ClipsError, match=r"mine\.wav"):
        load(tmp_path)
    (tmp_path / "clips.json").write_text('[{"name": "mine.wav"}]')
    with pytest.raises(ClipsError, match="not a list of clips"):
        load(tmp_path)


def test_words_are_compared_without_case_hyphens_and_figures() -> None:
    assert normalised("Text-to-speech, in 21 DAYS! 007") == [
        *("text", "to", "speech", "in", "twenty", "one", "days"),
        *("zero", "zero", "seven"),
    ]
    assert word_error_rate([("Hello world", "hello, world!"), ("a cat", "the cat sat")]) == 2 / 4
    assert word_error_rate([("Hello world", "")]) == 1.0
    assert word_error_rate([]) == 0.0


def test_contains_forgives_half() -> None:
    assert contains("and so my fellow american ask not", "And so my fellow Americans")
    assert not contains("what your country can do", "And so my fellow Americans")


def test_the_microphone_never_stops_and_speaks_on_time() -> None:
    microphone = Microphone()
    microphone.room(np.full(1000, 0.01, np.float32))
    start = microphone.play(np.full(RATE // 2, 0.5, np.float32), at=RATE // 10 + 7)
    frames = [np.frombuffer(microphone.frame(), "<i2") for _ in range(50)]
    heard = np.concatenate(frames) / 32768
    assert {len(frame) for frame in frames} == {FRAME}
    assert start == RATE // 10 + 7
    assert heard[:start].max() < 0.011
    assert heard[start + 200 : start + RATE // 2 - 200].min() > 0.49
    assert heard[start + RATE // 2 :].max() < 0.011


def test_late_speech_begins_with_the_next_frame_and_echo_is_added() -> None:
    microphone = Microphone()
    microphone.frame()
    assert microphone.play(np.zeros(10, np.float32), at=3) == FRAME
    microphone.echo = lambda position, n: np.full(n, position / RATE, np.float32)
    assert np.frombuffer(microphone.frame(), "<i2")[-1] == round(FRAME / RATE * 32768)


def test_a_frame_costs_no_more_after_a_day() -> None:
    microphone = Microphone()
    microphone.room(np.arange(1000, dtype=np.float32) / 1000)
    at_first = microphone.frame()
    microphone.position = 24 * 3600 * RATE // 1000 * 1000
    began = time.process_time()
    assert microphone.frame() == at_first
    for _ in range(50):
        microphone.frame()
    assert time.process_time() - began < 0.5
