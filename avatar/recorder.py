"""Stores a turn that ended, audio first, then the row, and counts it for Status. Knows no socket and no page."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from avatar.audio import write_opus
from avatar.chat import Chat, Exchange
from avatar.engines.base import STT_RATE, Voice
from avatar.events import Samples
from avatar.loudness import normalised
from avatar.metrics import Metrics
from avatar.profiles import PROFILE
from avatar.provenance import tags
from avatar.store import Store, Turn, TurnRow, TurnState
from avatar.wire import REPLY_RATE

log = logging.getLogger("avatar.turns")  # one line per turn: times and codes, never words

PARTS = ("eot", "stt", "llm", "tts")  # of the time to the first sound; their sum is the total


@dataclass(frozen=True, slots=True)
class Ended:
    """A turn that will not change any more. `user` is float32 (n,) at STT_RATE, None when typed; `reply`, what was
    heard of it, at REPLY_RATE."""

    exchange: Exchange
    state: TurnState
    user: Samples | None
    reply: Samples
    client_turn_id: str = ""
    language: str | None = None
    engines: Mapping[str, str] = field(default_factory=dict)
    instead_of: Exchange | None = None  # answered again: `exchange` takes its place
    voice: str = "default"

    @property
    def replaces(self) -> bool:
        """Whether there is something to put in the place of the old answer."""
        return self.instead_of is not None and self.state != "failed" and bool(self.exchange.answer)


def kept_as(voice: Voice) -> str:
    """What a turn keeps of the voice it was spoken in: of a profile no name, which would outlast it."""
    return voice.name if voice.profile_id is None else PROFILE + voice.profile_id


class Recorder:
    """`stored` is told of every turn that is on disk: owner, chat, what ended and its id."""

    def __init__(
        self,
        store: Store,
        metrics: Metrics,
        stored: Callable[[str, Chat, Ended, str], None] = lambda owner, chat, ended, turn_id: None,
    ) -> None:
        self._store, self._metrics, self._stored = store, metrics, stored

    async def save(self, owner: str, chat: Chat, ended: Ended) -> None:
        """Once this returns the turn survives a crash; its exchange then has its id. Raises StorageError, NotFound."""
        timings = ended.exchange.timings_ms
        parts = {part: ms for part, ms in timings.items() if part in PARTS}
        self._metrics.turn({**parts, "total": sum(parts.values())} if parts else {}, ended.engines, ended.state)
        if ended.instead_of is not None and not ended.replaces:
            chat.put_back(ended.instead_of, ended.exchange)
        log.info("turn", extra={"state": ended.state, "engines": dict(ended.engines), "ms": dict(timings)})
        async with chat.saving:  # one after the other: turns keep their order, and a new chat becomes one conversation
            if not chat.stored:
                await asyncio.to_thread(self._store.create_conversation, owner, conversation_id=chat.id)
                chat.stored = True
            row = await asyncio.to_thread(self._write, owner, chat.id, ended)
        exchange = ended.exchange
        exchange.turn_id, exchange.number, exchange.client_turn_id = row.id, row.number, row.client_turn_id
        exchange.user_sound, exchange.reply_sound = row.user_audio is not None, row.reply_audio is not None
        self._stored(owner, chat, ended, row.id)

    def _write(self, owner: str, conversation_id: str, ended: Ended) -> TurnRow:
        again = ended.state == "failed"  # it may be tried again under the same id
        turn = Turn(
            user_text=ended.exchange.user,
            reply_text=ended.exchange.answer,
            state=ended.state,
            client_turn_id=None if again else ended.client_turn_id or None,
            user_audio=self._sound(ended.user, STT_RATE, {}),
            reply_audio=self._sound(ended.reply, REPLY_RATE, self._marks(ended)),
            language=ended.language,
            engines=ended.engines,
            voice=ended.voice,
            timings_ms=ended.exchange.timings_ms,
        )
        old = ended.instead_of.turn_id if ended.instead_of is not None and ended.replaces else None
        return self._store.add_turn(owner, conversation_id, turn, old)

    def _marks(self, ended: Ended) -> dict[str, str]:
        profile_id = ended.voice.removeprefix(PROFILE) if ended.voice.startswith(PROFILE) else None
        return tags(ended.engines.get("tts", ""), datetime.now(UTC), profile_id)

    def _sound(self, samples: Samples | None, rate: int, marks: Mapping[str, str]) -> str | None:
        """The name of the new recording; None when there is nothing to record. `marks` say that it is AI speech."""
        if samples is None or not len(samples):
            return None
        sound = normalised(samples, rate)
        return self._store.save_audio(lambda path: write_opus(path, sound, rate, marks))
