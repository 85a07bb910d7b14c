"""What the steps of the bench on a card share: times of callers alone and together, memory, the plan of 24 GiB."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from avatar.bench.gpu_card import Sampler, used
from avatar.bench.report import summary
from avatar.gpu import GpuMemory
from avatar.planner import GIB, MIB, Share, plan
from avatar.settings import Settings

CARD_GIB = 24
SEATS = 5
Save = Callable[[dict[str, Any]], None]


def timed(work: Callable[[], Any], times: int, warm: int = 3) -> dict[str, float]:
    """Milliseconds."""
    for _ in range(warm):
        work()
    found = []
    for _ in range(times):
        started = time.perf_counter()
        work()
        found.append((time.perf_counter() - started) * 1000)
    return summary(found)


def together(work: Callable[[int], float], rounds: int, callers: int = SEATS) -> dict[str, float]:
    """`work(number)` by all callers in the same instant; each returns its own milliseconds."""
    found: list[float] = []
    with ThreadPoolExecutor(callers) as threads:
        for _ in range(rounds):
            gate = threading.Barrier(callers)

            def one(number: int, gate: threading.Barrier = gate) -> float:
                gate.wait()
                return work(number)

            found += threads.map(one, range(callers))
    return summary(found)


def took(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def shares(wanted: tuple[str, ...] = ("whisper", "vllm", "f5")) -> dict[str, Share]:
    """Of an empty card of 24 GiB, as fractions of this one."""
    card = used().card
    empty = GpuMemory(used=0, free=CARD_GIB * GIB, total=CARD_GIB * GIB, card=card)
    return dict(plan([empty], wanted, SEATS).shares)


def settings_for(models: Path) -> Settings:
    return replace(
        Settings.from_env(),
        whisper_model=models / "whisper",
        vllm_model=models / "qwen",
        f5_model=models / "f5",
        max_sessions=SEATS,
    )


class Memory:
    """MiB of the card: before, after loading, at the peak until now."""

    def __init__(self, sampler: Sampler) -> None:
        self._sampler, self._before = sampler, used().used

    def now(self, name: str) -> dict[str, int]:
        return {name: (used().used - self._before) // MIB, "vram_peak_mib": (self._sampler.peak - self._before) // MIB}
