"""Speech to play: the clips with their words, where their voice begins and ends, their room tone, their pauses.

Knows no server. `python -m avatar.bench.clips DIR` measures the clips of a folder anew and prints its clips.json.
"""

import asyncio
import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.audio import Decoder
from avatar.errors import AvatarError
from avatar.events import Samples

RATE = 16_000  # Hz
FOLDER = Path(__file__).parents[2] / "tests" / "data" / "speech"
HERE = Path(__file__).parent

STEP = RATE // 100  # 10 ms
BELOW_PEAK_DB, ABOVE_FLOOR_DB = 30.0, 10.0
EDGE_S = 0.06  # of a pause that is kept on either side: the ends of words fade into it
FADE = RATE // 100  # samples
TONE_S = 0.1  # the longest stretch without a voice that every clip has: un_dog.mp3 pauses nowhere longer


class ClipsError(AvatarError):
    code = "CLIPS"


@dataclass(frozen=True, slots=True)
class Pause:
    """A silence inside a clip. `kind`: mid (the sentence cannot end there) or clause (it could)."""

    start_s: float
    end_s: float
    kind: str
    before: str  # the last words before it


@dataclass(frozen=True, slots=True)
class Row:
    """A clip as clips.json describes it. Voice begins and ends by the clip's own energy: `voiced_span`.

    Before `noise_until_s` and from `noise_from_s` on there is no speech but a noise above the floor (Silero says):
    in jfk.flac one that rises until the file ends, in vosk.wav hiss and a click, in ms_two_cities.flac lips.
    """

    file: str
    language: str
    text: str
    source: str
    first_voiced_s: float = 0.0
    last_voiced_s: float = 0.0
    noise_until_s: float = 0.0
    noise_from_s: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """`samples`: float32 (n,) at RATE; `tone`: its quietest stretch, made to repeat without a seam."""

    row: Row
    samples: Samples
    tone: Samples
    pauses: tuple[Pause, ...] = ()

    @property
    def last_voiced(self) -> int:
        return round(self.row.last_voiced_s * RATE)

    @property
    def first_voiced(self) -> int:
        return round(self.row.first_voiced_s * RATE)


def load(folder: Path = FOLDER, languages: tuple[str, ...] = ("en",)) -> list[Clip]:
    """The clips of `folder`, by its own clips.json or else the bundled one. Raises ClipsError and AudioError."""
    own = folder / "clips.json"
    rows = _rows(own if own.is_file() else HERE / "clips.json")
    if missing := [row.file for row in rows if not (folder / row.file).is_file()]:
        raise ClipsError(f"{folder} lacks {', '.join(missing)}. Put them there, or list your clips in {own}.")
    pauses = _pauses(folder)
    chosen = [row for row in rows if row.language in languages]
    sounds = asyncio.run(_decode([folder / row.file for row in chosen]))
    return [
        Clip(row, samples, tone(samples), tuple(pauses.get(row.file, ())))
        for row, samples in zip(chosen, sounds, strict=True)
    ]


def _rows(path: Path) -> list[Row]:
    try:
        return [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError) as exc:
        raise ClipsError(f"{path} is not a list of clips with file, language, text and source.") from exc


def _pauses(folder: Path) -> dict[str, list[Pause]]:
    own = folder / "pauses.json"
    found: dict[str, list[Pause]] = {}
    for row in json.loads((own if own.is_file() else HERE / "pauses.json").read_text(encoding="utf-8")):
        found.setdefault(row.pop("file"), []).append(Pause(**row))
    return found


async def _decode(paths: list[Path]) -> list[Samples]:
    decoder = Decoder()
    try:
        return [await decoder.decode(path) for path in paths]
    finally:
        decoder.close()


