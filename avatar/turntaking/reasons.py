"""Why a turn was answered, waited for, stopped or not: one line of the log that the user may open.

Pure. Rules and numbers only, never words.
"""

from dataclasses import dataclass
from typing import Literal

What = Literal["answer", "patience", "wait", "nothing", "interrupt", "continue", "kept"]


@dataclass(frozen=True, slots=True)
class Reason:
    """`why` is the rule: of `endpointing.decide`, of `bargein.judge`, or how the user ended the turn.

    `ms` is the silence after which it was answered or will be; of a voice over a reply, how much of it was voiced.
    `probability` is Smart Turn's that the user has finished, or the likeness to the reply, `needed` what the rule asks
    for: above 1 nothing is enough, 0 says that no probability was asked.
    """

    at: float  # the clock's, in seconds
    what: What
    why: str
    ms: int = 0
    probability: float = 0.0
    needed: float = 0.0
