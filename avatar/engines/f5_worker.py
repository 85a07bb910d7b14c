"""The one thread on which F5-TTS does everything that touches the device. Knows nothing of sound."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any, TypeVar

from avatar.errors import EngineError

T = TypeVar("T")
Job = Callable[[], None]


class Worker:
    """A daemon thread that does jobs in turn: what is urgent first, and also in the middle of another job where that
    one asks for it with `before`."""

    def __init__(self) -> None:
        self._urgent, self._others = deque[Job](), deque[Job]()
        self._changed = threading.Condition()
        self._closed = False
        threading.Thread(target=self._run, daemon=True, name="f5").start()

    def __call__(self, job: Callable[[], T], urgent: bool = False) -> T:
        """Blocks until it is done. Raises what `job` raises, and EngineError once it is closed."""
        done: Future[T] = Future()
        with self._changed:
            if self._closed:
                raise EngineError("F5-TTS was closed.", stage="tts", engine="f5")
            (self._urgent if urgent else self._others).append(partial(_do, job, done))
            self._changed.notify()
        return done.result()

    def before(self) -> Job | None:
        """Of a job that runs here: the urgent one to be done before it goes on, if one waits. It raises nothing, and
        waits on where it is not called after all: there may be no memory to keep what the other job was at."""
        with self._changed:
            return self._first if self._urgent else None

    def _first(self) -> None:
        with self._changed:
            job = self._urgent.popleft()
        job()

    def close(self) -> None:
        """End behind the jobs that wait; returns at once."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _run(self) -> None:
        while (job := self._next()) is not None:
            job()
            del job  # and with it what it holds, while nothing is asked

    def _next(self) -> Job | None:
        with self._changed:
            self._changed.wait_for(lambda: self._urgent or self._others or self._closed)
            waiting = self._urgent or self._others
            return waiting.popleft() if waiting else None


def _do(job: Callable[[], Any], done: Future[Any]) -> None:
    try:
        done.set_result(job())
    except BaseException as exc:  # noqa: BLE001 - carried to the caller
        done.set_exception(exc)
