"""What is known of a voice, and whose it is. Knows nothing of files, of sound and of the database."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from avatar.errors import AvatarError
from avatar.text import visible

Origin = Literal["upload", "recording", "import", "conversation", "starter"]

MAX_PROFILES = 50  # of one owner
MAX_BYTES = 200 << 20  # of one owner's recordings; 30 s are 2 MB
MAX_NAME, MAX_NOTE, MAX_WORDS = 60, 300, 1_000  # characters

PROFILE = "profile:"  # before the id, where a profile is kept as the voice of a conversation or of a turn
NO_SUCH_VOICE = "There is no such voice."


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A voice. Times in seconds within its recording; `start_s` to `end_s` is the part that engines imitate, and
    `reference_text` its words. `embedding` are 256 float32 (see speaker.py), `quality` and `consent` JSON objects."""

    id: str
    owner: str
    name: str
    language: str  # BCP 47 primary tag
    reference_text: str = field(repr=False)
    start_s: float
    end_s: float
    duration_s: float
    size: int  # of the recording on disk, in bytes
    sha256: str  # of the recording
    consent: Mapping[str, Any] = field(repr=False)
    note: str = ""
    pitch_hz: float | None = None
    embedding: bytes | None = field(default=None, repr=False)
    quality: Mapping[str, Any] = field(default_factory=dict)
    origin: Origin = "upload"
    created_at: str = ""  # ISO 8601, UTC

    @property
    def starter(self) -> bool:
        return self.origin == "starter"


def clean_name(name: str) -> str:
    """Raises AvatarError: VOICE_NAME."""
    if not (cleaned := visible(name)[:MAX_NAME].strip()):
        raise AvatarError("A voice needs a name. Write one.", code="VOICE_NAME")
    return cleaned


def cleaned(profile: Profile, created_at: str) -> Profile:
    fields = {f: getattr(profile, f) for f in Profile.__dataclass_fields__}
    words = visible(profile.reference_text)[:MAX_WORDS]
    note = visible(profile.note)[:MAX_NOTE]
    cleaned = {"name": clean_name(profile.name), "note": note, "reference_text": words, "created_at": created_at}
    quality = json.loads(json.dumps(dict(profile.quality)))  # as it will be read: tuples become lists
    return Profile(**{**fields, **cleaned, "quality": quality})


def from_row(row: Mapping[str, Any]) -> Profile:
    return Profile(**{**row, **{key: json.loads(row[key]) for key in ("quality", "consent")}})
