"""What all parts of the store share: the database, its tables, the recordings and the clock."""

from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime

from avatar.database import Database
from avatar.store.rows import TurnRow
from avatar.store.search import Search
from avatar.store.sounds import Sounds
from avatar.store.takes import Takes


class Tables:
    def __init__(self, db: Database, sounds: Sounds, clock: Callable[[], float]) -> None:
        self.search, self.takes = Search(db), Takes(db)
        self._db, self._sounds, self._clock = db, sounds, clock
        columns = (
            "id",
            "owner",
            "title",
            "voice_profile",
            "created_at",
            "persona",
            "forked_from",
            "forked_at",
            "quality",
        )
        self._conversations = db.table("conversations", columns)
        self._turns = db.table("turns", ("seq", *(f.name for f in fields(TurnRow))))

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")
