"""How good is a recording as the sample of a voice? Numbers, findings as codes, a score, and the piece of it to use.

Knows no words: `ui/words/voices.py` has a sentence for each code, in each language.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from avatar.audio import FLOOR_DBFS, level_dbfs
from avatar.speaker import MIN_S, Embedding, SpeakerEncoder, normalised, similarity
from avatar.turntaking.voice import CHUNK, MIC_RATE
from avatar.voiced import Heard, widened

Severity = Literal["fine", "warn", "refuse"]
ASPECTS = ("length", "speech", "noise", "clipping", "bandwidth", "level", "speakers", "start", "end")

BEST_SNR_DB = 60.0  # a pause of digital silence; a quiet room is at 30 to 45
WINDOW_S = (5.0, 12.0)  # what cloning engines want to hear
EDGE_S = 0.15  # of a pause that is kept before and after the window
SPEAKERS_S = 4.0  # of speech: below, windows of one voice differ as much as those of two
_PSD = 1024  # samples of one spectrum
_AUDIBLE_DB = -60.0  # below the loudest band: dither of 16 bits lies 20 dB lower, a resampler's stop band 40
_EDGE_DB = 20.0  # speech this near to its own level in the first or last 30 ms was cut off


@dataclass(frozen=True, slots=True)
class Limits:
    """Below `refuse` a recording is of no use, below `warn` a better one would help; both in the aspect's unit."""

    refuse: float
    warn: float


