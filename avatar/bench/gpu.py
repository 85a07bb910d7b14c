"""The campaign on a graphics card: each engine, then all of them as a person uses them, with 24 GiB of the card.

Every step is a process with a limit of its own, and what it found is written at once: a step that stops, or a machine
that goes away, costs nothing of the others. Where weights cannot be had, models of full size are made with random ones
(gpu_models.py); the report says which.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from avatar.bench.report import Bar

LIMITS_S = {
    "f5": 180,
    "whisper": 120,
    "vllm": 300,
    "smollm2": 200,
    "beside": 300,
    "pipeline": 560,
    "pipeline_5": 560,
    "cosyvoice": 480,
}
NEEDS = {
    "f5": ("f5",),
    "whisper": ("whisper",),
    "vllm": ("smollm2", "qwen"),
    "smollm2": ("smollm2",),
    "beside": ("f5", "smollm2", "qwen"),
    "pipeline": ("f5", "whisper", "smollm2", "qwen"),
    "pipeline_5": ("f5", "whisper", "smollm2", "qwen"),
    "cosyvoice": ("smollm2", "cosyvoice"),
}
MAKE_S = 240


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench gpu", description=__doc__)
    parser.add_argument("--only", default=",".join(LIMITS_S), help="steps, with commas")
    parser.add_argument("--models", type=Path, default=Path(tempfile.gettempdir()) / "avatar-models")
    parser.add_argument("--json", type=Path, help="write the result there, after every step")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    options = parser.parse_args(argv)
    steps = options.only.split(",")
    if unknown := [step for step in steps if step not in LIMITS_S]:
        parser.error(f"there is no step {unknown[0]}; the steps are {', '.join(LIMITS_S)}")
    result: dict[str, Any] = {}
    if options.json and options.json.is_file():  # another call goes on with what is there
        result = json.loads(options.json.read_text("utf-8"))

    def write() -> None:
        if options.json:
            options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")

    result.setdefault("steps", {})
    result["machine"] = run("machine", options.models, 60)
    result["random_weights"] = [
        "Qwen2.5-7B-Instruct-AWQ",
        "F5-TTS v1 Base",
        "Vocos",
        "Whisper large-v3-turbo",
        "Fun-CosyVoice3-0.5B",
    ]
    for step in steps:
        print(f"{step} ...", flush=True)
        result["steps"][step] = measured(step, options.models)
        write()
        print(json.dumps(brief(result["steps"][step]), ensure_ascii=False), flush=True)
    judged = bars(result["steps"])
    result["bars"] = [{"name": b.name, "value": b.value, "limit": b.limit, "met": b.met} for b in judged]
    write()
    print("\n" + "\n".join(map(str, judged)))
    return int(options.strict and any(bar.met is False for bar in judged))


def measured(step: str, models: Path) -> dict[str, Any]:
    """Its result, with what stopped it under "error"; makes the models that it needs."""
    for name in NEEDS[step]:
        command = [sys.executable, "-m", "avatar.bench.gpu_models", str(models), name]
        started = time.monotonic()
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=MAKE_S)
        except subprocess.TimeoutExpired:
            return {"error": f"the model {name} was not made within {MAKE_S} s"}
        if done.returncode:
            return {"error": f"the model {name} could not be made: {done.stderr[-1500:]}"}
        print(f"  model {name} after {time.monotonic() - started:.0f} s", flush=True)
    return run(step, models, LIMITS_S[step])


def run(step: str, models: Path, limit_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="avatar-bench-") as folder:
        out = Path(folder) / "step.json"
        command = [sys.executable, "-m", "avatar.bench.gpu_steps", step, str(models), str(out)]
        why = ""
        try:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=limit_s)
            if done.returncode:
                why = f"ended with code {done.returncode}: {done.stdout[-3000:]}"
        except subprocess.TimeoutExpired as exc:
            said = exc.stdout if isinstance(exc.stdout, str) else (exc.stdout or b"").decode(errors="replace")
            why = f"not done within {limit_s:.0f} s: {said[-3000:]}"
        found: dict[str, Any] = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    return {**found, "error": why} if why else found


def brief(found: Any) -> Any:
    """Without what is too long to read on a terminal."""
    if isinstance(found, dict):
        return {key: brief(value) for key, value in found.items() if key not in ("detail", "log")}
    return found


def bars(steps: dict[str, Any]) -> list[Bar]:
    """The bars of the card of 24 GiB; what was not measured is None."""

    def at(*path: str) -> float | None:
        value: Any = steps
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return None if value is None else float(value)

    one, five = ("pipeline", "talk"), ("pipeline_5", "talk")
    return [
        Bar("F5 first clause, P50", at("f5", "first_clause_3s_reference", "p50"), 50),
        Bar("first token, five chats, P95", at("vllm", "chat_5", "ttft", "p95"), 70),
        Bar("voice to voice, one speaker, P50", at(*one, "voice_to_voice_ms", "p50"), 450),
        Bar("voice to voice of sure turns, one, P95", at(*one, "sure_ms", "p95"), 700),
        Bar("voice to voice, five speakers, P95", at(*five, "voice_to_voice_ms", "p95"), 1200),
        Bar("errors", _errors(at(*one, "errors"), at(*five, "errors")), 0, ""),
        Bar("of 24 GiB, the most that was used, five", at("pipeline_5", "vram_peak_gib"), 21.6, "GiB"),
        Bar("CosyVoice 3 first chunk, P50", at("cosyvoice", "first_chunk", "p50"), 600),
    ]


def _errors(*counts: float | None) -> float | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
