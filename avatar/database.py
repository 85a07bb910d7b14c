"""The SQLite file: pragmas, numbered migrations, one connection per use, and what a disk refuses as typed errors.
Knows no table but `migrations`.

Everything blocks: call it from threads, never from a coroutine. Threads and processes may share one file.
"""

import errno
import fcntl
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from peewee import DatabaseError, SqliteDatabase, Table

from avatar import snapshot
from avatar.errors import StorageError

T = TypeVar("T")

RESERVE_BYTES = 4 << 20  # a delete logs every page it touches: enough for a conversation of a few thousand turns
FULL_BYTES = 64 << 10  # less free space than this explains an I/O error or a file that cannot be opened
WAL_RETRY_S = 0.02
BACKUPS, MIGRATION_BACKUPS = "backups", 3  # the folder of those made before a migration, and how many of them stay
LAST_BACKUP = "last-backup"  # a file that says where `avatar.backup` made the newest

# research/reliability.md section 6: in WAL with FULL, 0 of 91,365 acknowledged turns lost in 200 kills, about 1 ms each
PRAGMAS = {
    "synchronous": 2,
    "foreign_keys": 1,
    "journal_size_limit": 64 << 20,
    "secure_delete": 1,  # what a user deletes is overwritten, not only unlinked
}
Migrations = Mapping[str, Sequence[str]]  # name -> statements, oldest first


class Database:
    """Opens `data`/avatar.db, creating and migrating what is needed. `close` it; nothing works after that.

    Every method, and the body of `read` and `write`, raises StorageError for what the disk refuses: STORAGE_FULL,
    STORAGE_READONLY, DB_BUSY (locked for longer than `busy_timeout_s`), DB_CORRUPT, DB_NEWER or STORAGE_FAILED.

    A damaged file is opened all the same: `damaged` says so, what can be read is read, and nothing is written.
    """

    def __init__(
        self,
        data: Path,
        migrations: Migrations,
        busy_timeout_s: float = 10,
        functions: Mapping[str, Callable[[str], str]] = {},  # noqa: B006  # read only
    ) -> None:
        """`functions` of one text may be called by name in the migrations, and so in their triggers."""
        self._data, self._path, self._reserve = data, data / "avatar.db", data / "reserve"
        self.damaged = ""  # what to tell, when the file is damaged
        self._db: Any = SqliteDatabase(str(self._path), pragmas=PRAGMAS, timeout=busy_timeout_s)
        for name, function in functions.items():
            self._db.register_function(function, name, 1)
        with self.typed_errors():
            data.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users of the machine have no business here
            self.keep_reserve()
        self.even_if_full(lambda: self._open(migrations, busy_timeout_s))

    def _open(self, migrations: Migrations, busy_timeout_s: float) -> None:
        with self.typed_errors(), ExitStack() as undo:
            self._in_use = os.open(self._data, os.O_RDONLY)
            undo.callback(os.close, self._in_use)
            fcntl.flock(self._in_use, fcntl.LOCK_SH)  # so that nobody restores a backup under our feet
            # Without a connection that stays, each short one would be the last: its close copies the WAL back and
            # removes it, and the next one makes it again (a turn took 1.7 ms, with this one 0.9 ms).
            self._standing = sqlite3.connect(self._path, timeout=busy_timeout_s, check_same_thread=False)
            undo.callback(self._standing.close)
            if snapshot.trouble(self._standing):
                self._only_read(busy_timeout_s)
            else:
                self._use_wal(busy_timeout_s)
                self._back_up_before(migrations)
                self._migrate(migrations)
            undo.pop_all()

    def _only_read(self, busy_timeout_s: float) -> None:
        self._db = SqliteDatabase(f"file:{quote(str(self._path))}?mode=ro", uri=True, timeout=busy_timeout_s)
        last = last_backup(self._data)
        way = f"The last backup is {last}. {_RESTORE}" if last else _NO_BACKUP
        self.damaged = f"The database {self._path} is damaged, so nothing new is kept. {way}"

    def close(self) -> None:
        if not self.damaged:
            self.checkpoint()
        self._standing.close()
        os.close(self._in_use)

    def table(self, name: str, columns: Sequence[str]) -> Any:
        """A peewee Table bound to this file and no other, so that two can be open in one process."""
        return Table(name, tuple(columns)).bind(self._db)

    def rows(self, sql: str, *values: object) -> Iterator[tuple[Any, ...]]:
        """For what peewee cannot say. Within `read` or `write`; one row after the other is fetched."""
        return iter(self._db.execute_sql(sql, values))

    @contextmanager
    def read(self) -> Iterator[None]:
        with self.typed_errors(), self._db.connection_context():
            yield

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction: on disk when it is left, undone when it raises."""
        if self.damaged:
            raise StorageError(self.damaged, code="DB_CORRUPT")
        # IMMEDIATE: a read-then-write in a deferred transaction failed 412 of 480 times under 8 threads (design, 5)
        with self.read(), self._db.atomic("IMMEDIATE"):
            yield

    def checkpoint(self) -> None:
        """Move the WAL into the file and empty it, so that deleted words are in neither. Best effort: SQLite will do it
        later if it cannot be done now."""
        with suppress(StorageError), self.read():
            self._db.execute_sql("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def keep_reserve(self) -> None:
        """On a full disk SQLite can neither open nor delete: both write first. This file is there to be given up."""
        with self.typed_errors():
            if self._reserve.exists():
                return
            try:
                self._reserve.write_bytes(bytes(RESERVE_BYTES))
            except OSError as exc:
                if exc.errno not in _FULL_ERRNOS:
                    raise
                self._reserve.unlink(missing_ok=True)  # no room for it now; the next delete makes some

    def even_if_full(self, work: Callable[[], T]) -> T:
        """Do `work`, and if the disk is too full for it, give up the reserve and do it again."""
        try:
            return work()
        except StorageError as exc:
            if exc.code != "STORAGE_FULL":
                raise
        self._reserve.unlink(missing_ok=True)
        return work()

    @contextmanager
    def typed_errors(self) -> Iterator[None]:
        """For files beside the database too."""
        try:
            yield
        except (OSError, sqlite3.DatabaseError, DatabaseError) as exc:
            if (error := self._storage_error(exc)) is None:
                raise
            raise error from exc

    def _storage_error(self, exc: Exception) -> StorageError | None:
        """None when `exc` is a bug of ours, such as a constraint that does not hold."""
        if self.damaged and not isinstance(exc, OSError):
            return StorageError(self.damaged, code="DB_CORRUPT")
        code = _sqlite_code(exc)
        number = exc.errno if isinstance(exc, OSError) else None
        unusable = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
        if code == sqlite3.SQLITE_FULL or number in _FULL_ERRNOS or (unusable and self._full()):
            return StorageError(_FULL, code="STORAGE_FULL")
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or number in _READONLY_ERRNOS:
            return StorageError(f"AVATAR may not write in {self._data}. {_READONLY}", code="STORAGE_READONLY")
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return StorageError(_BUSY, code="DB_BUSY")
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return StorageError(f"The database {self._path} is damaged. {_CORRUPT}", code="DB_CORRUPT")
        if code == sqlite3.SQLITE_IOERR or number is not None:
            return StorageError(f"The disk failed while AVATAR used {self._data}: {exc}. Check the disk.")
        return None

    def _full(self) -> bool:
        return shutil.disk_usage(self._data).free < FULL_BYTES

    def _use_wal(self, timeout_s: float) -> None:
        """SQLite says "locked" at once, whatever its timeout, when several processes open a new file at once: 3 of 400
        opens, by four at a time, without this loop; 0 with it."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._standing.execute("PRAGMA journal_mode = wal").fetchall()
                self._standing.execute("SELECT count(*) FROM sqlite_master").fetchall()  # from here it holds the WAL
                return
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(WAL_RETRY_S)

    def _back_up_before(self, migrations: Migrations) -> None:
        """A copy of what a newer version is about to change; the newest few stay."""
        if not self._standing.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
            return  # a new file
        applied = {name for (name,) in self._standing.execute("SELECT name FROM migrations")}
        pending = [name for name in migrations if name not in applied]
        if not pending or applied - migrations.keys():
            return
        folder = self._data / BACKUPS
        folder.mkdir(mode=0o700, exist_ok=True)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        snapshot.take(self._standing, folder / f"{moment}-before-{pending[0]}.db")
        for old in sorted(folder.glob("*-before-*.db"))[:-MIGRATION_BACKUPS]:
            old.unlink()

    def _migrate(self, migrations: Migrations) -> None:
        with self.write():
            run = self._db.execute_sql
            run("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY, applied_at TEXT NOT NULL)")
            applied = {name for (name,) in run("SELECT name FROM migrations").fetchall()}
            if newer := applied - migrations.keys():
                raise StorageError(f"{self._path} {_NEWER} It has: {', '.join(sorted(newer))}.", code="DB_NEWER")
            for name in (name for name in migrations if name not in applied):
                for statement in migrations[name]:
                    run(statement)
                run("INSERT INTO migrations VALUES (?, ?)", (name, datetime.now(UTC).isoformat(timespec="seconds")))


