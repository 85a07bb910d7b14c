"""Looks at what is being said, one at a time: partial transcripts, decisions, judgements. Knows nothing of sound."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Looks:
    """The newest look wins: starting one cancels the one that runs. To be used in the event loop only."""

    def __init__(self, on_error: Callable[[BaseException], None]) -> None:
        """`on_error` hears of what a look raised; a look that was cancelled is silent."""
        self._on_error = on_error
        self._running: asyncio.Task[None] | None = None
        self._newest: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        return self._running is not None

    def start(self, look: Coroutine[Any, Any, None]) -> None:
        self.cancel()
        self._running = self._newest = task = asyncio.create_task(look)
        task.add_done_callback(self._done)

    def cancel(self) -> None:
        look, self._running, self._newest = self._running, None, None
        if look is not None and look is not asyncio.current_task():  # a look may end the utterance it looks at
            look.cancel()

    async def finished(self) -> bool:
        """Wait for the newest look; it goes on when this is cancelled. Returns whether there was one, raises what it
        raised."""
        if self._newest is not None:
            await asyncio.shield(self._newest)
        return self._newest is not None

    def _done(self, task: asyncio.Task[None]) -> None:
        if task is self._running:
            self._running = None
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)
