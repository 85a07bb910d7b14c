"""The read-back check: eSpeak's own sound passes it with the real Moonshine, and what is broken is caught."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from avatar.audio import pcm16
from avatar.bench import readback, report
from avatar.bench.readback import Hear, Sound, judged, told
from avatar.bench.turns import Turn
from avatar.engines import espeak
from avatar.engines.base import Voice
from avatar.events import Samples
from avatar.saying import spoken
from avatar.settings import Settings
from avatar.wire import REPLY_RATE

pytestmark = pytest.mark.slow
CLAUSES = ("The weather will be fine tomorrow,", "so take a walk.", "It costs $3.50 to rent a boat on the lake.")


def said(text: str, engine: espeak.EspeakTTS) -> Samples:
    return np.concatenate([chunk.samples for chunk in engine.speak(spoken(text, "en"), Voice(), "en")])


def sound(pieces: list[Samples], clauses: tuple[str, ...] = CLAUSES) -> Sound:
    starts = np.cumsum([0, *(len(piece) for piece in pieces)])[:-1]
    return Sound(pcm16(np.concatenate(pieces)), [(t, int(at)) for t, at in zip(clauses, starts, strict=True)])


@pytest.fixture(scope="module")
def hear() -> Hear:
    return readback.moonshine()


@pytest.fixture(scope="module")
def pieces() -> Iterator[list[Samples]]:
    engine = espeak.load(Settings.from_env(), lambda fraction: None)
    yield [said(text, engine) for text in CLAUSES]
    engine.close()


def test_what_espeak_says_is_heard_again(pieces: list[Samples], hear: Hear) -> None:
    found = judged(sound(pieces), hear)
    assert found.words == 24 and found.wrong <= 4, found.heard  # "$3.50" counts as it is said
    assert found.clipped == 0 and -30 < found.level_dbfs < -10
    assert found.between == 2 and found.gaps_ms == []


def test_words_that_are_not_said_are_missed(pieces: list[Samples], hear: Hear) -> None:
    hiss = np.random.default_rng(1).normal(0, 0.05, len(pieces[2])).astype(np.float32)
    whole, lost = judged(sound(pieces), hear), judged(sound([*pieces[:2], hiss]), hear)
    assert lost.wrong >= whole.wrong + 8
    other = judged(replace(sound(pieces), clauses=[("Nothing of this was ever said by anybody here.", 0)]), hear)
    assert other.wrong == other.words == 9


def test_a_sound_that_is_too_loud_is_clipped(pieces: list[Samples], hear: Hear) -> None:
    found = judged(sound([np.clip(piece * 12, -1, 1) for piece in pieces]), hear)
    assert found.clipped > 1_000 and found.level_dbfs > -10
    peak = np.zeros(REPLY_RATE, np.int16)
    peak[[100, 300, 301]] = 32_767
    assert readback.clipped(peak) == 0
    peak[302], peak[500:504] = 32_767, -32_768
    assert readback.clipped(peak) == 3 + 4


def test_a_sound_that_is_too_quiet_shows_in_its_level(pieces: list[Samples], hear: Hear) -> None:
    normal, quiet = (judged(sound([p * gain for p in pieces]), hear).level_dbfs for gain in (1.0, 0.01))
    assert quiet == pytest.approx(normal - 40, abs=1)
    assert judged(Sound(bytes(REPLY_RATE), [("Hello.", 0)]), hear).level_dbfs == -math.inf
    assert judged(Sound(b"", [("Hello.", 0)]), hear).wrong == 1


def test_silence_between_clauses_is_a_gap_inside_a_sentence_sooner(pieces: list[Samples], hear: Hear) -> None:
    hole = np.zeros(round(0.2 * REPLY_RATE), np.float32)
    inside = judged(sound([np.concatenate([pieces[0], hole]), *pieces[1:]]), hear)
    assert len(inside.gaps_ms) == 1 and 200 <= inside.gaps_ms[0] <= 360
    behind = [pieces[0], np.concatenate([pieces[1], hole]), pieces[2]]
    assert judged(sound(behind), hear).gaps_ms == []  # a breath
    behind[1] = np.concatenate([behind[1], hole])
    (gap,) = judged(sound(behind), hear).gaps_ms
    assert 80 < gap < 400


def test_what_came_late_is_a_gap_too(pieces: list[Samples], hear: Hear) -> None:
    whole = sound(pieces)
    late = replace(whole, waits=[(whole.clauses[1][1], 150.0), (len(pieces[0]) // 2, 500.0)])
    (gap,) = judged(late, hear).gaps_ms  # the other wait is inside a clause, and counted by the client
    assert 150 <= gap < 320


def test_the_result_has_it_in_json_in_the_table_and_as_bars(pieces: list[Samples], hear: Hear) -> None:
    good = judged(sound(pieces), hear)
    bad = replace(good, clipped=7, gaps_ms=[120.0], level_dbfs=-math.inf)
    result = told([good, bad])
    assert (result["replies"], result["clipped"], result["gaps"], result["gap_max_ms"]) == (2, 7, 1, 120.0)
    assert result["accuracy"] == round(1 - good.wrong / good.words, 4) and result["least_dbfs"] == -math.inf
    turn = Turn("made.wav", 0, "Hi.", sound=sound(pieces), readback=good)
    assert json.loads(json.dumps(turn.told()))["readback"]["words"] == good.words and "sound" not in turn.told()
    whole = {"readback": result, "errors": 0, "rss_mib": 1, "sessions": 1, "together": False}
    bars = {bar.name: bar.met for bar in report.bars({**whole, "early_replies": 0, "merged": 1, "wer": 0})}
    assert bars["clipped samples in replies"] is False and bars["gaps over 80 ms between clauses"] is False
    assert told([])["accuracy"] is None