def last_backup(data: Path) -> Path | None:
    """The newest backup of `data` that is still where it was made: by `avatar.backup`, or before a migration."""
    found = list((data / BACKUPS).glob("*.db"))
    with suppress(OSError, UnicodeDecodeError):
        found.append(Path((data / LAST_BACKUP).read_text(encoding="utf-8").strip()))
    there = [path for path in found if path.exists()]
    return max(there, key=lambda path: path.stat().st_mtime, default=None)


def _sqlite_code(exc: BaseException | None) -> int:
    """SQLite's primary result code. On a full disk SQLite has rolled back by itself, peewee's own rollback then fails,
    and that is what arrives here: the cause is further down."""
    code = sqlite3.SQLITE_ERROR  # the generic one
    while code == sqlite3.SQLITE_ERROR and isinstance(exc, DatabaseError | sqlite3.DatabaseError):
        code = getattr(exc, "sqlite_errorcode", code) & 0xFF  # without the extension bits
        exc = exc.__context__
    return code


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk: without it a power cut can take the name of a file whose bytes are safe."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


_FULL_ERRNOS, _READONLY_ERRNOS = (errno.ENOSPC, errno.EDQUOT), (errno.EROFS, errno.EACCES, errno.EPERM)
_FULL = "The disk is full, so this turn was not kept. Free space, then go on talking."
_READONLY = "Make the folder writable, or set AVATAR_DATA to another one."
_BUSY = "The database is in use by another program, so this was not stored. Close that program, then try again."
_RESTORE = "Stop AVATAR, then: python -m avatar.backup restore, with that path."
_NO_BACKUP = "There is no backup. Move the file away: AVATAR then starts with an empty history."
_CORRUPT = "Put a backup in its place, or move it away: AVATAR then starts with an empty history."
_NEWER = "was written by a newer version of AVATAR. Use that version, or set AVATAR_DATA to another folder."
