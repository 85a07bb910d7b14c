"""The ladder: which engines exist, which can serve, one load each, leases, and the way down when one fails.

Knows engines only by their rows in CATALOG; adapters are imported when they load, so `import avatar` costs no model.
Everything here is called from threads (loading blocks); `status` and `choose` are cheap enough for the event loop.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec

from avatar import weights
from avatar.engines.base import Engine, Progress, Stage
from avatar.engines.catalog import CATALOG, STAGES, Rung, allowed
from avatar.engines.slots import Instance, RungStatus, Slot, State
from avatar.errors import AvatarError, EngineLoadError, NoEngine, NotFound
from avatar.planner import NO_CARD, Plan
from avatar.settings import Settings

log = logging.getLogger(__name__)

RETRY_S = 60.0  # a failed rung is tried again after this long; doubled with every further failure
RETRY_MAX_S = 1800.0
LOAD_END_S = 10.0  # at the end, wait so long for a model that is being loaded
INSTALLED_S = 5.0  # how long "installed" is believed: the answer needs the disk, and is asked for at every frame
WARM_S = 5.0  # how often the warmer looks for rungs that have become usable, or are due again


def _import_and_load(rung: Rung, settings: Settings, progress: Progress) -> Engine:
    shared = () if rung.share is None else (rung.share,)
    engine: Engine = import_module(rung.module).load(settings, progress, *shared)
    return engine


class EnginePool:
    """The ladder of one process. All methods may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        catalog: Sequence[Rung] = CATALOG,
        loader: Callable[[Rung, Settings, Progress], Engine] = _import_and_load,
        clock: Callable[[], float] = time.monotonic,
        plan: Plan = NO_CARD,
    ) -> None:
        self._settings, self._loader, self._clock = settings, loader, clock
        self._slots = {rung.name: Slot(rung) for rung in allowed(catalog, settings, plan)}
        self._state = threading.Lock()  # guards the plain fields of slots; never held while loading
        self._stop = threading.Event()
        self._look = 0
        self._nudge = threading.Event()  # the warmer looks now, not at its next time
        self._warmer: threading.Thread | None = None

    # -- choosing ---------------------------------------------------------------------------------------------------
    def choose(self, stage: Stage, language: str | None = None) -> Rung:
        """The rung to serve `stage` now: the best ready one, else the lowest that could load. Raises NoEngine.

        A rung that does not know `language` (BCP 47; None: any will do) is passed over.
        """
        usable = self._able(stage, language)
        return next((slot.rung for slot in usable if slot.instance), usable[-1].rung)

    def below(self, rung: Rung, language: str | None = None) -> Rung:
        """The rung to step down to after `rung` failed: the best usable one, ready first. Raises NoEngine."""
        usable = self._able(rung.stage, language, but=rung)
        return next((slot.rung for slot in usable if slot.instance), usable[0].rung)

    def understands(self, language: str) -> bool:
        """Whether the STT rung that would serve now knows this language (a BCP 47 primary tag)."""
        return self._slots[self.choose("stt").name].knows(language)

    def _able(self, stage: Stage, language: str | None, but: Rung | None = None) -> list[Slot]:
        """The usable rungs that know `language`, best first, at least one. Raises NoEngine."""
        usable = [slot for slot in self._of(stage) if self._usable(slot) and slot.rung is not but]
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
        return able

    def _of(self, stage: Stage) -> list[Slot]:
        return [slot for slot in self._slots.values() if slot.rung.stage == stage]

    def _usable(self, slot: Slot) -> bool:
        return not self._missing(slot) and (slot.retry_at == 0 or self._clock() >= slot.retry_at)

    def _missing(self, slot: Slot) -> str:
        """Why this rung is not installed, as a sentence; '' when it is."""
        now, look = self._clock(), self._look  # before looking: what changes meanwhile is for the next look
        if slot.look != look or now - slot.missing_at >= INSTALLED_S:
            slot.missing, slot.lacks = self._look_for(slot.rung)
            slot.missing_at, slot.look = now, look
        return slot.missing

    def _look_for(self, rung: Rung) -> tuple[str, tuple[str, ...]]:
        if find_spec(rung.package) is None:
            how = f" Get it with: {rung.install}" if rung.install else ""
            return f"{rung.label} is not installed: the package {rung.package} is missing.{how}", ()
        if rung.setting and not getattr(self._settings, rung.setting):
            setting = f"AVATAR_{rung.setting.upper()}"
            return f"{rung.label} is not set up: {setting} is empty. README.md says what to set.", ()
        if rung.no_room:
            return rung.no_room, ()
        lacks = tuple(name for name in rung.weights if not weights.present(name, self._settings.weights))
        if not lacks:
            return "", ()
        where = "with" if self._settings.download == "never" else "on the Status tab, or with"
        return f"Its weights are not on disk. Get them {where}: python -m avatar.weights fetch {lacks[0]}", lacks

    def _none(self, stage: Stage) -> NoEngine:
        what = {"stt": "hear you", "llm": "think of an answer", "tts": "speak"}[stage]
        slots = self._of(stage)
        why = next((s.sentence or self._missing(s) for s in reversed(slots)), "")
        return NoEngine(f"Nothing here can {what} now. {why}".strip(), stage=stage, engine="")

    # -- loading and leasing ----------------------------------------------------------------------------------------
    def ready(self, rung: Rung) -> bool:
        return self._slots[rung.name].instance is not None

    def busy(self, rung: Rung) -> bool:
        """Whether someone holds a lease of it."""
        instance = self._slots[rung.name].instance
        return instance is not None and instance.busy > 0

    def warm(self, rung: Rung) -> None:
        """Load `rung`; blocks. Concurrent callers share one load; a failed load is tried again by the next caller.

        Raises EngineLoadError, and the rung is then failed until its retry time.
        """
        self._load(self._slots[rung.name])

    def _load(self, slot: Slot) -> Instance:
        with slot.loading:  # held while loading: that is single flight
            if slot.instance is not None:
                return slot.instance
            rung, started = slot.rung, self._clock()
            slot.warming, slot.fraction = True, None
            try:
                engine = self._loader(rung, self._settings, lambda fraction: setattr(slot, "fraction", fraction))
            except Exception as exc:  # noqa: BLE001 - a foreign engine may raise anything
                why = exc.sentence if isinstance(exc, AvatarError) else f"{type(exc).__name__} while loading."
                error = EngineLoadError(f"{rung.label}: {why}", stage=rung.stage, engine=rung.name)
                log.warning("loading %s failed: %s", rung.name, type(exc).__name__, exc_info=exc)
                self._mark_failed(slot, error)
                raise error from exc
            finally:
                slot.warming, slot.fraction = False, None
            with self._state:
                slot.instance, slot.retry_at, slot.sentence = Instance(engine, rung.parallel), 0.0, ""
            log.info("loaded %s in %.2f s", rung.name, self._clock() - started)
            return slot.instance

    @contextmanager
    def lease(self, rung: Rung) -> Iterator[Engine]:
        """Use of the engine by one caller among its `parallel`. Lease per clause, so that five sessions share fairly.

        Blocks while it loads or is busy. Raises EngineLoadError.
        """
        instance = self._load(self._slots[rung.name])
        instance.acquire(rung)
        try:
            yield instance.engine
        finally:
            instance.release()

    # -- failing ----------------------------------------------------------------------------------------------------
    def fail(self, rung: Rung, error: AvatarError, *, hung: bool = False) -> None:
        """Give up the loaded instance of `rung` after `error`.

        The first hang only costs the instance: a fresh one is loaded on the next use (its thread is left behind). A
        second hang, or any other failure, takes the rung out until its retry time.
        """
        slot = self._slots[rung.name]
        with self._state:
            instance, slot.instance = slot.instance, None
            slot.hangs += hung
            first_hang = hung and slot.hangs == 1
        if instance is not None:
            instance.kill()
            # a hung engine may hold its own lock: closing it must not hang the caller
            threading.Thread(target=_close, args=(instance.engine, rung.name), daemon=True).start()
        if not first_hang:
            self._mark_failed(slot, error)

    def served(self, rung: Rung) -> None:
        """`rung` delivered: earlier failures no longer count against it."""
        slot = self._slots[rung.name]
        if slot.failures or slot.hangs:
            with self._state:
                slot.failures = slot.hangs = 0

    def _mark_failed(self, slot: Slot, error: AvatarError) -> None:
        with self._state:
            wait_s = min(RETRY_S * 2**slot.failures, RETRY_MAX_S)
            slot.failures += 1
            slot.retry_at, slot.sentence = self._clock() + wait_s, error.sentence

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
                if slot.instance is None and not self._stop.is_set():
                    try:
                        self._load(slot)
                    except EngineLoadError:
                        continue  # recorded in the slot, shown on the page, retried at its time
            first = False

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
            slot.retry_at = 0.0
        self.look_again()

    def look_again(self) -> None:
        """Look at the disk again for what was missing: weights have arrived."""
        with self._state:
            self._look += 1
        self._nudge.set()

    def status(self) -> list[RungStatus]:
        """Every rung, best first per stage."""
        serving = {stage: self._serving(stage) for stage in STAGES}
        return [self._row(slot, slot.rung.name == serving[slot.rung.stage]) for slot in self._slots.values()]

    def _serving(self, stage: Stage) -> str:
        return next((slot.rung.name for slot in self._of(stage) if slot.instance), "")

    def _row(self, slot: Slot, serving: bool) -> RungStatus:
        rung, able, sentence = slot.rung, slot.abilities, slot.sentence
        state: State = "cold"
        if slot.instance:
            state, sentence = "ready", ""
        elif slot.warming:
            state, sentence = "warming", ""
        elif slot.retry_at:
            wait_s = max(0, slot.retry_at - self._clock())
            state, sentence = (
                "failed",
                f"{sentence} Trying again in {wait_s / 60:.0f} min." if wait_s > 60 else sentence,
            )
        elif missing := self._missing(slot):
            state, sentence = "absent", missing
        return RungStatus(
            stage=rung.stage,
            name=rung.name,
            label=rung.label,
            state=state,
            fraction=slot.fraction,
            sentence=sentence,
            serving=serving,
            languages=able.languages,
            clones=able.clones,
            voices=able.voices,
            licence=rung.licence,
            memory_mib=rung.memory_mib,
            demo=rung.demo,
            lacks=slot.lacks if state == "absent" else (),
        )

    def close(self) -> None:
        """Stop warming and free every engine. Turns still running fail."""
        self._stop.set()
        self._nudge.set()
        if self._warmer is not None:
            self._warmer.join(LOAD_END_S)  # the interpreter must not end under a library that still loads a model
        for slot in self._slots.values():
            instance, slot.instance = slot.instance, None
            if instance is not None:
                instance.kill()
                _close(instance.engine, slot.rung.name)


def _close(engine: Engine, name: str) -> None:
    try:
        engine.close()
    except Exception:  # noqa: BLE001 - a broken engine must not stop the others from closing
        log.warning("closing %s failed", name, exc_info=True)
