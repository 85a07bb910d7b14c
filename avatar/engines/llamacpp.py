"""A GGUF model through llama.cpp, in this process: SmolLM2-135M, or the file that AVATAR_GGUF names.

xllamacpp pushes its answer into a callback; here a daemon thread runs that call and a bounded queue turns it into a
generator. Knows nothing of conversations: it gets messages, and a seat that says which prompt cache to use.
"""

import atexit
import logging
import os
import re
import secrets
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any, Protocol

from avatar import weights
from avatar.engines.answer import Clip, without_circles
from avatar.engines.base import SYSTEM_PROMPT, Message, Progress
from avatar.engines.prompt import fitted
from avatar.errors import EngineError, EngineTimeout
from avatar.settings import Settings

log = logging.getLogger(__name__)

SLOT_TOKENS = 1_792  # context of one slot; llama.cpp rounds it to multiples of 256
MAX_SLOTS = 8  # 23 KB of cache per token: 40 MB per slot for SmolLM2
REUSE_TOKENS = 32  # after old turns went, pieces of the cache at least this long are shifted instead of computed
MAX_TOKENS = 80  # about 22 s of speech at 165 words per minute
PROMPT_TOKENS = SLOT_TOKENS - MAX_TOKENS - 64  # the rest is the template's own
# Of SmolLM2's prompt, by the estimate of `tokens`: the examples, and two or three exchanges. Of four or five it took up
# the old subjects, and its own phrases, instead of the question. What is remembered slows every later token, too:
# without this, its part grew from 120 to 380 ms in nine turns (2026-11-23).
DEMO_TOKENS = 530
CLOSE_S = 2.0  # a token takes 10 ms
COPY_S = 3.0  # for copying what one seat has read, which takes 2 ms
# No token for this long: the server hangs. Who asks gives the engine up before (Timeouts.llm, replica.ITEM_S), and a
# fresh one is loaded: a hang that is told here looks like the fault of one question, and the next would hang as well.
STALL_S = 30.0
QUEUE_ITEMS = 16  # the reader is at most so many tokens behind before the model waits for it
NEWLINES = re.compile(r"\s*\n\s*")

# 135 M parameters do not follow an instruction, but an example: without these, several of 14 test prompts went into
# lists, loops, or French for hearing "Paris". No names in them: they would be taken for the user's.
EXAMPLES = tuple(
    Message("assistant" if number % 2 else "user", line)
    for number, line in enumerate(
        (
            "Hi, who are you?",
            "Hello! I am AVATAR, your voice assistant. How can I help you?",
            "What is the weather today?",
            "I cannot look up the weather, but I hope the sun is out where you are.",
            "Should I have tea or coffee?",
            "Coffee if you need to wake up, and tea if you want to relax.",
            "Tell me about the moon.",
            "The moon goes around the earth once a month, and it is what makes the tides.",
            "I am tired.",
            "Then take a little rest. Would you like to tell me about your day?",
        )
    )
)
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy must not see loopback requests
SAMPLING = {"temperature": 0.2, "top_p": 0.9}
# Against loops. For each breaker llama.cpp goes through the vocabulary at every request: 7 ms for one, 35 ms for its
# default four, which is three tokens (49,152 tokens, one core; 2026-11-26). The plain penalty is mild: at 1.1 answers
# stray from the question. See "What the demo model says" in docs/benchmarks.md.
NO_LOOPS = {"dry_multiplier": 0.8, "dry_sequence_breakers": ["\n"], "repeat_penalty": 1.05, "repeat_last_n": 64}
Callback = Callable[[Any], bool]


class Server(Protocol):
    """What we use of xllamacpp.Server: blocks until the answer is complete or the callback returns True."""

    def handle_chat_completions(self, prompt: dict[str, Any], callback: Callback) -> Any: ...


