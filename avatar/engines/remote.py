"""A language model on any OpenAI-compatible server: llama.cpp's, vLLM, Ollama, LM Studio. AVATAR_LLM_URL says where.

The requests run on an event loop in a thread of their own: only so can one be ended while it still waits, for a
connection or a first token, and be given a deadline that comments or half a line from the server do not put off.
"""

import asyncio
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from avatar.engines.answer import Clip, Thoughts
from avatar.engines.base import SYSTEM_PROMPT, Message, Progress
from avatar.engines.prompt import fitted
from avatar.errors import EngineError, EngineTimeout
from avatar.settings import LOOPBACK, Settings

log = logging.getLogger(__name__)
T = TypeVar("T")

# Together the 4,096 tokens that Ollama gives a model unless told otherwise; what does not fit it drops silently.
PROMPT_TOKENS = 3_000
MAX_TOKENS = 1_024  # thoughts count too; an answer that is long enough is ended by closing the stream
CLOSE_S = 5.0  # answers that run when the engine is closed may end: they are written faster than they are spoken
Put = Callable[[str], None]


class Server(Protocol):
    """What we use of remote_client.Client."""

    host: str

    async def models(self) -> list[str]: ...
    async def answer(self, model: str, messages: Sequence[Message], tokens: int, put: Put) -> None: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds. While a user waits less than the 20 after which the pipeline takes an engine for hung."""

    models: float = 5.0
    load: float = 120.0  # Ollama and LM Studio read the model from disk for the first question
    first: float = 12.0  # to the first word that is spoken: connecting, attempts and thoughts included
    next: float = 8.0


def load(settings: Settings, progress: Progress) -> "RemoteLLM":
    """Connect, choose the model, and have it answer once: within 2 s when no server is there. Raises EngineError."""
    from avatar.engines.remote_client import Client

    engine = RemoteLLM(Client(settings.llm_url, settings.llm_key), settings.llm_model)
    try:
        engine.connect(progress)
    except BaseException:
        engine.close()
        raise
    return engine


class RemoteLLM:
    """Thread-safe: every seat may ask at once. A seat asks one thing at a time: its next question ends the last."""

    def __init__(self, server: Server, model: str, patience: Patience | None = None) -> None:
        self._server, self._model, self._patience = server, model, patience or Patience()
        self._thinks_first = False
        self._closed = False
        self._local = (urlsplit(f"//{server.host}").hostname or "") in LOOPBACK
        self._turns: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)  # used on the loop only
        self._asked: dict[int, _Call] = {}
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="remote")
        self._thread.start()

    def connect(self, progress: Progress) -> None:
        """Blocks. Have the server list its models and one of them answer, so that it is in memory, and has read the
        system prompt, when someone talks. Raises EngineError, EngineTimeout."""
        listed = self._wait(self._server.models(), self._patience.models)
        progress(0.1)
        if not (model := self._model or next(iter(listed), "")):
            raise self._error("lists no model. Give it one, or name one in AVATAR_LLM_MODEL.")
        self._model = model
        thoughts = Thoughts()
        call = self._call((Message("system", SYSTEM_PROMPT), Message("user", "Hi.")), 0)
        try:
            call.expect(self._patience.load)
            while (delta := call.next()) is not None:
                thoughts.push(delta)
        finally:
            call.cancel()
        self._thinks_first = thoughts.unopened
        progress(1.0)
        log.info("remote: %s serves %r", self._server.host, model)

    def reply(self, messages: Sequence[Message], seat: int) -> Generator[str, None, None]:
        """Yields text deltas without the model's thoughts, ending after a whole sentence where it can. Closing it
        closes the connection at once. Raises EngineError, EngineTimeout.
        """
        with self._lock:
            before, call = self._asked.get(seat), self._call(fitted(messages, PROMPT_TOKENS), seat)
            self._asked[seat] = call
        if before is not None:
            before.cancel()
        thoughts, clip = Thoughts(self._thinks_first), Clip()
        call.expect(self._patience.first)
        try:
            while not clip.full:
                delta = call.next()
                if spoken := clip.push(thoughts.flush() if delta is None else thoughts.push(delta)):
                    yield spoken
                    call.expect(self._patience.next)
                if delta is None:
                    return
        finally:
            self._thinks_first |= thoughts.unopened
            call.cancel()

    def prefill(self, messages: Sequence[Message], seat: int) -> None:
        """Have a server on this machine read the words while they are spoken: with llama.cpp's and SmolLM2 on one core,
        five exchanges, the first token then came after 30 ms instead of 207 (median of 15, 2026-11-23). Elsewhere
        nothing is sent: that gain was not measured, and a paid server bills the whole prompt each time.
        """
        if not self._local:
            return
        call = self._call(fitted(messages, PROMPT_TOKENS), seat, tokens=1)
        call.expect(self._patience.first)
        try:
            while call.next() is not None:
                pass
        finally:
            call.cancel()

    def close(self) -> None:
        """Refuse new questions, let the answers that run end, 5 s at most, and free the connections."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(2 * CLOSE_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=CLOSE_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self._server.close()

    def _call(self, messages: Sequence[Message], seat: int, tokens: int = MAX_TOKENS) -> "_Call":
        async def ask(put: Put) -> None:
            # in turn: while llama.cpp's server still reads for a seat, it would begin again in another slot
            async with self._turns[seat]:
                await self._server.answer(self._model, messages, tokens, put)

        if self._closed:
            raise self._error("was disconnected.")
        return _Call(self._server.host, self._loop, ask)

    def _wait(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        except TimeoutError as exc:
            future.cancel()
            raise _late(self._server.host, timeout_s) from exc

    def _error(self, complaint: str) -> EngineError:
        return EngineError(f"{self._server.host} {complaint}", stage="llm", engine="remote", lost=True)


class _Call:
    """One answer on the loop, read item by item from a thread."""

    def __init__(
        self, host: str, loop: asyncio.AbstractEventLoop, ask: Callable[[Put], Coroutine[Any, Any, None]]
    ) -> None:
        self._host, self._patience_s, self._deadline = host, 0.0, 0.0
        self._items: SimpleQueue[str | EngineError | None] = SimpleQueue()
        self._future: Future[None] = asyncio.run_coroutine_threadsafe(self._run(ask), loop)

    def expect(self, patience_s: float) -> None:
        """From now on, `next` waits no longer than this altogether."""
        self._patience_s, self._deadline = patience_s, time.monotonic() + patience_s

    def next(self) -> str | None:
        """The next delta, or None at the end."""
        try:
            item = self._items.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except Empty as exc:
            raise _late(self._host, self._patience_s) from exc
        if isinstance(item, EngineError):
            raise item
        return item

    def cancel(self) -> None:
        """End it, and whoever reads it. Nothing happens when it is over."""
        if self._future.cancel():
            self._items.put(_withdrawn())  # it may not have begun

    async def _run(self, ask: Callable[[Put], Coroutine[Any, Any, None]]) -> None:
        end: EngineError | None = _withdrawn()
        try:
            await ask(self._items.put)
            end = None
        except EngineError as exc:
            end = exc
        finally:
            self._items.put(end)


def _late(host: str, patience_s: float) -> EngineTimeout:
    sentence = f"{host} has written nothing to say for {patience_s:g} s."
    return EngineTimeout(sentence, stage="llm", engine="remote", lost=True)


def _withdrawn() -> EngineError:
    return EngineError("The question was withdrawn.", stage="llm", engine="remote")
