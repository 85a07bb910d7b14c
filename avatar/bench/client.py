"""A page without a browser: one live session over the real socket, with a microphone, a player and a stopwatch.

Times are seconds of time.perf_counter. It reports `played` like the page does, and remembers what came and when.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from avatar.bench.clips import RATE
from avatar.bench.microphone import FRAME, Microphone
from avatar.errors import AvatarError
from avatar.wire import REPLY_RATE

LOUD = 10 ** (-45 / 20) * 32768  # -45 dBFS: below it a reply has not begun to sound
JITTER_S = 0.08  # the page's player waits so long before it starts: assets/worklets.js
REPORT_S = 0.25  # between two reports of what was played: assets/sound.js
LOOK_S = 0.05
OPEN_S = 10.0


class Refused(AvatarError):
    """The server would not let us in, or hung up; `code` is its own."""


@dataclass(slots=True)
class Answer:
    """What came of one turn of the server."""

    turn: int
    began_at: float
    words: str  # the last final words before it: what the server answers
    first_at: float | None = None  # any sound
    loud_at: float | None = None  # the first frame with a sample above -45 dBFS
    received: int = 0  # samples
    played_from: list[tuple[int, float]] = field(default_factory=list)  # first sample of a frame, when it is heard
    came_at: list[tuple[int, float]] = field(default_factory=list)  # samples received so far, when
    pcm: bytearray = field(default_factory=bytearray)
    clauses: list[tuple[str, int]] = field(default_factory=list)  # text, first sample
    latency: dict[str, Any] = field(default_factory=dict)
    samples: int | None = None  # all of it, once it has ended
    flushed_at: float | None = None
    merged: bool = False
    saved: str = ""  # done, interrupted or failed
    error: str = ""
    reported: int = -1

    @property
    def text(self) -> str:
        return " ".join(text for text, _ in self.clauses)

    def sound(self, pcm: bytes, at: float) -> None:
        """A frame came. It is heard after the player's buffer, or as soon as what came before it is over."""
        if self.first_at is None:
            self.first_at = at
        if self.loud_at is None and np.abs(np.frombuffer(pcm, "<i2").astype(np.int32)).max(initial=0) > LOUD:
            self.loud_at = at
        self.played_from.append((self.received, max(at + (0 if at < self.due_at else JITTER_S), self.due_at)))
        self.received += len(pcm) // 2
        self.came_at.append((self.received, at))
        self.pcm += pcm

    @property
    def due_at(self) -> float:
        """When all that came so far will have been heard."""
        if not self.played_from:
            return 0.0
        first, at = self.played_from[-1]
        return at + (self.received - first) / REPLY_RATE

    def waits(self) -> list[tuple[int, float]]:
        """Where the listener hears silence because the next sound had not come when the last was over: the sample that
        was waited for, and milliseconds."""
        ends = [0.0, *(at + (later - first) / REPLY_RATE for (first, at), (later, _) in pairwise(self.played_from))]
        found = [(first, 1000 * (at - end)) for (first, at), end in zip(self.played_from, ends, strict=True) if end]
        return [(first, round(ms, 1)) for first, ms in found if ms > 0.05]

    def gaps_ms(self, least_ms: float = 80.0) -> list[float]:
        """The waits that are noticed."""
        return [ms for _, ms in self.waits() if ms > least_ms]

    def received_at(self, sample: float) -> float:
        """When that sample was received; one that never came, as long after the last as it would have played."""
        last, at = next(((n, t) for n, t in self.came_at if n >= sample), self.came_at[-1])
        return at + max(0.0, sample - last) / REPLY_RATE

    def played(self, now: float) -> int:
        """Samples heard by `now`."""
        until = min(now, self.flushed_at or now)
        return max(0, min(self.received, self.received - round((self.due_at - until) * REPLY_RATE)))


