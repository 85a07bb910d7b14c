"""A front's way to the engines of a cluster, frame by frame: by a lane to a replica where there is one (lanes.py), else
HTTP to the proxies of Ray Serve. Knows no engine.

Not Ray's own client: a process that joins a Ray cluster is ended by Ray a minute after the cluster is lost, and a front
must outlive it. Blocks, and is meant for the threads on which engines run.
"""

import errno
import hmac
import http.client
import ssl
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, suppress
from typing import Any
from urllib.parse import urlsplit

from avatar.engines.base import Stage
from avatar.engines.frames import Head, pack, unpack
from avatar.engines.lane import Lane, notice_death
from avatar.engines.lanes import HEADER, Lanes, Where
from avatar.errors import EngineError, EngineTimeout, OutOfMemory

CONNECT_S = 2.0
FIRST_S, NEXT_S = 12.0, 8.0  # to the first frame and between two: less than the pipeline's patience with an engine
TRIES = 3  # a replica that ends with its node takes what it is asked along; the next try reaches another
LANES = 2  # tries before those
AGAIN_S = 0.2
IDLE_S = 20.0  # a connection unused for so long may have been closed at the other end
KEY = "x-avatar-key"
SESSION = "x-session-id"  # what Ray Serve's ConsistentHashRouter goes by


class Lost(Exception):
    """The exchange ended before its end."""


class Elsewhere(Lost):
    """The replica wants this asked through a proxy, and began nothing."""


class ClusterClient:
    """Thread-safe. `urls` are proxies of one cluster: where one cannot be reached, the next is tried."""

    def __init__(self, urls: str, key: str = "") -> None:
        self._urls = [urlsplit(url.strip()) for url in urls.split(",") if url.strip()]
        self._key = key
        self._lock = threading.Lock()
        self._idle: list[tuple[float, int, http.client.HTTPConnection]] = []  # since, which url, connection
        self._at, self._closed = 0, False
        self._lanes = Lanes()

    def ask(
        self, stage: Stage, head: Head, blob: bytes = b"", session: str = "", *, anyway: bool = False
    ) -> Generator[tuple[Head, bytes], None, None]:
        """The frames of the answer. Closing it ends the work there. Tries again where the exchange is lost before the
        first frame, or `anyway`: where later frames repeat earlier ones. Raises EngineError, lost or not."""
        request, where = pack(head, blob), (stage, session)
        lanes, proxies = LANES, TRIES
        while True:
            lane, delivered = self._lanes.take(where) if lanes else None, False
            try:
                exchange = self._exchange(where, request) if lane is None else self._by_lane(lane, where, request)
                with closing(exchange) as frames:
                    for frame in frames:
                        delivered = True
                        yield frame
                return
            except TimeoutError as exc:
                sentence = "The cluster did not answer in time."
                raise EngineTimeout(sentence, stage=stage, engine=f"ray-{stage}", lost=True) from exc
            except Lost as exc:
                if delivered and not anyway:
                    sentence = "The cluster lost this reply on its way. Please try again."
                    raise EngineError(sentence, stage=stage, engine=f"ray-{stage}") from exc
                lanes = 0 if lane is None or isinstance(exc, Elsewhere) else lanes - 1
                proxies -= lane is None
                if not proxies:
                    sentence = "The cluster cannot be reached."
                    raise EngineError(sentence, stage=stage, engine=f"ray-{stage}", lost=True) from exc
            if lane is None:
                time.sleep(AGAIN_S)

    def _by_lane(self, lane: Lane, where: Where, request: bytes) -> Generator[tuple[Head, bytes], None, None]:
        whole = False
        try:
            lane.send(request)
            yield from _answer(where[0], lane.frames(FIRST_S, NEXT_S))
            whole = True
        except Elsewhere:
            whole = True
            raise
        except (OSError, ValueError, KeyError) as exc:
            self._lanes.lose(lane.address)
            if _late(exc):
                raise
            raise Lost(type(exc).__name__) from exc
        finally:
            self._lanes.give(lane, whole)
        if self._lanes.due(where):
            threading.Thread(target=self._renew, args=(where,), daemon=True, name="lane").start()

    def _renew(self, where: Where) -> None:
        """Ask a proxy who would answer now."""
        with suppress(Lost, TimeoutError, EngineError), closing(self._exchange(where, pack({"do": "where"}))) as frames:
            for _ in frames:
                continue

    def _exchange(self, where: Where, request: bytes) -> Generator[tuple[Head, bytes], None, None]:
        which, connection = self._take()
        (stage, session), url = where, self._urls[which]
        whole = False
        try:
            headers = {"Content-Type": "application/octet-stream", KEY: self._key}
            if connection.sock is None:
                _connect(connection)
            wait = connection.sock.settimeout
            headers |= {SESSION: session} if session else {}
            connection.request("POST", f"{url.path.rstrip('/')}/{stage}", request, headers)
            wait(FIRST_S)
            with connection.getresponse() as response:
                if response.status != 200:
                    raise Lost(f"HTTP {response.status}")
                if told := response.getheader(HEADER):
                    self._lanes.told(where, told, url)
                yield from _answer(stage, _frames(response.read, wait))
                response.read()
                whole = not response.will_close
        except (OSError, http.client.HTTPException, ValueError, KeyError) as exc:
            self._leave(which)
            if _late(exc):
                raise
            raise Lost(type(exc).__name__) from exc
        finally:
            with self._lock:
                kept = whole and not self._closed
                if kept:
                    self._idle.append((time.monotonic(), which, connection))
            if not kept:
                connection.close()

    def _leave(self, which: int) -> None:
        """The next question goes to another proxy than this one."""
        with self._lock:
            self._at = (which + 1) % len(self._urls)

    def _take(self) -> tuple[int, http.client.HTTPConnection]:
        """A connection to the proxy that answered last. Raises OSError later, when it is used."""
        with self._lock:
            now, at = time.monotonic(), self._at
            stale = [one for one in self._idle if now - one[0] > IDLE_S or one[1] != at]
            self._idle = [one for one in self._idle if one not in stale]
            kept = self._idle.pop() if self._idle else None
        for _, _, connection in stale:
            connection.close()
        if kept is not None:
            return at, kept[2]
        url = self._urls[at]
        host, port = url.hostname or "", url.port
        if url.scheme == "https":
            return at, http.client.HTTPSConnection(host, port, timeout=CONNECT_S, context=ssl.create_default_context())
        return at, http.client.HTTPConnection(host, port, timeout=CONNECT_S)

    def close(self) -> None:
        self._lanes.close()
        with self._lock:
            self._closed, idle, self._idle = True, self._idle, []
        for _, _, connection in idle:
            connection.close()


