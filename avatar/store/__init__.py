"""Conversations and turns in SQLite, and the audio files that belong to them. Knows nothing of sound.

Every method blocks: call it from a thread, never from a coroutine. All of them may run in many threads and processes at
once. A method that takes an owner sees only that owner's rows; what is not yours is NotFound, like what is not there.
All of them may raise StorageError (see database.py). All SQL is in this package: one file per table.
"""

from avatar.store.keeping import Kept
from avatar.store.ratings import Score
from avatar.store.rows import MAX_PERSONA, MAX_TITLE, ConversationRow, Quality, Side, Turn, TurnRow, TurnState
from avatar.store.search import Hit, Wanted
from avatar.store.store import Store

__all__ = [
    "MAX_PERSONA",
    "MAX_TITLE",
    "ConversationRow",
    "Hit",
    "Kept",
    "Quality",
    "Score",
    "Side",
    "Store",
    "Turn",
    "TurnRow",
    "TurnState",
    "Wanted",
]
