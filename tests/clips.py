"""The speech clips of tests/data as samples. Not a test itself."""

import wave
from pathlib import Path

from avatar.audio import from_pcm16, resample
from avatar.events import Samples

DATA = Path(__file__).parent / "data"


def clip(name: str, rate: int = 16_000) -> Samples:
    with wave.open(str(DATA / name)) as file:
        return resample(from_pcm16(file.readframes(file.getnframes())), file.getframerate(), rate)
