"""The table of voice profiles: what is known of each voice, and whose it is. Knows nothing of files and of sound.

Every method blocks, and may raise StorageError: see the store, whose database it shares. One that takes an owner sees
only that owner's profiles; what is not yours is NotFound, like what is not there.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from peewee import fn

from avatar.database import Database
from avatar.errors import AvatarError, NotFound
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


class Profiles:
    def __init__(self, database: Database, clock: Callable[[], float] = time.time) -> None:
        self._db, self._clock = database, clock
        self.typed_errors = database.typed_errors  # for the files that belong to the rows
        self._profiles = database.table("voice_profiles", tuple(Profile.__dataclass_fields__))
        self._defaults = database.table("voice_defaults", ("owner", "voice"))
        self._conversations = database.table("conversations", ("id", "owner", "voice_profile"))
        self._graves = database.table("voice_tombstones", ("id", "consent_version", "created_at", "deleted_at"))

    def of(self, owner: str) -> list[Profile]:
        """The newest first."""
        p = self._profiles
        with self._db.read():
            return [_profile(row) for row in p.select().where(p.owner == owner).order_by(p.created_at.desc(), p.id)]

    def get(self, owner: str, profile_id: str) -> Profile:
        p = self._profiles
        with self._db.read():
            row = p.select().where(p.id == profile_id, p.owner == owner).get()
        if row is None:
            raise NotFound(NO_SUCH_VOICE)
        return _profile(row)

    def consented(self, profile_id: str) -> str:
        """SHA-256 of the recording that the consent of this profile is for, whoever owns it; "" when it is gone."""
        p = self._profiles
        with self._db.read():
            consent = p.select(p.consent).where(p.id == profile_id).scalar()
        return str(json.loads(consent).get("sha256", "")) if consent else ""

    def ids(self) -> set[str]:
        """Of all owners: what belongs to none of them is an orphan."""
        p = self._profiles
        with self._db.read():
            return {profile_id for (profile_id,) in p.select(p.id).tuples()}

    def check_room(self, owner: str, more_bytes: int) -> None:
        """Raises AvatarError: VOICES_FULL."""
        with self._db.read():
            self._check_room(owner, more_bytes)

    def add(self, profile: Profile) -> Profile:
        """Raises AvatarError: VOICES_FULL."""
        profile = _cleaned(profile, profile.created_at or self._now())
        packed = {key: json.dumps(dict(getattr(profile, key))) for key in ("quality", "consent")}
        with self._db.write():
            self._check_room(profile.owner, profile.size)
            self._profiles.insert(**{**asdict(profile), **packed}).execute()
        return profile

    def rename(self, owner: str, profile_id: str, name: str, note: str | None = None) -> None:
        """Raises NotFound, AvatarError: VOICE_NAME."""
        p = self._profiles
        values = {"name": clean_name(name)} | ({} if note is None else {"note": visible(note)[:MAX_NOTE]})
        with self._db.write():
            if not p.update(**values).where(p.id == profile_id, p.owner == owner).execute():
                raise NotFound(NO_SUCH_VOICE)

    def default(self, owner: str) -> str:
        """The id of the voice that this owner's replies are spoken in; "" for the engine's own."""
        d = self._defaults
        with self._db.read():
            return d.select(d.voice).where(d.owner == owner).scalar() or ""

    def set_default(self, owner: str, voice: str) -> None:
        """`voice` is an id that the caller has checked, or "" for the engine's own."""
        d = self._defaults
        with self._db.write():
            if voice:
                d.insert(owner=owner, voice=voice).on_conflict_replace().execute()
            else:
                d.delete().where(d.owner == owner).execute()

    def delete(self, owner: str, profile_id: str) -> None:
        """Leaves a tombstone without personal data. Works on a full disk too. Raises NotFound."""
        self._db.even_if_full(lambda: self._delete(owner, profile_id))
        self._db.forget_copies()
        self._db.checkpoint()  # the words are in the log until then
        self._db.keep_reserve()

    def _delete(self, owner: str, profile_id: str) -> None:
        p, d = self._profiles, self._defaults
        with self._db.write():
            mine = (p.id == profile_id) & (p.owner == owner)
            row = p.select(p.consent, p.created_at).where(mine).get()
            if row is None:
                raise NotFound(NO_SUCH_VOICE)
            p.delete().where(mine).execute()
            d.delete().where(d.voice == profile_id).execute()
            c = self._conversations
            c.update(voice_profile=None).where(c.voice_profile == PROFILE + profile_id).execute()
            version = str(json.loads(row["consent"]).get("version", ""))
            grave = {"id": profile_id, "consent_version": version, "created_at": row["created_at"]}
            self._graves.insert(**grave, deleted_at=self._now()).execute()

    def _check_room(self, owner: str, more_bytes: int) -> None:
        p = self._profiles
        query = p.select(fn.COUNT(p.id).alias("count"), fn.SUM(p.size).alias("total")).where(p.owner == owner)
        taken = query.get()
        if taken["count"] >= MAX_PROFILES:
            raise AvatarError(f"All {MAX_PROFILES} voices are taken. Delete one, then save.", code="VOICES_FULL")
        if (taken["total"] or 0) + more_bytes > MAX_BYTES:
            sentence = f"Your voices fill all {MAX_BYTES >> 20} MB. Delete one, then save."
            raise AvatarError(sentence, code="VOICES_FULL")

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")


def clean_name(name: str) -> str:
    """Raises AvatarError: VOICE_NAME."""
    if not (cleaned := visible(name)[:MAX_NAME].strip()):
        raise AvatarError("A voice needs a name. Write one.", code="VOICE_NAME")
    return cleaned


def _cleaned(profile: Profile, created_at: str) -> Profile:
    fields = {f: getattr(profile, f) for f in Profile.__dataclass_fields__}
    words = visible(profile.reference_text)[:MAX_WORDS]
    note = visible(profile.note)[:MAX_NOTE]
    cleaned = {"name": clean_name(profile.name), "note": note, "reference_text": words, "created_at": created_at}
    quality = json.loads(json.dumps(dict(profile.quality)))  # as it will be read: tuples become lists
    return Profile(**{**fields, **cleaned, "quality": quality})


def _profile(row: Mapping[str, Any]) -> Profile:
    return Profile(**{**row, **{key: json.loads(row[key]) for key in ("quality", "consent")}})
