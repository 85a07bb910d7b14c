"""The HTTP side of `remote`, on top of the openai package. Imported only when that engine loads.

What goes out is the request and nothing else: no proxy, netrc or OPENAI_* variable of the environment is used, no
redirect followed, the key is in one header. What comes in is bounded, and never quoted: it may hold the key, or words.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import openai

from avatar.engines.base import Message
from avatar.errors import EngineError, EngineTimeout

CONNECT_S: Final = 2.0
WRITE_S: Final = 5.0
MAX_BYTES: Final = 4 << 20  # of one response: 1,000 tokens are 0.3 MB
RETRIES_S: Final = (0.2, 0.5)  # waits before the next attempt: whoever asked is waiting for the first word
DRAIN_S: Final = 0.1  # for what follows the last token, so that the connection can be used again
HEADERS: Final = {"host", "accept", "accept-encoding", "connection", "content-length", "content-type", "user-agent"}
PASSING: Final = (408, 409, 429, 500, 502, 503, 504)  # another attempt may succeed
OWN_FAULT: Final = (400, 413, 422)  # this one question was refused: others can be answered


class Client:
    """One server. Made anywhere, used on one event loop."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self.host, self._key = parts.netloc, key
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(None, connect=CONNECT_S, write=WRITE_S),  # who reads the answer knows how long
            trust_env=False,
            follow_redirects=False,
            event_hooks={"request": [self._plain], "response": [_bound]},
        )
        self._openai = openai.AsyncOpenAI(
            # Ollama, LM Studio, vLLM and llama.cpp all serve it there
            base_url=url if parts.path.strip("/") else f"{parts.scheme}://{parts.netloc}/v1",
            api_key="set by _plain",
            http_client=self._http,
            max_retries=0,  # its own would repeat timeouts too, and wait as long as the server asks
        )

    async def models(self) -> list[str]:
        """The names that the server lists; none when it has no such list. Raises EngineError."""
        try:
            return [str(model.id) for model in (await self._openai.models.list()).data]
        except Exception as exc:  # noqa: BLE001 - a foreign server
            if getattr(exc, "status_code", 0) in (404, 405, 501):
                return []
            raise self._named(exc) from None

    async def answer(self, model: str, messages: Sequence[Message], tokens: int, put: Callable[[str], None]) -> None:
        """Give the answer to `put` as it comes. Cancelling it closes the connection. Raises EngineError."""
        delivered = False

        def deliver(delta: str) -> None:
            nonlocal delivered
            delivered = True
            put(delta)

        for wait_s in (*RETRIES_S, None):
            try:
                await self._attempt(model, messages, tokens, deliver)
                return
            except Exception as exc:  # noqa: BLE001 - a foreign server
                if delivered or wait_s is None or not _passing(exc):
                    cut = delivered and isinstance(exc, openai.APIConnectionError)
                    raise self._named(BrokenOff() if cut else exc) from None
            await asyncio.sleep(wait_s)

    async def close(self) -> None:
        await self._openai.close()

    async def _attempt(self, model: str, messages: Sequence[Message], tokens: int, put: Callable[[str], None]) -> None:
        stream = await self._openai.chat.completions.create(
            model=model,
            messages=[{"role": message.role, "content": message.content} for message in messages],
            max_tokens=tokens,
            stream=True,
        )
        finished = False
        try:
            async with stream, asyncio.timeout(None) as patience:
                async for chunk in stream:
                    for choice in chunk.choices or ():
                        if delta := choice.delta.content:
                            put(delta.encode(errors="replace").decode())  # half a surrogate pair cannot be stored
                        if choice.finish_reason:
                            finished = True
                            patience.reschedule(asyncio.get_running_loop().time() + DRAIN_S)
        except Exception:  # noqa: BLE001 - the answer is complete, whatever became of the connection
            if not finished:
                raise
        if not finished:
            raise BrokenOff

    async def _plain(self, request: httpx2.Request) -> None:
        """Leave only what the request needs: the openai client adds what OPENAI_* say, and facts of this machine."""
        for name in set(request.headers) - HEADERS:
            del request.headers[name]
        if self._key:
            request.headers["authorization"] = f"Bearer {self._key}"

    def _named(self, exc: Exception) -> EngineError:
        sentence = f"{self.host} {_complaint(exc)}"
        status = getattr(exc, "status_code", 0)
        kind = EngineTimeout if isinstance(exc, openai.APITimeoutError) else EngineError
        return kind(sentence, stage="llm", engine="remote", lost=status not in OWN_FAULT)


class BrokenOff(Exception):
    """The stream ended before the answer did."""


class TooMuch(Exception):
    """The response is longer than any answer."""


class _Bounded(httpx2.AsyncByteStream):  # type: ignore[misc] # mypy does not follow httpx2
    """The first MAX_BYTES of a response: the SSE decoder would keep a line without end."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = MAX_BYTES
        async for piece in self._stream:
            left -= len(piece)
            if left < 0:
                raise TooMuch
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _bound(response: httpx2.Response) -> None:
    response.stream = _Bounded(response.stream)


def _passing(exc: Exception) -> bool:
    if isinstance(exc, openai.APITimeoutError):
        return False
    return isinstance(exc, openai.APIConnectionError | BrokenOff) or getattr(exc, "status_code", 0) in PASSING


def _complaint(exc: Exception) -> str:
    """What happened and what to do, to follow the name of the host."""
    match getattr(exc, "status_code", None):
        case 401 | 403:
            return "refuses the key. Check AVATAR_LLM_KEY."
        case 404 | 405:
            return "does not know this model or address. Check AVATAR_LLM_MODEL and AVATAR_LLM_URL."
        case 429:
            return "is too busy (429). Wait a moment, or allow it more requests."
        case int(status) if 300 <= status < 400:
            return f"points elsewhere ({status}), which is not followed. Set AVATAR_LLM_URL to the final address."
        case int(status) if status in OWN_FAULT:
            return f"refused the question ({status}). Ask something shorter, or begin a new conversation."
        case int(status):
            return f"failed ({status}). Its own log says why."
    if isinstance(exc, openai.APITimeoutError):
        return f"did not accept a connection within {CONNECT_S:g} s. Is the server running?"
    if isinstance(exc, BrokenOff):
        return "broke off its answer. Its own log says why."
    if isinstance(exc, openai.APIConnectionError):
        cause: BaseException = exc
        while inner := cause.__cause__ or cause.__context__:
            cause = inner
        return f"cannot be reached ({type(cause).__name__}). Is the server running, and AVATAR_LLM_URL its address?"
    if type(exc) is openai.APIError:  # an error inside the stream
        return "failed while it answered. Its own log says why."
    return "does not speak the OpenAI protocol there. Check AVATAR_LLM_URL; most servers want it to end in /v1."
