from collections.abc import Iterable

import numpy as np
import pytest
from clips import clip
from numpy.typing import NDArray

from avatar.audio import pcm16
from avatar.bench import noises
from avatar.turntaking.voice import CHUNK, MIC_RATE, PRE_ROLL, Full, Onset, Pause, Resume, Silero, VoiceActivity

VOICE, QUIET = 0.9, 0.1


class Script:
    """A detector that says what it is told, chunk by chunk, then silence."""

    def __init__(self, probabilities: Iterable[float]) -> None:
        self._left = list(probabilities)

    def __call__(self, chunk: NDArray[np.float32]) -> float:
        assert chunk.shape == (CHUNK,) and chunk.dtype == np.float32
        return self._left.pop(0) if self._left else QUIET


def chunks(n: int, value: int = 1000) -> bytes:
    return np.full(n * CHUNK, value, np.int16).tobytes()


def heard(*probabilities: float, **options: float) -> tuple[VoiceActivity, list[object]]:
    activity = VoiceActivity(Script(probabilities), **options)  # type: ignore[arg-type]
    events: list[object] = []
    for _ in probabilities:
        events += activity.push(chunks(1))
    return activity, events


def test_one_clear_chunk_begins_an_utterance() -> None:
    _, events = heard(QUIET, QUIET, VOICE)
    assert events == [Onset(at=2 * CHUNK)]


def test_a_doubtful_chunk_needs_a_second_within_three() -> None:
    assert heard(0.6, QUIET, QUIET, 0.6, QUIET)[1] == []
    assert heard(QUIET, 0.6, QUIET, 0.6)[1] == [Onset(at=CHUNK)]


def test_a_pause_is_reported_at_each_step_once() -> None:
    activity, events = heard(VOICE, VOICE, *[QUIET] * 16)
    assert events[1:] == [Pause(at=2 * CHUNK, silence_ms=160), Pause(at=2 * CHUNK, silence_ms=480)]
    assert activity.silence_ms == 16 * 32 and activity.voiced_ms == 64 and activity.speaking


def test_going_on_is_a_resume_and_remembers_the_pause() -> None:
    activity, events = heard(VOICE, *[QUIET] * 6, VOICE, VOICE)
    assert events[-1] == Resume(at=7 * CHUNK, after_ms=6 * 32)
    assert activity.longest_pause_ms == 192 and activity.silence_ms == 0


def test_one_chunk_does_not_end_a_pause() -> None:
    _, events = heard(VOICE, *[QUIET] * 6, VOICE, *[QUIET] * 8)
    assert not any(isinstance(event, Resume) for event in events)


def test_a_dip_shorter_than_the_first_step_is_nothing() -> None:
    assert heard(VOICE, QUIET, QUIET, QUIET, 0.4, VOICE)[1] == [Onset(at=0)]


def spoken(*levels: int, probability: float = VOICE) -> tuple[VoiceActivity, list[object]]:
    """Chunks of these levels, all of them voice to the detector."""
    activity = VoiceActivity(Script([probability] * len(levels)), pauses_ms=(64,))
    return activity, [event for level in levels for event in activity.push(chunks(1, level))]


def test_afterglow_is_silence() -> None:
    activity, events = spoken(*[8000] * 5, 100, 100, 100)
    assert events == [Onset(0), Pause(at=5 * CHUNK, silence_ms=64)]
    assert activity.voiced_ms == 7 * 32  # what it takes to interrupt stays as Silero measures it


def test_so_is_what_hardly_rises_above_the_room() -> None:
    _, events = spoken(1000, 1000, *[8000] * 5, 1200, 1200)
    assert events[-1] == Pause(at=7 * CHUNK, silence_ms=64)
    _, events = spoken(1000, 1000, *[2500] * 5, 1200, 1200)  # a voice hardly above its room: Silero alone decides
    assert not any(isinstance(event, Pause) for event in events)


def test_so_is_a_noise_that_began_in_mid_sentence() -> None:
    """Silence, then a fan: far above the quietest of the last seconds, but level, and well below the voice."""
    _, events = spoken(1, 1, *[8000] * 5, *[900, 1000, 1100, 1000, 900, 1000])
    assert events[-1] == Pause(at=10 * CHUNK, silence_ms=64)
    _, events = spoken(1, 1, *[8000] * 5, *[900, 1600, 900, 1600, 900, 1600])  # no noise is so uneven
    assert not any(isinstance(event, Pause) for event in events)
    _, events = spoken(1, 1, *[8000] * 5, *[2000] * 6)  # nor so loud: that is someone who speaks evenly
    assert not any(isinstance(event, Pause) for event in events)


