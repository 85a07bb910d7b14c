"""A place on the ladder: its rung, the loaded engine with its callers, and how often it has failed. Knows no ladder."""

import math
import threading
from dataclasses import dataclass, field
from typing import Literal

from avatar.engines.base import Abilities, Engine, Stage
from avatar.engines.catalog import Rung
from avatar.errors import EngineLoadError

State = Literal["absent", "cold", "warming", "ready", "failed"]


@dataclass(frozen=True, slots=True)
class RungStatus:
    """What the page shows of a rung. `fraction` is None unless warming and known."""

    stage: Stage
    name: str
    label: str
    state: State
    fraction: float | None
    sentence: str
    serving: bool
    languages: tuple[str, ...]
    clones: bool
    voices: tuple[str, ...]
    licence: str
    memory_mib: int
    demo: bool
    hq: bool = False
    lacks: tuple[str, ...] = ()  # weights that are all that is missing


class Instance:
    """One loaded engine with its callers. Waiting callers are woken with an error when it dies."""

    def __init__(self, engine: Engine, parallel: int) -> None:
        self.engine, self.parallel, self.busy, self.dead = engine, parallel, 0, False
        self.changed = threading.Condition()

    def acquire(self, rung: Rung) -> None:
        with self.changed:
            self.changed.wait_for(lambda: self.dead or self.busy < self.parallel)
            if self.dead:
                raise EngineLoadError(f"{rung.label} has just failed.", stage=rung.stage, engine=rung.name)
            self.busy += 1

    def release(self) -> None:
        with self.changed:
            self.busy -= 1
            self.changed.notify_all()

    def idle(self, timeout_s: float) -> None:
        """Wait until nobody uses it any more, or for so long."""
        with self.changed:
            self.changed.wait_for(lambda: self.busy == 0, timeout_s)

    def kill(self) -> None:
        with self.changed:
            self.dead = True
            self.changed.notify_all()


@dataclass(slots=True)
class Slot:
    rung: Rung
    loading: threading.Lock = field(default_factory=threading.Lock)
    instance: Instance | None = None
    warming: bool = False
    fraction: float | None = None
    failures: int = 0
    hangs: int = 0
    retry_at: float = 0.0  # 0: not failed
    sentence: str = ""
    resting: str = ""  # why it gave way: the memory is needed
    eased: bool = False  # it is to save work and memory
    wanted_at: float = -math.inf  # when HQ was last asked for
    missing: str = ""  # why it is not installed, as of missing_at
    lacks: tuple[str, ...] = ()  # the weights that would change that
    missing_at: float = -math.inf
    look: int = 0  # which look_again it was for

    @property
    def abilities(self) -> Abilities:
        """Those of the loaded engine; before it is loaded, and where it has none to tell, those of its row."""
        of_row = Abilities(self.rung.languages, self.rung.clones, pitch=self.rung.pitch)
        instance = self.instance
        return of_row if instance is None else getattr(instance.engine, "abilities", of_row)

    def knows(self, language: str | None) -> bool:
        languages = self.abilities.languages
        return language is None or "*" in languages or language.partition("-")[0].lower() in languages

    def status(self, now: float, missing: str, serving: bool) -> RungStatus:
        """What the page shows of it. missing: why it is not installed."""
        rung, able, sentence = self.rung, self.abilities, self.sentence
        state: State = "cold"
        if self.instance:
            state, sentence = "ready", ""
        elif self.warming:
            state, sentence = "warming", ""
        elif self.resting:
            state, sentence = "failed", self.resting
        elif self.retry_at:
            wait_s = max(0, self.retry_at - now)
            state = "failed"
            sentence = f"{sentence} Trying again in {wait_s / 60:.0f} min." if wait_s > 60 else sentence
        elif missing:
            state, sentence = "absent", missing
        return RungStatus(
            stage=rung.stage,
            name=rung.name,
            label=rung.label,
            state=state,
            fraction=self.fraction,
            sentence=sentence,
            serving=serving,
            languages=able.languages,
            clones=able.clones,
            voices=able.voices,
            licence=rung.licence,
            memory_mib=rung.memory_mib,
            demo=rung.demo,
            hq=rung.hq,
            lacks=self.lacks if state == "absent" else (),
        )
