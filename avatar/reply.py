"""One answer on its way: asked for, played, cut to what was heard. Knows no socket, microphone or database."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress

import numpy as np

from avatar.chat import Chat, Exchange
from avatar.events import AudioChunk, Clause, Event, Failure, Notice, Serving, Token
from avatar.listener import Utterance
from avatar.pipeline import Pipeline
from avatar.playback import Playback
from avatar.recorder import Ended, kept_as
from avatar.store import TurnState
from avatar.wire import REPLY_RATE


class Reply:
    """The answer to spoken or typed words. It may begin before it is certain that these are all the words: then it is
    a guess, which nobody hears or sees until `accept`, and which leaves no trace when it is dropped.
    """

    def __init__(
        self,
        chat: Chat,
        words: str,
        language: str | None,
        playback: Playback,
        tell: Callable[[Notice | Failure], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.chat, self.exchange, self.language, self.playback = chat, Exchange(words), language, playback
        self.history, self.voice, self.hq = chat.messages(), chat.voice, chat.hq
        self.turn = 0  # until it is accepted
        self.pieces: list[Utterance] = []  # of speech, the last after an early reply that was withdrawn; typed: none
        self.client_turn_id = ""
        self.instead_of: Exchange | None = None  # whose words are answered again
        self.task: asyncio.Task[None] | None = None
        self.check: asyncio.Task[None] | None = None  # whether it is in a language that the ears know
        self.failure: Failure | None = None
        self.engines: dict[str, str] = {}
        self.tokens = 0  # written so far
        self._tell, self._clock = tell, clock
        self._untold: list[Notice | Failure] = []
        self._asked_at = clock()
        self._clause_at: float | None = None

    def accept(self, turn: int, pieces: Sequence[Utterance], client_turn_id: str = "") -> None:
        """It is wanted. No sound leaves before `playback.allowed` is set."""
        self.turn, self.pieces, self.client_turn_id = turn, list(pieces), client_turn_id
        if pieces:
            self.engines["stt"] = pieces[-1].engine
        self._asked_at = self._clock()
        self.chat.add(self.exchange)
        for message in self._untold:
            self._tell(message)

    def answers(self, words: str) -> bool:
        """Whether it is the answer to these words, after all that was said before."""
        return self.exchange.user == words and self.history == self.chat.messages()

    def tell_notices(self) -> None:
        """What a dropped guess found out: an engine that was stepped down from will not be chosen, or told, again."""
        for message in self._untold:
            if isinstance(message, Notice):
                self._tell(message)

    @property
    def sure(self) -> bool:
        """Whether the end of the turn was recognised, not waited for."""
        return self.pieces[-1].sure if self.pieces else True

    @property
    def first_sound_at(self) -> float | None:
        return self.playback.first_sent_at

    async def run(self, pipeline: Pipeline, seat: int, sayings: Mapping[str, str]) -> None:
        """Ask and play; returns when all was heard. Cancel to stop both."""
        sending = asyncio.create_task(self.playback.run())
        words, room = self.exchange.user, self.playback.room
        turn = pipeline.turn(
            words,
            self.history,
            self.voice,
            seat=seat,
            language=self.language,
            room=room,
            sayings=sayings,
            hq=self.hq,
        )
        try:
            async with aclosing(turn) as events:
                async for event in events:
                    self._take(event)
            self.playback.finish()
            await sending
        finally:
            sending.cancel()
            with suppress(asyncio.CancelledError):
                await sending

    def _take(self, event: Event) -> None:
        match event:
            case Token(text):
                self.tokens += 1
                self.exchange.reply += text
                self.chat.touch()
            case Clause(text):
                self._clause_at = self._clause_at or self._clock()
                self.playback.clause(text)
            case AudioChunk():
                self.playback.push(event)
            case Serving(stage, engine):
                self.engines[stage] = engine
            case Failure():
                self.failure, self.exchange.failed = event, True
                self._say(event)
            case Notice():
                self._say(event)

    def _say(self, message: Notice | Failure) -> None:
        if self.turn:
            self._tell(message)
        else:
            self._untold.append(message)

    def timings_ms(self) -> dict[str, float]:
        """Where the time went between the user's last voiced sample and now, the first sound: the parts add up. Of a
        reply that began as a guess, what was left to wait for."""
        now, clause_at = self._clock(), max(self._clause_at or self._asked_at, self._asked_at)
        parts = {"eot": 0.0, "stt": 0.0, "llm": clause_at - self._asked_at, "tts": now - clause_at}
        if self.pieces:
            last = self.pieces[-1]
            waited = last.decided_at - last.ended_at
            # frames come late to a busy machine: the models were asked before the end that the newest of them tells
            heard = min(last.hear_ms / 1000, waited)
            parts |= {"eot": waited - heard, "stt": heard}
        return {name: round(seconds * 1000, 1) for name, seconds in parts.items()}

    def cut(self) -> None:
        """Keep only what was heard by now."""
        heard = self.playback.heard()
        self.exchange.reply = self.playback.heard_text(heard)
        self.exchange.interrupted_s = heard / REPLY_RATE
        self.exchange.timings_ms = {**self.exchange.timings_ms, "heard": round(heard / REPLY_RATE * 1000)}

    def ended(self, state: TurnState) -> Ended:
        """What there is to store of it."""
        return Ended(
            exchange=self.exchange,
            state=state,
            user=np.concatenate([piece.samples for piece in self.pieces]) if self.pieces else None,
            reply=self.playback.heard_samples(),
            client_turn_id=self.client_turn_id,
            language=self.language,
            engines=self.engines,
            instead_of=self.instead_of,
            voice=kept_as(self.voice),
        )
