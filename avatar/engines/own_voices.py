"""Voices for engines that speak only after a reference: the recordings that f5-tts brings, and their words."""

import wave
from pathlib import Path

import numpy as np

from avatar.audio import resample
from avatar.engines.reference import Reference, prepare
from avatar.events import Samples

OWN_RATE = 24_000  # Hz, of their samples
OWN = {  # infer/examples/basic
    "english": ("en", "basic_ref_en.wav", "Some call me nature, others call me mother nature."),
    "chinese": ("zh", "basic_ref_zh.wav", "对，这就是我，万人敬仰的太乙真人。"),
}


def own_voices() -> dict[str, tuple[str, Reference]]:
    """Name -> language and reference of the voices that f5-tts brings along."""
    from importlib.resources import files as inside

    folder = Path(str(inside("f5_tts").joinpath("infer/examples/basic")))
    return {
        name: (language, prepare(*read_wav(folder / file), text))
        for name, (language, file, text) in OWN.items()
        if (folder / file).is_file()
    }


def read_wav(file: Path) -> tuple[Samples, int]:
    """A file of the package's own: 16 bits. Returns float32 (n,) at OWN_RATE, and OWN_RATE."""
    with wave.open(str(file)) as sound:
        rate, channels = sound.getframerate(), sound.getnchannels()
        samples = np.frombuffer(sound.readframes(sound.getnframes()), "<i2").astype(np.float32) / 32_768
    return resample(samples.reshape(-1, channels).mean(axis=1), rate, OWN_RATE), OWN_RATE
