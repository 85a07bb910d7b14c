"""Ending a fetch from another thread."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from avatar.errors import WeightsError


class Cancelled(WeightsError):
    """Somebody asked for the end. What had arrived from a hub is kept, and the next fetch goes on there."""

    code = "DOWNLOAD_STOPPED"


class Cancel:
    """One fetch's end, for whoever holds it. Once asked for, it stays asked for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._asked = False

    @property
    def asked(self) -> bool:
        return self._asked

    def __call__(self) -> None:
        """End the fetch; returns at once. Any thread."""
        with self._lock:
            self._asked = True
            if self._stop is not None:
                self._stop()

    @contextmanager
    def by(self, stop: Callable[[], object]) -> Iterator[None]:
        """Inside, `stop` is what ends the work: it must not block, is called under a lock, and may come at any time."""
        with self._lock:
            self._stop = stop
            if self._asked:
                stop()
        try:
            yield
        finally:
            with self._lock:
                self._stop = None
