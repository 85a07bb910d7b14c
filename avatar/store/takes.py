"""The table of HQ takes: a reply spoken again by the best voice, to replay and export. One for a turn at most."""

from collections.abc import Sequence
from datetime import UTC, datetime

from avatar.database import Database


class Takes:
    def __init__(self, database: Database) -> None:
        self._db, self._takes = database, database.table("hq_takes", ("turn", "audio", "created_at"))
        self._turns = database.table("turns", ("id", "conversation"))

    def add(self, turn_id: str, audio: str) -> bool:
        """`audio` is a name given by `save_audio`. False when the turn is gone, or has its take: then the file has no
        row."""
        take, t = self._takes, self._turns
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        with self._db.write():
            if not t.select().where(t.id == turn_id).exists():
                return False
            return bool(
                take.insert(turn=turn_id, audio=audio, created_at=now).on_conflict_ignore().as_rowcount().execute()
            )

    def share(self, turn_id: str, copy_id: str) -> None:
        """A copy of the turn has the same take. Inside a write of the caller."""
        take = self._takes
        for row in list(take.select(take.audio, take.created_at).where(take.turn == turn_id).dicts()):
            take.insert(turn=copy_id, **row).execute()

    def name(self, turn_id: str) -> str | None:
        """The recording's name; None when there is none. Whose turn it is the caller has checked."""
        take = self._takes
        with self._db.read():
            found: str | None = take.select(take.audio).where(take.turn == turn_id).scalar()
        return found

    def of(self, conversation_id: str) -> dict[str, str]:
        """Turn -> name of the recording. Whose conversation it is the caller has checked."""
        take, t = self._takes, self._turns
        query = take.select(take.turn, take.audio).join(t, on=(t.id == take.turn))
        with self._db.read():
            return dict(list(query.where(t.conversation == conversation_id).tuples()))

    def named(self, names: Sequence[str]) -> set[str]:
        """Those of these recordings that are takes."""
        take = self._takes
        with self._db.read():
            return {name for (name,) in take.select(take.audio).where(take.audio.in_(names)).tuples()}
