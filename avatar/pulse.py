"""Whether the other end of a socket is still there: a cable that is pulled closes nothing. Knows no socket."""

import asyncio
import time
from collections.abc import Callable

SILENT_S = 1.5  # without a sign of life; a page gives one each 0.5 s, and each 20 ms while its microphone runs
LOOK_S = 0.25
STALLED_S = 0.5  # a look that comes so late says that this process was held up: what was sent meanwhile is not read yet


class Pulse:
    """Counts from the first `beat` on; before it, silence means nothing. For one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._beating = False
        self._at = 0.0

    def beat(self) -> None:
        self._beating = True
        self.sign()

    def sign(self) -> None:
        """The other end has sent something."""
        self._at = self._clock()

    async def stopped(self) -> None:
        """Returns when nothing has come for SILENT_S."""
        while True:
            looked = self._clock()
            await asyncio.sleep(LOOK_S)
            now = self._clock()
            if now - looked > STALLED_S:
                self._at = now
            if self._beating and now - self._at > SILENT_S:
                return
