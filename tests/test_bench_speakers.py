"""The arithmetic of the speaker bench on made numbers."""

import numpy as np
import pytest

from avatar.bench.speakers import different_voices, equal_error, line, sentences
from avatar.consent import MAX_WORDS_WRONG
from avatar.speaker import normalised


def test_the_threshold_lies_where_both_errors_are_least() -> None:
    low, high, rate = equal_error([0.8, 0.9, 0.95], [0.5, 0.6, 0.7])
    assert rate == 0 and low == pytest.approx(0.701) and high == pytest.approx(0.8)
    low, high, rate = equal_error([0.6, 0.9, 0.95, 0.99], [0.5, 0.6, 0.7, 0.8])
    assert rate == 0.25 and 0.7 < low <= high <= 0.9


def test_files_that_may_be_one_speaker_are_not_paired() -> None:
    one = normalised(np.ones(256, np.float32))
    assert len(list(different_voices({"lk_a.wav": one, "lk_b.wav": one, "x.wav": one}))) == 2


def test_another_sentence_seldom_passes_for_the_one_asked() -> None:
    for language in ("en", "zh"):
        wrong = np.array(sentences(language, 40))
        assert len(wrong) == 780 and np.mean(wrong <= MAX_WORDS_WRONG) < 0.005 and np.median(wrong) > 0.7


def test_a_row_of_the_table() -> None:
    assert line("x", [0.1, 0.2, 0.6]) == "| x | 3 | 0.100 | 0.200 | 0.600 |"
