"""The AI marking of saved replies: tags that players and tools can read. A mark, not a proof: tags can be removed.

Every reply that is saved or exported is marked by `tags`, which an audio watermark can join later; `audio.write_opus`
adds the SHA-256 of the sound that the tags are about. `python -m avatar.verify FILE` reads them.
"""

from collections.abc import Mapping
from datetime import datetime

MARK = "AI-generated"
VOICE = "voice_profile"


def tags(engine: str, at: datetime, profile_id: str | None = None) -> dict[str, str]:
    """The tags of one reply spoken by `engine`, in the voice of a profile or its own, with Vorbis comment names; `at`
    must know its time zone."""
    if at.tzinfo is None:
        raise ValueError("a time without a zone marks no moment")
    marks = {"comment": MARK, "artist": "AVATAR", "encoded_by": engine, "date": at.isoformat(timespec="seconds")}
    return marks if profile_id is None else {**marks, VOICE: profile_id}


def is_marked(tags: Mapping[str, str]) -> bool:
    """Whether a file's tags say that it is AI-generated; names in any case, as containers change it."""
    return any(name.lower() == "comment" and MARK in value for name, value in tags.items())
