"""One turn as it runs: what is heard, thought and said, and the times of first results. Driven by the pipeline."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import aclosing

from avatar.engines.base import LLM, STT, SYSTEM_PROMPT, TTS, Abilities, Begins, Message, Voice
from avatar.engines.calls import Calls, Timeouts
from avatar.engines.pool import EnginePool
from avatar.engines.tempo import paced
from avatar.errors import AvatarError, EngineError, NoEngine, OutOfMemory
from avatar.events import AudioChunk, Clause, Event, Failure, Notice, Samples, Token, Transcript, TurnDone
from avatar.saying import spoken
from avatar.text import ClauseSplitter, language_of, speakable, voice_language

NO_PACE = Abilities(())
NO_ANSWER = "The language model gave no answer. Please say it in other words."
GO_ON = {"en": "Go on where you stopped.", "zh": "請從剛才停下的地方接著說。"}
NOT_UNDERSTOOD = (
    "That did not sound like English, the only language that the speech recognition in use understands. "
    "Say it in English, or type it. Other languages need Whisper: Status says how to get it."
)


class Turn:
    """Good for one `run`, or for any of `stt`, `plausible` and `say`, which each use one engine alone."""

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
        self._asked_at = 0.0  # the language model
        self._reply: list[str] = []  # deltas
        self._clauses: asyncio.Queue[str | None] = asyncio.Queue()  # to be spoken; None ends them

    async def run(
        self,
        heard: Samples | str,
        history: Sequence[Message],
        voice: Voice,
        seat: int,
        language: str | None,
        room: Callable[[], Awaitable[None]],
    ) -> None:
        """Hear, think and speak: see Pipeline.turn. Emits exactly one TurnDone or Failure; cancel to stop."""
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
        self._asked_at = self._clock()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._think(words, history, seat))
            group.create_task(self._speak(voice, language, language or language_of(words), room))
        return "".join(self._reply).strip()

    async def _think(self, words: str, history: Sequence[Message], seat: int) -> None:
        persona = [message for message in history if message.role == "system"]
        answered = await self._write(words, history, seat)
        if not answered and len(history) > len(persona):
            # a small model can be silenced by what it remembers; silence would look like a hang
            answered = await self._write(words, persona, seat)
        if not answered:
            raise EngineError(NO_ANSWER, stage="llm", engine=self._calls.serving["llm"].name, code="EMPTY_REPLY")
        self._clauses.put_nowait(None)

    async def _write(self, words: str, remembered: Sequence[Message], seat: int) -> bool:
        """Have the answer written, its clauses queued. Returns whether there is anything in it to say."""
        splitter, clauses = ClauseSplitter(), 0
        async with aclosing(self._written(prompted(remembered, words), seat)) as deltas:
            async for delta in deltas:
                self._times.setdefault("ttft", self._since_asked_ms())
                if delta is None:
                    splitter = ClauseSplitter()  # the clause that was being written is lost
                    continue
                self._reply.append(delta)
                self._emit(Token(delta))
                clauses += self._queue(splitter.push(delta))
        return clauses + self._queue(splitter.flush()) > 0

    def _queue(self, written: list[str]) -> int:
        """Returns how many of these clauses can be spoken, and will be."""
        texts = [text for text in map(speakable, written) if text]
        for text in texts:
            self._clauses.put_nowait(text)
        return len(texts)

    async def _speak(
        self, voice: Voice, language: str | None, read_as: str, room: Callable[[], Awaitable[None]]
    ) -> None:
        """Every clause, as it is written. `read_as`: the language of what no writing tells, such as digits."""
        voiced = True
        while (clause := await self._clauses.get()) is not None:
            self._times.setdefault("llm", self._since_asked_ms())
            if not voiced:
                continue
            await room()
            self._emit(Clause(clause))
            try:
                async for chunk in self.say(spoken(clause, read_as, self._sayings), voice, language):
                    self._times.setdefault("tts", self._since_asked_ms() - self._times["llm"])
                    self._emit(chunk)
            except OutOfMemory as error:
                self._emit(Notice(error.code, f"{error.sentence} A few words are missing."))
            except NoEngine as error:
                if error.code != NoEngine.code:  # there are voices, but not for this
                    raise
                voiced = False
                self._emit(Notice("TEXT_ONLY", f"{error.sentence} The reply goes on as text."))

    def _since_asked_ms(self) -> float:
        return (self._clock() - self._asked_at) * 1000

    async def _written(self, prompt: list[Message], seat: int) -> AsyncGenerator[str | None, None]:
        """The deltas of the answer; None where the model's memory ran out in the middle, and the next one goes on."""
        written, asked = "", prompt
        while True:
            before = len(written)

            def write(llm: LLM, messages: list[Message] = asked) -> Generator[str, None, None]:
                return llm.reply(messages, seat)

            try:
                async with aclosing(self._calls.run("llm", write)) as deltas:
                    async for delta in deltas:
                        written += delta
                        yield delta
                return
            except OutOfMemory as error:
                if len(written) == before:  # nor has the next one memory for a single word
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

        async with aclosing(self._calls.run("tts", synthesise, tag, voice, not self._begun)) as chunks:
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
