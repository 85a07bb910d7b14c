"""The voices that come with the product: a folder each in `profiles/`, with clip.flac and profile.json. Read-only.

`python -m avatar.bench.starters` makes them. Knows no database: who lists them turns them into what it keeps.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from avatar.clip import Quality
from avatar.consent import Consent
from avatar.errors import AudioError
from avatar.speaker import Embedding, from_bytes

FOLDER = Path(__file__).parents[1] / "profiles"
CLIP, ROW = "clip.flac", "profile.json"


@dataclass(frozen=True, slots=True, eq=False)
class StarterVoice:
    """`recording`: a FLAC file, mono, 24 kHz, the whole of it to be imitated; `text`: its words."""

    id: str
    name: str
    language: str  # BCP 47 primary tag
    text: str
    source: str
    licence: str
    consent: Consent
    quality: Quality
    embedding: Embedding
    recording: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        return self.consent.sha256


def load(folder: Path = FOLDER) -> list[StarterVoice]:
    """Those of `folder`, by name of their folders; none when it is not there. Raises AudioError, naming a bad one."""
    places = sorted(row.parent for row in folder.glob(f"*/{ROW}"))
    return [_read(place) for place in places]


def _read(place: Path) -> StarterVoice:
    try:
        row = json.loads((place / ROW).read_text(encoding="utf-8"))
        recording = (place / CLIP).read_bytes()
        voice = StarterVoice(
            id=place.name,
            **{key: str(row[key]) for key in ("name", "language", "text", "source", "licence")},
            consent=Consent.from_json(row["consent"]),
            quality=Quality.from_json(row["quality"]),
            embedding=from_bytes(base64.b64decode(row["embedding"], validate=True)),
            recording=recording,
        )
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise AudioError(f"The voice in {place} is incomplete or damaged. Get the folder profiles/ again.") from exc
    if hashlib.sha256(recording).hexdigest() != voice.sha256:
        raise AudioError(f"The recording in {place} is not the one it should be. Get the folder profiles/ again.")
    return voice
