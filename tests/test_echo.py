import numpy as np
from clips import clip

from avatar.bench import noises
from avatar.turntaking.bargein import ECHO_LIKENESS
from avatar.turntaking.echo import likeness


def test_a_quiet_late_echo_in_a_room_is_recognised() -> None:
    reply = clip("lk_weather.wav", 24_000)
    room = np.random.default_rng(0).standard_normal(4800) * np.exp(-np.arange(4800) / 700) * 0.25
    room[0] = 1.0
    heard = np.convolve(clip("lk_weather.wav"), room)[: int(1.2 * 16_000)] * 0.1  # -20 dB
    assert likeness(heard.astype(np.float32) + noises.room(1.2), reply, 24_000) > ECHO_LIKENESS + 0.1


def test_another_voice_is_not_the_reply() -> None:
    reply = clip("lk_weather.wav", 24_000)
    user = clip("lk_hello.wav")[: int(0.9 * 16_000)]
    assert likeness(user, reply, 24_000) < ECHO_LIKENESS
    mixed = user + 0.1 * clip("lk_weather.wav")[: len(user)]
    assert likeness(mixed, reply, 24_000) < ECHO_LIKENESS


def test_an_echo_that_rings_on_after_the_reply_is_recognised() -> None:
    reply = clip("lk_weather.wav", 24_000)[: int(1.0 * 24_000)]
    heard = np.concatenate([clip("lk_weather.wav")[: int(1.0 * 16_000)], noises.room(0.1)])
    assert likeness(heard, reply, 24_000) > ECHO_LIKENESS


def test_too_little_sound_is_no_echo() -> None:
    nothing = np.zeros(0, np.float32)
    assert likeness(nothing, clip("lk_hello.wav"), 16_000) == 0.0
    assert abs(likeness(noises.room(0.5), nothing, 24_000)) < ECHO_LIKENESS