def energy_db(samples: Samples) -> NDArray[np.float64]:
    """Energy of the 30 ms around each 10 ms, in dB below the loudest."""
    frames = samples[: len(samples) // STEP * STEP].reshape(-1, STEP).astype(np.float64)
    smooth = np.convolve((frames**2).mean(axis=1), np.ones(3) / 3, "same")
    decibels: NDArray[np.float64] = 10 * np.log10(smooth + 1e-18)
    decibels -= decibels.max()
    return decibels


def voiced_span(samples: Samples) -> tuple[float, float]:
    """Seconds at which a clip's voice begins and ends, by nothing but its own energy.

    Voiced is what lies within 30 dB of the clip's loudest 30 ms and 10 dB above its floor (the quietest twentieth). On
    our 16 clips this ends up to 0.2 s before Silero's verdict and never 50 ms after it: a latency from here on is
    never flattered.
    """
    level = energy_db(samples)
    voiced = np.nonzero(level > max(-BELOW_PEAK_DB, float(np.percentile(level, 5)) + ABOVE_FLOOR_DB))[0]
    return int(voiced[0]) * STEP / RATE, (int(voiced[-1]) + 1) * STEP / RATE


def tone(samples: Samples) -> Samples:
    """The quietest 0.1 s of a clip, its end faded into its beginning so that it can be repeated: float32 (m,)."""
    size = min(int(TONE_S * RATE), len(samples) // 2)
    power = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    at = int(np.argmin(power[size:] - power[:-size]))
    piece = samples[at : at + size].copy()
    fade = size // 10
    rise = np.linspace(0, 1, fade, dtype=np.float32)
    piece[:fade] = piece[:fade] * rise + piece[-fade:] * (1 - rise)
    return piece[:-fade]


def with_pauses(clip: Clip, pauses: tuple[Pause, ...], length_s: float) -> Clip:
    """`clip` with each of `pauses` made `length_s` long: its middle is cut out and filled with the clip's room tone.

    The rest of the clip, other pauses too, stays as it was spoken.
    """
    parts: list[Samples] = []
    after, added = 0, 0
    for pause in pauses:
        start, end, length = (round(s * RATE) for s in (pause.start_s, pause.end_s, length_s))
        edge = min(round(EDGE_S * RATE), (end - start) // 2, length // 2)
        fill = np.resize(clip.tone, length - 2 * edge)
        head, tail = clip.samples[after : start + edge], clip.samples[end - edge :]
        parts += [_faded(head, fill, tail)]
        after, added = end - edge, added + length - (end - start)
    samples = np.concatenate([*parts, clip.samples[after:]])
    row = replace(clip.row, last_voiced_s=clip.row.last_voiced_s + added / RATE)
    return replace(clip, samples=samples, row=row)


def _faded(head: Samples, fill: Samples, tail: Samples) -> Samples:
    """head and fill; fill's first and last 10 ms lean towards what they touch, so that no click is heard."""
    n = min(FADE, len(fill) // 2)
    if n:
        rise = np.linspace(0, 1, n, dtype=np.float32)
        fill[:n] = fill[:n] * rise + head[-1] * (1 - rise)
        fill[-n:] = fill[-n:] * (1 - rise) + tail[0] * rise
    return np.concatenate([head, fill])


def measure(folder: Path) -> list[dict[str, Any]]:
    """The rows of `folder`'s clips.json (or the bundled one) with their voiced spans measured anew."""
    own = folder / "clips.json"
    rows = _rows(own if own.is_file() else HERE / "clips.json")
    sounds = asyncio.run(_decode([folder / row.file for row in rows]))
    measured = []
    for row, samples in zip(rows, sounds, strict=True):
        end = None if row.noise_from_s is None else round(row.noise_from_s * RATE)
        first, last = voiced_span(samples[round(row.noise_until_s * RATE) : end])
        first, last = (round(s + row.noise_until_s, 2) for s in (first, last))
        measured.append(asdict(replace(row, first_voiced_s=first, last_voiced_s=last)))
    return measured


if __name__ == "__main__":
    measured = measure(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
    print("[\n" + ",\n".join("  " + json.dumps(row, ensure_ascii=False) for row in measured) + "\n]")
