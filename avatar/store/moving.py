"""One owner's rows, out of a database and into another: the SQL of avatar/move.py. Opens nothing.

Functions take a connection that `equip` has prepared. They raise sqlite3.Error.
"""

import sqlite3
from pathlib import Path

from avatar.store.search import FUNCTIONS

OF_OWNER = ("conversations", "sayings", "voice_profiles", "voice_defaults")  # the tables that say whose a row is
ORDER = ("conversations", "turns", "hq_takes", "sayings", "voice_profiles", "voice_defaults")  # what names, last
OWN_NUMBER = {"turns": "seq"}  # numbered anew in every database


def equip(database: sqlite3.Connection) -> None:
    """With what the store's triggers call, and its pragmas."""
    for name, function in FUNCTIONS.items():
        database.create_function(name, 1, function, deterministic=True)
    database.execute("PRAGMA foreign_keys = 1")
    database.execute("PRAGMA secure_delete = 1")


def owners(database: sqlite3.Connection) -> list[str]:
    """Those of whom something is kept."""
    every = " UNION ".join(f"SELECT owner FROM {table}" for table in OF_OWNER)
    return sorted(owner for (owner,) in database.execute(every))


def keep_only(database: sqlite3.Connection, owner: str) -> None:
    """Nothing of anybody else, not even in free pages. The connection is in autocommit mode."""
    for table in OF_OWNER:
        database.execute(f"DELETE FROM {table} WHERE owner != ?", (owner,))
    database.execute("INSERT INTO said (said) VALUES ('optimize')")  # FTS5 only marks what is deleted
    database.execute("DELETE FROM said_gone")
    database.execute("DELETE FROM voice_tombstones")
    database.execute("VACUUM")


def attach(database: sqlite3.Connection, moved: Path) -> bool:
    """Another database, only to be read, as `moved`. Whether it is of the same version as this one."""
    database.execute("ATTACH ? AS moved", (f"file:{moved.resolve()}?mode=ro&immutable=1",))
    here, there = (
        [name for (name,) in database.execute(f"SELECT name FROM {schema}.migrations ORDER BY name")]
        for schema in ("main", "moved")
    )
    return here == there


def take_in(database: sqlite3.Connection) -> None:
    """All rows of `moved`, or none."""
    with database:
        database.execute("BEGIN IMMEDIATE")
        for table in ORDER:
            columns = [row[1] for row in database.execute(f"PRAGMA main.table_info({table})")]
            listed = ", ".join(column for column in columns if column != OWN_NUMBER.get(table))
            order = f" ORDER BY {OWN_NUMBER[table]}" if table in OWN_NUMBER else ""
            database.execute(f"INSERT INTO main.{table} ({listed}) SELECT {listed} FROM moved.{table}{order}")
