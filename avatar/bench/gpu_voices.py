"""The steps of the bench on a card that are voices: alone, beside a language model that writes, and in HQ."""

import threading
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from avatar.audio import resample
from avatar.bench.clips import load
from avatar.bench.gpu_card import Sampler
from avatar.bench.gpu_measure import SEATS, Memory, Save, settings_for, shares, timed, together, took
from avatar.bench.report import summary
from avatar.engines.base import SYSTEM_PROMPT, Message, Voice
from avatar.events import AudioChunk
from avatar.planner import GIB

CLAUSE = "Sure, I can do that,"  # about 1.5 s
SENTENCE = "The quick brown fox jumps over the lazy dog near the river."  # 12 words, about 4 s
WORDS = "Some call me nature, others call me mother nature."  # of f5_ref_en.wav


def recorded(seconds: float) -> Voice:
    """A profile with so much of f5_ref_en.wav as its reference."""
    clip = next(clip for clip in load() if clip.row.file == "f5_ref_en.wav")
    sound = resample(clip.samples[: int(seconds * 16_000)], 16_000, 24_000)
    share = max(1, round(len(WORDS) * min(1.0, seconds * 16_000 / len(clip.samples))))
    return Voice("bench", f"bench-{seconds}", AudioChunk(sound, 24_000), WORDS[:share])


def f5(models: Path, save: Save) -> None:
    import avatar.engines.f5 as adapter

    with Sampler() as sampler:
        memory, started = Memory(sampler), time.perf_counter()
        engine = adapter.load(settings_for(models), lambda fraction: None, shares()["f5"])
        result: dict[str, Any] = {"load_s": round(time.perf_counter() - started, 1), **memory.now("vram_loaded_mib")}
        save(result)

        def say(text: str, seconds: float, first: bool) -> float:
            call = engine.begin if first else engine.speak
            return sum(len(chunk.samples) for chunk in call(text, voices[seconds], "en")) / 24_000

        voices = {seconds: recorded(seconds) for seconds in (3.0, 5.0)}
        for name, text, seconds, first in (
            ("first_clause_3s_reference", CLAUSE, 3.0, True),
            ("first_clause_5s_reference", CLAUSE, 5.0, True),
            ("sentence_first_steps_3s_reference", SENTENCE, 3.0, True),
            ("sentence_3s_reference", SENTENCE, 3.0, False),
        ):
            result[name] = {
                "sound_s": round(say(text, seconds, first), 2),
                **timed(lambda a=text, b=seconds, c=first: say(a, b, c), 40),  # type: ignore[misc]
            }
            save(result)
        result["first_clause_five_at_once"] = together(lambda _: took(lambda: say(CLAUSE, 3.0, True)), 20)
        with _busy(lambda number, over: say(SENTENCE, 3.0, False), SEATS - 1):
            result["first_clause_beside_four_voices"] = timed(lambda: say(CLAUSE, 3.0, True), 40)
            engine._worker.before = lambda: None  # type: ignore[method-assign]
            result["first_clause_between_whole_clauses"] = timed(lambda: say(CLAUSE, 3.0, True), 40)
        result |= memory.now("vram_after_mib")
        save(result)
        engine.close()


@contextmanager
def _busy(work: Callable[[int, threading.Event], object], callers: int) -> Generator[None, None, None]:
    """They all do it again and again, from a second before until the end, of which they are told."""
    over = threading.Event()

    def run(number: int) -> None:
        while not over.is_set():
            work(number, over)

    with ThreadPoolExecutor(max(1, callers)) as threads:
        for number in range(callers):
            threads.submit(run, number)
        time.sleep(1)
        yield
        over.set()


def beside(models: Path, save: Save) -> None:
    """F5-TTS while vLLM, in another process, does nothing, answers one, answers five: with the rest that it gets for a
    first clause, and without."""
    import avatar.engines.f5 as voice_adapter
    import avatar.engines.vllm as llm_adapter

    settings, planned = settings_for(models), shares()
    llm = llm_adapter.load(settings, lambda fraction: None, planned["vllm"])
    engine = voice_adapter.load(settings, lambda fraction: None, planned["f5"])
    voice, result = recorded(3.0), dict[str, Any]()

    def first() -> float:
        return took(lambda: list(engine.begin(CLAUSE, voice, "en")))

    def not_held_up() -> float:
        """The same while vLLM writes on."""
        alone, engine._alone = engine._alone, nullcontext
        try:
            return first()
        finally:
            engine._alone = alone

    def paced(work: Callable[[], float]) -> float:
        time.sleep(0.05)  # vLLM writes again
        return work()

    def answer(seat: int, over: threading.Event) -> None:
        history = [Message("system", SYSTEM_PROMPT), Message("user", f"{time.monotonic()}: how are you?")]
        for _ in llm.reply(history, seat):
            if over.is_set():
                break

    for seats in (0, 1, SEATS):
        with _busy(answer, seats):
            for _ in range(5):
                first()
            result[f"first_clause_beside_{seats}"] = summary([paced(first) for _ in range(40)])
            result[f"first_clause_not_held_up_{seats}"] = summary([paced(not_held_up) for _ in range(40)])
            save(result)
    engine.close()
    llm.close()


def cosyvoice(models: Path, save: Save) -> None:
    """From the text to the first sound and to the last, in a voice that is new and in one that is prepared."""
    import avatar.engines.cosyvoice as adapter

    with Sampler() as sampler:
        memory, started = Memory(sampler), time.perf_counter()
        share = shares(("cosyvoice",))["cosyvoice"]
        settings = replace(settings_for(models), cosyvoice_model=models / "cosyvoice")
        engine = adapter.load(settings, lambda fraction: None, share)
        result: dict[str, Any] = {"load_s": round(time.perf_counter() - started, 1), **memory.now("vram_loaded_mib")}
        result["stages_gib"] = [round(stage / GIB, 2) for stage in share.stages]
        save(result)

        def say(text: str, voice: Voice) -> tuple[float, float, float]:
            """Milliseconds to the first sound and to the last; seconds of sound."""
            started, first, count = time.perf_counter(), 0.0, 0
            for chunk in engine.speak(text, voice, "en"):
                first = first or time.perf_counter() - started
                count += len(chunk.samples)
            return first * 1000, (time.perf_counter() - started) * 1000, count / 24_000

        voice = recorded(5.0)
        result["first_chunk_new_voice_ms"] = round(say(CLAUSE, voice)[0], 1)
        for name, text in (("clause", CLAUSE), ("sentence", SENTENCE)):
            said = [say(text, voice) for _ in range(3 + 20)][3:]
            result[name] = {
                "first_chunk": summary([first for first, _, _ in said]),
                "whole": summary([whole for _, whole, _ in said]),
                "sound_s": round(float(np.median([sound for _, _, sound in said])), 2),
                "rtf": round(float(np.median([whole / 1000 / max(sound, 0.01) for _, whole, sound in said])), 3),
            }
            save(result)
        result["first_chunk"] = result["clause"]["first_chunk"]
        result["first_chunk_three_at_once"] = together(lambda _: say(CLAUSE, voice)[0], 10, 3)
        result |= memory.now("vram_after_mib")
        save(result)
        result["close_s"] = round(took(engine.close) / 1000, 1)
        save(result)
