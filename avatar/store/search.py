"""Search over everything that was said: an FTS5 index beside the turns, in tokens that avatar/finding.py cuts.

Each turn carries its owner, its state and its voice in the index (`facets`): a search never walks through what others
said, nor through what was spoken in another voice.
"""

import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from peewee import chunked

from avatar.database import Database
from avatar.errors import StorageError
from avatar.finding import expression, indexed, phrases
from avatar.store.rows import TurnState

STEP = 500  # pages of 4 KB that are rewritten while the database is held: some ten milliseconds
AT_ONCE = 500  # values in one query


def owner_facet(owner: str) -> str:
    return "o" + hashlib.sha256(owner.encode()).hexdigest()[:24]


def voice_facet(voice: str) -> str:
    return "v" + hashlib.sha256(voice.encode()).hexdigest()[:24]


FUNCTIONS: Final[Mapping[str, Callable[[str], str]]] = {
    "indexed": indexed,
    "owner_facet": owner_facet,
    "voice_facet": voice_facet,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to look for; the empty one is everything. All that is given must hold for one turn."""

    words: str = ""
    since: str = ""  # ISO 8601, UTC, as turns have it
    before: str = ""
    state: TurnState | None = None
    voice: str | None = None  # as a turn keeps it


@dataclass(frozen=True, slots=True)
class Hit:
    """A conversation, by the newest of its turns that fit."""

    conversation: str
    turn: str
    number: int
    user_text: str
    reply_text: str


class Search:
    def __init__(self, database: Database) -> None:
        self._db = database

    def find(self, owner: str, wanted: Wanted, limit: int = 30) -> list[Hit]:
        """At most `limit` conversations with a turn that fits, the newest such turn first."""
        asked = phrases(wanted.words)
        if wanted.words.strip() and not asked:
            return []  # only marks, which are not in the index
        match = f'facets : "{owner_facet(owner)}"'
        if wanted.state is not None:
            match += f' AND facets : "{wanted.state}"'
        if wanted.voice is not None:
            match += f' AND facets : "{voice_facet(wanted.voice)}"'
        if asked:
            match += f" AND {{user_text reply_text}} : ({expression(asked)})"
        conditions, values = ["said MATCH ?", "c.owner = ?"], [match, owner]
        for column, sign, value in (
            ("created_at", ">=", wanted.since),
            ("created_at", "<", wanted.before),
        ):
            if value:
                conditions.append(f"t.{column} {sign} ?")
                values.append(value)
        if wanted.since:  # the index is walked from the newest turn down: this says where to stop
            conditions.append("said.rowid >= (SELECT MIN(seq) FROM turns WHERE created_at >= ?)")
            values.append(wanted.since)
        if wanted.before:
            conditions.append("said.rowid <= (SELECT MAX(seq) FROM turns WHERE created_at < ?)")
            values.append(wanted.before)
        found = dict[str, Hit]()
        with self._db.read():
            for row in self._db.rows(_FIND.format(" AND ".join(conditions)), *values):
                found.setdefault(row[0], Hit(*row))
                if len(found) == limit:
                    break
        return list(found.values())

    def voices(self, owner: str) -> list[str]:
        """Those that something of this owner's was spoken in, as turns keep them, the last used first."""
        with self._db.read():
            return [voice for (voice,) in self._db.rows(_VOICES, owner)]

    def forget(self) -> None:
        """Rewrite the index without the words that were deleted. Best effort: on a full disk the next call does it.

        FTS5's own `secure-delete` needs SQLite 3.42 (Debian 12 has 3.40), and files that it has written cannot be read
        by an older one. Its `optimize` held the database for 1.0 s with 100,000 turns, and for 6 s on a busy machine
        (2 cores, SQLite 3.40.1, 2026-11-26): so the same is done in steps, between which others can write.
        """
        with suppress(StorageError):
            with self._db.write():
                gone = [seq for (seq,) in self._db.rows("SELECT seq FROM said_gone")]
                if gone:
                    self._merge(-STEP)  # all of the index is to become one piece
            more = bool(gone)
            while more:
                with self._db.write():
                    more = self._merge(STEP)
            for some in chunked(gone, AT_ONCE):
                with self._db.write():
                    self._db.rows(f"DELETE FROM said_gone WHERE seq IN ({', '.join('?' * len(some))})", *some)

    def _merge(self, pages: int) -> bool:
        """One step of that. Whether there is more to do, as https://sqlite.org/fts5.html#the_merge_command tells it."""
        ((before,),) = self._db.rows("SELECT total_changes()")
        self._db.rows("INSERT INTO said (said, rank) VALUES ('merge', ?)", pages)
        ((after,),) = self._db.rows("SELECT total_changes()")
        return bool(after - before >= 2)


_FIND = """SELECT t.conversation, t.id, t.number, t.user_text, t.reply_text FROM said
    CROSS JOIN turns t ON t.seq = said.rowid CROSS JOIN conversations c ON c.id = t.conversation
    WHERE {} ORDER BY said.rowid DESC"""
_VOICES = """SELECT t.voice FROM conversations c CROSS JOIN turns t ON t.conversation = c.id WHERE c.owner = ?
    GROUP BY t.voice ORDER BY MAX(t.seq) DESC"""
