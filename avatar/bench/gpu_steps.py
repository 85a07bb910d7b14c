"""The parts of the bench on a card, each in a process of its own, so that its memory can be told and goes back.

    python -m avatar.bench.gpu_steps STEP MODELS OUT.json

Engines are loaded by their own `load` with the share that the planner gives them on a card of 24 GiB, and driven
through the same methods that the pipeline calls.
"""

import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from avatar.bench.clips import FOLDER, load
from avatar.bench.gpu_card import Ballast, Sampler, used
from avatar.bench.gpu_measure import CARD_GIB, SEATS, Memory, Save, settings_for, shares, timed, together, took
from avatar.bench.gpu_serve import NOTES, WORDS
from avatar.bench.gpu_voices import beside, cosyvoice, f5
from avatar.bench.report import summary
from avatar.bench.served import OURS, ROOT, App, conditions
from avatar.bench.talk import answered
from avatar.engines.base import SYSTEM_PROMPT, Message
from avatar.gpu import Gpu, cublas_folder, load_cublas
from avatar.planner import GIB
from avatar.settings import Settings

QUESTIONS = ("What is the capital of France?", "Say hello and introduce yourself in one sentence.")
PLAIN = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"  # what it was trained with
READY_S = 420.0  # all engines of the app; vLLM compiles for its first start


# -- one engine at a time ----------------------------------------------------------------------------------------------
def whisper(models: Path, save: Save) -> None:
    import faster_whisper
    import opencc

    import avatar.engines.whisper as adapter

    missing = load_cublas(cublas_folder())
    result: dict[str, Any] = {"cublas": missing or "found"}
    clip = next(clip for clip in load() if clip.row.file == "f5_ref_en.wav")
    with Sampler() as sampler:
        memory, started = Memory(sampler), time.perf_counter()
        settings, share = settings_for(models), replace(shares()["whisper"], compute_type="float16")
        engine = adapter.load(settings, lambda fraction: None, share)
        result |= {"load_s": round(time.perf_counter() - started, 1), **memory.now("vram_loaded_mib")}

        def hear(which: Any) -> str:
            return str([transcript.text for transcript in which.transcribe(clip.samples, "en")][-1])

        result |= {"clip_s": round(len(clip.samples) / 16_000, 1), "words": len(hear(engine).split())}
        result["one"] = timed(lambda: hear(engine), 40)
        save(result)
        result["five_at_once"] = together(lambda _: took(lambda: hear(engine)), 20)
        result |= memory.now("vram_after_mib")
        save(result)
        engine.close()
        model = faster_whisper.WhisperModel(str(models / "whisper"), device="cuda", compute_type="float16")
        single = adapter.WhisperSTT(model, opencc.OpenCC("s2tw").convert)
        result["five_at_once_one_worker"] = together(lambda _: took(lambda: hear(single)), 20)
        result |= memory.now("vram_one_worker_mib")
        save(result)


def vllm(models: Path, save: Save) -> None:
    import avatar.engines.vllm as adapter

    with Sampler() as sampler:
        memory, started, share = Memory(sampler), time.perf_counter(), shares()["vllm"]
        engine = adapter.load(settings_for(models), lambda fraction: None, share)
        result: dict[str, Any] = {
            "share_gib": round(share.bytes / GIB, 2),
            "load_s": round(time.perf_counter() - started, 1),
            **memory.now("vram_loaded_mib"),
        }
        save(result)

        def ask(history: Sequence[Message], seat: int) -> tuple[float, float, str]:
            """Milliseconds to the first token and between tokens; what was said."""
            started, times, said = time.perf_counter(), list[float](), ""
            for delta in engine.reply(history, seat):
                times.append(time.perf_counter())
                said += delta
            return (times[0] - started) * 1000, (times[-1] - times[0]) * 1000 / max(1, len(times) - 1), said

        rng = random.Random(1)

        def question(words: int) -> list[Message]:
            text = " ".join(rng.choice(("river", "moon", "bread", "train", "music", "garden")) for _ in range(words))
            return [Message("system", SYSTEM_PROMPT), Message("user", f"{rng.random()} {text}?")]

        def chat(seat: int, turns: int) -> list[tuple[float, float, str]]:
            history, found = question(20), []
            for _ in range(turns):
                found.append(ask(history, seat))
                history = [*history, Message("assistant", found[-1][2]), *question(15)[1:]]
            return found

        result["reply"] = ask(question(10), 0)[2]
        cold = [ask(question(300), 0) for _ in range(20)]
        result["cold_300_words"] = {"ttft": summary([t for t, _, _ in cold]), "token": summary([t for _, t, _ in cold])}
        alone = [turn for _ in range(4) for turn in chat(0, 8)]
        result["chat_1"] = {"ttft": summary([t for t, _, _ in alone]), "token": summary([t for _, t, _ in alone])}
        save(result)
        with ThreadPoolExecutor(SEATS) as threads:
            five = [turn for chats in threads.map(lambda seat: chat(seat, 12), range(SEATS)) for turn in chats]
        result["chat_5"] = {"ttft": summary([t for t, _, _ in five]), "token": summary([t for _, t, _ in five])}
        result["at_once_5"] = {"ttft": together(lambda seat: ask(question(20), seat)[0], 12)}

        def interrupt() -> None:
            reply = engine.reply(question(20), 0)
            next(reply)
            reply.close()

        result["first_token_and_interrupt"] = timed(interrupt, 20)
        result |= memory.now("vram_after_mib")
        save(result)
        engine.close()


