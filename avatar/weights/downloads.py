"""The downloads of one process: one at a time per weight, whoever asked; they outlive the page that started them.

Knows no page and no engine. Threads are daemons: a resolver or a disk that hangs must not hang the shutdown.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from avatar import weights
from avatar.errors import WeightsError
from avatar.weights.cancel import Cancel, Cancelled

log = logging.getLogger(__name__)

CLOSE_S = 2.0  # at the end, for each download to put its file away


class Fetch(Protocol):
    def __call__(self, name: str, folder: Path, progress: weights.Progress, *, cancel: Cancel) -> object: ...


@dataclass(frozen=True, slots=True)
class Download:
    """What the page shows. `done` and `size` in bytes; `error` says why it failed, and is None otherwise."""

    state: Literal["missing", "getting", "stopped", "failed"]
    done: int
    size: int
    error: WeightsError | None = None


@dataclass(slots=True)
class _Flight:
    cancel: Cancel = field(default_factory=Cancel)
    thread: threading.Thread | None = None
    running: bool = True
    fraction: float = 0.0
    error: WeightsError | None = None
    before: "_Flight | None" = None


class Downloads:
    """All methods may be called from any thread, and none blocks for longer than a look at the disk, but `close`."""

    def __init__(
        self,
        folder: Path,
        mode: str = "ask",
        on_done: Callable[[], None] = lambda: None,
        fetch: Fetch = weights.fetch,
    ) -> None:
        self._folder, self._fetch, self._on_done = folder, fetch, on_done
        self.mode = mode
        self._flights: dict[str, _Flight] = {}
        self._lock = threading.Lock()
        self._closed = False

    def start(self, name: str) -> None:
        """Get weights unless they are being got already; goes on where an earlier download ended.

        Raises WeightsError when the name is unknown or AVATAR_DOWNLOAD=never.
        """
        if self.mode == "never":
            raise WeightsError(f"AVATAR_DOWNLOAD=never: {self.by_hand(name)}", code="DOWNLOAD_OFF")
        weights.known(name)
        if flight := self._take_off(name):
            flight.thread = threading.Thread(target=self._fly, args=(name, flight), daemon=True, name=f"get {name}")
            flight.thread.start()

    def start_missing(self, names: Iterable[str]) -> None:
        """AVATAR_DOWNLOAD=auto: get these one after the other. One that fails is said in the log, and not repeated."""
        if self.mode == "auto":
            threading.Thread(target=self._fly_all, args=(tuple(names),), daemon=True, name="get missing").start()

    def stop(self, name: str) -> None:
        """End a download; what has arrived is kept. Does nothing when there is none."""
        if (flight := self._flights.get(name)) is not None:
            flight.cancel()

    def look(self, name: str) -> Download:
        """How it stands with weights that are not (all) on disk."""
        weight, flight = weights.known(name), self._flights.get(name)
        if flight and flight.running and not flight.cancel.asked:
            return Download("getting", round(flight.fraction * weight.size), weight.size)
        done = weights.partial(name, self._folder)
        if flight and flight.error and not isinstance(flight.error, Cancelled):
            return Download("failed", done, weight.size, flight.error)
        return Download("stopped" if done else "missing", done, weight.size)

    def by_hand(self, name: str) -> str:
        """How to bring weights here without a download, as a sentence."""
        return weights.by_hand(weights.known(name), self._folder)

    def close(self) -> None:
        """End every download and wait briefly: a part that is not put away now is found by the next start."""
        with self._lock:
            self._closed = True
            flights = list(self._flights.values())
        for flight in flights:
            flight.cancel()
        for flight in flights:
            if flight.thread is not None:
                flight.thread.join(CLOSE_S)

    def _take_off(self, name: str) -> _Flight | None:
        """A new flight, or None when there is one that nobody has stopped."""
        with self._lock:
            before = self._flights.get(name)
            if self._closed or (before and before.running and not before.cancel.asked):
                return None
            self._flights[name] = flight = _Flight(before=before)
            return flight

    def _fly_all(self, names: tuple[str, ...]) -> None:
        for name in names:
            if flight := self._take_off(name):
                flight.thread = threading.current_thread()
                self._fly(name, flight)

    def _fly(self, name: str, flight: _Flight) -> None:
        if flight.before is not None and flight.before.thread is not None:
            flight.before.thread.join(CLOSE_S)  # was stopped, and puts its file away
        flight.before = None
        try:
            self._fetch(
                name, self._folder, lambda fraction: setattr(flight, "fraction", fraction), cancel=flight.cancel
            )
        except WeightsError as error:
            flight.error = error
            log.warning("getting %s: %s", name, error.sentence)
        else:
            log.info("got %s", name)
            self._on_done()
        finally:
            flight.running = False
