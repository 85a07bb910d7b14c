"""How long a voice takes to keep, and how soon a preview is heard: `make campaign NAME=voice_bars`, on an idle machine.

pocket-tts has its real size and random weights: what is said is noise, at the speed of speech.
"""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pocket_models
import pytest
from fakes import FakeSTT
from studios import SPEECH, studio_in

from avatar.audio import wav_bytes
from avatar.engines import espeak, pocket
from avatar.engines.base import Abilities
from avatar.engines.pool import EnginePool
from avatar.preparing import Preparing
from avatar.preview import Previews
from avatar.settings import Settings
from avatar.studio import RATE, Studio

FIELDS = {"name": "Jack", "words": "Ask not.", "language": "en", "whose": "mine", "person": ""}
TEXT = "The kettle is on, and the tea is almost ready."
RUNS = 10


async def measured(folder: Path, make_pool: Callable[..., EnginePool], voice: Any) -> dict[str, list[float]]:
    """Seconds of RUNS runs: a clip of 10 s judged, kept, made ready in the background, and heard in a preview for the
    first time."""
    seconds: dict[str, list[float]] = {"judged": [], "kept": [], "made ready": [], "first sound": []}
    with studio_in(folder / "data", make_pool, ears=FakeSTT("Ask not."), voice=voice) as studio:
        clip = folder / "ten.wav"
        clip.write_bytes(wav_bytes(studio._decoder._decode(SPEECH / "jfk.flac")[: 10 * RATE], RATE))
        previews = Previews(studio, studio._pipeline)
        for _ in range(RUNS):
            began = time.perf_counter()
            draft = await studio.open("ann", clip)
            opened = time.perf_counter()
            profile = studio.save("ann", draft.id, **FIELDS)
            saved = time.perf_counter()
            await asyncio.to_thread(preparing(studio).join, 60)
            began_to_say = time.perf_counter()
            seconds["judged"].append(opened - began)
            seconds["kept"].append(saved - opened)
            seconds["made ready"].append(began_to_say - saved)
            preview = await previews.begin("ann", profile.id, TEXT)
            await preview.begun()
            seconds["first sound"].append(time.perf_counter() - began_to_say)
            assert preview.task is not None and preview.error is None, preview.error
            await preview.task
    for what, times in seconds.items():
        print(
            f"{what}: median {median(times) * 1000:.0f} ms, first {times[0] * 1000:.0f}, most {max(times) * 1000:.0f}"
        )
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    return seconds


def preparing(studio: Studio) -> Preparing:
    """That of studio_in."""
    return studio._prepare.__self__  # type: ignore[attr-defined,no-any-return]


@pytest.mark.campaign
async def test_voice_bars_espeak(tmp_path: Path, make_pool, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = espeak.load(Settings(), lambda _: None)
    if not hasattr(engine, "abilities"):  # those of its row, which the fake ladder has not
        monkeypatch.setattr(espeak.EspeakTTS, "abilities", Abilities(("*",), pitch=True), raising=False)
    seconds = await measured(tmp_path, make_pool, engine)
    assert max(a + b for a, b in zip(seconds["judged"], seconds["kept"], strict=True)) <= 2
    assert max(seconds["first sound"]) <= 0.1


@pytest.mark.campaign
@pytest.mark.voice
async def test_voice_bars_pocket(tmp_path: Path, make_pool, monkeypatch: pytest.MonkeyPatch) -> None:
    def whole(config: dict[str, Any], bins: int) -> dict[str, Any]:
        config["flow_lm"]["lookup_table"].update(n_bins=bins)
        return config

    monkeypatch.setattr(pocket_models, "tiny", whole)
    model = pocket_models.build(tmp_path / "model" / "english", eos=-100.0)
    seconds = await measured(tmp_path, make_pool, pocket.load(Settings(pocket_model=model), lambda _: None))
    assert median(seconds["first sound"]) <= 0.4
