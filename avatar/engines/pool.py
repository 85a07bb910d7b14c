"""The ladder: which engines exist, which can serve, one load each, leases, and the way down when one fails.

Knows engines only by their rows in CATALOG; adapters are imported when they load, so `import avatar` costs no model.
Everything here is called from threads (loading blocks); `status` and `choose` are cheap enough for the event loop.
"""

import threading
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from avatar.engines.base import OWN_VOICE, TTS, Engine, Prepares, Progress, Stage, Sure, Voice
from avatar.engines.catalog import CATALOG, STAGES, Rung, allowed
from avatar.engines.hindrance import Hindrance, absence
from avatar.engines.loading import Engines, Loader, close_engine
from avatar.engines.slots import RungStatus, Slot
from avatar.errors import EngineLoadError, EngineTimeout, NoEngine, NotFound
from avatar.planner import NO_CARD, Plan
from avatar.settings import Settings

LOAD_END_S = 10.0  # at the end, wait so long for a model that is being loaded
INSTALLED_S = 5.0  # how long "installed" is believed: the answer needs the disk, and is asked for at every frame
LOAD_S = 900.0  # a load that takes longer hangs: it is left behind, and the others get their turn
HQ_IDLE_S = 600.0  # an HQ engine that may not stay is freed when nobody has asked for it for so long
IDLE_S = 5.0  # a voice that is prepared waits so long for the replies of others
WARM_S = 5.0  # how often the warmer looks for rungs that have become usable, or are due again


def import_and_load(rung: Rung, settings: Settings, progress: Progress) -> Engine:
    module, _, name = rung.module.partition(":")
    shared = () if rung.share is None else (rung.share,)
    engine: Engine = getattr(import_module(module), name or "load")(settings, progress, *shared)
    return engine


