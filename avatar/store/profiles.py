"""The table of voice profiles. Knows nothing of their files: see voices.py.

Every method blocks, and may raise StorageError. One that takes an owner sees only that owner's profiles; what is not
yours is NotFound, like what is not there.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime

from peewee import fn

from avatar.database import Database
from avatar.errors import AvatarError, NotFound
from avatar.profiles import (
    MAX_BYTES,
    MAX_NOTE,
    MAX_PROFILES,
    NO_SUCH_VOICE,
    PROFILE,
    Profile,
    clean_name,
    cleaned,
    from_row,
)
from avatar.text import visible


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
            return [from_row(row) for row in p.select().where(p.owner == owner).order_by(p.created_at.desc(), p.id)]

    def get(self, owner: str, profile_id: str) -> Profile:
        p = self._profiles
        with self._db.read():
            row = p.select().where(p.id == profile_id, p.owner == owner).get()
        if row is None:
            raise NotFound(NO_SUCH_VOICE)
        return from_row(row)

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
        profile = cleaned(profile, profile.created_at or self._now())
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
