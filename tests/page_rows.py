"""What the page shows in its tests: lines of a conversation, turns, rungs, rows of the history, a sound."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from avatar.engines.hindrance import Hindrance
from avatar.events import Notice
from avatar.store import TurnRow

ID = "0f" * 16


@dataclass(frozen=True)
class Line:
    role: str
    text: str
    turn_id: str | None = None
    number: int = 0
    interrupted_s: float | None = None
    timings_ms: Mapping[str, float] | None = None
    over: bool = True
    hq: bool = False
    rating: int | None = None


@dataclass(frozen=True)
class Step:
    conversation_id: str
    lines: list[Line]
    audio: Any = None
    notice: Notice | None = None
    latency: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Rung:
    stage: str
    name: str
    label: str
    state: str = "ready"
    fraction: float | None = None
    sentence: str = ""
    hindrance: Hindrance | None = None
    again_s: float = 0.0
    serving: bool = False
    languages: tuple[str, ...] = ("en",)
    clones: bool = False
    voices: tuple[str, ...] = ()
    licence: str = "MIT"
    memory_mib: int = 150
    demo: bool = False
    slower: bool = False
    hq: bool = False
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    id: str
    title: str
    created_at: str = "2026-11-20T14:02:00+00:00"
    turns: int = 3
    forked_at: int | None = None
    voices: tuple[str, ...] = ("default",)


MOONSHINE = Rung("stt", "moonshine", "Moonshine tiny", serving=True)


WHISPER = Rung(
    "stt", "whisper", "faster-whisper base", "absent", hindrance=Hindrance("WEIGHTS", "", {
        "name": "faster-whisper base", "weights": "whisper-base", "mb": "145", "first": "whisper-base"}),
    languages=("*",),
)  # fmt: skip


SMOLLM = Rung("llm", "llamacpp", "SmolLM2 135M", serving=True, demo=True, licence="Apache-2.0", memory_mib=400)
BROKEN = Hindrance("FAILED", "Out of memory.", {"name": "faster-whisper base", "code": "ENGINE_FAILED"})
ESPEAK = Rung("tts", "espeak", "eSpeak NG", serving=True, languages=("*",), licence="GPL-3.0", memory_mib=30)
TIMES = {"eot": 212.0, "stt": 96.0, "llm": 58.0, "tts": 96.0}


TEA = [
    Line("user", "How long should I steep oolong tea?", ID, 1),
    Line("assistant", "About three minutes, in water just under boiling.", ID, 1, None, TIMES),
    Line("user", "And a rolled one, like Dong Ding?", ID, 2),
    Line("assistant", "Rolled leaves open slowly, so rinse them first, then", ID, 2, 2.1, TIMES),
]


TURNS = [
    TurnRow(id=f"{n}f" * 16, conversation="a1", number=n, user_text="x", reply_text="y", state=state, created_at="",
            engines={"stt": "moonshine", "tts": "<b>espeak"}, timings_ms=TIMES)
    for n, state in ((1, "done"), (2, "interrupted"))
]  # fmt: skip


def tone(seconds: float, hertz: float = 440, rate: int = 24000) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("<i2")
