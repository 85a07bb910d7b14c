"""One turn: an utterance or text in, typed events out. Knows no Gradio, database, session or engine by name.

The LLM writes clause 2 while the TTS says clause 1. Closing the generator cancels both and frees their leases.
"""

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from avatar.aio import in_thread
from avatar.engines.base import LLM, STT, SYSTEM_PROMPT, TTS, Message, Stage, Voice
from avatar.engines.catalog import Rung
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError, EngineError, EngineLoadError, EngineTimeout
from avatar.events import AudioChunk, Clause, Event, Failure, Notice, Samples, Serving, Token, Transcript, TurnDone
from avatar.saying import NO_SAYINGS, spoken
from avatar.text import ClauseSplitter, language_of, speakable, voice_language

log = logging.getLogger(__name__)
T = TypeVar("T")

OWN_VOICE = Voice()
NO_ANSWER = "The language model gave no answer. Please say it in other words."
NOT_UNDERSTOOD = (
    "That did not sound like English, the only language that the speech recognition in use understands. "
    "Say it in English, or type it. Other languages need Whisper: Status says how to get it."
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The longest that one item of a stage may take, in seconds: a transcript, a token, a chunk of audio."""

    stt: float = 20.0
    llm: float = 20.0
    tts: float = 20.0
    load: float = 900.0


async def at_once() -> None:
    """The default `room`: no listener to keep pace with, so synthesise as fast as possible."""


class Pipeline:
    def __init__(
        self, pool: EnginePool, timeouts: Timeouts | None = None, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._pool, self._timeouts, self._clock = pool, timeouts or Timeouts(), clock

    async def transcribe(self, samples: Samples, language: str | None) -> AsyncGenerator[Transcript | Serving, None]:
        """Cumulative transcripts of one utterance, the last one final, and who wrote them. Raises AvatarError."""
        told: list[Event] = []
        run = _Turn(self._pool, self._timeouts, self._clock, told.append)
        async with aclosing(run.stt(samples, language)) as transcripts:
            async for transcript in transcripts:
                yield transcript
        yield next(event for event in reversed(told) if isinstance(event, Serving))

    async def plausible(self, samples: Samples, text: str) -> bool:
        """Whether `text` can be what was said, and not a language that the ears do not know. Raises AvatarError."""
        return await _Turn(self._pool, self._timeouts, self._clock, lambda _: None).plausible(samples, text)

    async def prefill(self, words: str, history: Sequence[Message], seat: int, anyway: bool = False) -> None:
        """Let the language model read what was said so far, so that its answer begins sooner. Does nothing while it
        answers someone, unless `anyway`: the work may be in vain, an answer is not. Raises AvatarError."""
        rung, prompt = self._pool.choose("llm"), prompted(history, words)

        def read() -> Generator[None, None, None]:
            with self._pool.lease(rung) as llm:
                cast(LLM, llm).prefill(prompt, seat)
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
    ) -> AsyncGenerator[Event, None]:
        """Answer `heard` (float32 (n,) at 16 kHz, or words already known). The voice says what is written in `sayings`
        as its owner wants it; events carry the text as written.

        `room` is awaited before each clause is synthesised: return from it when the listener has little left to
        hear, so that an interruption wastes little. Ends in exactly one TurnDone or Failure; raises only bugs.
        """
        # The work runs in its own task and talks through a queue: a yield inside a TaskGroup would let a cancellation
        # land in the wrong task (PEP 789).
        events: asyncio.Queue[Event | None] = asyncio.Queue()
        run = _Turn(self._pool, self._timeouts, self._clock, events.put_nowait, sayings)
        work = asyncio.create_task(run.run(heard, history, voice, seat, language, room))
        work.add_done_callback(lambda _: events.put_nowait(None))
        try:
            while (event := await events.get()) is not None:
                yield event
            await work  # a bug surfaces here, with its traceback
        finally:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


class _Turn:
    """The state of one turn: which rung serves each stage, and the times of first results."""

    def __init__(
        self,
        pool: EnginePool,
        timeouts: Timeouts,
        clock: Callable[[], float],
        emit: Callable[[Event], None],
        sayings: Mapping[str, str] = NO_SAYINGS,
    ) -> None:
        self._pool, self._timeouts, self._clock, self._emit, self._sayings = pool, timeouts, clock, emit, sayings
        self._rungs: dict[tuple[Stage, str | None], Rung] = {}  # by stage and, for a voice, language of the clause
        self._serving: dict[Stage, Rung] = {}
        self._times: dict[str, float] = {}

    async def run(
        self,
        heard: Samples | str,
        history: Sequence[Message],
        voice: Voice,
        seat: int,
        language: str | None,
        room: Callable[[], Awaitable[None]],
    ) -> None:
        start = self._clock()
        try:
            words, spoken_language = await self._hear(heard, language)
            self._times["stt"] = (self._clock() - start) * 1000
            reply = ""
            if words:
                reply = await self._answer(words, history, seat, voice, spoken_language, room)
            self._emit(TurnDone(words, reply, dict(self._times)))
        except* AvatarError as group:  # a lone AvatarError arrives as a group of one
            self._fail(_first(group))

    async def _hear(self, heard: Samples | str, language: str | None) -> tuple[str, str | None]:
        if isinstance(heard, str):
            self._emit(Transcript(heard.strip(), final=True, language=language))
            return heard.strip(), language
        words = ""
        async with aclosing(self.stt(heard, language)) as transcripts:
            async for transcript in transcripts:
                if not transcript.final:
                    self._emit(transcript)
                words, language = transcript.text.strip(), transcript.language or language
        if words and not await self.plausible(heard, words):
            raise AvatarError(NOT_UNDERSTOOD, code="LANGUAGE")
        self._emit(Transcript(words, final=True, language=language))  # not before: it is what chat and history keep
        return words, language

    async def _answer(
        self,
        words: str,
        history: Sequence[Message],
        seat: int,
        voice: Voice,
        language: str | None,
        room: Callable[[], Awaitable[None]],
    ) -> str:
        clauses: asyncio.Queue[str | None] = asyncio.Queue()
        reply: list[str] = []
        start = self._clock()

        async def ask(remembered: Sequence[Message]) -> bool:
            """Whether the answer has anything that can be spoken."""
            spoken = 0

            def queue(written: list[str]) -> None:
                nonlocal spoken
                for text in filter(None, map(speakable, written)):
                    clauses.put_nowait(text)
                    spoken += 1

            prompt = prompted(remembered, words)
            splitter = ClauseSplitter()
            async with aclosing(self._run("llm", lambda llm: llm.reply(prompt, seat), self._timeouts.llm)) as deltas:
                async for delta in deltas:
                    self._times.setdefault("ttft", (self._clock() - start) * 1000)
                    reply.append(delta)
                    self._emit(Token(delta))
                    queue(splitter.push(delta))
            queue(splitter.flush())
            return spoken > 0

        async def think() -> None:
            # a small model can be silenced by what it remembers; silence would look like a hang
            persona = [message for message in history if message.role == "system"]
            if not await ask(history) and not (len(history) > len(persona) and await ask(persona)):
                raise EngineError(NO_ANSWER, stage="llm", engine=self._serving["llm"].name, code="EMPTY_REPLY")
            clauses.put_nowait(None)

        async def speak() -> None:
            while (clause := await clauses.get()) is not None:
                self._times.setdefault("llm", (self._clock() - start) * 1000)
                await room()
                self._emit(Clause(clause))
                said = spoken(clause, language or language_of(words), self._sayings)
                async for chunk in self._say(said, voice, language):
                    self._times.setdefault("tts", (self._clock() - start) * 1000 - self._times["llm"])
                    self._emit(chunk)

        async with asyncio.TaskGroup() as group:
            group.create_task(think())
            group.create_task(speak())
        return "".join(reply).strip()

    async def _say(self, text: str, voice: Voice, language: str | None) -> AsyncGenerator[AudioChunk, None]:
        tag = voice_language(text, language)  # the model may answer in another language than it was asked in

        def synthesise(tts: TTS) -> Generator[AudioChunk, None, None]:
            return tts.speak(text, voice, tag)

        async with aclosing(self._run("tts", synthesise, self._timeouts.tts, tag)) as chunks:
            async for chunk in chunks:
                yield chunk

    def stt(self, samples: Samples, language: str | None) -> AsyncGenerator[Transcript, None]:
        def transcribe(stt: STT) -> Generator[Transcript, None, None]:
            return stt.transcribe(samples, language)

        return self._run("stt", transcribe, self._timeouts.stt)

    async def plausible(self, samples: Samples, text: str) -> bool:
        def judge(stt: STT) -> Generator[bool, None, None]:
            yield stt.plausible(samples, text)

        async with aclosing(self._run("stt", judge, self._timeouts.stt)) as verdicts:
            return all([verdict async for verdict in verdicts])

    async def _run(
        self,
        stage: Stage,
        call: Callable[[Any], Generator[T, None, None]],
        timeout_s: float,
        language: str | None = None,
    ) -> AsyncGenerator[T, None]:
        """Items of `call` on the rung that serves `stage`; steps down when it fails before its first item.

        A rung that does not know `language` is passed over, for this call.
        """
        while True:
            key = stage, language  # for the whole turn: a better rung takes over between turns
            rung = self._rungs[key] = self._rungs.get(key) or self._pool.choose(stage, language)
            self._tell(rung)
            delivered = False
            try:
                if not self._pool.ready(rung):
                    async with aclosing(in_thread(self._loaded(rung), self._timeouts.load)) as loading:
                        await anext(loading, None)
                async with aclosing(in_thread(self._leased(rung, call), timeout_s)) as items:
                    async for item in items:
                        delivered = True
                        yield item
                self._pool.served(rung)
                return
            except EngineLoadError as exc:
                error: EngineError = exc  # the pool has marked it already
            except TimeoutError:
                sentence = f"{rung.label} did not answer within {timeout_s:.0f} seconds. Please try again."
                error = EngineTimeout(sentence, stage=stage, engine=rung.name)
                self._pool.fail(rung, error, hung=True)
            except EngineError as exc:
                if not exc.lost:
                    raise
                error = exc
                self._pool.fail(rung, error)
            except AvatarError:
                raise
            except Exception as exc:  # noqa: BLE001 - the one place where a foreign engine's exceptions get a name
                where = traceback.extract_tb(exc.__traceback__)[-1]  # no message: it may hold a user's words
                log.warning("%s failed: %s at %s:%s", rung.name, type(exc).__name__, where.filename, where.lineno)
                error = EngineError(
                    f"{rung.label} stopped with an error ({type(exc).__name__}). Please try again.",
                    stage=stage,
                    engine=rung.name,
                )
                self._pool.fail(rung, error)
            if delivered:  # half an answer is out: the user hears that it broke, instead of hearing it twice
                raise error
            try:
                below = self._rungs[key] = self._pool.below(rung, language)
            except EngineError:
                raise error from None  # it names the cause better than NoEngine
            self._tell(below)
            self._emit(Notice("STEPPED_DOWN", f"{error.sentence} {below.label} takes over until it is back."))

    def _tell(self, rung: Rung) -> None:
        """Emit that `rung` serves its stage, unless it did already."""
        if self._serving.get(rung.stage) is not rung:
            self._serving[rung.stage] = rung
            self._emit(Serving(rung.stage, rung.label))

    def _loaded(self, rung: Rung) -> Generator[None, None, None]:
        self._pool.warm(rung)
        yield

    def _leased(self, rung: Rung, call: Callable[[Any], Generator[T, None, None]]) -> Generator[T, None, None]:
        with self._pool.lease(rung) as engine:
            yield from call(engine)

    def _fail(self, error: AvatarError) -> None:
        stage = error.stage if isinstance(error, EngineError) else "turn"
        self._emit(Failure(stage, error.code, error.sentence, error.retryable))


def prompted(history: Sequence[Message], words: str) -> list[Message]:
    """The whole prompt; a persona is a system message that `history` begins with. Neighbours of one role become one
    message: chat templates want them to alternate."""
    prompt = [Message("system", SYSTEM_PROMPT)]
    for message in (*history, Message("user", words)):
        if message.role == prompt[-1].role:
            message = Message(message.role, f"{prompt.pop().content}\n{message.content}")
        prompt.append(message)
    return prompt


def _first(group: BaseExceptionGroup[AvatarError]) -> AvatarError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