def _connect(connection: http.client.HTTPConnection) -> None:
    """A node that lost its power answers nothing, not even that it is not there: another proxy may."""
    try:
        connection.connect()
    except TimeoutError as exc:
        raise ConnectionError("no answer") from exc
    notice_death(connection.sock)


def _late(exc: Exception) -> bool:
    """Whether there was an answer to wait for: no machine that is gone."""
    return isinstance(exc, TimeoutError) and exc.errno != errno.ETIMEDOUT


def _frames(read: Callable[[int], bytes], wait: Callable[[float], None]) -> Generator[tuple[Head, bytes], None, None]:
    """Through a proxy; `wait` sets for how long it may say nothing. Raises OSError, ValueError."""
    while True:
        yield unpack(read)
        wait(NEXT_S)


def _answer(stage: Stage, frames: Iterator[tuple[Head, bytes]]) -> Generator[tuple[Head, bytes], None, None]:
    """Those of `frames` that are of the answer, up to the last. Raises EngineError, Elsewhere, KeyError, and what
    `frames` raise."""
    for head, blob in frames:
        match head["is"]:
            case "end":
                return
            case "error":
                raise _named(stage, head)
            case "elsewhere":
                raise Elsewhere
        yield head, blob


def knows(key: str, sent: str) -> bool:
    """Whether who asks has the cluster's key."""
    return hmac.compare_digest(key.encode(), sent.encode())


def error_head(error: EngineError) -> Head:
    return {"is": "error", "code": error.code, "sentence": error.sentence, "lost": error.lost}


def _named(stage: Stage, head: Head) -> EngineError:
    kinds: dict[str, Any] = {kind.code: kind for kind in (OutOfMemory, EngineTimeout)}
    kind = kinds.get(head["code"], EngineError)
    error: EngineError = kind(
        str(head["sentence"]), stage=stage, engine=f"ray-{stage}", code=str(head["code"]), lost=bool(head["lost"])
    )
    return error