class Client:
    """Made by `joined`. `answers` by turn; `ducks` are (time, on); `notices` and `errors` are (time, code)."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self.microphone = Microphone()
        self.answers: dict[int, Answer] = {}
        self.ducks: list[tuple[float, bool]] = []
        self.notices: list[tuple[float, str]] = []
        self.errors: list[tuple[float, str]] = []
        self.late_s = 0.0  # the worst lateness of a microphone frame: above 20 ms the bench itself was starved
        self.closed = False
        self._words = ""
        self._opened_at = time.perf_counter()
        self._changed = asyncio.Event()

    # -- what a campaign does ---------------------------------------------------------------------------------------
    def time_of(self, position: float) -> float:
        """When the microphone took in that sample. Its frame is sent when it is full, up to 20 ms later."""
        return self._opened_at + position / RATE

    def position_at(self, at: float) -> int:
        return max(0, round((at - self._opened_at) * RATE))

    async def send(self, kind: str, **fields: Any) -> None:
        await self._socket.send(json.dumps({"t": kind, **fields}))

    async def until(self, ready: Callable[[], bool], deadline: float) -> bool:
        """Wait for something that the server must do; False when it has not happened by `deadline`."""
        while not ready():
            left = deadline - time.perf_counter()
            if left <= 0 or self.closed:
                return False
            self._changed.clear()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                return ready()
        return True

    def wake(self) -> None:
        """What `until` waits for may have happened."""
        self._changed.set()

    @property
    def newest(self) -> Answer | None:
        return self.answers[max(self.answers)] if self.answers else None

    def since(self, turn: int) -> list[Answer]:
        """The answers after that turn, oldest first."""
        return [self.answers[number] for number in sorted(self.answers) if number > turn]

    def forget(self) -> None:
        """All but the newest answer: who stays for hours would look through thousands at every message."""
        self.answers = {answer.turn: answer for answer in [self.newest] if answer is not None}
        for told in (self.ducks, self.notices, self.errors):
            told.clear()

    # -- the three things that go on all the time -------------------------------------------------------------------
    async def speak(self) -> None:
        """Send the microphone, frame by frame, on an absolute schedule: a late frame does not delay the next."""
        frames = 0
        while True:
            frames += 1
            wait = self._opened_at + frames * FRAME / RATE - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            self.late_s = max(self.late_s, time.perf_counter() - self._opened_at - frames * FRAME / RATE)
            await self._socket.send(self.microphone.frame())

    async def listen(self) -> None:
        async for message in self._socket:
            now = time.perf_counter()
            if isinstance(message, bytes):
                turn = int.from_bytes(message[:4], "little")
                if (answer := self.answers.get(turn)) is not None and answer.flushed_at is None:
                    answer.sound(message[4:], now)
            else:
                await self.take(json.loads(message), now)
            self.wake()

    async def report(self) -> None:
        """Tell the server what has been played, as the page's player does."""
        while True:
            await asyncio.sleep(LOOK_S)
            for answer in self.answers.values():
                if answer.first_at is None or answer.flushed_at is not None or answer.reported == answer.samples:
                    continue
                played = answer.played(time.perf_counter())
                if played - answer.reported >= REPORT_S * REPLY_RATE or played == answer.samples:
                    answer.reported = played
                    await self.send("played", turn=answer.turn, samples=played)

    async def take(self, message: dict[str, Any], now: float) -> None:
        """One message of the server: see avatar/wire.py."""
        answer = self.answers.get(message.get("turn", 0))
        match message["t"]:
            case "heard":
                self._words = message["final"] or self._words
            case "turn":
                turn = message["turn"]
                self.answers[turn] = Answer(turn, now, self._words)
                self._words = ""
            case "duck":
                self.ducks.append((now, message["on"]))
            case "notice":
                self.notices.append((now, message["code"]))
            case "error":
                self.errors.append((now, message["code"]))
                if (newest := self.newest) is not None and not newest.saved:
                    newest.error = newest.error or message["code"]
            case "clause" if answer is not None:
                answer.clauses.append((message["text"], message["at"]))
            case "latency" if answer is not None:
                answer.latency = message
            case "end" if answer is not None:
                answer.samples = message["samples"]
            case "saved" if answer is not None:
                answer.saved = message["state"]
            case "merged" if answer is not None:
                answer.merged = True
            case "flush" if answer is not None:
                answer.flushed_at = now
                await self.send("played", turn=answer.turn, samples=answer.played(now))


@asynccontextmanager
async def joined(url: str, token: str, **hello: Any) -> AsyncIterator[Client]:
    """A seat at the socket `url`, talking and listening until the block ends. Raises Refused."""
    async with connect(url, max_size=None, open_timeout=OPEN_S, compression=None) as socket:
        await socket.send(json.dumps({"t": "hello", "token": token, **hello}))
        async with asyncio.timeout(OPEN_S):
            first = json.loads(await socket.recv())
        if first["t"] != "ready":
            raise Refused(first.get("text", ""), code=first.get("code", "REFUSED"))
        client = Client(socket)
        running = [asyncio.create_task(work) for work in (client.speak(), client.listen(), client.report())]
        for task in running:
            task.add_done_callback(lambda _: _ended(client))
        try:
            yield client
            await client.send("bye")
        except ConnectionClosed as exc:
            raise Refused("The server hung up during the bench.", code="HUNG_UP") from exc
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)


def _ended(client: Client) -> None:
    client.closed = True
    client.wake()


async def refusal_s(url: str, token: str) -> tuple[float, str]:
    """Ask for a seat: seconds from the first packet to the answer, and its code ("ready" for a seat)."""
    started = time.perf_counter()
    async with connect(url, open_timeout=OPEN_S, compression=None) as socket:
        await socket.send(json.dumps({"t": "hello", "token": token}))
        async with asyncio.timeout(OPEN_S):
            answer = json.loads(await socket.recv())
        return time.perf_counter() - started, answer.get("code", answer["t"])
