"""What the store takes and gives: turns and conversations as data, and how their words are cleaned."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from avatar.text import visible

TurnState = Literal["done", "interrupted", "failed"]
Side = Literal["user", "reply", "hq"]  # hq: the reply once more, by the best voice
Quality = Literal["fast", "hq"]

MAX_TITLE = 80  # characters
MAX_PERSONA = 400  # characters; at most 1,200 bytes, which leave room for a question in the smallest prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn that ended. user_audio and reply_audio are names given by `save_audio`. client_turn_id is the page's, and
    unique within its conversation: a resend of it stores nothing."""

    user_text: str
    reply_text: str
    state: TurnState
    client_turn_id: str | None = None
    user_audio: str | None = None
    reply_audio: str | None = None
    language: str | None = None  # BCP 47
    engines: Mapping[str, str] = field(default_factory=dict)  # stage -> rung
    voice: str = "default"  # that the reply was spoken in
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow(Turn):
    """A turn as it is stored."""

    id: str
    conversation: str
    number: int  # 1, 2, 3... within the conversation
    rating: int | None = None
    created_at: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation as it is listed."""

    id: str
    title: str
    voice_profile: str | None
    created_at: str  # ISO 8601, UTC
    turns: int
    forked_at: int | None = None  # the number of its last turn that it shares with an older one


def turn_row(row: Mapping[str, Any]) -> TurnRow:
    unpacked = {key: json.loads(row[key]) for key in ("engines", "timings_ms")}
    return TurnRow(**{**row, **unpacked})


def clean_title(text: str) -> str:
    return visible(text)[:MAX_TITLE]


def first_words(text: str, limit: int = 48) -> str:
    """At most `limit` characters, cut between words where there are any: Chinese has none."""
    title = clean_title(text)
    if len(title) <= limit:
        return title
    return (title[: limit + 1].rpartition(" ")[0] or title[:limit]) + "…"
