"""A conversation as it is shown and as the model remembers it. Knows no engine, socket or page.

Both views are made from the same exchanges, so that the model never remembers words that the user did not hear.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from avatar.engines.base import ANSWER_IN, INTERRUPTED, Message, Voice
from avatar.errors import NotFound
from avatar.store import TurnRow

FOLLOW_S = 0.1  # the page is sent the growing chat at most this often


@dataclass(frozen=True, slots=True)
class ChatLine:
    """One side of an exchange as the page shows it."""

    role: Literal["user", "assistant"]
    text: str
    turn_id: str | None = None  # once its sound is stored: /avatar/audio/{turn_id}/user and /reply replay it
    number: int = 0
    interrupted_s: float | None = None  # the reply was stopped after this much of it was heard
    timings_ms: Mapping[str, float] | None = None  # eot, stt, llm, tts
    over: bool = False  # it will not change any more
    hq: bool = False  # there is an HQ take of it: /avatar/audio/{turn_id}/hq
    rating: int | None = None  # of the reply's sound, 1 to 10


@dataclass(slots=True)
class Exchange:
    """What the user said and what was answered. `reply` is cut to what was heard once it is over."""

    user: str
    reply: str = ""
    turn_id: str | None = None
    number: int = 0
    interrupted_s: float | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    failed: bool = False
    user_sound: bool = False  # stored, so it can be replayed
    reply_sound: bool = False
    over: bool = False  # nothing about it will change any more
    client_turn_id: str | None = None  # once it is stored
    hq_take: bool = False  # stored too
    rating: int | None = None

    @classmethod
    def stored(cls, row: TurnRow) -> "Exchange":
        return cls(
            row.user_text,
            row.reply_text,
            row.id,
            row.number,
            row.timings_ms.get("heard", 0) / 1000 if row.state == "interrupted" else None,
            row.timings_ms,
            row.state == "failed",
            row.user_audio is not None,
            row.reply_audio is not None,
            over=True,
            client_turn_id=row.client_turn_id,
            rating=row.rating,
        )

    @property
    def answer(self) -> str:
        """The reply as it is shown, stored and remembered. A dash at its end is SmolLM2's copy of INTERRUPTED."""
        return self.reply.rstrip(INTERRUPTED)

    def lines(self) -> Iterable[ChatLine]:
        yield ChatLine("user", self.user, self.turn_id if self.user_sound else None, self.number)
        if self.answer or self.interrupted_s is not None:
            sound = self.turn_id if self.reply_sound or self.hq_take else None
            timings = dict(self.timings_ms) or None
            cut_s = self.interrupted_s
            yield ChatLine(
                "assistant", self.answer, sound, self.number, cut_s, timings, self.over, self.hq_take, self.rating
            )

    def messages(self) -> Iterable[Message]:
        """What the model remembers: of an interrupted reply the words that were heard, and where it was cut.

        Of a reply that nobody heard, nothing: SmolLM2 copies a lone dash, and then answers every question with it.
        """
        if self.failed:
            return
        yield Message("user", self.user)
        heard = self.answer
        if self.interrupted_s is not None:
            heard = f"{heard}{INTERRUPTED}" if heard else ""
        if heard:
            yield Message("assistant", heard)


def again_id(turn_id: str | None) -> str:
    """The page's id of the turn that answers `turn_id` again: a second press is the same turn."""
    return f"again-{turn_id}"


class Chat:
    """The exchanges of one conversation; `follow` wakes when they change. For one event loop."""

    def __init__(
        self,
        conversation_id: str = "",
        rows: Iterable[TurnRow] = (),
        persona: str = "",
        voice: Voice = Voice(),  # noqa: B008 - frozen
    ) -> None:
        self.id = conversation_id or uuid.uuid4().hex
        self.persona = persona  # what the model is told about itself here
        self.hq = False  # whether the best voice speaks here
        self.voice = voice  # that replies are spoken in
        self.language: str | None = None  # that the user chose to be answered in
        self.saving = asyncio.Lock()
        self.exchanges = [Exchange.stored(row) for row in rows]
        self.stored = bool(self.exchanges)  # the conversation's row is written with its first turn
        self._changed = asyncio.Event()

    def add(self, exchange: Exchange) -> Exchange:
        exchange.number = len(self.exchanges) + 1
        self.exchanges.append(exchange)
        self.touch()
        return exchange

    def drop(self, exchange: Exchange) -> None:
        self.exchanges.remove(exchange)
        self.touch()

    def put_back(self, exchange: Exchange, before: Exchange) -> None:
        """One that was dropped to be answered again, when nothing came of `before`."""
        self.exchanges.insert(self.exchanges.index(before), exchange)
        self.touch()

    def last_answered(self) -> Exchange:
        """The newest exchange, to be answered again. Raises NotFound: there is none, or it is not stored yet."""
        last = self.exchanges[-1] if self.exchanges else None
        if last is None or not last.over or last.turn_id is None:
            raise NotFound("There is no answer to give again.")
        return last

    def has(self, client_turn_id: str) -> bool:
        """Whether this turn of the page is stored already: then it was sent again."""
        return bool(client_turn_id) and any(e.client_turn_id == client_turn_id for e in self.exchanges)

    def mark_takes(self, turn_ids: Container[str]) -> None:
        """These turns have their HQ takes."""
        for exchange in self.exchanges:
            exchange.hq_take = exchange.turn_id in turn_ids

    def rate(self, turn_id: str, rating: int | None) -> None:
        for exchange in self.exchanges:
            if exchange.turn_id == turn_id:
                exchange.rating = rating
                self.touch()

    def touch(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def lines(self) -> list[ChatLine]:
        return [line for exchange in self.exchanges for line in exchange.lines()]

    def messages(self) -> list[Message]:
        told = "\n".join(filter(None, (self.persona, ANSWER_IN.get(self.language or ""))))
        return [
            *([Message("system", told)] if told else []),
            *(message for exchange in self.exchanges for message in exchange.messages()),
        ]

    async def follow(self, exchange: Exchange) -> AsyncIterator[list[ChatLine]]:
        """The lines at each change, until `exchange` is over or dropped."""
        while True:
            changed = self._changed
            yield self.lines()
            if exchange.over or exchange not in self.exchanges:
                return
            await changed.wait()
            await asyncio.sleep(FOLLOW_S)
