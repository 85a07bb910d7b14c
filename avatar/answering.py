"""The replies of one live session: begun as guesses, accepted, played, cut to what was heard, stored.

Runs in the event loop; knows the wire's messages, and nothing of how speech becomes words.
"""

import asyncio
import logging
import traceback
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from avatar.chat import Chat, Exchange
from avatar.engines.base import Message
from avatar.errors import AvatarError, NotFound
from avatar.events import Failure, Notice
from avatar.hearing import Hearing
from avatar.listener import Utterance
from avatar.outbox import Outbox
from avatar.pipeline import Pipeline
from avatar.playback import Playback
from avatar.readahead import ReadAhead
from avatar.recorder import Ended
from avatar.reply import Reply
from avatar.store import TurnState
from avatar.turn import NOT_UNDERSTOOD
from avatar.understanding import Understanding
from avatar.wire import Preferences, audio_frame

log = logging.getLogger(__name__)

SETTLE_S = 0.3  # after a flush: how long the page has to report what it played

T = TypeVar("T")
Save = Callable[[str, Chat, Ended], Coroutine[Any, Any, None]]


class Answering:
    """The half of a conversation that answers. At most one reply runs; others may still be on their way to the disk."""

    _hearing: Hearing  # the half that listens sets it; it is told when a reply may be in the microphone

    def __init__(
        self,
        owner: str,
        chat: Chat,
        seat: int,
        pipeline: Pipeline,
        save: Save,
        sayings: Mapping[str, str],
        clock: Callable[[], float],
    ) -> None:
        self.owner, self.chat = owner, chat
        self.outbox = Outbox()
        self.post, self.notice, self.hang_up = self.outbox.post, self.outbox.notice, self.outbox.hang_up
        self.reply: Reply | None = None
        self.sayings = sayings  # of the owner; replaced when they change, and the next reply says them
        self._seat, self._pipeline, self._save, self._clock = seat, pipeline, save, clock
        self._preferences = Preferences()
        self._turn = 0
        self._guess: Reply | None = None  # to what may be all the words of the turn
        self._wasted = 0  # tokens of guesses that were dropped
        self._replies: dict[int, Reply] = {}  # by turn, until stored
        self._tasks: set[asyncio.Task[Any]] = set()
        self._understanding = Understanding(pipeline, self._spawn)
        self._reader = ReadAhead(pipeline, seat, self._to_read, self._spawn)
        self._muted = self._closed = False
        self._state = ""

    # -- to the page ------------------------------------------------------------------------------------------------
    def _show(self, state: str, **more: Any) -> None:
        if self._muted and state in ("listening", "pausing"):
            state = "muted"  # a reply is shown all the same: it can be stopped
        if state != self._state or more:
            self._state = state
            self.post("state", state=state, **more)

    def _rest(self) -> str:
        if self.reply is None:
            return "listening"
        return "speaking" if self.reply.first_sound_at is not None else "thinking"

    def _drop_guess(self) -> None:
        guess, self._guess = self._guess, None
        if guess is not None and guess.task is not None:
            guess.task.cancel()
            self._wasted += guess.tokens
            guess.tell_notices()

    def _to_read(self) -> Sequence[Message] | None:
        """What comes before the words that are read ahead; None while there is an answer to write."""
        return self.chat.messages() if self.reply is None and self._guess is None else None

    # -- the chat ---------------------------------------------------------------------------------------------------
    def prepare(self) -> None:
        """Let the model read what it knows of this conversation: the seat's cache may hold another."""
        self._reader.read("", anyway=True)

    def _language(self) -> str | None:
        """That the user chose."""
        return None if self._preferences.language == "auto" else self._preferences.language

    def _begin_chat(self) -> None:
        self._drop_guess()  # it was made for the one that was
        self.chat = Chat()
        self.chat.language = self._language()
        self.prepare()

    async def _move_on(self) -> None:
        """The conversation is gone, and nobody has said so: a backup was restored, say. What of it is not stored yet
        goes on as a new one."""
        gone, unstored = self.chat, [reply for reply in self._replies.values() if reply.chat is self.chat]
        self._begin_chat()
        for reply in unstored:
            gone.drop(reply.exchange)
            reply.chat, reply.instead_of = self.chat, None
            self.chat.add(reply.exchange)
        await self._tell_renewed()

    async def _tell_renewed(self) -> None:
        """Another chat has taken the place of one that is gone: the page must know."""
        raise NotImplementedError

    # -- answering --------------------------------------------------------------------------------------------------
    def _begin(self, words: str, language: str | None) -> Reply:
        async def send(pcm16: bytes) -> None:
            self.outbox.put(audio_frame(reply.turn, pcm16))

        async def clause(text: str, at: int) -> None:
            self.post("clause", turn=reply.turn, text=text, at=at)

        async def end(samples: int) -> None:
            self.post("end", turn=reply.turn, samples=samples)

        playback = Playback(send, clause, end, self._clock)
        playback.on_first = lambda: self._first_sound(reply)
        reply = Reply(self.chat, words, language, playback, self._tell, self._clock)
        reply.voice = replace(reply.voice, rate=self._preferences.rate_pct / 100)
        reply.task = self._spawn(self._run(reply))
        return reply

    def _answer(
        self, words: str, pieces: list[Utterance], client_turn_id: str = "", instead_of: Exchange | None = None
    ) -> None:
        if self._guess is None or not self._guess.answers(words):
            self._drop_guess()
            self._guess = self._begin(words, pieces[-1].language if pieces else None)
        reply, self._guess = self._guess, None
        self.reply = reply
        self._turn += 1
        reply.accept(self._turn, pieces, client_turn_id)
        reply.instead_of = instead_of
        self._replies[reply.turn] = reply
        self._hearing.guard(reply.playback.in_air)
        self.post("turn", turn=reply.turn)
        self._show("thinking")
        if pieces and not self._understanding.certain:
            reply.check = self._spawn(self._check_language(reply))
        else:
            reply.playback.allowed.set()

    async def _check_language(self, reply: Reply) -> None:
        """No sound goes out for what may be another language."""
        piece = reply.pieces[-1]
        if await self._understanding.verdict(piece.samples, piece.words):
            reply.playback.allowed.set()
        elif reply is self.reply:
            self._stop(reply, withdrawn=True)
            self.post("error", code="LANGUAGE", text=NOT_UNDERSTOOD)

    async def _run(self, reply: Reply) -> None:
        await reply.run(self._pipeline, self._seat, self.sayings)
        if reply is self.reply:
            self._release(reply)
            self._spawn(self._settle(reply, "failed" if reply.failure else "done"))

    def _tell(self, event: Notice | Failure) -> None:
        kind = "notice" if isinstance(event, Notice) else "error"
        self.post(kind, code=event.code, text=event.sentence)

    def _first_sound(self, reply: Reply) -> None:
        reply.exchange.timings_ms = timings = reply.timings_ms()
        engines = {"eot": "Smart Turn", **reply.engines}
        self.post("latency", turn=reply.turn, sure=reply.sure, engines=engines, wasted=self._wasted, **timings)
        self._show("speaking")

    def _stop(self, reply: Reply, withdrawn: bool = False) -> None:
        """Silence the page, cancel the work. A withdrawn reply leaves no trace, any other is stored as far as heard."""
        self._release(reply)
        if reply.task is not None:
            reply.task.cancel()
        reply.playback.stop()
        self.post("flush", turn=reply.turn)
        if withdrawn:
            reply.chat.drop(reply.exchange)
            self._replies.pop(reply.turn, None)
        else:
            reply.cut()  # at once, for the next turn's memory; again when the page has reported
            self._spawn(self._settle(reply, "interrupted"))

    def _release(self, reply: Reply) -> None:
        if reply is self.reply:
            self.reply = None
            self._hearing.guard(None)
            self._show("listening")

    async def _settle(self, reply: Reply, state: TurnState) -> None:
        """Store the turn, once: with all of the reply, or with what was heard of it."""
        if state == "interrupted":
            await asyncio.sleep(SETTLE_S)
            reply.cut()
        try:
            try:
                await self._save(self.owner, reply.chat, reply.ended(state))
            except NotFound:
                if reply.chat is not self.chat:  # deleted, and left, meanwhile
                    return
                await self._move_on()
                await self._save(self.owner, reply.chat, reply.ended(state))
            turn_id = reply.exchange.turn_id
            self.post("saved", turn=reply.turn, id=turn_id, state=state, conversation=reply.chat.id)
        except AvatarError as error:
            self.post("error", code=error.code, text=error.sentence)
        finally:
            reply.exchange.over = True
            self._replies.pop(reply.turn, None)
            reply.chat.touch()
            if self.reply is None and not self._reader.reading and not self._closed:
                self._reader.read("")  # the prompt of what comes next, before it comes

    def _spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            where = traceback.extract_tb(error.__traceback__)[-1]  # no message: it may hold a user's words
            log.error("a turn ended in a bug: %s at %s:%s", type(error).__name__, where.filename, where.lineno)
            self.post("error", code="BUG", text="Something went wrong inside AVATAR. The log has the details.")
            if self.reply is not None and task in (self.reply.task, self.reply.check):
                self._stop(self.reply)
            if self._guess is not None and self._guess.task is task:
                self._guess = None
