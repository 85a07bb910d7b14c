"""The engines as one turn uses them: who serves each stage, how long an item may take, and the step down on failure."""

import logging
import traceback
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Any, TypeVar

from avatar.aio import in_thread
from avatar.engines.base import OWN_VOICE, Stage, Voice
from avatar.engines.catalog import Rung
from avatar.engines.ears import Ears
from avatar.engines.pool import EnginePool
from avatar.engines.watch import Watch
from avatar.errors import AvatarError, EngineError, EngineLoadError, EngineTimeout, OutOfMemory
from avatar.events import Event, Notice, Serving
from avatar.gpu import out_of_memory

PITCH_ONLY = ", pitch only"  # after the name of an engine that cannot clone
log = logging.getLogger(__name__)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The longest that one item of a stage may take, in seconds: a transcript, a token, a chunk of audio."""

    stt: float = 20.0
    llm: float = 20.0
    tts: float = 20.0
    load: float = 900.0


class Calls:
    """The calls of one turn. `emit` is told who serves, and of every step down. `hq`: the best voice is wanted."""

    def __init__(self, pool: EnginePool, timeouts: Timeouts, emit: Callable[[Event], None], hq: bool = False) -> None:
        self._pool, self._timeouts, self._emit, self._hq = pool, timeouts, emit, hq
        self._rungs: dict[tuple[Stage, str | None], Rung] = {}  # by stage and, for a voice, language of the clause
        self.serving: dict[Stage, Rung] = {}

    async def run(
        self,
        stage: Stage,
        call: Callable[[Any], Generator[T, None, None]],
        language: str | None = None,
        voice: Voice = OWN_VOICE,
        urgent: bool = False,
    ) -> AsyncGenerator[T, None]:
        """Items of `call` on the rung that serves `stage`; steps down when it fails before its first item. `urgent`:
        somebody waits in silence for it.

        A rung that does not know `language`, or cannot speak as `voice`, is passed over, for this call. Raises
        AvatarError; OutOfMemory when items are out already, and then another call goes to another rung.
        """
        while True:
            key = stage, language  # for the whole turn: a better rung takes over between turns
            rung = self._rungs[key] = self._rungs.get(key) or self._pool.choose(stage, language, self._hq, voice)
            watch = Watch(self._pool, rung, urgent)
            ears = self._ears(rung, watch) if stage == "stt" else None
            if ears is None:
                self._tell(rung, voice)
            delivered, another = False, False
            try:
                if not self._pool.ready(rung):
                    async with aclosing(in_thread(self._loaded(rung), self._timeouts.load)) as loading:
                        await anext(loading, None)
                working = self._leased(watch, call) if ears is None else call(ears)
                async with aclosing(in_thread(working, self._timeout_s(stage), watch.since)) as items:
                    async for item in items:
                        delivered = True
                        yield item
                if ears is not None and ears.served is not None:
                    self._tell(ears.served, voice)
                self._pool.served(watch.rung)
                return
            except EngineLoadError as exc:
                error: EngineError = exc  # the pool has marked it already
            except EngineError as exc:
                if not exc.lost:
                    raise
                error = exc
                another = self._pool.fail(watch.rung, error, engine=watch.engine, instance=watch.instance)
            except AvatarError:
                raise
            except Exception as exc:  # noqa: BLE001 - the one place where a foreign engine's exceptions get a name
                error = self._named(watch.rung, exc)
                hung, engine, instance = isinstance(error, EngineTimeout), watch.engine, watch.instance
                another = self._pool.fail(watch.rung, error, hung=hung, engine=engine, instance=instance)
                another = another or watch.rung != rung  # the quick ear hangs: the slow one hears it alone
            finally:
                watch.withdraw()
            if delivered and stage != "stt":  # half an answer is out: nobody wants it twice, but a transcript is whole
                self._rungs.pop(key)
                raise error
            if not another:  # a copy on another card is as good
                self._rungs[key] = self._step_down(rung, language, voice, error)

    def _step_down(self, rung: Rung, language: str | None, voice: Voice, error: EngineError) -> Rung:
        """Say who takes over. Raises `error` when nobody can: it names the cause better than NoEngine."""
        try:
            below = self._pool.below(rung, language, self._hq, voice)
        except EngineError:
            raise error from None
        self._tell(below, voice)
        self._emit(Notice("STEPPED_DOWN", f"{error.sentence} {below.label} takes over until it is back."))
        return below

    def _timeout_s(self, stage: Stage) -> float:
        return {"stt": self._timeouts.stt, "llm": self._timeouts.llm, "tts": self._timeouts.tts}[stage]

    def _named(self, rung: Rung, exc: Exception) -> EngineError:
        if isinstance(exc, TimeoutError):
            wait_s = self._timeout_s(rung.stage)
            sentence = f"{rung.label} did not answer within {wait_s:.0f} seconds. Please try again."
            return EngineTimeout(sentence, stage=rung.stage, engine=rung.name)
        if out_of_memory(exc):
            log.warning("%s ran out of memory", rung.name)
            return OutOfMemory(f"{rung.label} ran out of memory.", stage=rung.stage, engine=rung.name)
        where = traceback.extract_tb(exc.__traceback__)[-1]  # no message: it may hold a user's words
        log.warning("%s failed: %s at %s:%s", rung.name, type(exc).__name__, where.filename, where.lineno)
        sentence = f"{rung.label} stopped with an error ({type(exc).__name__}). Please try again."
        return EngineError(sentence, stage=rung.stage, engine=rung.name)

    def _tell(self, rung: Rung, voice: Voice) -> None:
        """Emit that `rung` serves its stage, unless it did already."""
        if self.serving.get(rung.stage) is not rung:
            self.serving[rung.stage] = rung
            only = PITCH_ONLY if rung.stage == "tts" and voice.cloned and not self._pool.clones(rung) else ""
            self._emit(Serving(rung.stage, rung.label + only))

    def _ears(self, rung: Rung, watch: Watch) -> Ears | None:
        quick = self._pool.quicker(rung)
        return None if quick is None else Ears(watch.lease, quick, rung)

    def _loaded(self, rung: Rung) -> Generator[None, None, None]:
        self._pool.warm(rung)
        yield

    def _leased(self, watch: Watch, call: Callable[[Any], Generator[T, None, None]]) -> Generator[T, None, None]:
        with watch.lease(watch.rung) as engine, closing(call(engine)) as items:
            for item in items:
                watch.moved()
                yield item
