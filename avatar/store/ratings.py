"""How good the sound of each reply was to its owner, 1 to 10, kept with the turn.

What a mean says depends on who spoke: engine and voice go with it.
"""

from dataclasses import dataclass

from peewee import fn

from avatar.database import Database
from avatar.errors import AvatarError, NotFound

BEST = 10


@dataclass(frozen=True, slots=True)
class Score:
    """All ratings of one engine in one voice."""

    engine: str  # a rung's label
    voice: str
    mean: float
    n: int


class Ratings:
    def __init__(self, database: Database) -> None:
        self._db = database
        self._turns = database.table("turns", ("id", "conversation", "reply_audio", "rating", "engines", "voice"))
        self._conversations = database.table("conversations", ("id", "owner"))

    def put(self, owner: str, turn_id: str, rating: int | None) -> str:
        """Keep the rating of a turn's reply, changing an earlier one; None takes it back. Returns the conversation's
        id. Raises NotFound: no such turn, or nothing of its reply was heard; AvatarError: BAD_RATING."""
        if rating is not None and (type(rating) is not int or not 1 <= rating <= BEST):
            raise AvatarError(f"A rating is a whole number from 1 to {BEST}.", code="BAD_RATING")
        t, c = self._turns, self._conversations
        mine = c.select(c.id).where(c.owner == owner)
        heard = (t.id == turn_id, t.conversation.in_(mine), t.reply_audio.is_null(False))
        with self._db.write():
            conversation: str | None = t.select(t.conversation).where(*heard).scalar()
            if conversation is None:
                raise NotFound("There is no such reply.")
            t.update(rating=rating).where(t.id == turn_id).execute()
        return conversation

    def scores(self, owner: str) -> list[Score]:
        """The mean of each engine and voice that this owner has rated, the most rated first."""
        t, c = self._turns, self._conversations
        engine = fn.json_extract(t.engines, "$.tts")
        query = (
            t.select(engine.alias("engine"), t.voice, fn.AVG(t.rating).alias("mean"), fn.COUNT(t.id).alias("n"))
            .join(c, on=(c.id == t.conversation))
            .where(c.owner == owner, t.rating.is_null(False))
            .group_by(engine, t.voice)
            .order_by(fn.COUNT(t.id).desc(), engine, t.voice)
        )
        with self._db.read():
            return [Score(row["engine"] or "", row["voice"], row["mean"], row["n"]) for row in query]
