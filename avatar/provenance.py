"""The AI marking of saved replies: tags that players and tools can read. A mark, not a proof: tags can be removed."""

from collections.abc import Mapping
from datetime import datetime

MARK = "AI-generated"


def tags(engine: str, at: datetime) -> dict[str, str]:
    """The tags of one reply spoken by `engine`, with Vorbis comment names; `at` must know its time zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone marks no moment")
    return {"comment": MARK, "artist": "AVATAR", "encoded_by": engine, "date": at.isoformat(timespec="seconds")}


def is_marked(tags: Mapping[str, str]) -> bool:
    """Whether a file's tags say that it is AI-generated; names in any case, as containers change it."""
    return any(name.lower() == "comment" and MARK in value for name, value in tags.items())
