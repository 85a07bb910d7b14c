"""A scripted assistant for the page: no engines, and what it was asked is kept."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import gradio as gr
from page_rows import ESPEAK, ID, MOONSHINE, SMOLLM, TEA, WHISPER, Line, Row, Rung, Step, tone
from page_store import Store

from avatar.errors import AvatarError, NotFound, ServerFull
from avatar.events import Notice
from avatar.metrics import Snapshot, Stage, TurnTimes
from avatar.settings import Settings
from avatar.turntaking.reasons import Reason
from avatar.voice_choice import VoiceChoice
from avatar.weights.downloads import Downloads

ENGLISH = gr.Request(headers={"accept-language": "en-GB,en;q=0.9"})
CHINESE = gr.Request(headers={"accept-language": "zh-HK,zh;q=0.9"})
STAGE = {"conversation": "c9", "live": ""}


@dataclass
class Voices:
    choices: list[VoiceChoice] = field(
        default_factory=lambda: [VoiceChoice(name, name, "Pocket TTS") for name in ("alba", "marius")]
    )

    def of(self, owner: str) -> list[VoiceChoice]:
        return self.choices

    def default_name(self, owner: str) -> str:
        return ""


@dataclass
class Studio:
    """Of the profiles, real or not, that History names."""

    voices: Any


@dataclass
class Seats:
    taken: int = 1

    def count(self) -> int:
        return self.taken

    def check(self, owner: str) -> None:
        if self.taken >= 5:
            raise ServerFull("All 5 seats are taken. A seat frees up when someone ends or closes the page.")


@dataclass
class Metrics:
    parts: dict[str, tuple[float, float]] = field(default_factory=dict)
    totals: list[float] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        return Snapshot({name: Stage(9, *times) for name, times in self.parts.items()}, {}, {})

    def recent(self, n: int) -> list[TurnTimes]:
        return [TurnTimes(i + 1, {"total": ms}, {}, "done") for i, ms in enumerate(self.totals)][-n:]


@dataclass
class Pool:
    rungs: list[Rung] = field(default_factory=lambda: [WHISPER, MOONSHINE, SMOLLM, ESPEAK])

    retried: list[str] = field(default_factory=list)

    def status(self) -> list[Rung]:
        return self.rungs

    def retry(self, name: str) -> None:
        self.retried.append(name)


class FakeAssistant:
    """What the page needs of the assistant. `live` is the running conversation; `trouble` is raised by every turn."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.pool, self.store, self.seats, self.metrics = Pool(), Store(), Seats(), Metrics()
        self.downloads, self.voices = Downloads(Path("/nowhere")), Voices()
        self.wishes = self  # one fake is enough for both
        self.studio: Any = None
        self.previews: Any = None
        self.live: list[Line] = []
        self.past: list[Line] = TEA
        self.rated_in = "new1"
        self.trouble: AvatarError | None = None
        self.tokens: set[str] = set()
        self.asked: list[tuple[Any, ...]] = []
        self.why: list[tuple[float, Reason]] = []

    async def set_persona(self, owner: str, conversation_id: str, live_id: str, text: str) -> str:
        self.asked.append(("persona", owner, conversation_id, live_id, text))
        if self.trouble:
            raise self.trouble
        self.store.personas[owner, conversation_id] = text
        return conversation_id or "c1"

    async def set_quality(self, owner: str, conversation_id: str, live_id: str, quality: str) -> str:
        self.asked.append(("quality", owner, conversation_id, live_id, quality))
        if self.trouble:
            raise self.trouble
        self.store.qualities[owner, conversation_id or "c1"] = quality
        return conversation_id or "c1"

    async def set_voice(self, owner: str, conversation_id: str, live_id: str, choice: str) -> str:
        self.asked.append(("voice", owner, conversation_id, live_id, choice))
        if self.trouble:
            raise self.trouble
        self.store.chosen[conversation_id or "c1"] = choice
        return conversation_id or "c1"

    def reasons(self, owner: str, live_id: str) -> list[tuple[float, Reason]]:
        if owner != "local" or live_id not in ("L", "live1"):
            raise NotFound("This session has ended.", code="SESSION_ENDED")
        return self.why

    def issue_token(self, owner: str) -> str:
        self.tokens.add(token := secrets.token_urlsafe(8))
        return token

    def say_as(self, owner: str, written: str, spoken: str) -> None:
        self.asked.append(("say_as", owner, written, spoken))
        if self.trouble:
            raise self.trouble
        self.store.sayings.kept[written] = spoken

    def unsay(self, owner: str, written: str) -> None:
        if self.store.sayings.kept.pop(written, None) is None:
            raise NotFound("There is no such word.")

    def fork(self, owner: str, turn_id: str, voice: str, quality: str) -> str:
        turn = self.store.turn(owner, turn_id)
        self.asked.append(("fork", owner, turn_id, voice, quality))
        self.store.rows.append(Row("fork", self.store.rows[0].title, turns=turn.number, forked_at=turn.number))
        return "fork"

    async def delete(self, owner: str, conversation_id: str) -> set[str]:
        self.store.delete_conversation(owner, conversation_id)
        return {"L"} if conversation_id == "a2" else set()

    def in_use(self, owner: str) -> set[str]:
        return {"a2"}

    def erase(self, owner: str) -> None:
        self.asked.append(("erase", owner))

    def lines(self, owner: str, conversation_id: str, last: int | None = None) -> list[Line]:
        self.store.conversation(owner, conversation_id)
        newest = max((line.number for line in self.past), default=0)
        return [line for line in self.past if last is None or line.number > newest - last]

    async def rate(self, owner: str, turn_id: str, rating: int | None) -> str:
        """Of a turn in `live`, which the page has as its conversation, or in `past`, which the history has."""
        self.asked.append(("rate", owner, turn_id, rating))
        if self.trouble:
            raise self.trouble
        self.live, self.past = (
            [replace(x, rating=rating) if x.turn_id == turn_id else x for x in lines]
            for lines in (self.live, self.past)
        )
        return self.rated_in

    async def current(self, owner: str, conversation_id: str) -> list[Line]:
        return self.live or self.lines(owner, conversation_id)

    def admit(self, owner: str) -> None:
        self.seats.check(owner)

    async def follow(self, owner: str, live_id: str) -> AsyncIterator[list[Line]]:
        yield self.live

    async def say(self, owner: str, live_id: str, text: str, client_turn_id: str) -> None:
        self.asked.append(("say", owner, live_id, text, client_turn_id))
        if self.trouble:
            raise self.trouble

    async def again(self, owner: str, live_id: str) -> None:
        self.asked.append(("again", owner, live_id))
        if self.trouble:
            raise self.trouble

    async def answer(
        self, owner: str, conversation_id: str, asked: Path | str | None, turn: str, language: str, rate_pct: float
    ) -> AsyncIterator[Step]:
        if isinstance(asked, Path):
            self.asked.append(("recorded", owner, conversation_id, asked.suffix, turn, language, rate_pct))
        else:
            self.asked.append(("typed", owner, conversation_id, asked, turn, language, rate_pct))
        asked = asked or "What was asked before?"
        if self.trouble:
            raise self.trouble
        if isinstance(asked, Path):
            yield Step("c1", TEA, (24000, tone(0.3)), Notice("TOO_LONG", "That was a minute without a pause."))
            return
        lines = [Line("user", asked)]
        yield Step("c1", lines)
        lines = [*lines, Line("assistant", "Three minutes.", ID, 1, None, {"llm": 60.0, "tts": 90.0})]
        latency = {"eot": 0.0, "stt": 0.02, "ttft": 41.0, "llm": 60.0, "tts": 1190.0, "engines": {"llm": "SmolLM2"}}
        yield Step("c1", lines, (24000, tone(0.3)), latency=latency)


def owner_of(request: object) -> str:
    return "local"


def with_an_hq_voice() -> FakeAssistant:
    """The switch between Fast and HQ is there."""
    made = FakeAssistant()
    made.pool.rungs = [Rung("tts", "cosyvoice", "CosyVoice 3", hq=True), *made.pool.rungs]
    return made
