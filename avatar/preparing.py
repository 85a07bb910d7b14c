"""What an engine must make of a voice before it can speak in it, made in the background: the first word is then soon.

One voice at a time, the one that was asked for last first. What cannot be made now is made when it is to speak.
"""

import logging
import threading
from collections.abc import Callable

from avatar.engines.base import Voice
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError

log = logging.getLogger(__name__)
MAX_WAITING = 8  # more are forgotten, the oldest first


class Preparing:
    """Thread-safe. Its thread is there while there is something to make."""

    def __init__(self, pool: EnginePool, permit: Callable[[Voice], None]) -> None:
        """`permit` raises ConsentError for a voice in which nothing may be said."""
        self._pool, self._permit = pool, permit
        self._lock = threading.Lock()
        self._waiting: dict[str, Voice] = {}  # by profile, the one asked for last is the last
        self._thread: threading.Thread | None = None

    def ask(self, voice: Voice) -> None:
        """Returns at once."""
        if voice.profile_id is None:
            return
        with self._lock:
            self._waiting.pop(voice.profile_id, None)
            self._waiting[voice.profile_id] = voice
            while len(self._waiting) > MAX_WAITING:
                del self._waiting[next(iter(self._waiting))]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True, name="prepare voices")
                self._thread.start()

    def join(self, timeout_s: float) -> None:
        """Wait until all that was asked for is made, or for so long."""
        if (thread := self._thread) is not None:
            thread.join(timeout_s)

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._thread = None
                    return
                _, voice = self._waiting.popitem()
            try:
                self._permit(voice)
                self._pool.prepare(voice)
            except AvatarError as error:  # who speaks in it meets it again, and is told
                log.info("a voice was not prepared: %s", error.code)
            except Exception as exc:  # noqa: BLE001 - a foreign engine may raise anything
                log.warning("a voice was not prepared: %s", type(exc).__name__)
