"""How each owner wants words said: "say X as Y", in SQLite. Knows nothing of how it is applied (see saying).

Every method blocks, and may raise StorageError.
"""

import unicodedata

from avatar.database import Database
from avatar.errors import AvatarError, NotFound, StorageError
from avatar.text import speakable

MAX_ENTRIES = 200  # of one owner: 200 are searched for in 0.05 ms a clause (2 cores, 2026-11-23)
MAX_CHARS = 80  # of either side


class Dictionary:
    def __init__(self, database: Database) -> None:
        self._db, self._sayings = database, database.table("sayings", ("owner", "written", "spoken"))

    def of(self, owner: str) -> dict[str, str]:
        """All entries: what is written -> what is said. In the order of the alphabet."""
        s = self._sayings
        try:
            with self._db.read():
                rows = list(s.select(s.written, s.spoken).where(s.owner == owner).order_by(s.written).tuples())
        except StorageError:
            if not self._db.damaged:
                raise
            return {}  # talking goes on
        return dict(rows)

    def put(self, owner: str, written: str, spoken: str) -> None:
        """Add an entry, or change the one for `written` (upper and lower case are one). Kept is what a reply can hold:
        no markup, emoji or control characters. Raises AvatarError: SAYING_EMPTY, SAYING_LONG, SAYINGS_FULL."""
        row = {"owner": owner, "written": _clean(written), "spoken": _clean(spoken)}
        s = self._sayings
        with self._db.write():
            others = s.select().where(s.owner == owner, s.written != row["written"]).count()
            if others >= MAX_ENTRIES:
                raise AvatarError(_FULL, code="SAYINGS_FULL")
            s.insert(**row).on_conflict_replace().execute()

    def remove(self, owner: str, written: str) -> None:
        """Raises NotFound. Works on a full disk too."""
        self._db.even_if_full(lambda: self._remove(owner, written))

    def forget(self, owner: str) -> None:
        """All of them."""
        with self._db.write():
            self._sayings.delete().where(self._sayings.owner == owner).execute()

    def _remove(self, owner: str, written: str) -> None:
        s = self._sayings
        with self._db.write():
            if not s.delete().where(s.owner == owner, s.written == written).execute():
                raise NotFound("There is no such word.")


def _clean(text: str) -> str:
    if len(text.strip()) > MAX_CHARS:
        raise AvatarError(_LONG, code="SAYING_LONG")
    words = speakable(unicodedata.normalize("NFC", text))[:MAX_CHARS]  # a few characters grow when they are composed
    if not words:
        raise AvatarError(_EMPTY, code="SAYING_EMPTY")
    return words


_EMPTY = "Both sides need a letter or a digit. Fill in both."
_LONG = f"{MAX_CHARS} characters are the most that fit. Write less."
_FULL = f"All {MAX_ENTRIES} words are taken. Delete one, then save the new one."