# Seconds; share; dB; share; Hz; dBFS of the speech; cosine. Where less is better, the two have a minus.
LIMITS: Mapping[str, Limits] = {
    "length": Limits(3.0, 5.0),
    "speech": Limits(0.2, 0.5),
    "noise": Limits(5.0, 20.0),
    "clipping": Limits(-0.05, -0.003),
    "bandwidth": Limits(2_500.0, 7_000.0),
    "level": Limits(-60.0, -40.0),
    "speakers": Limits(0.0, 0.78),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be said of one aspect; the sentence is `code`, filled with `values`."""

    aspect: str
    severity: Severity
    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def code(self) -> str:
        return f"q_{self.aspect}_{self.severity}"


@dataclass(frozen=True, slots=True)
class Quality:
    duration_s: float
    speech_s: float
    snr_db: float  # speech against pauses, at most BEST_SNR_DB
    clipping: float  # share of samples on a flat top
    bandwidth_hz: float
    level_dbfs: float  # of the speech
    one_speaker: float | None  # how alike its most different parts are, a cosine; None: too short, or no encoder
    cut_start: bool
    cut_end: bool
    score: int  # 0 to 100
    findings: tuple[Finding, ...]  # one for each aspect that was measured, the worst first

    @property
    def speech_ratio(self) -> float:
        return self.speech_s / self.duration_s if self.duration_s else 0.0

    @property
    def usable(self) -> bool:
        return all(finding.severity != "refuse" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Quality":
        """Raises ValueError when `data` is not what `to_json` gives."""
        try:
            findings = tuple(Finding(**finding) for finding in data["findings"])
            quality = cls(**{**data, "findings": findings})
            if any(f.aspect not in ASPECTS or f.severity not in get_args(Severity) for f in findings):
                raise ValueError("an unknown finding")
        except (KeyError, TypeError) as exc:
            raise ValueError("not a quality report") from exc
        return quality


def measure(heard: Heard, encoder: SpeakerEncoder | None = None) -> Quality:
    """Blocks for about 0.02 s for 10 s of sound, with `encoder` 0.2 s more. Deterministic."""
    start, end = _cut_off(heard)
    quality = Quality(
        duration_s=round(heard.duration_s, 3),
        speech_s=round(min(heard.speech_s, heard.duration_s), 3),
        snr_db=round(snr_db(heard), 1),
        clipping=round(clipping(heard.samples), 5),
        bandwidth_hz=round(bandwidth_hz(heard)),
        level_dbfs=round(level_dbfs(_speech(heard)), 1),
        one_speaker=one_speaker(heard, encoder) if encoder else None,
        cut_start=start,
        cut_end=end,
        score=0,
        findings=(),
    )
    values = {"length": quality.duration_s, "speech": quality.speech_ratio}
    if quality.speech_s:
        values |= {"noise": quality.snr_db, "clipping": -quality.clipping, "bandwidth": quality.bandwidth_hz}
        values |= {"level": quality.level_dbfs}
    if quality.one_speaker is not None:
        values["speakers"] = quality.one_speaker
    findings = [_finding(aspect, value) for aspect, value in values.items()]
    if quality.speech_s:
        findings += [Finding(name, "warn" if cut else "fine") for name, cut in (("start", start), ("end", end))]
    findings.sort(key=lambda finding: -get_args(Severity).index(finding.severity))
    return _scored(quality, values, tuple(findings))


def _finding(aspect: str, value: float) -> Finding:
    limits = LIMITS[aspect]
    severity: Severity = "refuse" if value < limits.refuse else "warn" if value < limits.warn else "fine"
    return Finding(aspect, severity, {"value": abs(value) if aspect == "clipping" else value})


def _scored(quality: Quality, values: Mapping[str, float], findings: tuple[Finding, ...]) -> Quality:
    """Each aspect takes a share: none from `warn` up, half of what is left at `refuse`, all of it as far below."""
    score = 100.0 if quality.speech_s else 0.0
    for aspect, value in values.items():
        limits = LIMITS[aspect]
        score *= float(np.clip(0.5 + 0.5 * (value - limits.refuse) / (limits.warn - limits.refuse), 0.0, 1.0))
    score *= 0.85 ** (quality.cut_start + quality.cut_end)
    parts = asdict(quality) | {"findings": findings, "score": round(score)}
    return Quality(**parts)


def snr_db(heard: Heard) -> float:
    """Power of the speech over that of the pauses; where there is no pause, over the quietest twentieth of 32 ms.

    The median of the pauses: one breath or click in them is not the noise of the room. -20 for no speech at all.
    """
    powers = np.square(heard.low[: len(heard.low) // CHUNK * CHUNK], dtype=np.float64).reshape(-1, CHUNK).mean(axis=1)
    speech = heard.speech[: len(powers)]
    if not speech.any():
        return -20.0
    quiet = powers[~widened(speech, 1)]
    noise = float(np.median(quiet)) if len(quiet) >= 3 else float(np.quantile(powers, 0.05))
    voice = float(powers[speech].mean()) - noise
    if noise <= 0:
        return BEST_SNR_DB
    return float(np.clip(10 * math.log10(max(voice, noise * 1e-2) / noise), -20.0, BEST_SNR_DB))


def clipping(samples: NDArray[np.float32]) -> float:
    """Share of samples on flat tops: runs within a tenth of the level at which the peaks pile up, or near full scale.

    A tenth, because a resampler after the clipping makes the flat tops ring. What is clean has 0.0015 at most.
    """
    loud = np.abs(samples)
    top = float(np.quantile(loud, 0.9995)) if len(loud) else 0.0
    if top <= 10 ** (FLOOR_DBFS / 20):
        return 0.0
    counts, edges = np.histogram(loud, bins=48, range=(0.4 * top, 1.12 * top))
    smooth = np.convolve(counts, np.ones(5), "valid") / 5
    at = int(smooth.argmax())
    levels = [top]
    if smooth[at] > 1.5 * smooth[: at + 1].min():  # clean speech has ever fewer samples the louder they are
        levels.append(float(edges[at + 2]))
    return max(_in_runs(loud >= 0.9 * level, 4) for level in levels)


def _in_runs(flags: NDArray[np.bool_], shortest: int) -> float:
    """The share of `flags` that are true in runs of at least `shortest`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]]).astype(np.int8))).reshape(-1, 2)
    lengths = edges[:, 1] - edges[:, 0]
    return float(lengths[lengths >= shortest].sum() / len(flags))


def bandwidth_hz(heard: Heard) -> float:
    """The highest frequency in the speech that is less than 60 dB below its loudest; 0 without speech.

    Telephone sound gives 3.4 to 4 kHz whatever the rate of the file, a good microphone 9 kHz and more.
    """
    count = len(heard.samples) // _PSD
    inside = _speaking(heard)[: count * _PSD].reshape(-1, _PSD).all(axis=1)  # whole frames: a seam would be a click
    frames = heard.samples[: count * _PSD].reshape(-1, _PSD)[inside]
    if not len(frames):
        return 0.0
    power = np.square(np.abs(np.fft.rfft(frames * np.hanning(_PSD), axis=1))).mean(axis=0)
    smooth = np.convolve(power, np.ones(5) / 5, "same")
    if smooth.max() <= 0:
        return 0.0
    highest = int(np.flatnonzero(smooth > smooth.max() * 10 ** (_AUDIBLE_DB / 10))[-1])
    return highest * heard.rate / _PSD


