"""How good is the end of turn? Replays clips through the real VAD, Smart Turn and STT, faster than real time.

    python -m avatar.bench.endpointing --clips DIR [--compute-ms 60] [--first-sound-ms 150]

DIR holds the clips (default: those of the tests). Prints what each look said, then the trade-off:
patience against time to the first sound after true ends, and against early replies in stretched pauses. Times of STT
and Smart Turn are given (`--compute-ms`), not measured: `avatar.bench.talk` measures them in the running product.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from avatar import weights
from avatar.audio import pcm16, resample
from avatar.bench.clips import FOLDER
from avatar.bench.noises import room
from avatar.engines.base import STT
from avatar.engines.moonshine import load as load_moonshine
from avatar.events import Samples
from avatar.settings import Settings
from avatar.turntaking.endpointing import Decision, decide
from avatar.turntaking.smartturn import SmartTurn
from avatar.turntaking.voice import MIC_RATE, Detector, Pause, Resume, Silero, VoiceActivity

STRETCHED_S = (0.4, 0.7, 1.0)
PATIENCES_MS = (700, 900, 1100, 1300, 1500, 2000)
ROOM_S = 1.6  # of room tone after each point, so that every look happens


Look = tuple[int, float, str, int, int]  # silence ms, Smart Turn, words, voiced ms, longest pause ms


@dataclass(frozen=True, slots=True)
class Point:
    """A place where the voice stops: a true `end`, or a `mid` or `clause` pause. `lag_ms`: how late the VAD saw it."""

    file: str
    kind: str
    lag_ms: float
    looks: list[Look]


def read(path: Path) -> Samples:
    """A clip of the bench's own set, mono at 16 kHz. Trusted files: uploads go through audio.Decoder."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        flat = av.AudioResampler("flt", "mono")
        frames = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in flat.resample(frame)]
    return resample(np.concatenate(frames), rate, MIC_RATE)


def last_voiced(samples: Samples) -> int:
    """The clip's last sample within 35 dB of its loudest 20 ms: by energy, not by the VAD under test."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    power = np.mean(np.square(frames), axis=1)
    return (int(np.flatnonzero(power > power.max() * 10**-3.5)[-1]) + 1) * 320


def room_tone(samples: Samples, seconds: float) -> Samples:
    """Noise as loud as the clip's quietest 20 ms, at most -50 dBFS."""
    frames = samples[: len(samples) // 320 * 320].reshape(-1, 320)
    rms = float(np.percentile(np.sqrt(np.mean(np.square(frames), axis=1)), 3))
    return room(seconds, rms=min(max(rms, 1e-5), 0.003))


def points(clips: Path) -> Iterator[tuple[str, str, Samples, int]]:
    """(file, kind, samples, where the voice stops) of every true end of an English clip and every listed pause."""
    for row in json.loads(Path(__file__).with_name("clips.json").read_text()):
        if row["language"] == "en":
            samples = read(clips / row["file"])
            yield row["file"], "end", samples, last_voiced(samples)
    for row in json.loads(Path(__file__).with_name("pauses.json").read_text()):
        yield row["file"], row["kind"], read(clips / row["file"]), int(row["start_s"] * MIC_RATE)


def look(samples: Samples, detector: Detector, smart_turn: SmartTurn, stt: STT) -> tuple[float, list[Look]]:
    """Play up to the point, then room tone. Returns the VAD's lag in ms, and what is known at each Pause after it."""
    activity = VoiceActivity(detector)
    stop, at = len(samples), 0
    looks: list[Look] = []
    pcm = pcm16(np.concatenate([samples, room_tone(samples, ROOM_S)]))
    for start in range(0, len(pcm), 640):
        for event in activity.push(pcm[start : start + 640]):
            if isinstance(event, Resume):
                looks.clear()
            elif isinstance(event, Pause):
                at = event.at
                *_, heard = stt.transcribe(activity.utterance(), "en")
                probability = smart_turn.probability(activity.utterance(None))
                looks.append((event.silence_ms, probability, heard.text, activity.voiced_ms, activity.longest_pause_ms))
    return (at - stop) * 1000 / MIC_RATE, looks


def answered(point: Point, patience_ms: int, compute_ms: int, again_ms: int = 60) -> tuple[float, Decision]:
    """When the decision to answer falls, ms after the last voiced sample, and that decision."""
    decision, due_ms = Decision(patience_ms, False, "no pause"), patience_ms
    for i, (silence_ms, probability, words, voiced_ms, longest_ms) in enumerate(point.looks):
        decision = decide(
            probability,
            words,
            voiced_ms=voiced_ms,
            silence_ms=silence_ms,
            patience_ms=patience_ms,
            longest_pause_ms=longest_ms,
        )
        at_ms = silence_ms + (again_ms if i else compute_ms)
        if at_ms >= due_ms:
            break
        if decision.sure:
            return point.lag_ms + at_ms, decision
        due_ms = max(decision.wait_ms, at_ms)
    return point.lag_ms + due_ms, decision


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m avatar.bench.endpointing", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--clips", type=Path, default=FOLDER)
    parser.add_argument("--compute-ms", type=int, default=60, help="STT and Smart Turn at the first look")
    parser.add_argument("--first-sound-ms", type=int, default=150, help="LLM and TTS, from decision to first sound")
    args = parser.parse_args()
    settings = Settings.from_env()
    smart_turn = SmartTurn.load(weights.path("smart-turn-v3.2", settings.weights))
    silero = Silero.load(weights.path("silero-vad", settings.weights))
    stt = load_moonshine(settings, lambda fraction: None)
    found = []
    for file, kind, samples, stop in points(args.clips):
        lag_ms, looks = look(samples[:stop], silero.detector(), smart_turn, stt)
        found.append(point := Point(file, kind, lag_ms, looks))
        at_ms, decision = answered(point, 1300, args.compute_ms)
        print(f"{kind:7}{file:34}{at_ms:6.0f} ms  {'sure' if decision.sure else 'wait'}  {decision.why}")
    print("\npatience  sure at ends  first sound p50  p95 of sure  max   early: mid      clause")
    for patience_ms in PATIENCES_MS:
        print(table_row(found, patience_ms, args.compute_ms, args.first_sound_ms))


def table_row(found: list[Point], patience_ms: int, compute_ms: int, first_sound_ms: int) -> str:
    ends = [answered(point, patience_ms, compute_ms) for point in found if point.kind == "end"]
    sound_ms = [at_ms + first_sound_ms for at_ms, _ in ends]
    sure_ms = [at_ms + first_sound_ms for at_ms, decision in ends if decision.sure] or [0.0]
    early = []
    for kind in ("mid", "clause"):
        sent = [answered(p, patience_ms, compute_ms)[0] + first_sound_ms for p in found if p.kind == kind]
        hits = [at_ms < 1000 * gap_s for at_ms in sent for gap_s in STRETCHED_S]
        early.append(f"{sum(hits):3}/{len(hits):<3} {np.mean(hits):4.0%}")
    return (
        f"{patience_ms:8}{sum(d.sure for _, d in ends):8}/{len(ends)}{np.median(sound_ms):15.0f}"
        f"{np.percentile(sure_ms, 95):14.0f}{max(sound_ms):8.0f}   {early[0]}   {early[1]}"
    )


if __name__ == "__main__":
    main()
