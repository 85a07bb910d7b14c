"""The store as a whole: opens the database, and does what concerns more than one table."""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from avatar.database import Database
from avatar.errors import NotFound
from avatar.store.keeping import Keeping
from avatar.store.profiles import Profiles
from avatar.store.ratings import Ratings
from avatar.store.rows import Side
from avatar.store.sayings import Dictionary
from avatar.store.schema import MIGRATIONS
from avatar.store.search import FUNCTIONS
from avatar.store.sounds import Sounds
from avatar.store.turns import Turns


class Store(Turns):
    """Opens the database in `data` and keeps it open. `close` it; no method works after that."""

    def __init__(self, data: Path, busy_timeout_s: float = 10, clock: Callable[[], float] = time.time) -> None:
        db = Database(data, MIGRATIONS, busy_timeout_s, FUNCTIONS)
        sounds = Sounds(data / "audio", db)
        super().__init__(db, sounds, clock)
        self.keeping = Keeping(db, sounds)
        self.sayings, self.ratings = Dictionary(db), Ratings(db)
        self.profiles = Profiles(db, clock)

    def close(self) -> None:
        self._db.close()

    @property
    def damaged(self) -> str:
        """What to tell when the database is damaged: what can be read is read, and nothing is kept. Else ""."""
        return self._db.damaged

    @property
    def unwritable(self) -> str:
        """What to tell when the folder could not be written at the start, and still cannot as far as is known."""
        return self._db.unwritable

    def delete_conversation(self, owner: str, conversation_id: str) -> None:
        """Works on a full disk too. A crash in here leaves at most audio files without a row, which `sweep` removes."""
        self._discard(owner, conversation_id)
        self._tidy()

    def delete_conversations(self, owner: str, ids: Iterable[str]) -> int:
        """Those of them that are there, one after the other; returns how many."""
        gone = 0
        for conversation_id in ids:
            with suppress(NotFound):
                self._discard(owner, conversation_id)
                gone += 1
        self._tidy()
        return gone

    def _discard(self, owner: str, conversation_id: str) -> None:
        names = self._db.even_if_full(lambda: self._delete(owner, conversation_id))
        self._sounds.remove(self._unnamed(names))

    def _tidy(self) -> None:
        self.search.forget()
        self._db.checkpoint()
        self._db.keep_reserve()

    def erase(self, owner: str) -> None:
        """Everything that is kept of an owner here: conversations with their recordings, and how words are said. Voice
        profiles are erased by voices.py, which has their files."""
        with self._db.read():
            ids = [row for (row,) in self._db.rows("SELECT id FROM conversations WHERE owner = ?", owner)]
        self._db.forget_copies()
        self._db.even_if_full(lambda: self.sayings.forget(owner))
        self.delete_conversations(owner, ids)

    def _delete(self, owner: str, conversation_id: str) -> list[str]:
        c, t = self._conversations, self._turns
        takes = list(self.takes.of(conversation_id).values())
        with self._db.write():
            audio = t.select(t.user_audio, t.reply_audio).where(t.conversation == conversation_id).tuples()
            names = [name for row in audio for name in row if name]
            if not c.delete().where(c.id == conversation_id, c.owner == owner).execute():
                raise NotFound("There is no such conversation.")
        return names + takes

    # -- audio --------------------------------------------------------------------------------------------------------

    def save_audio(self, write: Callable[[Path], object]) -> str:
        """Have `write` make a new file at the path it is given, whole and on disk when it returns. Returns the file's
        name for a Turn; `sweep` removes what no turn names."""
        return self._sounds.save(write)

    def keep_take(self, turn_id: str, audio: str) -> bool:
        """`audio`, a name given by `save_audio`, becomes the HQ take of this turn. False, and the file is removed, when
        the turn is gone meanwhile."""
        if kept := self.takes.add(turn_id, audio):
            return kept
        self._sounds.remove([audio])
        return False

    def audio_path(self, owner: str, turn_id: str, side: Side) -> Path:
        """The file of what the user said or heard. Names come from the database only, never from a client."""
        turn = self.turn(owner, turn_id)
        name = {"user": turn.user_audio, "reply": turn.reply_audio, "hq": None}[side]
        if side == "hq":
            name = self.takes.name(turn_id)
        if name is None or not (path := self._sounds.path(name)).is_file():
            raise NotFound("There is no recording of this turn.")
        return path

    def sweep(self, min_age_s: float = 3600) -> int:
        """Remove audio files that no turn names, and return how many. Younger ones may belong to a turn that is being
        stored, perhaps by another process."""
        old = self._sounds.older_than(self._clock() - min_age_s)
        orphans = self._unnamed(file.name for file in old)
        with self._db.typed_errors():
            for file in old:
                if file.name in orphans:
                    file.unlink(missing_ok=True)
        return len(orphans)
