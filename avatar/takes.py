"""Reply now, upgrade later: while nobody talks, recent replies are spoken again by the HQ voice, to replay and export.

Bounded: the newest replies wait, the oldest give way. A turn that begins ends a take at its next piece of sound; it is
begun anew later. For one event loop. Knows no page.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from avatar.audio import resample, write_opus
from avatar.chat import Chat, Exchange
from avatar.engines.base import OWN_VOICE, Voice
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError, StorageError
from avatar.events import Samples
from avatar.pipeline import Pipeline
from avatar.provenance import tags
from avatar.store import Store
from avatar.wire import REPLY_RATE

log = logging.getLogger(__name__)

WAITING = 8  # replies; at RTF 0.5 and 5 s each, 20 s of work
QUIET_S = 3.0  # since anybody used an engine: people pause between turns
LOOK_S = 0.5
END_S = 5.0  # a take that is being made ends at its next piece of sound


@dataclass(frozen=True, slots=True)
class Take:
    """A reply whose HQ take is wanted."""

    owner: str
    turn_id: str
    chat: Chat
    exchange: Exchange
    language: str | None
    voice: Voice = OWN_VOICE


class Takes:
    def __init__(
        self,
        pool: EnginePool,
        pipeline: Pipeline,
        store: Store,
        clock: Callable[[], float] = time.monotonic,
        quiet_s: float = QUIET_S,
        made: Callable[[Chat], None] = lambda chat: None,
    ) -> None:
        """`made` is told when a chat has one more take to show."""
        self._made = made
        self._pool, self._pipeline, self._store, self._clock, self._quiet_s = pool, pipeline, store, clock, quiet_s
        self._waiting = deque[Take](maxlen=WAITING)
        self._offered = asyncio.Event()
        self._worker: asyncio.Task[None] | None = None
        self._busy_at = clock()

    def offer(self, take: Take, spoken_by: str) -> None:
        """`spoken_by`: the label of the engine that spoke the reply. Does nothing where there is no HQ voice, or it was
        the one."""
        labels = [status.label for status in self._pool.status() if status.hq and status.state != "absent"]
        if not labels or spoken_by in labels:
            return
        voice = take.chat.voice  # as it is now: the conversation may change it later
        self._waiting.append(replace(take, voice=voice))
        self._offered.set()
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())

    def waiting(self) -> int:
        return len(self._waiting)

    def end(self) -> None:
        """Like `close`, from another thread, before the loop ends."""
        if self._worker is not None and not self._worker.done():
            asyncio.run_coroutine_threadsafe(self.close(), self._worker.get_loop()).result(END_S)

    async def close(self) -> None:
        """What waits is given up, and the take that is being made."""
        self._waiting.clear()
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def _work(self) -> None:
        while True:
            await self._offered.wait()
            self._offered.clear()
            while self._waiting:
                await self._quiet()
                take = self._waiting.pop()  # the newest: it is the one that is replayed
                try:
                    if not await self._make(take):
                        self._waiting.append(take)
                except StorageError as error:
                    log.warning("an HQ take was not kept: %s", error.code)
                except AvatarError as error:  # the engine, or what it cannot say: the reply has its sound already
                    log.info("no HQ take: %s", error.code)

    def _disturbed(self) -> bool:
        """Whether somebody speaks, or is answered."""
        heard = any(status.busy for status in self._pool.status() if status.stage != "tts")
        if busy := heard or self._pipeline.running > 0:
            self._busy_at = self._clock()
        return busy

    async def _quiet(self) -> None:
        """Until nobody has had a turn for a while, and the HQ voice is loaded."""
        self._pool.want_hq("tts")
        while (
            self._disturbed()
            or self._clock() - self._busy_at < self._quiet_s
            or not any(status.hq and status.state == "ready" for status in self._pool.status())
        ):
            await asyncio.sleep(LOOK_S)  # noqa: ASYNC110 - quiet is the lack of an event
            self._pool.want_hq("tts")

    async def _make(self, take: Take) -> bool:
        """False when a turn came in between."""
        pieces: list[Samples] = []
        sayings = await asyncio.to_thread(self._store.sayings.of, take.owner)
        said = self._pipeline.hq_take(take.exchange.answer, take.voice, take.language, sayings)
        async with aclosing(said) as chunks:
            async for chunk in chunks:
                if self._disturbed():
                    return False
                pieces.append(resample(chunk.samples, chunk.sample_rate, REPLY_RATE))
        if pieces:
            engine = next(status.label for status in self._pool.status() if status.hq)
            if await asyncio.to_thread(self._keep, take, np.concatenate(pieces), engine):
                take.exchange.hq_take = True
                self._made(take.chat)
        return True

    def _keep(self, take: Take, samples: Samples, engine: str) -> bool:
        marks = tags(engine, datetime.now(UTC), take.voice.profile_id)
        name = self._store.save_audio(lambda path: write_opus(path, samples, REPLY_RATE, marks))
        return self._store.keep_take(take.turn_id, name)
