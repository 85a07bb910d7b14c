"""One turn: an utterance or text in, typed events out. Knows no Gradio, database, session or engine by name.

The LLM writes clause 2 while the TTS says clause 1. Closing the generator cancels both and frees their leases.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from avatar.aio import in_thread
from avatar.engines.base import LLM, OWN_VOICE, Message, Voice, refuse_without_consent
from avatar.engines.calls import Timeouts
from avatar.engines.pool import EnginePool
from avatar.errors import EngineError
from avatar.events import AudioChunk, Event, Notice, Samples, Serving, Transcript
from avatar.saying import NO_SAYINGS, spoken
from avatar.text import ClauseSplitter, language_of, speakable
from avatar.turn import Turn, prompted


async def at_once() -> None:
    """The default `room`: no listener to keep pace with, so synthesise as fast as possible."""


class Pipeline:
    """Keeps nothing from turn to turn: any number of them may run at once, in one event loop."""

    def __init__(
        self,
        pool: EnginePool,
        timeouts: Timeouts | None = None,
        clock: Callable[[], float] = time.perf_counter,
        permit: Callable[[Voice], None] = refuse_without_consent,
    ) -> None:
        """`permit` raises ConsentError for a voice that may not be used. It is asked before every clause, on the
        thread that will speak it, so that nothing is said in a voice after it was deleted."""
        self._pool, self._timeouts, self._clock, self._permit = pool, timeouts or Timeouts(), clock, permit
        self.running = 0  # turns on their way, those that began as a guess too

    async def transcribe(self, samples: Samples, language: str | None) -> AsyncGenerator[Transcript | Serving, None]:
        """Cumulative transcripts of one utterance, the last one final, and who wrote them. Raises AvatarError."""
        told: list[Event] = []
        run = self._begin(told.append)
        async with aclosing(run.stt(samples, language)) as transcripts:
            async for transcript in transcripts:
                yield transcript
        yield next(event for event in reversed(told) if isinstance(event, Serving))

    async def plausible(self, samples: Samples, text: str) -> bool:
        """Whether `text` can be what was said, and not a language that the ears do not know. Raises AvatarError."""
        return await self._begin(lambda _: None).plausible(samples, text)

    async def say(
        self,
        text: str,
        voice: Voice = OWN_VOICE,
        *,
        language: str | None = None,
        sayings: Mapping[str, str] = NO_SAYINGS,
    ) -> AsyncGenerator[AudioChunk | Serving | Notice, None]:
        """Have `text` said, without a question: who speaks, then the sound. Raises AvatarError."""
        told: list[Event] = []
        async with aclosing(_said(self._begin(told.append, sayings), text, voice, language, sayings)) as chunks:
            async for chunk in chunks:
                for event in told:
                    if isinstance(event, Serving | Notice):
                        yield event
                told.clear()
                yield chunk

    def _begin(self, emit: Callable[[Event], None], sayings: Mapping[str, str] = NO_SAYINGS, hq: bool = False) -> Turn:
        return Turn(self._pool, self._timeouts, self._clock, emit, self._permit, sayings, hq)

    async def prefill(self, words: str, history: Sequence[Message], seat: int, anyway: bool = False) -> None:
        """Let the language model read what was said so far, so that its answer begins sooner. Does nothing while it
        answers someone, unless `anyway`: the work may be in vain, an answer is not. Raises AvatarError."""
        rung, prompt = self._pool.choose("llm"), prompted(history, words)

        def read() -> Generator[None, None, None]:
            with self._pool.lease(rung) as llm:
                try:
                    cast(LLM, llm).prefill(prompt, seat)
                except Exception as exc:  # noqa: BLE001 - a foreign engine; the turn itself will say what is wrong
                    sentence = f"{rung.label} could not read ahead ({type(exc).__name__})."
                    raise EngineError(sentence, stage="llm", engine=rung.name) from exc
            yield

        if self._pool.ready(rung) and (anyway or not self._pool.busy(rung)):
            async with aclosing(in_thread(read(), self._timeouts.llm)) as reading:
                await anext(reading)

    async def turn(
        self,
        heard: Samples | str,
        history: Sequence[Message] = (),
        voice: Voice = OWN_VOICE,
        *,
        seat: int = 0,
        language: str | None = None,
        room: Callable[[], Awaitable[None]] = at_once,
        sayings: Mapping[str, str] = NO_SAYINGS,
        hq: bool = False,
    ) -> AsyncGenerator[Event, None]:
        """Answer `heard` (float32 (n,) at 16 kHz, or words already known). The voice says what is written in `sayings`
        as its owner wants it; events carry the text as written. `hq`: with the best voice, as soon as it is loaded.

        An engine that runs out of memory costs the clause that it was at: the next rung goes on. Without any voice left
        the rest of the reply is text.

        `room` is awaited before each clause is synthesised: return from it when the listener has little left to
        hear, so that an interruption wastes little. Ends in exactly one TurnDone or Failure; raises only bugs.
        """
        # The work runs in its own task and talks through a queue: a yield inside a TaskGroup would let a cancellation
        # land in the wrong task (PEP 789).
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        run = self._begin(events.put_nowait, sayings, hq)
        work = asyncio.create_task(run.run(heard, history, voice, seat, language, room))
        work.add_done_callback(lambda _: events.put_nowait(None))
        self.running += 1
        try:
            while (event := await events.get()) is not None:
                yield event
            await work  # a bug surfaces here, with its traceback
        finally:
            self.running -= 1
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)

    async def hq_take(
        self, text: str, voice: Voice, language: str | None, sayings: Mapping[str, str]
    ) -> AsyncGenerator[AudioChunk, None]:
        """`text` said by the HQ voice and no other. Raises EngineError, code NO_HQ, where another would have to."""
        run = self._begin(lambda _: None, sayings, hq=True)
        async with aclosing(_said(run, text, voice, language, sayings)) as chunks:
            async for chunk in chunks:
                if not run.hq:
                    raise EngineError("The HQ voice cannot say this now.", stage="tts", engine="", code="NO_HQ")
                yield chunk


async def _said(
    run: Turn, text: str, voice: Voice, language: str | None, sayings: Mapping[str, str]
) -> AsyncGenerator[AudioChunk, None]:
    """The sound of all of `text`, clause by clause, in the words in which it is spoken."""
    splitter = ClauseSplitter()
    for clause in filter(None, map(speakable, (*splitter.push(text), *splitter.flush()))):
        said = spoken(clause, language or language_of(text), sayings)
        async with aclosing(run.say(said, voice, language)) as chunks:
            async for chunk in chunks:
                yield chunk
