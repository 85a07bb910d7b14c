"""Engines in their slots: one load each, leases, failures, and giving their memory back. Knows no order among them."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from avatar.engines.base import Engine, Progress, Stage
from avatar.engines.catalog import Rung
from avatar.engines.hindrance import failed
from avatar.engines.slots import Copy, Instance, Slot
from avatar.errors import AvatarError, EngineLoadError
from avatar.gpu import out_of_memory
from avatar.settings import Settings

log = logging.getLogger(__name__)

RETRY_S = 60.0  # a failed rung is tried again after this long; doubled with every further failure
RETRY_MAX_S = 1800.0
COPY_RETRY_S = 300.0  # until a copy that failed beside others is loaded again
LOOK_S = 0.2  # between two looks whether a load that is waited for was given up
DRAIN_S = 30.0  # how long an engine that gives way may go on with what it is doing

Loader = Callable[[Rung, Settings, Progress], Engine]


class Engines:
    """The engines of one process. All methods may be called from any thread. `room` says why there is no memory to load
    a rung now; "" when there is."""

    def __init__(
        self,
        rungs: Sequence[Rung],
        settings: Settings,
        loader: Loader,
        clock: Callable[[], float] = time.monotonic,
        room: Callable[[Rung], str] = lambda rung: "",
    ) -> None:
        self._settings, self._loader, self._clock, self._room = settings, loader, clock, room
        self._slots = {rung.name: Slot(rung) for rung in rungs}
        self._state = threading.Lock()  # guards the plain fields of slots; never held while loading
        self._nudge = threading.Event()  # the warmer looks now, not at its next time

    # -- loading and leasing ----------------------------------------------------------------------------------------
    def ready(self, rung: Rung) -> bool:
        return self._slots[rung.name].instance is not None

    def instance(self, rung: Rung) -> Instance | None:
        """What is loaded of it now: to name what failed."""
        return self._slots[rung.name].instance

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
        rung, failures = slot.rung, slot.failures
        with _held(slot) as mine:  # while loading: that is single flight
            if slot.instance is not None:
                return slot.instance
            if slot.resting:  # no failure: it may be used as soon as it wakes
                raise _not_loaded(rung, f"{rung.label}: {slot.resting}")
            if slot.failures > failures and slot.fault is not None:  # the load that we waited for
                raise _not_loaded(rung, slot.fault.sentence)
            started = self._clock()
            engine = self._made(slot, mine)
            ease_engine(engine, slot.eased)
            with self._state:
                late = slot.loading is not mine or slot.resting  # given up meanwhile, or to give way
                if not late:
                    copy = Copy(engine, None if rung.share is None else rung.share.card)
                    slot.instance, slot.retry_at, slot.fault = Instance(copy, rung.parallel, rung.beside), 0.0, None
            if late or slot.instance is None:
                close_engine(engine, rung.name)
                raise _not_loaded(rung, f"{rung.label} came too late.")
            log.info("loaded %s in %.2f s", rung.name, self._clock() - started)
            return slot.instance

    def _made(self, slot: Slot, mine: threading.Lock) -> Engine:
        """The engine, by who holds the slot's lock. Raises EngineLoadError; of a load that was given up meanwhile the
        slot knows nothing any more."""
        rung = slot.rung

        def show(warming: bool, fraction: float | None) -> None:
            if slot.loading is mine:
                slot.warming, slot.fraction = warming, fraction

        show(True, None)
        try:
            if why := self._room(rung):
                raise AvatarError(why)
            return self._loader(rung, self._settings, lambda fraction: show(True, fraction))
        except Exception as exc:  # noqa: BLE001 - a foreign engine may raise anything
            why = exc.sentence if isinstance(exc, AvatarError) else f"{type(exc).__name__} while loading."
            why = "its memory ran out while it was loaded." if out_of_memory(exc) else why
            error = _not_loaded(rung, f"{rung.label}: {why}")
            error.__cause__ = exc  # not only from `raise`: what it is marked with tells the cause
            log.warning("loading %s failed: %s", rung.name, type(exc).__name__, exc_info=exc)
            if slot.loading is mine:
                self._mark_failed(slot, error)
            raise error from exc
        finally:
            show(False, None)

    def _grow(self, slot: Slot) -> None:
        """Blocks. Load the copies that the plan wants beside the first. One that fails is tried again later."""
        for share in slot.lacking(self._clock()):
            rung, instance = replace(slot.rung, share=share, replicas=()), slot.instance
            slot.without[share.card] = self._clock() + COPY_RETRY_S  # also where this load hangs
            try:
                if why := self._room(rung):
                    raise AvatarError(why)
                engine = self._loader(rung, self._settings, lambda fraction: None)
            except Exception as exc:  # noqa: BLE001 - a foreign engine may raise anything
                log.warning("a copy of %s on card %d failed: %s", rung.name, share.card, type(exc).__name__)
                continue
            ease_engine(engine, slot.eased)
            with self._state:
                wanted = instance is not None and slot.instance is instance and slot.without[share.card] < math.inf
                if wanted and instance is not None:
                    slot.without.pop(share.card)
                    instance.add(Copy(engine, share.card))
            if wanted:
                log.info("loaded a copy of %s on card %d", rung.name, share.card)
            else:
                close_engine(engine, rung.name)

    @contextmanager
    def lease(self, rung: Rung, urgent: bool = False, wanted: Callable[[], bool] = lambda: True) -> Iterator[Engine]:
        """Use of the engine by one caller among its `parallel`, of the copy that has the fewest. Lease per clause, so
        that five sessions share fairly; who is `urgent` goes before those who wait and are not.

        Blocks while it loads or is busy, and is `wanted`. Raises EngineLoadError.
        """
        instance = self._load(self._slots[rung.name])
        copy = instance.acquire(rung, urgent, wanted)
        try:
            yield copy.engine
        finally:
            instance.release(copy)

    # -- failing ----------------------------------------------------------------------------------------------------
    def fail(
        self,
        rung: Rung,
        error: AvatarError,
        *,
        hung: bool = False,
        engine: Engine | None = None,
        instance: Instance | None = None,
    ) -> bool:
        """Give up the loaded instance of `rung` after `error`; where it has several copies, only `engine`, the one that
        failed. Returns whether what is loaded now can serve.

        The first hang only costs the instance: a fresh one is loaded on the next use (its thread is left behind). A
        second hang, or any other failure, takes the rung out until its retry time. All who were in the same `instance`
        meet the same failure: it counts once, and costs nothing that was loaded since.
        """
        slot = self._slots[rung.name]
        if engine is not None and self._drop(slot, engine):
            return True
        with self._state:
            loaded = slot.instance
            if instance is not None and loaded is not instance:
                return loaded is not None
            if engine is not None and loaded is not None and all(copy.engine is not engine for copy in loaded.copies):
                return True  # its copy was given up already
            slot.instance = None
            if hung and loaded is None:  # it hangs in its load, and holds this lock for good
                slot.loading, slot.warming = threading.Lock(), False
            slot.hangs += hung
            first_hang = hung and slot.hangs == 1
        if loaded is not None:
            loaded.kill()
            for copy in loaded.copies:
                _close_apart(copy.engine, rung.name)
        if not first_hang:
            self._mark_failed(slot, error)
        return False

    def _drop(self, slot: Slot, engine: Engine) -> bool:
        """Whether `engine` was one copy among several, and is so no more."""
        with self._state:
            copy = None if slot.instance is None else slot.instance.drop(lambda copy: copy.engine is engine)
            if copy is None or copy.card is None:
                return False
            slot.without[copy.card] = self._clock() + COPY_RETRY_S
        log.warning("the copy of %s on card %d is given up", slot.rung.name, copy.card)
        _close_apart(engine, slot.rung.name)
        return True

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
            slot.retry_at, slot.fault = self._clock() + wait_s, failed(slot.rung, error)

    def rungs(self, stage: Stage) -> list[Rung]:
        """All that the settings allow, best first."""
        return [slot.rung for slot in self._slots.values() if slot.rung.stage == stage]

    # -- giving way -------------------------------------------------------------------------------------------------
    def rest(self, name: str, sentence: str, card: int | None = None) -> bool:
        """Leave a rung out until `wake`, because its memory is needed: `sentence` says so. What it is saying now it may
        finish. With `card`, only the copy there, where others can serve. Returns whether that frees memory."""
        slot = self._slots[name]
        if card is not None and (instance := slot.instance) is not None:
            with self._state:
                if (copy := instance.drop(lambda copy: copy.card == card)) is not None:
                    slot.without[card] = math.inf
            if copy is not None:
                self._close_idle(slot, instance, copy)
                return True
        slot.resting = sentence
        return self._free(slot)

    def wake(self, name: str, card: int | None = None) -> None:
        slot = self._slots[name]
        slot.resting = ""
        if card is not None:
            slot.without.pop(card, None)
        self._nudge.set()

    def ease(self, name: str, on: bool) -> bool:
        """Have a rung save work and memory, or no more. Returns whether a loaded engine can do so."""
        slot = self._slots[name]
        slot.eased = on
        return slot.instance is not None and any([ease_engine(copy.engine, on) for copy in slot.instance.copies])

    def _free(self, slot: Slot) -> bool:
        with self._state:
            instance, slot.instance = slot.instance, None
        if instance is None:
            return False
        instance.kill()  # who waits for it is told, and steps down
        for copy in instance.copies:
            self._close_idle(slot, instance, copy)
        return True

    def _close_idle(self, slot: Slot, instance: Instance, copy: Copy) -> None:
        def close() -> None:
            instance.idle(copy, DRAIN_S)
            close_engine(copy.engine, slot.rung.name)

        threading.Thread(target=close, daemon=True, name="free").start()


def _not_loaded(rung: Rung, sentence: str) -> EngineLoadError:
    return EngineLoadError(sentence, stage=rung.stage, engine=rung.name)


@contextmanager
def _held(slot: Slot) -> Iterator[threading.Lock]:
    """The slot's lock. Who waits behind a load that hangs goes on to the lock that takes its place."""
    while not (lock := slot.loading).acquire(timeout=LOOK_S):
        continue
    try:
        yield lock
    finally:
        lock.release()


def _close_apart(engine: Engine, name: str) -> None:
    """A hung engine may hold its own lock: closing it must not hang the caller."""
    threading.Thread(target=close_engine, args=(engine, name), daemon=True).start()


def close_engine(engine: Engine, name: str) -> None:
    try:
        engine.close()
    except Exception:  # noqa: BLE001 - a broken engine must not stop the others from closing
        log.warning("closing %s failed", name, exc_info=True)


def ease_engine(engine: Engine, on: bool) -> bool:
    """Whether the engine can save work: see base.Eases."""
    ease: Callable[[bool], None] | None = getattr(engine, "ease", None)
    if ease is None:
        return False
    ease(on)
    return True
