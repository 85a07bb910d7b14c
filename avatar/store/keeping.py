"""How much is kept, and what would go: by age, by size, or all of it. Nothing here deletes by itself."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from avatar.database import Database
from avatar.store.sounds import Sounds


@dataclass(frozen=True, slots=True)
class Kept:
    """A conversation and what it takes on the disk. A recording that forks share counts for the newest of them."""

    id: str
    title: str
    last_at: str  # ISO 8601, UTC: of its newest turn, or when it was forked
    turns: int
    size: int  # bytes of recordings


class Keeping:
    def __init__(self, database: Database, sounds: Sounds) -> None:
        self._db, self._sounds = database, sounds

    def all(self, owner: str) -> list[Kept]:
        """What is kept, the conversation talked in last first."""
        sizes = self._sounds.sizes()
        found: dict[str, Kept] = {}
        counted = set[str]()
        with self._db.read():
            for conversation, title, created_at, *names in self._db.rows(_ALL, owner):
                new = {name for name in names if name} - counted
                counted |= new
                size = sum(sizes.get(name, 0) for name in new)
                old = found.get(conversation)
                if old is None:
                    found[conversation] = Kept(conversation, title, created_at, 1, size)
                else:
                    found[conversation] = Kept(conversation, title, old.last_at, old.turns + 1, old.size + size)
        return list(found.values())

    def plan(self, owner: str, days: float, max_bytes: float, now: float, in_use: Collection[str] = ()) -> list[Kept]:
        """What would go, the oldest first: conversations without a turn for `days`, and then the oldest until at most
        `max_bytes` are left. 0 is no limit. `in_use` are never among them, whatever their age and size."""
        kept = self.all(owner)
        limit = (datetime.fromtimestamp(now, UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")
        left, going = sum(one.size for one in kept), []
        for one in reversed(kept):
            too_old = days > 0 and one.last_at < limit
            if one.id not in in_use and (too_old or 0 < max_bytes < left):
                going.append(one)
                left -= one.size
        return going


_ALL = """SELECT c.id, c.title, MAX(t.created_at, c.created_at), t.user_audio, t.reply_audio FROM turns t
    JOIN conversations c ON c.id = t.conversation WHERE c.owner = ? ORDER BY t.seq DESC"""