def smollm2(models: Path, save: Save) -> None:
    """Real weights: whether what vLLM says is what was asked for. The likeliest words, so that chance has no part."""
    import avatar.engines.vllm as adapter

    share = replace(shares()["vllm"], bytes=4 * GIB)
    settings = replace(settings_for(models), vllm_model=models / "smollm2")
    adapter.SAMPLING.update(temperature=0.0, repetition_penalty=1.0, top_p=1.0, top_k=0)
    started = time.perf_counter()
    engine = adapter.load(settings, lambda fraction: None, share)
    result: dict[str, Any] = {"load_s": round(time.perf_counter() - started, 1), "said": {}}
    for question in QUESTIONS:
        result["said"][question] = "".join(engine.reply([Message("system", PLAIN), Message("user", question)], 0))
    result["correct"] = "Paris" in result["said"][QUESTIONS[0]]
    save(result)
    engine.close()


# -- all of it ---------------------------------------------------------------------------------------------------------
def pipeline(models: Path, save: Save, sessions: int = 1) -> None:
    """The real app on what is left beside a ballast, its socket, real speech in real time."""
    import asyncio

    result: dict[str, Any] = {}
    clips = load(FOLDER)
    with Sampler() as sampler, Ballast(CARD_GIB) as ballast:
        result["ballast_gib"] = round(ballast.used / GIB, 2)
        sampler.peak = 0
        with tempfile.TemporaryDirectory(prefix="avatar-gpu-") as folder:
            notes = Path(folder) / "notes"
            app = App(
                Path(folder) / "data", environment(models, notes), program=("-m", "avatar.bench.gpu_serve")
            ).start()
            try:
                result["ready_s"] = round(app.wait(READY_S), 1)
                result["engines"] = {stage: engine["name"] for stage, engine in app.engines().items()}
                result["vram_loaded_gib"] = round((used().used - ballast.used) / GIB, 2)
                save(result)
                some = clips if sessions == 1 else clips[::2]
                result["talk"] = asyncio.run(answered(app, some, sessions, random.Random(1)))
                result["voice"] = noted(notes)
                result["vram_peak_gib"] = round((sampler.peak - ballast.used) / GIB, 2)
                result["looks"] = sampler.looks
                save(result)
            finally:
                app.stop()
                result["log"] = app.said().splitlines()[-60:]
                save(result)


def noted(notes: Path) -> dict[str, Any]:
    """What F5-TTS did since the last look: its calls with the first clause's steps, and clauses made a second time."""
    calls = [json.loads(line) for line in notes.read_text().splitlines()] if notes.is_file() else []
    notes.unlink(missing_ok=True)
    first = [call["ms"] for call in calls if call["steps"] == Settings().f5_first_steps and call["seed"] == 0]
    return {"calls": len(calls), "again": sum(call["seed"] > 0 for call in calls), "first_ms": summary(first)}


def environment(models: Path, notes: Path | None = None) -> dict[str, str]:
    """Only the engines that are measured, so that nothing else can answer in their place."""
    kept = {name: value for name, value in os.environ.items() if name not in OURS}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH", "")])]),
        "AVATAR_STT": "whisper",
        "AVATAR_LLM": "vllm",
        "AVATAR_TTS": "f5",
        "AVATAR_WHISPER_MODEL": str(models / "whisper"),
        "AVATAR_VLLM_MODEL": str(models / "qwen"),
        "AVATAR_F5_MODEL": str(models / "f5"),
        "AVATAR_VRAM_GIB": str(CARD_GIB),
        "AVATAR_DOWNLOAD": "never",
        WORDS: "moonshine",
        **({} if notes is None else {NOTES: str(notes)}),
    }


STEPS: dict[str, Callable[[Path, Save], None]] = {
    "f5": f5,
    "whisper": whisper,
    "vllm": vllm,
    "smollm2": smollm2,
    "pipeline": pipeline,
    "pipeline_5": partial(pipeline, sessions=SEATS),
    "beside": beside,
    "cosyvoice": cosyvoice,
}


def machine() -> dict[str, Any]:
    """What the numbers hold for."""
    from importlib.metadata import PackageNotFoundError, version

    import torch

    versions = {}
    for package in ("torch", "vllm", "f5-tts", "faster-whisper", "ctranslate2", "transformers", "vocos", "vllm-omni"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    card = Gpu().memory()
    return {
        **conditions(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "gpu_gib": round(card.card / GIB, 1) if card else 0,
        "versions": versions,
        "numpy": np.__version__,
    }


def main(argv: list[str]) -> int:
    step, models, out = argv
    file = Path(out)

    def save(result: dict[str, Any]) -> None:
        whole = file.with_suffix(".part")
        whole.write_text(json.dumps(result, indent=1, ensure_ascii=False))
        whole.replace(file)

    if step == "machine":
        save(machine())
    else:
        STEPS[step](Path(models), save)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
