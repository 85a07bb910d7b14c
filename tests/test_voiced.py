"""Where someone speaks in a recording, against the manifest of the clips."""

import json
from pathlib import Path

import numpy as np
import pytest
from clips import clip

from avatar.events import Samples
from avatar.turntaking.voice import Silero
from avatar.voiced import Heard, listen, widened

ROWS = {row["file"]: row for row in json.loads((Path(__file__).parents[1] / "avatar/bench/clips.json").read_text())}
RATE = 24_000


def heard(flags: list[int], rate: int = 16_000) -> Heard:
    speech = np.array(flags, bool)
    low = np.repeat(speech, 512).astype(np.float32)
    return Heard(np.repeat(speech, 512 * rate // 16_000).astype(np.float32), rate, low, speech)


def test_pauses_are_the_silences_that_last_and_the_edges() -> None:
    flags = [0] * 3 + [1] * 5 + [0] * 3 + [1] * 4 + [0] * 6 + [1] * 2 + [0]
    spans = [(start / 0.032, end / 0.032) for start, end in heard(flags).pauses()]
    assert spans == [(0, 3), (pytest.approx(15), pytest.approx(21)), (pytest.approx(23), pytest.approx(24))]
    assert heard([1, 1, 1]).pauses() == []
    assert heard([0, 0, 0]).pauses() == [(0.0, pytest.approx(0.096))]


def test_a_cut_is_the_same_piece_at_both_rates() -> None:
    piece = heard([0, 0, 1, 1, 1, 0], rate=32_000).cut(0.032, 0.128)
    assert list(piece.speech) == [False, True, True]
    assert len(piece.low) == 3 * 512 and len(piece.samples) == 3 * 1024
    assert piece.duration_s == pytest.approx(0.096) and piece.speech_s == pytest.approx(0.064)
    np.testing.assert_array_equal(piece.samples[::2], piece.low)


def test_widened_reaches_both_ways_and_keeps_its_length() -> None:
    flags = np.array([0, 0, 0, 1, 0, 0, 0, 0], bool)
    assert list(widened(flags, 2)) == [False, True, True, True, True, True, False, False]
    assert len(widened(flags[:0], 2)) == 0 and list(widened(flags[3:4], 2)) == [True]


def test_voice_is_the_speech_and_what_is_around_it() -> None:
    one = heard([0] * 6 + [1] * 4 + [0] * 6)
    assert len(one.voice()) == 8 * 512 and one.voice().sum() == 4 * 512
    assert len(heard([0] * 5).voice()) == 0


@pytest.mark.slow
class TestReal:
    @pytest.mark.parametrize("name", ["vosk.wav", "ms_kokoro_bm_george.wav", "lk_weather.wav"])
    def test_speech_lies_where_the_manifest_has_it(self, silero: Silero, name: str) -> None:
        row, one = ROWS[name], listen(clip(f"speech/{name}", RATE), RATE, silero)
        spoken = np.flatnonzero(one.speech) * 0.032
        assert spoken[0] == pytest.approx(row["first_voiced_s"], abs=0.2)
        assert spoken[-1] == pytest.approx(row["last_voiced_s"], abs=0.15)

    def test_a_voice_at_the_very_start_is_heard_from_there(self, silero: Silero) -> None:
        samples = clip("speech/ms_kokoro_bm_george.wav", RATE)[round(0.8 * RATE) :]
        assert listen(samples, RATE, silero).speech[:4].sum() >= 3

    @pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(10), np.zeros(RATE), np.full(RATE, np.nan)])
    def test_what_has_no_voice_has_none(self, silero: Silero, samples: Samples) -> None:
        one = listen(samples.astype(np.float32), RATE, silero)
        assert one.speech_s == 0 and len(one.voice()) == 0

    def test_it_is_deterministic(self, silero: Silero) -> None:
        samples = clip("speech/vosk.wav", RATE)
        first, again = (listen(samples, RATE, silero).speech for _ in range(2))
        np.testing.assert_array_equal(first, again)
