"""Mutated recordings and voice files into the studio; at full size: tests/campaigns/test_fuzz_voices.py."""

import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from audio_files import GOOD, mutated
from studios import BELLA, FIELDS, SPEECH, studio_in

from avatar import voice_archive
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError

pytestmark = pytest.mark.slow


class TestFuzz:
    async def test_hostile_uploads_end_in_a_draft_or_a_sentence(
        self, tmp_path: Path, make_pool: Callable[..., EnginePool]
    ) -> None:
        result = await fuzz_uploads(60, 1, tmp_path, make_pool)
        assert result["judged"] > 5 and result["AUDIO_UNREADABLE"] > 3 and result["VOICE_FILE"] > 3
        assert result["slowest_s"] < 5 and result["grown_mib"] < 64


async def fuzz_uploads(count: int, seed: int, folder: Path, make_pool: Callable[..., EnginePool]) -> dict[str, float]:
    """Open mutated recordings and voice files, as the tab does: how many had which answer, the slowest, and by how much
    this process grew after the first tenth."""
    dice, answers, slowest_s, floor = random.Random(seed), Counter[str](), 0.0, 0.0
    process = psutil.Process()
    with studio_in(folder / "data", make_pool) as studio:
        kept = studio.save("ann", (await studio.open("ann", BELLA)).id, **FIELDS)
        archive = voice_archive.pack(kept, studio.voices.clip("ann", kept.id))
        clips = [(SPEECH / name).read_bytes() for name in ("un_dog.mp3", "lk_hello.wav", "lk_weather.wav")]
        clips += [GOOD[name]() for name in ("a.flac", "a.ogg", "a.webm", "a.m4a", "video.mp4")]
        for number in range(count):
            imported = dice.random() < 0.25
            file = folder / "upload"
            file.write_bytes(mutated(archive if imported else dice.choice(clips), dice))
            began = time.perf_counter()
            try:
                await (studio.open_archive("bob", file) if imported else studio.open("bob", file))
                answer = "judged"
            except AvatarError as error:
                answer = error.code
            slowest_s = max(slowest_s, time.perf_counter() - began)
            answers[answer] += 1
            if number == count // 10:
                floor = process.memory_info().rss
        grown = (process.memory_info().rss - floor) / 2**20
        assert studio.voices.of("ann") == [kept] and studio.voices.of("bob") == []
    return {**answers, "slowest_s": round(slowest_s, 2), "grown_mib": round(grown, 1)}
