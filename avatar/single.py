"""A turn without a socket: a recording or typed text, answered once, in a seat that it holds for so long."""

import asyncio
import math
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.audio import Decoder, pcm16, resample
from avatar.chat import Chat, ChatLine, Exchange, again_id
from avatar.engines.base import Voice
from avatar.errors import AudioError, AvatarError, ServerFull, StorageError
from avatar.events import AudioChunk, Failure, Notice, Samples, Serving, Token, Transcript, TurnDone
from avatar.opened import Opened
from avatar.pipeline import Pipeline
from avatar.recorder import Ended, Recorder, kept_as
from avatar.sessions import Seats
from avatar.store import Store, TurnState
from avatar.wire import RATE_PCT, REPLY_RATE


@dataclass(frozen=True, slots=True)
class Update:
    """One step of such a turn. `audio` (rate, int16 samples) and `latency`, the times of first results in ms and who
    served, come once, at the end of the reply."""

    conversation_id: str
    lines: list[ChatLine]
    audio: tuple[int, NDArray[np.int16]] | None = None
    notice: Notice | None = None
    latency: Mapping[str, Any] | None = None


class SingleTurns:
    """Of all owners; each turn holds a seat while it runs."""

    def __init__(
        self,
        *,
        opened: Opened,
        store: Store,
        seats: Seats,
        pipeline: Pipeline,
        recorder: Recorder,
        decoder: Decoder,
        refused: Callable[[str], None],
    ) -> None:
        """`refused` is told the code when there is no seat."""
        self._opened, self._store, self._seats, self._refused = opened, store, seats, refused
        self._pipeline, self._recorder, self._decoder = pipeline, recorder, decoder
        self.answering: list[str] = []  # the owner of each turn that runs, or is being stored

    async def answer(
        self,
        owner: str,
        conversation_id: str,
        asked: Path | str | None,
        client_turn_id: str,
        language: str,
        rate_pct: float = 100,
    ) -> AsyncGenerator[Update, None]:
        """Answer a recording or typed text, or with None the last words once more: the new reply takes the place of
        the old one. The reply's audio comes with the last update. Raises AvatarError; an AudioError says what is wrong
        with the file."""
        chat = await asyncio.to_thread(self._opened.reopen, owner, conversation_id, client_turn_id)
        old: Exchange | None = None
        if asked is None:
            old = chat.last_answered()
            asked, client_turn_id = old.user, again_id(old.turn_id)
        self._opened.tell(owner, chat)
        if chat.has(client_turn_id):
            yield Update(chat.id, chat.lines())
            return
        sayings = await asyncio.to_thread(self._store.sayings.of, owner)
        voice = replace(chat.voice, rate=_pace(rate_pct))
        key = secrets.token_urlsafe(16)
        try:
            seat = self._seats.admit(owner, key)
        except ServerFull as error:
            self._refused(error.code)
            raise
        if old is not None:
            chat.drop(old)
        self.answering.append(owner)
        running = _Running(chat, voice, client_turn_id, old)
        state: TurnState = "interrupted"
        try:
            heard = asked if isinstance(asked, str) else await self._decoder.decode(asked)
            running.sound = None if isinstance(heard, str) else heard
            spoken = chat.language = None if language == "auto" else language
            turn = self._pipeline.turn(
                heard, chat.messages(), voice, seat=seat.index, language=spoken, sayings=sayings, hq=chat.hq
            )
            async with aclosing(turn) as events:
                async for event in events:
                    if (notice := running.take(event)) is not None:
                        yield Update(chat.id, chat.lines(), notice=notice)
                    elif running.exchange is not None and isinstance(event, Token | TurnDone):
                        yield Update(chat.id, chat.lines())
            state = "failed" if running.failure else "done"
        finally:
            self._seats.release(key)
            try:
                unsaved = await self._keep(owner, running, state)
            finally:
                self.answering.remove(owner)
        if running.failure is not None and old is not None:
            yield Update(chat.id, chat.lines())  # with the old reply, whose place this was to take
        running.check()
        sound = np.frombuffer(pcm16(running.audio()), np.int16)
        yield Update(chat.id, chat.lines(), (REPLY_RATE, sound) if len(sound) else None, unsaved, running.latency())

    async def _keep(self, owner: str, running: "_Running", state: TurnState) -> Notice | None:
        """Store the turn, if there was one. Returns what to say of a disk that did not take it: the answer is given all
        the same."""
        if running.exchange is None:
            return None
        unsaved: Notice | None = None
        saving = self._recorder.save(owner, running.chat, running.ended(running.exchange, state))
        try:  # shielded: who leaves in the middle of a turn finds it in the history
            await asyncio.shield(asyncio.ensure_future(saving))
        except StorageError as error:
            unsaved = Notice(error.code, error.sentence)
        running.exchange.over = True
        return unsaved


def _pace(rate_pct: float) -> float:
    """Of the voice's own, within what can be chosen. JSON from a page can carry NaN, which no voice can follow."""
    low, high = RATE_PCT
    return 1.0 if math.isnan(rate_pct) else min(max(rate_pct, low), high) / 100


class _Running:
    """What has come of a turn so far. `old`: whose words are answered again."""

    def __init__(self, chat: Chat, voice: Voice, client_turn_id: str, old: Exchange | None) -> None:
        self.chat, self._voice, self._client_turn_id, self._old = chat, voice, client_turn_id, old
        self._chunks = list[Samples]()
        self.sound: Samples | None = None  # of a recording, at STT_RATE
        self.exchange: Exchange | None = None
        self.language: str | None = None
        self.engines: dict[str, str] = {}
        self.failure: Failure | None = None

    def take(self, event: object) -> Notice | None:
        """Returns a notice for the user, if `event` is one."""
        match event:
            case Transcript(text, True, language) if text.strip():
                self.exchange, self.language = self.chat.add(Exchange(text.strip())), language
            case Token(text) if self.exchange is not None:
                self.exchange.reply += text
            case AudioChunk(samples, rate):
                self._chunks.append(resample(samples, rate, REPLY_RATE))
            case Notice():
                return event
            case Serving(stage, engine):
                self.engines[stage] = engine
            case TurnDone(_, _, timings) if self.exchange is not None:
                self.exchange.timings_ms = {"eot": 0.0, **timings}
            case Failure():
                self.failure = event
        return None

    def check(self) -> None:
        """Raises AvatarError for a turn that failed, AudioError for one in which no words were heard."""
        if self.failure is not None:
            raise AvatarError(self.failure.sentence, code=self.failure.code)
        if self.exchange is None:
            raise AudioError("I heard no words. Is the right microphone chosen?", code="NOTHING_HEARD")

    def latency(self) -> dict[str, Any] | None:
        """As the socket tells it of a live turn, and `ttft`, the first token. None where nothing was said aloud."""
        timings = {} if self.exchange is None else dict(self.exchange.timings_ms)
        return {**timings, "engines": dict(self.engines)} if "tts" in timings else None

    def audio(self) -> Samples:
        """All of the reply: float32 (n,) at REPLY_RATE."""
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)

    def ended(self, exchange: Exchange, state: TurnState) -> Ended:
        """What there is to store of it."""
        return Ended(
            exchange=exchange,
            state=state,
            user=self.sound,
            reply=self.audio(),
            client_turn_id=self._client_turn_id,
            language=self.language,
            engines=self.engines,
            instead_of=self._old,
            voice=kept_as(self._voice),
        )
