"""One turn: an utterance or text in, typed events out. Knows no Gradio, database, session or engine by name.

The LLM writes clause 2 while the TTS says clause 1. Closing the generator cancels both and frees their leases.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing
from typing import cast

from avatar.aio import in_thread
from avatar.engines.base import (
    LLM,
    OWN_VOICE,
    STT,
    SYSTEM_PROMPT,
    TTS,
    Abilities,
    Begins,
    Message,
    Voice,
    refuse_without_consent,
)
from avatar.engines.calls import Calls, Timeouts
from avatar.engines.pool import EnginePool
from avatar.engines.tempo import paced
from avatar.errors import AvatarError, EngineError, NoEngine, OutOfMemory
from avatar.events import AudioChunk, Clause, Event, Failure, Notice, Samples, Serving, Token, Transcript, TurnDone
from avatar.saying import NO_SAYINGS, spoken
from avatar.text import ClauseSplitter, language_of, speakable, voice_language

NO_PACE = Abilities(())
NO_ANSWER = "The language model gave no answer. Please say it in other words."
GO_ON = {"en": "Go on where you stopped.", "zh": "請從剛才停下的地方接著說。"}
NOT_UNDERSTOOD = (
    "That did not sound like English, the only language that the speech recognition in use understands. "
    "Say it in English, or type it. Other languages need Whisper: Status says how to get it."
)


async def at_once() -> None:
    """The default `room`: no listener to keep pace with, so synthesise as fast as possible."""


class Pipeline:
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
        run = self._begin(told.append, sayings)
        splitter = ClauseSplitter()
        for clause in filter(None, map(speakable, (*splitter.push(text), *splitter.flush()))):
            said = spoken(clause, language or language_of(text), sayings)
            async with aclosing(run.say(said, voice, language)) as chunks:
                async for chunk in chunks:
                    for event in told:
                        if isinstance(event, Serving | Notice):
                            yield event
                    told.clear()
                    yield chunk

    def _begin(
        self, emit: Callable[[Event], None], sayings: Mapping[str, str] = NO_SAYINGS, hq: bool = False
    ) -> "_Turn":
        return _Turn(self._pool, self._timeouts, self._clock, emit, self._permit, sayings, hq)

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
        splitter = ClauseSplitter()
        for clause in filter(None, map(speakable, [*splitter.push(text), *splitter.flush()])):
            said = spoken(clause, language or language_of(text), sayings)
            async with aclosing(run.say(said, voice, language)) as chunks:
                async for chunk in chunks:
                    if not run.hq:
                        raise EngineError("The HQ voice cannot say this now.", stage="tts", engine="", code="NO_HQ")
                    yield chunk


class _Turn:
    """The state of one turn: its calls to the engines, and the times of first results."""

    def __init__(
        self,
        pool: EnginePool,
        timeouts: Timeouts,
        clock: Callable[[], float],
        emit: Callable[[Event], None],
        permit: Callable[[Voice], None],
        sayings: Mapping[str, str],
        hq: bool,
    ) -> None:
        self._begun = False  # whether a clause of the reply was given to a voice
        self._calls, self._clock, self._emit = Calls(pool, timeouts, emit, hq), clock, emit
        self._permit, self._sayings = permit, sayings
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

            splitter = ClauseSplitter()
            async with aclosing(self._written(prompted(remembered, words), seat)) as deltas:
                async for delta in deltas:
                    self._times.setdefault("ttft", (self._clock() - start) * 1000)
                    if delta is None:
                        splitter = ClauseSplitter()  # the clause that was being written is lost
                        continue
                    reply.append(delta)
                    self._emit(Token(delta))
                    queue(splitter.push(delta))
            queue(splitter.flush())
            return spoken > 0

        async def think() -> None:
            # a small model can be silenced by what it remembers; silence would look like a hang
            persona = [message for message in history if message.role == "system"]
            if not await ask(history) and not (len(history) > len(persona) and await ask(persona)):
                raise EngineError(NO_ANSWER, stage="llm", engine=self._calls.serving["llm"].name, code="EMPTY_REPLY")
            clauses.put_nowait(None)

        async def speak() -> None:
            voiced = True
            while (clause := await clauses.get()) is not None:
                self._times.setdefault("llm", (self._clock() - start) * 1000)
                if not voiced:
                    continue
                await room()
                self._emit(Clause(clause))
                said = spoken(clause, language or language_of(words), self._sayings)
                try:
                    async for chunk in self.say(said, voice, language):
                        self._times.setdefault("tts", (self._clock() - start) * 1000 - self._times["llm"])
                        self._emit(chunk)
                except OutOfMemory as error:
                    self._emit(Notice(error.code, f"{error.sentence} A few words are missing."))
                except NoEngine as error:
                    if error.code != NoEngine.code:  # there are voices, but not for this
                        raise
                    voiced = False
                    self._emit(Notice("TEXT_ONLY", f"{error.sentence} The reply goes on as text."))

        async with asyncio.TaskGroup() as group:
            group.create_task(think())
            group.create_task(speak())
        return "".join(reply).strip()

    async def _written(self, prompt: list[Message], seat: int) -> AsyncGenerator[str | None, None]:
        """The deltas of the answer; None where the model's memory ran out in the middle, and the next one goes on."""
        written, asked = "", prompt
        while True:

            def write(llm: LLM, messages: list[Message] = asked) -> Generator[str, None, None]:
                return llm.reply(messages, seat)

            try:
                async with aclosing(self._calls.run("llm", write)) as deltas:
                    async for delta in deltas:
                        written += delta
                        yield delta
                return
            except OutOfMemory as error:
                if not written:
                    raise
                self._emit(Notice(error.code, f"{error.sentence} A few words are missing."))
            yield None
            go_on = GO_ON.get(language_of(prompt[-1].content), GO_ON["en"])
            asked = [*prompt, Message("assistant", written.strip()), Message("user", go_on)]
            written += " "
            yield " "

    @property
    def hq(self) -> bool:
        """Whether an HQ voice speaks."""
        rung = self._calls.serving.get("tts")
        return rung is not None and rung.hq

    async def say(self, text: str, voice: Voice, language: str | None) -> AsyncGenerator[AudioChunk, None]:
        """One clause, already in the form in which it is spoken."""
        tag = voice_language(text, language)  # the model may answer in another language than it was asked in

        def synthesise(tts: TTS) -> Generator[AudioChunk, None, None]:
            self._permit(voice)
            first, self._begun = not self._begun, True
            speak = tts.begin if first and isinstance(tts, Begins) else tts.speak
            paces = voice.rate == 1 or getattr(tts, "abilities", NO_PACE).paces
            yield from speak(text, voice, tag) if paces else paced(speak(text, voice, tag), voice.rate)

        async with aclosing(self._calls.run("tts", synthesise, tag, voice)) as chunks:
            async for chunk in chunks:
                yield chunk

    def stt(self, samples: Samples, language: str | None) -> AsyncGenerator[Transcript, None]:
        def transcribe(stt: STT) -> Generator[Transcript, None, None]:
            return stt.transcribe(samples, language)

        return self._calls.run("stt", transcribe)

    async def plausible(self, samples: Samples, text: str) -> bool:
        def judge(stt: STT) -> Generator[bool, None, None]:
            yield stt.plausible(samples, text)

        async with aclosing(self._calls.run("stt", judge)) as verdicts:
            return all([verdict async for verdict in verdicts])

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
