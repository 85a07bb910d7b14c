"""Lets the language model read what a user says while they say it, so that the answer begins sooner."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from avatar.engines.base import Message
from avatar.errors import AvatarError
from avatar.pipeline import Pipeline

log = logging.getLogger(__name__)


class ReadAhead:
    """Of one seat. One reading at a time, the newest words next. `before` gives the conversation that precedes the
    words, or None when nothing is to be read now. Lives in the event loop."""

    def __init__(
        self,
        pipeline: Pipeline,
        seat: int,
        before: Callable[[], Sequence[Message] | None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
    ) -> None:
        self._pipeline, self._seat, self._before, self._spawn = pipeline, seat, before, spawn
        self._words: str | None = None  # the newest, while it reads

    @property
    def reading(self) -> bool:
        return self._words is not None

    def read(self, words: str, anyway: bool = False) -> None:
        """`anyway`: although the model answers someone else just now."""
        reading, self._words = self.reading, words
        if not reading:
            self._spawn(self._read(anyway))

    async def _read(self, anyway: bool) -> None:
        read = None
        try:
            while read != self._words and (before := self._before()) is not None:
                read = self._words or ""
                await self._pipeline.prefill(read, before, self._seat, anyway)
        except (AvatarError, TimeoutError):
            log.info("prefill failed")  # if the engine is broken, the turn itself will say so
        finally:
            self._words = None
