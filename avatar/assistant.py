"""Everything that is shared by those who talk: seats, store, engines; live sessions, and turns without a socket.

Built once in app.py. Knows no Gradio and no WebSocket; every method that takes an owner acts for that owner only.
"""

import asyncio
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from avatar.audio import Decoder, pcm16, resample
from avatar.chat import Chat, ChatLine, Exchange, again_id
from avatar.conversation import Conversation
from avatar.engines.pool import EnginePool
from avatar.errors import AudioError, AvatarError, NotFound, StorageError, WeightsError
from avatar.events import AudioChunk, Failure, Notice, Samples, Serving, Token, Transcript, TurnDone
from avatar.hearing import PAUSES_MS, Hearing
from avatar.metrics import Metrics
from avatar.pipeline import Pipeline
from avatar.recorder import Ended, Recorder
from avatar.sessions import Seats, Tokens
from avatar.settings import Settings
from avatar.store import Store, TurnState
from avatar.turntaking.reasons import Reason
from avatar.turntaking.smartturn import SmartTurn
from avatar.turntaking.voice import Silero, VoiceActivity
from avatar.weights.downloads import Downloads
from avatar.wire import REPLY_RATE, Hello, Preferences

log = logging.getLogger(__name__)

WATCH_S = 1.0  # between two looks at who idles and how many seats are taken


@dataclass(frozen=True, slots=True)
class Update:
    """One step of a turn without a socket. `audio` (rate, int16 samples) comes once, at the end of the reply."""

    conversation_id: str
    lines: list[ChatLine]
    audio: tuple[int, NDArray[np.int16]] | None = None
    notice: Notice | None = None


