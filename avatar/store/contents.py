"""What a database file, such as a backup, holds and which files belong to it. Opens nothing."""

import sqlite3
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contents:
    conversations: int
    turns: int
    recordings: frozenset[str]  # names as store/sounds.py gives them
    voices: frozenset[str]  # ids of profiles that somebody owns


def contents(database: sqlite3.Connection) -> Contents:
    """Raises sqlite3.Error: not one of ours."""
    (conversations,) = database.execute("SELECT count(*) FROM conversations").fetchone()
    (turns,) = database.execute("SELECT count(*) FROM turns").fetchone()
    named = database.execute("SELECT user_audio FROM turns UNION SELECT reply_audio FROM turns")
    recordings = frozenset(name for (name,) in named if name)
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'hq_takes'").fetchone():
        recordings |= frozenset(name for (name,) in database.execute("SELECT audio FROM hq_takes"))
    voices: frozenset[str] = frozenset()
    if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'voice_profiles'").fetchone():
        voices = frozenset(name for (name,) in database.execute("SELECT id FROM voice_profiles"))
    return Contents(conversations, turns, recordings, voices)
