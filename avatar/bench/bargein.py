"""How good is barge-in? Replays sounds over a reply through the real VAD, STT and rules, faster than real time.

    python -m avatar.bench.bargein --clips DIR

Noises and the reply's own echo must not interrupt; the first 1.5 s of every clip must. Times count from the sound's own
onset by energy; a transcription counts with the time it takes here.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avatar import weights
from avatar.audio import pcm16, resample
from avatar.bench.clips import FOLDER
from avatar.bench.endpointing import read
from avatar.bench.noises import KINDS, make, room
from avatar.engines.base import STT
from avatar.engines.moonshine import load as load_moonshine
from avatar.events import Samples
from avatar.settings import Settings
from avatar.turntaking.bargein import LOOKS_MS, judge
from avatar.turntaking.echo import likeness
from avatar.turntaking.voice import MIC_RATE, Detector, Onset, Pause, Silero, VoiceActivity

LEAD_S = 1.0  # of quiet room before the sound
REPLY_RATE = 24_000
AHEAD_S = 1.0  # of the reply has been sent but not heard, as in the product


@dataclass(frozen=True, slots=True)
class Outcome:
    """Times in ms after the sound's start; None: it did not happen. `words` are those of the last look."""

    duck_ms: float | None
    interrupt_ms: float | None
    words: str


def replay(
    sound: Samples,
    detector: Detector,
    stt: STT,
    reply: Samples | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Outcome:
    """Play `sound` (16 kHz) in a quiet room while `reply` (24 kHz, begun with the sound) plays, and judge it. What the
    ears take by `clock` counts as time that passes meanwhile."""
    activity = VoiceActivity(detector)
    pcm = pcm16(np.concatenate([room(LEAD_S), sound, room(1.2, seed=1)]))
    duck_ms, words, next_look = None, "", 0
    before: float | None = None  # likeness at the last look into this piece
    began = ""  # words at its first look
    for start in range(0, len(pcm), 640):
        due = over = False
        for event in activity.push(pcm[start : start + 640]):
            if isinstance(event, Onset):
                before, began = None, ""
                next_look = LOOKS_MS[0]
                if event.at > (LEAD_S - 0.2) * MIC_RATE and duck_ms is None:
                    duck_ms = _since(activity)
            over = over or isinstance(event, Pause)
        if activity.speaking and not over and activity.since_onset_ms >= next_look:
            due, later = True, [ms for ms in LOOKS_MS if ms > activity.since_onset_ms]
            next_look = later[0] if later else activity.since_onset_ms + 200
        if not (due or over) or not activity.speaking:
            continue
        now = 0.0 if reply is None else likeness(activity.utterance(0), _in_air(reply, _since(activity)), REPLY_RATE)
        echo, before = (now if before is None else (now + before) / 2), now
        started = clock()
        *_, heard = stt.transcribe(activity.utterance(), "en")
        words, took_ms = heard.text, (clock() - started) * 1000
        began = began or words
        if judge(words, voiced_ms=activity.voiced_ms, over=over, echo=echo, began=began).verdict == "interrupt":
            return Outcome(duck_ms, _since(activity) + took_ms, words)
        if over:
            activity.end()
    return Outcome(duck_ms, None, words)


def _since(activity: VoiceActivity) -> float:
    return (activity.position / MIC_RATE - LEAD_S) * 1000


def _in_air(reply: Samples, heard_ms: float) -> Samples:
    """From 1 s before what is heard now to all that was sent."""
    at_s = max(0.0, heard_ms / 1000)
    return reply[int(max(0, at_s - 1) * REPLY_RATE) : int((at_s + AHEAD_S) * REPLY_RATE)]


def beginning(samples: Samples, seconds: float = 1.5) -> Samples:
    """From where 30 ms in a row lie within 20 dB of the loudest 10 ms, at a peak of 0.3."""
    power = np.mean(np.square(samples[: len(samples) // 160 * 160].reshape(-1, 160)), axis=1)
    loud = np.convolve(power > power.max() * 10**-2, np.ones(3), "valid")
    start = int(np.flatnonzero(loud == 3)[0]) * 160
    piece = samples[start : start + int(seconds * MIC_RATE)]
    return np.asarray(piece * (0.3 / np.abs(samples).max()), np.float32)


def echoed(samples: Samples, decibels: float) -> Samples:
    """As a microphone hears a loudspeaker in a small room (0.3 s of reverberation), so much quieter."""
    n = int(0.3 * MIC_RATE)
    response = np.random.default_rng(0).standard_normal(n) * np.exp(-6.9 * np.arange(n) / n) * 0.25
    response[0] = 1.0
    return (np.convolve(samples, response)[: len(samples)] * 10 ** (decibels / 20)).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench.bargein", description="How good is barge-in?")
    parser.add_argument("--clips", type=Path, default=FOLDER)
    args = parser.parse_args()
    settings = Settings.from_env()
    silero = Silero.load(weights.path("silero-vad", settings.weights))
    stt = load_moonshine(settings, lambda fraction: None)
    rows = json.loads(Path(__file__).with_name("clips.json").read_text())
    clips = {row["file"]: beginning(read(args.clips / row["file"]), 6.0) for row in rows}
    for kind in KINDS:
        heard = [replay(make(kind, seed), silero.detector(), stt) for seed in range(6)]
        _print(kind, heard)
    for decibels in (-20, -10):
        heard = [
            replay(echoed(clip, decibels), silero.detector(), stt, resample(clip, MIC_RATE, REPLY_RATE))
            for clip in clips.values()
        ]
        _print(f"own voice at {decibels} dB", heard)
    names = list(clips)
    for name, other in zip(names, names[1:] + names[:1], strict=True):
        reply = resample(clips[other], MIC_RATE, REPLY_RATE)
        outcome = replay(clips[name][: int(1.5 * MIC_RATE)], silero.detector(), stt, reply)
        print(f"{name:34} duck {outcome.duck_ms or 0:5.0f} ms  interrupt {outcome.interrupt_ms or -1:5.0f} ms")


def _print(name: str, heard: list[Outcome]) -> None:
    onsets = sum(outcome.duck_ms is not None for outcome in heard)
    interrupted = [outcome.words for outcome in heard if outcome.interrupt_ms is not None]
    print(f"{name:34} {len(heard)} sounds, {onsets} ducked, {len(interrupted)} interrupted {interrupted or ''}")


if __name__ == "__main__":
    main()