class EnginePool(Engines):
    """The ladder of one process. All methods may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        catalog: Sequence[Rung] = CATALOG,
        loader: Loader = import_and_load,
        clock: Callable[[], float] = time.monotonic,
        plan: Plan = NO_CARD,
        room: Callable[[Rung], str] = lambda rung: "",
    ) -> None:
        super().__init__(allowed(catalog, settings, plan), settings, loader, clock, room)
        self._stop = threading.Event()
        self._look = 0
        self._warmer: threading.Thread | None = None
        self._load_s = LOAD_S

    # -- choosing ---------------------------------------------------------------------------------------------------
    def choose(self, stage: Stage, language: str | None = None, hq: bool = False, voice: Voice = OWN_VOICE) -> Rung:
        """The rung to serve `stage` now: the best ready one, else the lowest that could load. Raises NoEngine.

        A rung that does not know `language` (BCP 47; None: any will do), or cannot speak as `voice`, is passed over,
        and without `hq` every HQ one.
        """
        if hq:
            self.want_hq(stage)
        usable = self._able(stage, language, hq, voice)
        return next((slot.rung for slot in usable if slot.instance), usable[-1].rung)

    def below(self, rung: Rung, language: str | None = None, hq: bool = False, voice: Voice = OWN_VOICE) -> Rung:
        """The rung to step down to after `rung` failed: the best usable one, ready first. Raises NoEngine."""
        usable = self._able(rung.stage, language, hq, voice, but=rung)
        return next((slot.rung for slot in usable if slot.instance), usable[0].rung)

    def quicker(self, rung: Rung) -> Rung | None:
        """The rung that hears before a slow one, and instead of it where it is sure; None where there is none ready."""
        if not rung.slower:
            return None
        ears = [slot for slot in self._of(rung.stage) if slot.rung != rung and self._usable(slot)]
        return next((slot.rung for slot in ears if slot.instance and isinstance(slot.instance.engine, Sure)), None)

    def understands(self, language: str) -> bool:
        """Whether the STT rung that would serve now knows this language (a BCP 47 primary tag)."""
        return self._slots[self.choose("stt").name].knows(language)

    def clones(self, rung: Rung) -> bool:
        """Whether it clones, with the weights that it found."""
        return self._slots[rung.name].abilities.clones

    def prepare(self, voice: Voice) -> None:
        """Blocks. Whoever would speak as `voice` now, if it is loaded, makes ready what that takes, if possible while
        nobody speaks. Raises AvatarError, and what an engine raises."""
        rung = self.choose("tts", voice=voice)
        if (instance := self._slots[rung.name].instance) is None or not isinstance(instance.engine, Prepares):
            return
        instance.idle(instance.copies[0], IDLE_S)
        with self.lease(rung) as engine:
            cast(Prepares, engine).prepare(voice)

    def forget(self, profile_id: str) -> None:
        """A profile was deleted: no loaded voice keeps anything of it."""
        for slot in self._of("tts"):
            for copy in [] if slot.instance is None else slot.instance.copies:
                cast(TTS, copy.engine).forget(profile_id)

    def _able(self, stage: Stage, language: str | None, hq: bool, voice: Voice, but: Rung | None = None) -> list[Slot]:
        """The usable rungs that know `language` and can speak as `voice`, best first, at least one. Raises NoEngine."""
        usable = [slot for slot in self._of(stage) if self._usable(slot) and slot.rung != but]
        usable = [slot for slot in usable if hq or not slot.rung.hq]
        able = [slot for slot in usable if slot.knows(language)]
        if usable and not able:
            sentence = f"{usable[0].rung.label} does not know this language ({language}), and nothing else is in use."
            raise NoEngine(
                f"{sentence} With AVATAR_{stage.upper()}=auto another can take over.",
                stage=stage,
                engine="",
                code="NOT_ITS_LANGUAGE",
            )
        if not able:
            raise self._none(stage)
        matching = [slot for slot in able if slot.abilities.can_speak_as(voice)]
        if not matching and not voice.cloned:
            elsewhere = any(slot.abilities.can_speak_as(voice) for slot in usable)
            why = f"does not speak this language ({language})" if elsewhere else "is not here now"
            sentence = f"The voice {voice.name} {why}, and no other takes its place unasked. Choose the default voice."
            raise NoEngine(sentence, stage=stage, engine="", code="NO_VOICE")
        if not matching:
            sentence = f"{able[0].rung.label} cannot speak in the voice {voice.name}, and nothing else here can."
            raise NoEngine(f"{sentence} Choose another voice.", stage=stage, engine="", code="NO_CLONING")
        return matching

    def want_hq(self, stage: Stage) -> None:
        """HQ was asked for: its engines are loaded in the background, and a while after the last such call freed."""
        for slot in self._of(stage):
            if slot.rung.hq:
                waiting = slot.instance is None and self._clock() - slot.wanted_at >= WARM_S
                slot.wanted_at = self._clock()
                if waiting:
                    self._nudge.set()

    def _of(self, stage: Stage) -> list[Slot]:
        return [slot for slot in self._slots.values() if slot.rung.stage == stage]

    def _usable(self, slot: Slot) -> bool:
        return not slot.resting and not self._missing(slot) and (slot.retry_at == 0 or self._clock() >= slot.retry_at)

    def _missing(self, slot: Slot) -> Hindrance | None:
        """Why this rung is not installed; None when it is."""
        now, look = self._clock(), self._look  # before looking: what changes meanwhile is for the next look
        if slot.look != look or now - slot.missing_at >= INSTALLED_S:
            slot.missing = absence(slot.rung, self._settings)
            slot.missing_at, slot.look = now, look
        return slot.missing

    def _none(self, stage: Stage) -> NoEngine:
        what = {"stt": "hear you", "llm": "think of an answer", "tts": "speak"}[stage]
        slots = self._of(stage)
        why = next((s.fault or self._missing(s) for s in reversed(slots)), None)
        return NoEngine(f"Nothing here can {what} now. {why.sentence if why else ''}".strip(), stage=stage, engine="")

    # -- background -------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Warm in the background, the lowest usable rung of each stage first, then better ones; retry the failed."""
        self._warmer = threading.Thread(target=self._keep_warm, daemon=True, name="warm")
        self._warmer.start()

    def _keep_warm(self) -> None:
        first = True
        while first or not self._waited():
            ladders = [[s for s in self._of(stage) if self._usable(s)] for stage in STAGES]
            lowest = [ladder[-1] for ladder in ladders if ladder]
            better = [slot for ladder in ladders for slot in reversed(ladder[:-1])]
            for slot in lowest + better:
                wanted = not slot.rung.hq or self._clock() - slot.wanted_at <= HQ_IDLE_S
                if slot.instance is None and wanted and not self._stop.is_set():
                    self._load_watched(slot)
            for slot in self._slots.values():
                if not self._stop.is_set() and slot.lacking(self._clock()):
                    self._in_time(slot, self._grow)
            self._free_unwanted()
            first = False

    def _free_unwanted(self) -> None:
        for slot in self._slots.values():
            stays = not slot.rung.hq or slot.rung.share is None or slot.rung.share.resident
            if not stays and slot.instance is not None and self._clock() - slot.wanted_at > HQ_IDLE_S:
                self._free(slot)

    def _load_watched(self, slot: Slot) -> None:
        if not self._in_time(slot, self._load):
            sentence = f"{slot.rung.label} was not loaded within {self._load_s:.0f} seconds."
            self.fail(slot.rung, EngineTimeout(sentence, stage=slot.rung.stage, engine=slot.rung.name), hung=True)

    def _in_time(self, slot: Slot, load: Callable[[Slot], object]) -> bool:
        """A load that hangs must not keep the others from theirs, so it has a thread of its own."""
        done = threading.Event()

        def run() -> None:
            try:
                load(slot)
            except EngineLoadError:
                pass  # recorded in the slot, shown on the page, retried at its time
            finally:
                done.set()

        threading.Thread(target=run, daemon=True, name=f"load {slot.rung.name}").start()
        return done.wait(self._load_s)

    def _waited(self) -> bool:
        """Wait for the next look, or for `retry` and `look_again`. Returns whether this is the end."""
        self._nudge.wait(WARM_S)
        self._nudge.clear()
        return self._stop.is_set()

    def retry(self, name: str) -> None:
        """Try a failed rung now instead of at its time. Raises NotFound for a name that no rung has."""
        if (slot := self._slots.get(name)) is None:
            raise NotFound("There is no such engine.")
        with self._state:
            slot.retry_at, slot.resting = 0.0, ""
        self.look_again()

    def look_again(self) -> None:
        """Look at the disk again for what was missing: weights have arrived."""
        with self._state:
            self._look += 1
        self._nudge.set()

    def status(self) -> list[RungStatus]:
        """Every rung, best first per stage."""
        serving = {stage: self._serving(stage) for stage in STAGES}
        now = self._clock()
        return [
            slot.status(now, None if slot.instance else self._missing(slot), slot.rung.name == serving[slot.rung.stage])
            for slot in self._slots.values()
        ]

    def _serving(self, stage: Stage) -> str:
        return next((slot.rung.name for slot in self._of(stage) if slot.instance and not slot.rung.hq), "")

    def close(self) -> None:
        """Stop warming and free every engine. Turns still running fail."""
        self._stop.set()
        self._nudge.set()
        if self._warmer is not None:
            self._warmer.join(LOAD_END_S)  # the interpreter must not end under a library that still loads a model
        for slot in self._slots.values():
            slot.resting = "AVATAR is being closed."  # what still loads comes too late, and nothing is loaded any more
            instance, slot.instance = slot.instance, None
            if instance is not None:
                instance.kill()
                for copy in instance.copies:
                    close_engine(copy.engine, slot.rung.name)