def load(settings: Settings, progress: Progress) -> "LlamaCppLLM":
    """Load the model and let it read the system prompt: 1-2 s for SmolLM2. Raises WeightsError."""
    if settings.gguf is not None:
        return serve(settings.gguf, settings, progress, threads(settings))
    # One thread for SmolLM2: two gave 110 token/s instead of 104 at best, and 2 to 10 token/s when
    # something else ran, because llama.cpp's threads spin for each other (measured; five seats: 750 -> 317 ms TTFT).
    model = weights.fastest("smollm2-135m", settings.weights)
    return serve(model, settings, progress, settings.threads or 1, EXAMPLES, DEMO_TOKENS)


def threads(settings: Settings) -> int:
    """Of a model that is larger than the bundled one: all cores but the one that ears and voice need. On two cores of
    which other programs took one, Qwen2.5-1.5B wrote 17 tokens a second with one thread, and 1 to 19 with two."""
    return settings.threads or max(1, min(4, (os.cpu_count() or 1) - 1))


def serve(
    model: Path,
    settings: Settings,
    progress: Progress,
    threads: int,
    examples: Sequence[Message] = (),
    budget: int = PROMPT_TOKENS,
) -> "LlamaCppLLM":
    """Load the GGUF file `model`. Raises what the library raises."""
    import xllamacpp

    slots = min(settings.seats, MAX_SLOTS)
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx, params.n_parallel = slots * SLOT_TOKENS, slots
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.verbosity = -1  # llama.cpp's own stderr; Python's stays
    params.n_cache_reuse = REUSE_TOKENS
    params.cache_ram_mib = 0  # by default it keeps up to 8 GiB of old prompts; each seat has its slot
    # The server also listens on a random loopback port, which cannot be switched off: a key nobody knows closes it.
    key = secrets.token_urlsafe(32)
    params.api_keys = [key]
    params.ui = params.endpoint_metrics = False
    progress(0.1)
    with tempfile.TemporaryDirectory() as folder:
        params.endpoint_slots, params.slot_save_path = True, f"{folder}/"
        server = xllamacpp.Server(params)
        engine = LlamaCppLLM(server, slots, examples, budget)
        engine.prefill((Message("system", SYSTEM_PROMPT), Message("user", "Hi.")), 0)
        try:
            _copy_first_slot(server.listening_address, key, slots)
        except (OSError, HTTPException) as exc:  # a model whose state cannot be saved: each seat reads for itself
            log.info("slots not copied: %s", type(exc).__name__)
    progress(1.0)
    atexit.register(engine.close)  # a thread still inside the library when Python ends aborts the process
    return engine


def _copy_first_slot(address: str, key: str, slots: int) -> None:
    """Give every slot what the first has read, in 2 ms each: five people who come at once waited 8 s for what one core
    reads in 1.6 s (230 tokens). Only the server's HTTP side can do it."""
    for slot in range(slots):
        request = urllib.request.Request(
            f"{address}/slots/{slot}?action={'restore' if slot else 'save'}",
            data=b'{"filename": "read"}',
            headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
        )
        with _direct.open(request, timeout=COPY_S):
            pass


