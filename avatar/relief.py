"""What gives way when the graphics memory is full, in order: the HQ voice, the quality of the fast one, the fast one.
Then a voice on the CPU speaks, and where there is none a reply is text (pipeline.py). Knows the pool; reads no memory.
"""

from avatar.engines.catalog import Rung
from avatar.engines.pool import EnginePool
from avatar.gpu import GpuMemory
from avatar.planner import GIB, REFUSED
from avatar.pressure import Step


def steps(pool: EnginePool, card: int = 0) -> list[Step]:
    """Of the voices that have a share of that card, in the order in which they are given up."""
    voices = [rung for rung in pool.rungs("tts") if card in _cards(rung)]
    hq = [rung for rung in voices if rung.hq]
    fast = [rung for rung in voices if not rung.hq]
    return [
        *(_rest(pool, rung, card) for rung in hq),
        *(_ease(pool, rung) for rung in fast),
        *(_rest(pool, rung, card) for rung in fast),
    ]


def _cards(rung: Rung) -> list[int]:
    return [share.card for share in (rung.share, *rung.replicas) if share is not None]


def room_for(rung: Rung, memory: GpuMemory | None) -> str:
    """Why `rung` cannot be loaded beside what is on the card now, as a sentence; "" when it can. A hung engine keeps
    its memory, so that a fresh one may find none."""
    if rung.share is None or memory is None or memory.used + rung.share.bytes <= _MOST * memory.total:
        return ""
    needs, free = rung.share.bytes / GIB, memory.free / GIB
    return f"it needs {needs:.1f} GiB of graphics memory, and {free:.1f} are free."


_MOST = (1 + REFUSED) / 2  # of the card: the plan's sums are peaks, and not all of them come at once


def _rest(pool: EnginePool, rung: Rung, card: int) -> Step:
    needs = rung.share.bytes if rung.share is not None else 0
    told = f"{rung.label} rests until there is room again."
    return Step(lambda why: pool.rest(rung.name, why, card), lambda: pool.wake(rung.name, card), told, needs)


def _ease(pool: EnginePool, rung: Rung) -> Step:
    told = f"{rung.label} takes fewer steps until there is room again."
    return Step(lambda why: pool.ease(rung.name, True), lambda: _restore(pool, rung), told)


def _restore(pool: EnginePool, rung: Rung) -> None:
    pool.ease(rung.name, False)
