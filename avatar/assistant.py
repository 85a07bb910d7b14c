"""Everything that is shared by those who talk: seats, store, engines; live sessions, and turns without a socket.

Built once in app.py. Knows no Gradio and no WebSocket; every method that takes an owner acts for that owner only.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from avatar.attendant import ELSEWHERE, Attendant
from avatar.audio import Decoder
from avatar.chat import Chat, ChatLine
from avatar.conversation import Conversation
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError, NotFound, ServerFull, StorageError, WeightsError
from avatar.events import Notice
from avatar.export import Exports
from avatar.hearing import PAUSES_MS, Hearing
from avatar.metrics import Metrics
from avatar.opened import Opened
from avatar.pipeline import Pipeline
from avatar.preview import Previews
from avatar.recorder import Ended, Recorder
from avatar.sessions import Seats, Tokens
from avatar.settings import Settings
from avatar.single import SingleTurns, Update
from avatar.store import Quality, Store
from avatar.studio import Studio
from avatar.takes import Take, Takes
from avatar.turntaking.reasons import Reason
from avatar.turntaking.smartturn import SmartTurn
from avatar.turntaking.voice import Silero, VoiceActivity
from avatar.voice_choice import VoiceChoices
from avatar.weights.downloads import Downloads
from avatar.wire import Hello
from avatar.wishes import Wishes

T = TypeVar("T")


class Assistant:
    """One for the whole server. Coroutines belong to its event loop; a method that says "Blocks" is for a thread."""

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
        studio: Studio | None = None,
        news: Callable[[int], Sequence[Notice]] = lambda since: (),
    ) -> None:
        """Without a `studio` there are no voices but the engines' own.

        `news` are notices for all who talk, from a number on: see Pressure.told."""
        self.settings, self.pool, self.store, self.seats = settings, pool, store, seats
        self.metrics, self.downloads, self.studio = metrics, downloads, studio
        self.voices = VoiceChoices(pool, None if studio is None else studio.voices)
        self._pipeline, self._tokens = pipeline, tokens
        if studio is not None:
            studio.voices.on_change = self.tell_voices
        self.previews = None if studio is None else Previews(studio, pipeline)
        self.takes = Takes(pool, pipeline, store, made=self._show_take) if settings.hq_takes else None
        self._recorder = Recorder(store, metrics, self._stored)
        self._silero, self._smart_turn = silero, smart_turn
        self.live: dict[str, Conversation] = {}
        self.attendant = Attendant(seats, self.live, pipeline, news)
        self._opened = Opened(store, self.voices.voice)
        self.exports = Exports(settings.data, store, None if studio is None else studio.voices)
        self._single = SingleTurns(
            opened=self._opened,
            store=store,
            seats=seats,
            pipeline=pipeline,
            recorder=self._recorder,
            decoder=decoder,
            refused=metrics.refusal,
        )
        self.wishes = Wishes(store, pool, self.voices, self._opened, self._mine)
        self._closing: dict[str, asyncio.Task[None]] = {}  # by live id: what was heard is being stored

    # -- live sessions ----------------------------------------------------------------------------------------------
    def issue_token(self, owner: str) -> str:
        return self._tokens.issue(owner)

    def redeem_token(self, token: str) -> str:
        """The owner it was made for. Raises NotFound: unknown, used or too old."""
        return self._tokens.redeem(token)

    async def join(self, owner: str, hello: Hello) -> Conversation:
        """Take a seat and open (or reopen) a conversation in it. Where another window of the owner's has it live, that
        one gives way, unless this page comes back unasked. Raises AvatarError (ELSEWHERE, storage, weights)."""
        self.attendant.begin()
        live_id = secrets.token_urlsafe(16)
        there = [c for c in self.live.values() if (c.owner, c.chat.id) == (owner, hello.conversation)]
        staying = {c.live_id: c for c in there if c.live_id not in self._closing}
        if hello.live and staying.keys() - {hello.live}:
            raise AvatarError(ELSEWHERE, code="ELSEWHERE")
        seat = self.seats.admit(owner, live_id, instead_of=staying)
        try:
            for other in staying.values():
                other.hang_up("ELSEWHERE", ELSEWHERE)
            await asyncio.gather(*(self.leave(c) for c in there), return_exceptions=True)
            chat = await asyncio.to_thread(self._opened.reopen, owner, hello.conversation)
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
                on_renewed=self.greet_anew,
                sayings=sayings,
            )
        except BaseException:
            self.seats.release(live_id)
            raise
        self.live[live_id] = conversation
        self.greet(conversation)
        conversation.prepare()
        conversation.prefer(hello.preferences)
        return conversation

    def greet(self, conversation: Conversation) -> None:
        """Tell the page which conversation it is in."""
        self._opened.tell(conversation.owner, conversation.chat)
        conversation.post(
            "ready",
            live=conversation.live_id,
            conversation=conversation.chat.id,
            n=self.seats.count(),
            of=self.settings.seats,
        )

    async def greet_anew(self, conversation: Conversation) -> None:
        """It has begun a new one, which its owner's default voice speaks in."""
        self.greet(conversation)
        await asyncio.to_thread(self.tell_voices, conversation.owner)

    async def leave(self, conversation: Conversation) -> None:
        """The socket is gone, or another one has come: the seat is free at once, what was heard of a running reply is
        stored. Twice is harmless."""
        live_id = conversation.live_id
        self.seats.release(live_id)
        if live_id in self.live and live_id not in self._closing:
            self._closing[live_id] = asyncio.create_task(conversation.close())
        if (closing := self._closing.get(live_id)) is not None:
            await asyncio.wait({closing})
            self.live.pop(live_id, None)
            self._closing.pop(live_id, None)
            closing.result()

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

    def admit(self, owner: str) -> None:
        """Before `answer`: raises ServerFull, and counts it, when a turn without a socket would find no seat now."""
        try:
            self.seats.check(owner)
        except ServerFull as error:
            self.metrics.refusal(error.code)
            raise

    def answer(
        self,
        owner: str,
        conversation_id: str,
        asked: Path | str | None,
        client_turn_id: str,
        language: str,
        rate_pct: float = 100,
    ) -> AsyncGenerator[Update, None]:
        """Without a socket: see SingleTurns."""
        return self._single.answer(owner, conversation_id, asked, client_turn_id, language, rate_pct)

    def _stored(self, owner: str, chat: Chat, ended: Ended, turn_id: str) -> None:
        """Of a reply that was given in full by another voice, an HQ take is made while nobody talks."""
        if self.takes is not None and ended.state == "done" and ended.exchange.answer:
            self.takes.offer(Take(owner, turn_id, chat, ended.exchange, ended.language), ended.engines.get("tts", ""))

    def _show_take(self, chat: Chat) -> None:
        chat.touch()
        for conversation in self.live.values():
            if conversation.chat is chat:
                conversation.post("take")

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

    def fork(self, owner: str, turn_id: str, voice: str, quality: Quality) -> str:
        """Blocks. A new conversation that goes on after this turn, in this voice; its id. Raises AvatarError: NotFound,
        NO_VOICE, StorageError."""
        if voice != self.store.voice(owner, self.store.turn(owner, turn_id).conversation):
            self.voices.check(owner, voice)
        new = self.store.fork(owner, turn_id, voice, quality)
        if quality == "hq":
            self.pool.want_hq("tts")
        return new

    async def delete(self, owner: str, conversation_id: str) -> set[str]:
        """A conversation with its recordings; live sessions that are in it go on in a new one, and tell their
        pages. Returns their ids. Raises NotFound, StorageError."""
        await asyncio.to_thread(self.store.delete_conversation, owner, conversation_id)
        inside = [c for c in self.live.values() if (c.owner, c.chat.id) == (owner, conversation_id)]
        for conversation in inside:
            await conversation.renew()
        return {conversation.live_id for conversation in inside}

    def in_use(self, owner: str) -> set[str]:
        """The conversations that a page has open: nothing of them is cleared away."""
        return {live.chat.id for live in list(self.live.values()) if live.owner == owner} | self._opened.ids(owner)

    def erase(self, owner: str) -> None:
        """Blocks. Everything that is kept of an owner. Raises AvatarError: ERASE_LIVE while they talk; StorageError."""
        if owner in self._single.answering or any(live.owner == owner for live in list(self.live.values())):
            raise AvatarError("A conversation is running. End it, then erase everything.", code="ERASE_LIVE")
        self.store.erase(owner)
        if self.studio is not None:
            self.studio.erase(owner)
        if self.previews is not None:
            self.previews.forget(owner)

    def tell_voices(self, owner: str) -> None:
        """Blocks. What voice an owner's open conversations speak in from the next reply on, by what is kept now."""
        for conversation in list(self.live.values()):
            if conversation.owner == owner:
                with suppress(StorageError):  # a disk that fails says so when the turn is stored
                    choice = self.store.voice(owner, conversation.chat.id)
                    conversation.chat.voice = self.voices.voice(owner, choice)

    # -- ratings ------------------------------------------------------------------------------------------------------
    async def rate(self, owner: str, turn_id: str, rating: int | None) -> str:
        """Keep how good the sound of a reply was, 1 to 10; None takes it back. Returns its conversation's id.
        Raises AvatarError: NotFound, BAD_RATING, StorageError."""
        conversation_id = await asyncio.to_thread(self.store.ratings.put, owner, turn_id, rating)
        shown = [c.chat for c in self.live.values() if c.owner == owner]
        for chat in filter(None, [*shown, self._opened.chat(owner, conversation_id)]):
            chat.rate(turn_id, rating)
        return conversation_id

    async def current(self, owner: str, conversation_id: str) -> list[ChatLine]:
        """The conversation as it stands, with a turn that is on its way. Raises NotFound."""
        if (chat := self._opened.chat(owner, conversation_id)) is not None:
            return chat.lines()
        return await asyncio.to_thread(self.lines, owner, conversation_id)

    def lines(self, owner: str, conversation_id: str, last: int | None = None) -> list[ChatLine]:
        """Blocks. The stored conversation, or so many of its last turns. Raises NotFound."""
        chat = Chat(conversation_id, self.store.turns(owner, conversation_id, last))
        chat.mark_takes(self.store.takes.of(conversation_id))
        return chat.lines()