class LlamaCppLLM:
    """Thread-safe: every seat may talk at once; seats beyond the slots share them."""

    def __init__(
        self,
        server: Server,
        slots: int,
        examples: Sequence[Message] = (),
        budget: int = PROMPT_TOKENS,
        stall_s: float = STALL_S,
    ) -> None:
        self._server: Server | None = server
        self._slots, self._examples, self._budget, self._stall_s = slots, tuple(examples), budget, stall_s
        self._calls: set[_Pushed] = set()
        self._lock = threading.Lock()  # of these two: what `close` does not see would outlive it

    def reply(self, messages: Sequence[Message], seat: int) -> Generator[str, None, None]:
        """Yields text deltas on one line, ending after a whole sentence where it can. Closing it stops the model
        within a token and waits for nothing. Raises EngineError, EngineTimeout.
        """
        pushed = self._push(messages, seat, {"max_tokens": MAX_TOKENS, **NO_LOOPS})
        try:
            lines = self._clipped(pushed)
            yield from without_circles(lines) if self._examples else lines
        finally:
            pushed.cancel()

    def _clipped(self, pushed: "_Pushed") -> Generator[str, None, None]:
        clip = Clip()
        while not clip.full and (delta := pushed.next(self._stall_s)) is not None:
            if spoken := clip.push(NEWLINES.sub(" ", delta)):
                yield spoken

    def prefill(self, messages: Sequence[Message], seat: int) -> None:
        """On one core a token of the prompt costs as much as a token of the answer, 7-10 ms: those of the user's words
        are computed while they are spoken."""
        pushed = self._push(messages, seat, {"max_tokens": 1})
        try:
            while pushed.next(self._stall_s) is not None:
                pass
        finally:
            pushed.cancel()

    def _push(self, messages: Sequence[Message], seat: int, options: Mapping[str, Any]) -> "_Pushed":
        request = {
            "messages": [
                {"role": m.role, "content": m.content}
                for m in fitted(messages, self._budget, self._examples, PROMPT_TOKENS)
            ],
            "stream": True,
            "id_slot": seat % self._slots,
            "cache_prompt": True,
            **SAMPLING,
            **options,
        }
        with self._lock:
            if self._server is None:
                raise _closed()
            pushed = _Pushed(self._server, request)
            self._calls = {call for call in self._calls if call.running} | {pushed}
        return pushed

    def close(self) -> None:
        """Stop the answers that run, waiting 2 s at most, and free the model. Who reads one is told."""
        with self._lock:
            self._server, calls = None, list(self._calls)
        for call in calls:
            call.cancel()
        deadline = time.monotonic() + CLOSE_S
        for call in calls:
            call.join(max(0.0, deadline - time.monotonic()))


class _Pushed:
    """One call of the server on its own thread, read item by item."""

    def __init__(self, server: Server, request: dict[str, Any]) -> None:
        self._items: Queue[str | None | Exception] = Queue(QUEUE_ITEMS)
        self._cancelled = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(server, request), daemon=True, name="llamacpp")
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def next(self, timeout_s: float) -> str | None:
        """The next delta, or None at the end."""
        try:
            item = self._items.get(timeout=timeout_s)
        except Empty as exc:
            sentence = f"The language model said nothing for {timeout_s:g} s."
            raise EngineTimeout(sentence, stage="llm", engine="llamacpp") from exc
        if isinstance(item, EngineError):
            raise item
        if isinstance(item, Exception):
            raise EngineError(f"The language model failed: {item}", stage="llm", engine="llamacpp") from item
        return item

    def cancel(self) -> None:
        """Make the next token the last, and free a thread that waits in a full queue, or at an empty one."""
        self._cancelled.set()
        with suppress(Empty):
            while True:
                self._items.get_nowait()
        with suppress(Full):  # of what came since; then there is something to read
            self._items.put_nowait(_closed())

    def _run(self, server: Server, request: dict[str, Any]) -> None:
        try:
            server.handle_chat_completions(request, self._push)
        except Exception as exc:  # noqa: BLE001 - a foreign engine; carried to the reader
            self._put(exc)
        else:
            self._put(None)

    def _push(self, chunk: Any) -> bool:
        """Returns True to stop the model: False does not, and an exception in here would be swallowed."""
        if "error" in chunk:
            self._put(RuntimeError(str(chunk["error"].get("message", chunk["error"]))[:200]))
            return True
        for choice in chunk.get("choices", ()):
            if delta := choice["delta"].get("content"):
                self._put(delta)
        return self._cancelled.is_set()

    def _put(self, item: str | None | Exception) -> None:
        if not self._cancelled.is_set():
            self._items.put(item)


def _closed() -> EngineError:
    return EngineError("The language model was closed.", stage="llm", engine="llamacpp", lost=True)
