"""Cuts the voices that come with the product: `python -m avatar.bench.starters SPEECH_FOLDER [profiles]`.

SPEECH_FOLDER holds the clips of VOICES. Each is cut to its best window, brought to 24 kHz and -20 dBFS, measured and
embedded. Of the clips that we have, those are taken whose files are under a free licence and whose speaker is not a
known person: f5_ref_en.wav and f5_ref_zh.wav are of films, jfk.flac is of a president.
"""

import asyncio
import base64
import hashlib
import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from avatar import clip, speaker, weights
from avatar.audio import Decoder, Limits, level_dbfs, pcm16
from avatar.consent import Consent
from avatar.events import Samples
from avatar.settings import Settings
from avatar.speaker import SpeakerEncoder, to_bytes
from avatar.starters import CLIP, FOLDER, ROW
from avatar.turntaking.voice import Silero
from avatar.voiced import listen

RATE = 24_000
LEVEL_DBFS = -20.0


@dataclass(frozen=True, slots=True)
class Cut:
    id: str
    file: str
    name: str
    language: str
    text: str  # of the window that is chosen
    source: str
    licence: str


VOICES = (
    Cut(
        "storyteller",
        "ms_two_cities.flac",
        "Storyteller",
        "en",
        "It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
        "it was the epoch of belief,",
        "moonshine-ai/moonshine, assets of its wheel: an unnamed narrator",
        "MIT",
    ),
    Cut(
        "clara",
        "ms_zipvoice_american_female.wav",
        "Clara",
        "en",
        "Welcome to Moonshine Voice text to speech.",
        "moonshine-ai/moonshine, docs: a synthetic voice",
        "MIT",
    ),
    Cut(
        "oliver",
        "ms_kokoro_bm_george.wav",
        "Oliver",
        "en",
        "Welcome to Moonshine Voice text to speech.",
        "moonshine-ai/moonshine, docs: a synthetic voice",
        "MIT",
    ),
    Cut(
        "xiaoyu",
        "cv_zero_shot.wav",
        "小雨",
        "zh",
        "希望你以后能够做的比我还好呦。",
        "FunAudioLLM/CosyVoice, asset: an unnamed speaker",
        "Apache-2.0",
    ),
)


def make(cut: Cut, samples: Samples, place: Path, silero: Silero, encoder: SpeakerEncoder) -> clip.Quality:
    """Write the folder `place`; samples: float32 (n,) at RATE."""
    whole = listen(samples, RATE, silero)
    start, end = clip.best_window(whole)
    piece = samples[round(start * RATE) : round(end * RATE)]
    gain = 10 ** ((LEVEL_DBFS - level_dbfs(piece)) / 20)
    recording = encode(piece * np.float32(min(gain, 0.99 / float(np.abs(piece).max()))))
    heard = listen(piece * np.float32(gain), RATE, silero)
    quality, embedding = clip.measure(heard, encoder), clip.embedding(heard, encoder)
    if not quality.usable or embedding is None:
        raise ValueError(f"{cut.file} is no good as a voice")
    consent = Consent(
        whose="licensed",
        proof="licence",
        owner="",
        person=f"{cut.source.partition(':')[0]}; {cut.licence}",
        sha256=hashlib.sha256(recording).hexdigest(),
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    row = {key: getattr(cut, key) for key in ("name", "language", "text", "source", "licence")}
    row |= {"cut_from": cut.file, "start_s": round(start, 3), "end_s": round(end, 3), "consent": consent.to_json()}
    row |= {"quality": quality.to_json(), "embedding": base64.b64encode(to_bytes(embedding)).decode()}
    place.mkdir(parents=True, exist_ok=True)
    (place / CLIP).write_bytes(recording)
    (place / ROW).write_text(json.dumps(row, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return quality


def encode(samples: Samples) -> bytes:
    """A FLAC file, 16 bit, mono."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as out:
        stream = out.add_stream("flac", rate=RATE, layout="mono", format="s16")
        frame = av.AudioFrame.from_ndarray(np.frombuffer(pcm16(samples), "<i2")[None], format="s16", layout="mono")
        frame.rate = RATE
        for packet in (*stream.encode(frame), *stream.encode(None)):
            out.mux(packet)
    return buffer.getvalue()


async def decode(paths: list[Path]) -> list[Samples]:
    decoder = Decoder(Limits(sample_rate=RATE))
    try:
        return [await decoder.decode(path) for path in paths]
    finally:
        decoder.close()


def main(argv: list[str]) -> None:
    folder, profiles = Path(argv[0]), Path(argv[1]) if len(argv) > 1 else FOLDER
    settings = Settings.from_env()
    silero = Silero.load(weights.path("silero-vad", settings.weights))
    encoder = speaker.load(settings)
    for cut, samples in zip(VOICES, asyncio.run(decode([folder / cut.file for cut in VOICES])), strict=True):
        quality = make(cut, samples, profiles / cut.id, silero, encoder)
        print(f"{cut.id}: {quality.duration_s:.1f} s, score {quality.score}")


if __name__ == "__main__":
    main(sys.argv[1:])
