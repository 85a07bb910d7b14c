"""Voice profiles for tests: made sound, and rows without a measurement behind them. Not a test itself."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatar.consent import Consent
from avatar.events import Samples
from avatar.profiles import Profile
from avatar.store import Store
from avatar.voices import Voices

RATE = 48_000
CONSENT = Consent(
    whose="mine", proof="declared", owner="ann", sha256="0" * 64, at="2026-11-25T12:00:00+00:00"
).to_json()


def sound(seconds: float = 4.0, seed: int = 0) -> Samples:
    """Something with a pitch that is like no other seed's."""
    t = np.arange(int(seconds * RATE)) / RATE
    tone = 0.2 * np.sin(2 * np.pi * (120 + 10 * seed) * t) + 0.1 * np.sin(2 * np.pi * (240 + 20 * seed) * t)
    return (tone + np.random.default_rng(seed).normal(0, 0.001, len(t))).astype(np.float32)


NEW = Profile(
    id="",
    owner="ann",
    name="Ann's voice",
    language="en",
    reference_text="Every morning I walk past the tea shop.",
    start_s=0.5,
    end_s=3.5,
    duration_s=0.0,
    size=0,
    sha256="",
    consent=CONSENT,
    note="Recorded in Tainan",
    pitch_hz=120.0,
    embedding=np.full(256, 1 / 16, "<f4").tobytes(),
    quality={"score": 80},
)


def kept(voices: Voices, owner: str = "ann", seconds: float = 4.0, seed: int = 0, **more: Any) -> Profile:
    """A profile that `voices` keeps for `owner`."""
    more = {"consent": {**CONSENT, "owner": owner}, **more}
    return voices.add(replace(NEW, owner=owner, **more), sound(seconds, seed), RATE)


def opened(data: Path, **more: Any) -> Voices:
    return Voices(data, Store(data).profiles, **more)


def folders(data: Path) -> list[Path]:
    return sorted(place for place in (data / "voices").iterdir() if place.is_dir())


def found(data: Path, needles: list[bytes]) -> list[tuple[Path, bytes]]:
    """Which of them are in which file of the data directory."""
    files = [file for file in data.rglob("*") if file.is_file()]
    return [(file, needle) for file in files for needle in needles if needle in file.read_bytes()]
