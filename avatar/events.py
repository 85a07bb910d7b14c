"""What a turn emits, in order: Transcript*, then Token, Clause, AudioChunk, Serving and Notice mixed, then exactly
one TurnDone or Failure.

Knows nothing of engines, sockets or the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]  # (n,) mono PCM in [-1, 1]


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the user said so far: cumulative, so a later one replaces an earlier one."""

    text: str
    final: bool
    language: str | None = None  # BCP 47, when the engine knows it


@dataclass(frozen=True, slots=True)
class Token:
    """A delta of the reply, not cumulative."""

    text: str


@dataclass(frozen=True, slots=True)
class Clause:
    """The audio that follows says this text; clauses joined with spaces are the spoken reply."""

    text: str


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A piece of the reply's sound, in order."""

    samples: Samples
    sample_rate: int  # Hz; the rate travels with the samples

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


@dataclass(frozen=True, slots=True)
class Serving:
    """From now on `engine` (a rung's label) serves `stage` in this turn."""

    stage: str
    engine: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the user should know although the turn goes on, such as a step down the ladder."""

    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class TurnDone:
    """`timings_ms`: stt (final transcript), llm (first clause written) and tts (its first audio), each counted from the
    one before, and ttft (first token, part of llm)."""

    user_text: str
    reply_text: str
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failure:
    """The turn ended without a full reply; `sentence` is for the user."""

    stage: str
    code: str
    sentence: str
    retryable: bool


Event = Transcript | Token | Clause | AudioChunk | Serving | Notice | TurnDone | Failure
