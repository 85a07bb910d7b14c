"""From a conversation the clean turns of the user are chosen, and nobody else's."""

import numpy as np
import pytest
import recordings
from recordings import RATE, samples, silero

from avatar import speaker
from avatar.audio import level_dbfs
from avatar.events import Samples
from avatar.own_voice import BEST_S, ENOUGH_S, Said, TooLittleSpeech, _best, _Turn, choose
from avatar.settings import Settings
from avatar.speaker import SAME, SpeakerEncoder, similarity
from avatar.turntaking.voice import CHUNK, MIC_RATE
from avatar.voiced import Heard

CITIES = "ms_two_cities.flac"
CUTS = [(1.0, 4.85), (4.85, 8.5), (8.5, 10.55), (10.55, 13.2), (13.2, 17.2), (17.2, 21.0)]  # at its pauses

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    return speaker.load(Settings.from_env())


def said(sound: Samples, text: str = "words", language: str = "en") -> Said:
    return Said(sound.astype(np.float32), RATE, text, language)


def turns(*places: int) -> list[Said]:
    return [said(samples(CITIES)[round(a * RATE) : round(b * RATE)], f"turn {n}") for n in places for a, b in [CUTS[n]]]


def test_clean_turns_become_one_sample_with_its_words(encoder: SpeakerEncoder) -> None:
    sample = choose(turns(0, 1, 2), silero(), encoder)
    assert sample.turns == (0, 1, 2) and sample.text == "turn 0. turn 1. turn 2." and sample.language == "en"
    assert ENOUGH_S < len(sample.samples) / RATE <= BEST_S and sample.quality.usable
    assert sample.quality.one_speaker is None or sample.quality.one_speaker > 0.85
    assert -28 < level_dbfs(sample.samples) < -20 and np.abs(sample.samples).max() < 1
    whole = encoder.embed(recordings.heard(CITIES).voice())
    assert similarity(sample.embedding, whole) > SAME


def test_of_much_speech_the_best_is_taken_not_the_last(encoder: SpeakerEncoder) -> None:
    all_of_it = turns(0, 1, 2, 3, 4, 5)
    worse = [
        said(one.samples + np.random.default_rng(9).normal(0, 0.002, len(one.samples)), "noisier") for one in all_of_it
    ]
    sample = choose([*all_of_it[:3], *worse[3:]], silero(), encoder)
    assert sample.turns == (0, 1, 2) and len(sample.samples) / RATE <= BEST_S


def test_spoilt_and_foreign_turns_are_left_out(encoder: SpeakerEncoder) -> None:
    good = turns(0, 1, 2)
    loud = samples(CITIES)[round(13.2 * RATE) : round(17.2 * RATE)]
    top = np.quantile(np.abs(loud), 0.97)
    others = [
        said(np.random.default_rng(1).normal(0, 0.02, len(loud)) + loud, "noise"),
        said(np.clip(loud, -top, top), "clipped"),
        said(samples("lk_hello.wav"), "short"),
        said(samples("cv_zero_shot.wav"), "another woman"),
        said(samples("f5_ref_zh.wav"), "别人", "zh"),
        said(np.zeros(3 * RATE), "silence"),
        said(np.zeros(0), "nothing"),
        said(loud, "  "),
    ]
    sample = choose([others[0], good[0], *others[1:4], good[1], *others[4:], good[2]], silero(), encoder)
    assert sample.text == "turn 0. turn 1. turn 2." and sample.turns == (1, 5, 10)


def test_a_short_turn_takes_no_room_that_a_long_one_needs() -> None:
    def turn(place: int, seconds: float, snr_db: float) -> _Turn:
        count = round(seconds * MIC_RATE / CHUNK)
        heard = Heard(np.zeros(count * CHUNK), MIC_RATE, np.zeros(count * CHUNK), np.ones(count, bool))
        return _Turn(place, said(np.zeros(1)), heard, snr_db, np.zeros(256, np.float32))

    def chosen(*turns: _Turn) -> list[int]:
        return [turn.place for turn in _best(turns)]

    assert chosen(turn(0, 3.0, 35.0), turn(1, 9.5, 20.0)) == [1]  # 3 s are too little, and both too much
    assert chosen(turn(0, 3.0, 35.0), turn(1, 9.5, 20.0), turn(2, 2.5, 30.0)) == [0, 2]
    assert chosen(turn(0, 3.0, 35.0)) == [0]


def test_who_spoke_most_is_the_user(encoder: SpeakerEncoder) -> None:
    guest = [said(samples("vosk.wav"), "guest")]
    assert choose([*guest, *turns(0, 1, 4)], silero(), encoder).turns == (1, 2, 3)


@pytest.mark.parametrize("places", [(), (2,), (0,)])
def test_too_little_says_how_much_is_missing(encoder: SpeakerEncoder, places: tuple[int, ...]) -> None:
    with pytest.raises(TooLittleSpeech) as refusal:
        choose(turns(*places), silero(), encoder)
    spoken = sum(CUTS[place][1] - CUTS[place][0] for place in places)
    assert max(1, ENOUGH_S - spoken) <= refusal.value.missing_s <= ENOUGH_S
    assert f"about {refusal.value.missing_s:.0f} more seconds" in refusal.value.sentence
    assert refusal.value.code == "TOO_LITTLE_SPEECH"


def test_chinese_turns_are_joined_without_spaces(encoder: SpeakerEncoder) -> None:
    sound = samples("f5_ref_zh.wav")
    assert choose([said(sound, "你好", "zh"), said(sound, "再見！", "zh")], silero(), encoder).text in (
        "你好。",
        "再見！",
    )
    short = samples("cv_zero_shot.wav")
    both = choose([said(short, "你好", "zh"), said(short, "再見！", "zh")], silero(), encoder)
    assert both.text == "你好。再見！"


def test_turns_of_different_rates_are_a_mistake_of_the_caller(encoder: SpeakerEncoder) -> None:
    with pytest.raises(ValueError, match="rates"):
        choose([*turns(0), Said(np.zeros(9, np.float32), 16_000, "x", "en")], silero(), encoder)
