"""The reference of a cloned voice: trimmed, cut where its words allow, at one level, end-punctuated."""

import numpy as np
import pytest

from avatar.engines.f5_clauses import ended, frames_for, pieces, trimmed, voiced
from avatar.engines.reference import prepare, punctuated, weight

RATE = 24_000


def sound(*seconds: float) -> np.ndarray:
    """Voice and silence in turn."""
    noise = np.random.default_rng(0).standard_normal(int(sum(seconds) * RATE) + 8).astype(np.float32) * 0.02
    at = 0
    for number, length in enumerate(seconds):
        end = at + int(length * RATE)
        if number % 2:
            noise[at:end] *= 0.001
        at = end
    return noise[:at]


def test_a_short_one_stays_whole_at_one_level_without_its_silence() -> None:
    made = prepare(
        np.concatenate([np.zeros(RATE, np.float32), sound(4), np.zeros(RATE, np.float32)]), RATE, " Hi  you "
    )
    assert made.text == "Hi you. " and 4.1 < made.duration_s < 4.3
    assert float(np.sqrt(np.mean(made.samples**2))) == pytest.approx(0.1, rel=0.1)


def test_a_long_one_ends_at_the_pause_that_the_words_name() -> None:
    made = prepare(sound(4.5, 0.4, 4.5), RATE, "These are twenty letters, and so are the others")
    assert made.text == "These are twenty letters. " and 4.4 < made.duration_s < 5.0


def test_without_such_a_pause_it_stays_whole_or_is_refused() -> None:
    assert prepare(sound(9), RATE, "No mark in here").duration_s > 8.9
    with pytest.raises(ValueError, match="longer than 12 s"):
        prepare(sound(14), RATE, "No mark in here")
    with pytest.raises(ValueError, match="words"):
        prepare(sound(4), RATE, " … ")
    with pytest.raises(ValueError, match="less than a second"):
        prepare(sound(0.5), RATE, "Hi.")


def test_ends_of_sentences_and_weights() -> None:
    assert (
        punctuated("好，") == "好。"
        and punctuated("Well,") == "Well. "
        and ended("ok") == "ok."
        and ended("ok!") == "ok!"
    )
    assert weight("你好") == 6 and frames_for("Hi.", 5.0) == 30 and frames_for("x" * 40, 5.0) == 200


def test_what_is_too_long_is_cut_at_marks_and_nothing_is_lost() -> None:
    words = "One two three, four five six seven eight nine ten."
    cut = pieces(words, 30)
    assert len(cut) > 1 and " ".join(piece.rstrip(".") for piece in cut) == words.rstrip(".")
    assert all(weight(piece) <= 33 for piece in pieces("你好" * 40, 30))


def test_silence_around_a_clause_is_cut() -> None:
    whole = np.concatenate([np.zeros(RATE, np.float32), sound(1), np.zeros(RATE, np.float32)])
    assert 1.0 < len(trimmed(whole)) / RATE < 1.25 and voiced(whole) / RATE == pytest.approx(1.0, abs=0.05)
    assert len(trimmed(np.zeros(RATE, np.float32))) == 0
