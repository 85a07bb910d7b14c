"""Where one call stands, and since when: the watchdog's clock starts when an engine is given the work, not in line."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from avatar.engines.base import Engine
from avatar.engines.catalog import Rung
from avatar.engines.loading import Engines
from avatar.engines.slots import Instance


class Watch:
    """Of one call, which may lease one engine after another. Its thread writes it, the event loop reads it.

    `rung`: whose turn it is; `instance`: the loaded one that it is in line for; `engine`: the one that it was given.
    """

    def __init__(self, engines: Engines, rung: Rung, urgent: bool = False) -> None:
        self._engines, self.rung, self._urgent = engines, rung, urgent
        self.instance: Instance | None = None
        self.engine: Engine | None = None
        self._given_at = 0.0
        self._wanted = True

    @contextmanager
    def lease(self, rung: Rung) -> Iterator[Engine]:
        """See Engines.lease."""
        self.engine, self.rung, self.instance = None, rung, self._engines.instance(rung)
        with self._engines.lease(rung, self._urgent, lambda: self._wanted) as engine:
            self._given_at = time.monotonic()  # before `engine`, which says that it counts
            self.engine = engine
            yield engine

    def withdraw(self) -> None:
        """Nobody wants it any more: a thread that is still in line leaves it, and costs no engine any work."""
        self._wanted = False
        if self.instance is not None and self.engine is None:
            self.instance.wake()

    def moved(self) -> None:
        """The engine has given an item: who waits in line waits for one that works."""
        if self.instance is not None:
            self.instance.moved()

    def since(self) -> float:
        """By time.monotonic(): when the engine was given the work; in line, when anybody last got something of it. So
        who waits behind a hung call that nobody watches any more is not left waiting."""
        if self.engine is not None:
            return self._given_at
        return 0.0 if self.instance is None else self.instance.moved_at