def one_speaker(heard: Heard, encoder: SpeakerEncoder) -> float | None:
    """The cosine between the two most different groups of windows; None below SPEAKERS_S of speech.

    Two people who talk at the same moment are not found, nor one who says less than about two seconds.
    """
    voice = heard.voice()
    if heard.speech_s < SPEAKERS_S:
        return None
    windows = encoder.partials(voice)
    alike = windows @ windows.T
    centres = windows[list(np.unravel_index(int(alike.argmin()), alike.shape))]
    for _ in range(8):  # two-means, from the two windows that are least alike
        of_first = np.diff(windows @ centres.T, axis=1)[:, 0] <= 0
        groups = [windows[of_first], windows[~of_first]]
        if min(map(len, groups)) < 2:  # one odd window is a laugh or a cough, not a speaker
            return 1.0
        centres = np.stack([normalised(group.mean(axis=0)) for group in groups])
    return round(similarity(*centres), 3)


def embedding(heard: Heard, encoder: SpeakerEncoder) -> Embedding | None:
    """Whose voice it is; None when there is too little speech."""
    voice = heard.voice()
    return encoder.embed(voice) if heard.speech_s >= MIN_S and voice.any() else None


def best_window(heard: Heard) -> tuple[float, float]:
    """Start and end in seconds of the piece to clone from: 5 to 12 s where there is so much, from pause to pause.

    Of all such pieces the one with the highest product of speech share, SNR and length (up to 8 s), each against its
    best. A recording without two pauses so far apart is taken whole, or up to the longest piece that ends in a pause.
    """
    shortest, longest = WINDOW_S
    pauses = heard.pauses()
    starts = [0.0] if not pauses or pauses[0][0] > 0 else []
    starts += [max(start, end - EDGE_S) for start, end in pauses]
    ends = [min(end, start + EDGE_S) for start, end in pauses]
    ends += [heard.duration_s] if not pauses or pauses[-1][1] < heard.duration_s else []
    spans = [(s, e) for s in starts for e in ends if shortest <= e - s <= longest]
    if not spans:
        spans = [(s, e) for s in starts for e in ends if 0 < e - s <= longest] or [
            (0.0, min(heard.duration_s, longest))
        ]
    return max(spans, key=lambda span: (_worth(heard, span), span[0] - span[1]))


def _worth(heard: Heard, span: tuple[float, float]) -> float:
    piece = heard.cut(*span)
    if not piece.speech.any():
        return 0.0
    share = float(piece.speech.mean())
    quiet = float(np.clip(snr_db(piece) / 40, 0.1, 1.0))
    return share * quiet * min(1.0, (span[1] - span[0]) / 8) * (1 - min(1.0, 10 * clipping(piece.samples)))


def _speech(heard: Heard) -> NDArray[np.float32]:
    """The speech alone, at the recording's own rate, piece after piece."""
    return heard.samples[_speaking(heard)]


def _speaking(heard: Heard) -> NDArray[np.bool_]:
    """For each sample of the recording whether it is speech."""
    if not len(heard.speech):
        return np.zeros(len(heard.samples), bool)
    chunk = (np.arange(len(heard.samples)) * (MIC_RATE / heard.rate / CHUNK)).astype(np.intp)
    speaking: NDArray[np.bool_] = heard.speech[np.minimum(chunk, len(heard.speech) - 1)]
    return speaking


def _cut_off(heard: Heard) -> tuple[bool, bool]:
    """Whether the first or the last 30 ms are speech about as loud as the rest."""
    edge = round(0.03 * MIC_RATE)
    if not heard.speech.any() or len(heard.low) < 2 * edge:
        return False, False
    voice = level_dbfs(heard.low[np.repeat(heard.speech, CHUNK)[: len(heard.low)]])
    near = [bool(heard.speech[:3].any()), bool(heard.speech[-3:].any())]
    loud = [level_dbfs(piece) > voice - _EDGE_DB for piece in (heard.low[:edge], heard.low[-edge:])]
    return near[0] and loud[0], near[1] and loud[1]