class Assistant:
    def __init__(
        self,
        *,
        settings: Settings,
        pool: EnginePool,
        pipeline: Pipeline,
        store: Store,
        seats: Seats,
        tokens: Tokens,
        metrics: Metrics,
        decoder: Decoder,
        downloads: Downloads,
        silero: Silero | None,
        smart_turn: SmartTurn | None,
    ) -> None:
        self.settings, self.pool, self.store, self.seats = settings, pool, store, seats
        self.metrics, self.downloads = metrics, downloads
        self._pipeline, self._tokens, self._decoder = pipeline, tokens, decoder
        self._recorder = Recorder(store, metrics)
        self._silero, self._smart_turn = silero, smart_turn
        self.live: dict[str, Conversation] = {}
        self._begun = WeakValueDictionary[tuple[str, str], Chat]()  # by owner and id, those that pages were told of
        self._closing: dict[str, asyncio.Task[None]] = {}  # by live id: what was heard is being stored
        self._watcher: asyncio.Task[None] | None = None

    # -- live sessions ----------------------------------------------------------------------------------------------
    def issue_token(self, owner: str) -> str:
        return self._tokens.issue(owner)

    def redeem_token(self, token: str) -> str:
        """The owner it was made for. Raises NotFound: unknown, used or too old."""
        return self._tokens.redeem(token)

    async def join(self, owner: str, hello: Hello) -> Conversation:
        """Take a seat and open (or reopen) a conversation in it. Raises ServerFull, StorageError, WeightsError."""
        if self._watcher is None:
            self._watcher = asyncio.create_task(self._watch_seats())
        live_id = secrets.token_urlsafe(16)
        seat = self.seats.admit(owner, live_id)
        try:
            left = [key for key, c in self.live.items() if (c.owner, c.chat.id) == (owner, hello.conversation)]
            await asyncio.gather(*(self._closing[key] for key in left if key in self._closing), return_exceptions=True)
            chat = await asyncio.to_thread(self._reopen, owner, hello.conversation)
            sayings = await asyncio.to_thread(self.store.sayings.of, owner)
            conversation = Conversation(
                owner=owner,
                live_id=live_id,
                chat=chat,
                seat=seat.index,
                pool=self.pool,
                pipeline=self._pipeline,
                make_hearing=self._hearing,
                save=self._recorder.save,
                on_activity=lambda: self.seats.touch(live_id),
                sayings=sayings,
            )
        except BaseException:
            self.seats.release(live_id)
            raise
        self.live[live_id] = conversation
        self.greet(conversation)
        conversation.prepare()
        conversation.prefer(Preferences(hello.patience_ms, hello.language, hello.half_duplex, hello.bargein))
        return conversation

    def greet(self, conversation: Conversation) -> None:
        self._begun[conversation.owner, conversation.chat.id] = conversation.chat
        conversation.post(
            "ready",
            live=conversation.live_id,
            conversation=conversation.chat.id,
            n=self.seats.count(),
            of=self.settings.max_sessions,
        )

    async def leave(self, conversation: Conversation) -> None:
        """The socket is gone: the seat is free at once, what was heard of a running reply is stored."""
        live_id = conversation.live_id
        self.seats.release(live_id)
        self._closing[live_id] = asyncio.create_task(conversation.close())
        try:
            await self._closing[live_id]
        finally:
            del self.live[live_id], self._closing[live_id]

    def _reopen(self, owner: str, conversation_id: str, client_turn_id: str = "") -> Chat:
        """The conversation as stored; without a turn while its first one is on its way; a new one when it is not there.

        A page that lost the answer to its first turn may not know the conversation: the turn it resends tells.
        """
        chat = self._stored(owner, conversation_id)
        if chat is None and client_turn_id:
            chat = self._stored(owner, self.store.conversation_of(owner, client_turn_id))
        return chat or Chat(conversation_id if (owner, conversation_id) in self._begun else "")

    def _stored(self, owner: str, conversation_id: str) -> Chat | None:
        try:
            persona = self.store.persona(owner, conversation_id)
            return Chat(conversation_id, self.store.turns(owner, conversation_id), persona)
        except NotFound:  # no turn of it is stored yet, or it was deleted meanwhile
            return None

    def _hearing(self, conversation: Conversation) -> Hearing:
        if self._silero is None:
            raise WeightsError(
                "Live talk needs the Silero VAD weights. Get them with: python -m avatar.weights fetch silero-vad. "
                "Typing and recordings work without them."
            )
        return Hearing(
            self._pipeline,
            VoiceActivity(self._silero.detector(), pauses_ms=PAUSES_MS, max_utterance_s=self.settings.max_utterance_s),
            self._smart_turn,
            conversation,
            patience_ms=self.settings.patience_ms,
        )

    def _mine(self, owner: str, live_id: str) -> Conversation:
        conversation = self.live.get(live_id)
        if conversation is None or conversation.owner != owner:
            raise NotFound("This session has ended. Press Start to begin another.", code="SESSION_ENDED")
        return conversation

    async def follow(self, owner: str, live_id: str) -> AsyncIterator[list[ChatLine]]:
        """The chat of a live session at each change, until its running turn is over. Raises NotFound."""
        chat = self._mine(owner, live_id).chat
        if not chat.exchanges:
            yield []
            return
        async for lines in chat.follow(chat.exchanges[-1]):
            yield lines

    async def say(self, owner: str, live_id: str, text: str, client_turn_id: str) -> None:
        """Typed while the socket is open: the reply is spoken over it. Raises NotFound."""
        self._mine(owner, live_id).say(text, client_turn_id)

    async def again(self, owner: str, live_id: str) -> None:
        """Answer what was said last once more, over the socket. Raises NotFound."""
        self._mine(owner, live_id).again()

    def reasons(self, owner: str, live_id: str) -> list[tuple[float, Reason]]:
        """Why a live session answered, waited or stopped: the newest decisions first, with their age in seconds.
        Raises NotFound."""
        return self._mine(owner, live_id).reasons()

    async def _watch_seats(self) -> None:
        """Runs as long as the server: warn idle seats, free them, tell every page how many seats are taken."""
        shown, warned = -1, dict[str, float]()  # session -> the activity that its warning followed
        while True:
            await asyncio.sleep(WATCH_S)
            for seat, left_s in self.seats.idle():
                if (conversation := self.live.get(seat.key)) is not None:
                    if warned.get(seat.key) != seat.last_active:
                        warned = {key: at for key, at in warned.items() if key in self.live}
                        warned[seat.key] = seat.last_active
                        conversation.post("idle", left_s=max(0, round(left_s)))
                    if left_s <= 0:
                        conversation.hang_up("IDLE", "Nothing was said for a while, so this seat was freed.")
            if (taken := self.seats.count()) != shown:
                shown = taken
                for conversation in self.live.values():
                    conversation.post("seats", n=taken, of=self.settings.max_sessions)

    # -- turns without a socket -------------------------------------------------------------------------------------
    async def answer(
        self, owner: str, conversation_id: str, asked: Path | str | None, client_turn_id: str, language: str
    ) -> AsyncGenerator[Update, None]:
        """Answer a recording or typed text, or with None the last words once more: the new reply takes the place of
        the old one. The reply's audio comes with the last update. Raises AvatarError; an AudioError says what is wrong
        with the file."""
        chat = await asyncio.to_thread(self._reopen, owner, conversation_id, client_turn_id)
        old: Exchange | None = None
        if asked is None:
            old = chat.last_answered()
            asked, client_turn_id = old.user, again_id(old.turn_id)
        self._begun[owner, chat.id] = chat
        if chat.has(client_turn_id):
            yield Update(chat.id, chat.lines())
            return
        sayings = await asyncio.to_thread(self.store.sayings.of, owner)
        key = secrets.token_urlsafe(16)
        seat = self.seats.admit(owner, key)
        single = _Single(chat)
        if old is not None:
            chat.drop(old)
        state: TurnState = "interrupted"
        unsaved: Notice | None = None
        try:
            heard = asked if isinstance(asked, str) else await self._decoder.decode(asked)
            spoken = None if language == "auto" else language
            turn = self._pipeline.turn(heard, chat.messages(), seat=seat.index, language=spoken, sayings=sayings)
            async with aclosing(turn) as events:
                async for event in events:
                    if (notice := single.take(event)) is not None:
                        yield Update(chat.id, chat.lines(), notice=notice)
                    elif single.exchange is not None and isinstance(event, Token | TurnDone):
                        yield Update(chat.id, chat.lines())
            state = "failed" if single.failure else "done"
        finally:
            self.seats.release(key)
            if (exchange := single.exchange) is not None:
                sound = None if isinstance(heard, str) else heard
                ended = Ended(
                    exchange, state, sound, single.audio(), client_turn_id, single.language, single.engines, old
                )
                try:  # shielded: who leaves in the middle of a turn finds it in the history
                    await asyncio.shield(asyncio.ensure_future(self._recorder.save(owner, chat, ended)))
                except StorageError as error:  # said below; the answer is given all the same
                    unsaved = Notice(error.code, error.sentence)
                exchange.over = True
        if single.failure is not None:
            if old is not None:
                yield Update(chat.id, chat.lines())  # with the old reply, whose place this was to take
            raise AvatarError(single.failure.sentence, code=single.failure.code)
        if single.exchange is None:
            raise AudioError("I heard no words. Is the right microphone chosen?", code="NOTHING_HEARD")
        spoken_reply = np.frombuffer(pcm16(single.audio()), np.int16)
        audio = (REPLY_RATE, spoken_reply) if len(spoken_reply) else None
        yield Update(chat.id, chat.lines(), audio=audio, notice=unsaved)

    # -- persona ------------------------------------------------------------------------------------------------------
    async def set_persona(self, owner: str, conversation_id: str, live_id: str, text: str) -> str:
        """Tell the model who it is, from the next reply on, in this conversation or, if there is none yet, in a new
        one. Returns the conversation's id. Raises AvatarError: PERSONA_LONG, NotFound, StorageError."""
        live = self._mine(owner, live_id) if live_id else None
        wanted = live.chat.id if live is not None else conversation_id
        wanted, persona = await asyncio.to_thread(self._keep_persona, owner, wanted, text)
        if live is not None and live.chat.id == wanted:
            live.chat.persona = persona
            live.prepare()
        return wanted

    def _keep_persona(self, owner: str, conversation_id: str, text: str) -> tuple[str, str]:
        """Its row is written with the first turn, or here. Ids are the server's: an unknown one becomes a new one."""
        try:
            return conversation_id, self.store.set_persona(owner, conversation_id, text)
        except NotFound:
            known = (owner, conversation_id) in self._begun
        new = self.store.create_conversation(owner, conversation_id=conversation_id if known else "")
        return new, self.store.set_persona(owner, new, text)

    # -- how words are said -------------------------------------------------------------------------------------------
    def say_as(self, owner: str, written: str, spoken: str) -> None:
        """Blocks. From the owner's next reply on, `written` is said as `spoken`. Raises AvatarError."""
        self.store.sayings.put(owner, written, spoken)
        self._tell_sayings(owner)

    def unsay(self, owner: str, written: str) -> None:
        """Blocks. Raises NotFound, StorageError."""
        self.store.sayings.remove(owner, written)
        self._tell_sayings(owner)

    def _tell_sayings(self, owner: str) -> None:
        sayings = self.store.sayings.of(owner)
        for conversation in list(self.live.values()):
            if conversation.owner == owner:
                conversation.sayings = sayings

    def lines(self, owner: str, conversation_id: str) -> list[ChatLine]:
        """Blocks. The stored conversation. Raises NotFound."""
        return Chat(conversation_id, self.store.turns(owner, conversation_id)).lines()


class _Single:
    """What has come of a turn without a socket so far."""

    def __init__(self, chat: Chat) -> None:
        self._chat, self._chunks = chat, list[Samples]()
        self.exchange: Exchange | None = None
        self.language: str | None = None
        self.engines: dict[str, str] = {}
        self.failure: Failure | None = None

    def take(self, event: object) -> Notice | None:
        """Returns a notice for the user, if `event` is one."""
        match event:
            case Transcript(text, True, language) if text.strip():
                self.exchange, self.language = self._chat.add(Exchange(text.strip())), language
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

    def audio(self) -> Samples:
        return np.concatenate(self._chunks) if self._chunks else np.zeros(0, np.float32)
