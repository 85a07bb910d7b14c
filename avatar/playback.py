"""What of a reply has been sent, and what of it has been heard. Knows no socket and no engine.

Audio goes out at most AHEAD_S before it is heard, so that an interruption has little to take back; the page reports
the samples it has played, and from those this tells which words were heard.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import numpy as np

from avatar.audio import Resampler, from_pcm16, pcm16
from avatar.events import AudioChunk, Samples
from avatar.text import UNSPACED, joined, language_of
from avatar.wire import REPLY_RATE

AHEAD_S = 1.0
GRACE_S = 1.5  # from the last sample's due time to the page's report of it: jitter buffer, output latency, network
HOLD_S = 0.8  # no reply begins to sound over a voice until it is judged, which takes 0.3 to 0.7 s
FRAME_SAMPLES = REPLY_RATE // 10  # 100 ms a frame: ten messages a second, and flushing drops at most one in flight


class Playback:
    """One reply's audio. `send(pcm16)`, `say(text, at_sample)` and `end(samples)` put it on the wire."""

    def __init__(
        self,
        send: Callable[[bytes], Awaitable[None]],
        say: Callable[[str, int], Awaitable[None]],
        end: Callable[[int], Awaitable[None]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send, self._say, self._end, self._clock = send, say, end, clock
        self._waiting: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._resampler: Resampler | None = None
        self._all_heard = asyncio.Event()
        self._made = 0  # samples synthesised
        self._reported, self._reported_at, self._stopped = 0, 0.0, False
        self.clauses: list[tuple[str, int]] = []  # text, first sample
        self.pcm = bytearray()  # all that was sent, for the recording
        self.sent = 0  # samples
        self.first_sent_at: float | None = None
        self.finished = False  # no more will be made
        self.on_first: Callable[[], None] = lambda: None  # called as the first sound goes out
        self.allowed = asyncio.Event()  # nothing leaves before this is set
        self.undisturbed = asyncio.Event()  # cleared while a voice is heard that may go on with its question
        self.undisturbed.set()

    # -- filled by the turn -----------------------------------------------------------------------------------------
    def clause(self, text: str) -> None:
        self.clauses.append((text, self._made))
        self._waiting.put_nowait(text)

    def push(self, chunk: AudioChunk) -> None:
        if self._resampler is None:
            self._resampler = Resampler(chunk.sample_rate, REPLY_RATE)
        self._queue(pcm16(self._resampler.push(chunk.samples)))

    def finish(self) -> None:
        """No more chunks will come."""
        if self._resampler is not None:
            self._queue(pcm16(self._resampler.push(np.zeros(0, np.float32), last=True)))
        self.finished = True
        self._waiting.put_nowait(None)

    def _queue(self, data: bytes) -> None:
        self._made += len(data) // 2
        for start in range(0, len(data), 2 * FRAME_SAMPLES):
            self._waiting.put_nowait(data[start : start + 2 * FRAME_SAMPLES])

    async def room(self) -> None:
        """Wait until less than AHEAD_S of what was made is still unheard: the next clause may be synthesised."""
        while (wait_s := (self._made - self.heard()) / REPLY_RATE - AHEAD_S) > 0:  # noqa: ASYNC110 - time, not an event
            await asyncio.sleep(min(wait_s, 0.2))

    # -- drained to the page ----------------------------------------------------------------------------------------
    async def run(self) -> None:
        """Once it is allowed send everything, in time; return when all of it has been heard. Cancel to stop."""
        await self.allowed.wait()
        while (item := await self._waiting.get()) is not None:
            if isinstance(item, str):
                await self._say(item, self.sent)
                continue
            await asyncio.sleep((self.sent - self.heard()) / REPLY_RATE - AHEAD_S)
            if self.first_sent_at is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(HOLD_S):
                        await self.undisturbed.wait()
                self.first_sent_at = self._reported_at = self._clock()
                self.on_first()
            await self._send(item)
            self.pcm += item
            self.sent += len(item) // 2
        await self._end(self.sent)
        with suppress(TimeoutError):  # a page that reports nothing must not keep the turn open
            async with asyncio.timeout((self.sent - self.heard()) / REPLY_RATE + GRACE_S):
                await self._all_heard.wait()

    # -- what was heard ---------------------------------------------------------------------------------------------
    def played(self, samples: int) -> None:
        """The page has played so many samples of this reply."""
        if samples >= self._reported or self._stopped:  # after a stop the page knows better than the clock
            self._reported, self._reported_at = min(samples, self.sent), self._clock()
        if self.finished and self._waiting.empty() and self._reported >= self.sent:
            self._all_heard.set()

    def stop(self) -> None:
        """The page was told to fall silent: nothing counts as heard from now on but by its own report."""
        self._reported, self._stopped = self.heard(), True

    def heard(self) -> int:
        """Samples heard by now: the last report, and the time since."""
        if self.first_sent_at is None or self._stopped:
            return self._reported
        since = round((self._clock() - self._reported_at) * REPLY_RATE)
        return min(self.sent, self._reported + since)

    def in_air(self) -> Samples:
        """What a microphone beside the loudspeaker may hear now: from 1 s before what is heard to all that was sent."""
        return from_pcm16(bytes(self.pcm[2 * max(0, self.heard() - REPLY_RATE) :]))

    def heard_samples(self) -> Samples:
        """The audio that was heard, float32 (n,) at REPLY_RATE."""
        return from_pcm16(bytes(self.pcm[: 2 * self.heard()]))

    def heard_text(self, samples: int) -> str:
        """The words within the first `samples`; of a clause that was cut, as many words as its share of time."""
        texts: list[str] = []
        for i, (text, start) in enumerate(self.clauses):
            end = self.clauses[i + 1][1] if i + 1 < len(self.clauses) else self._made
            if samples >= end:
                texts.append(text)
            elif samples > start:
                texts.append(_share(text, (samples - start) / (end - start)))
        return joined([text for text in texts if text])


def _share(text: str, share: float) -> str:
    if language_of(text) in UNSPACED:
        return text[: int(len(text) * share)]
    words = text.split(" ")
    return " ".join(words[: int(len(words) * share)])