def test_a_voice_that_stays_faint_is_a_voice() -> None:
    activity, events = spoken(*[8000] * 5, *[100] * 20)
    assert isinstance(events[-1], Resume) and events[-1].at == 10 * CHUNK and activity.silence_ms == 0


def test_frames_of_any_length_give_the_same_events() -> None:
    script = [QUIET] * 8 + [VOICE] * 5 + [QUIET] * 6
    _, expected = heard(*script)
    activity = VoiceActivity(Script(script))
    pcm, events = chunks(len(script)), []
    for at in range(0, len(pcm), 642):
        events += activity.push(pcm[at : at + 642])
    assert events == expected


def test_the_utterance_has_its_pre_roll_and_its_tail() -> None:
    activity = VoiceActivity(Script([QUIET] * 20 + [VOICE] * 10 + [QUIET] * 10))
    activity.push(chunks(20, 1) + chunks(10, 1000) + chunks(10, 2))
    whole = activity.utterance(None)
    assert whole.dtype == np.float32
    before = int(np.flatnonzero(whole > 0.01)[0])
    assert PRE_ROLL <= before < PRE_ROLL + 4 * CHUNK
    assert len(activity.utterance(100)) == before + 10 * CHUNK + MIC_RATE // 10
    assert len(activity.utterance(0)) == before + 10 * CHUNK


def test_ending_forgets_the_audio() -> None:
    activity, _ = heard(VOICE, VOICE, VOICE)
    activity.end()
    assert not activity.speaking and len(activity.utterance()) == 0 and activity.voiced_ms == 0
    assert activity.push(chunks(3)) == []


def test_an_utterance_that_follows_at_once_keeps_its_pre_roll() -> None:
    activity = VoiceActivity(Script([VOICE] * 20 + [QUIET] * 6 + [VOICE]))
    activity.push(chunks(26))
    activity.end()
    assert activity.push(chunks(1)) == [Onset(at=26 * CHUNK)]
    assert len(activity.utterance(None)) >= PRE_ROLL


def test_the_buffer_is_bounded() -> None:
    activity = VoiceActivity(Script([VOICE] * 100), max_utterance_s=1.0)
    events = activity.push(chunks(100))
    assert [type(event) for event in events] == [Onset, Full]
    assert len(activity.utterance(None)) <= MIC_RATE


def test_who_talks_on_through_the_end_of_a_full_utterance_loses_no_word() -> None:
    activity = VoiceActivity(Script([VOICE] * 100), max_utterance_s=1.0)
    full = next(n for n in range(100) if any(isinstance(e, Full) for e in activity.push(chunks(1, n))))
    for n in range(full + 1, full + 20):  # the last words of the first are written down
        activity.push(chunks(1, n))
    activity.end()
    activity.end()  # a reply begins
    assert [type(event) for event in activity.push(chunks(1, full + 20))] == [Onset]
    heard = np.round(activity.utterance(None)[::CHUNK] * 32768)
    assert heard.tolist() == list(range(full, full + 21))


def test_an_hour_of_silence_keeps_no_audio() -> None:
    activity = VoiceActivity(Script([]))
    for _ in range(50):
        activity.push(chunks(30))
    assert len(activity._audio) < 2 * (PRE_ROLL + 4 * CHUNK)


def test_level_is_the_rms() -> None:
    activity = VoiceActivity(Script([]))
    activity.push(chunks(1, 16384))
    assert activity.level == pytest.approx(0.5)


@pytest.mark.slow
def test_silero_finds_the_words_of_a_clip(silero: Silero) -> None:
    samples = clip("lk_weather.wav")
    voiced = np.flatnonzero(np.abs(samples) > 0.005) + MIC_RATE
    activity = VoiceActivity(silero.detector())
    events = activity.push(pcm16(np.concatenate([noises.room(1.0), samples, noises.room(1.0)])))
    assert [type(event) for event in events] == [Onset, Pause, Pause]
    assert abs(events[0].at - voiced[0]) < MIC_RATE * 0.1
    assert abs(events[1].at - voiced[-1]) < MIC_RATE * 0.2


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["click", "typing", "knock", "throat", "breath", "music", "fan"])
def test_silero_hears_no_voice_in_noises(kind: str, silero: Silero) -> None:
    activity = VoiceActivity(silero.detector())
    activity.push(pcm16(noises.room(1.0)))
    activity.end()
    assert activity.push(pcm16(np.concatenate([noises.make(kind, seed=1), noises.room(0.5)]))) == []
