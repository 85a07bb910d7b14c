"""The SQLite file: pragmas, numbered migrations, one connection per use, and what a disk refuses as typed errors.
Knows no table but `migrations`.

Everything blocks: call it from threads, never from a coroutine. Threads and processes may share one file.
"""

import fcntl
import os
import sqlite3
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from peewee import DatabaseError, SqliteDatabase, Table

from avatar import snapshot
from avatar.durable import keep_private
from avatar.errors import NotFound, StorageError
from avatar.refused import FULL_ERRNOS, storage_error

T = TypeVar("T")

RESERVE_BYTES = 4 << 20  # a delete logs every page it touches: enough for a conversation of a few thousand turns
WAL_RETRY_S = 0.02
BACKUPS, MIGRATION_BACKUPS = "backups", 3  # the folder of those made before a migration, and how many of them stay
COPIES, COPIES_S = "*-before-*.db", 30 * 86_400  # how they are called, and how long they stay
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

    A file that is damaged, or that may not be written, is opened all the same: `damaged` or `unwritable` says so, what
    can be read is read, and nothing is written until that is mended: a backup restored, the folder made writable.
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
        self.damaged = self.unwritable = ""  # what to tell then
        self._migrations, self._busy_timeout_s, self._mending = migrations, busy_timeout_s, threading.Lock()
        self._standing: sqlite3.Connection | None = None
        self._in_use = -1  # the folder, locked while it is written
        self._seen: tuple[int, ...] = ()  # the file that was found damaged
        self._db: Any = SqliteDatabase(None)
        for name, function in functions.items():
            self._db.register_function(function, name, 1)
        try:
            with self.typed_errors():
                data.mkdir(mode=0o700, parents=True, exist_ok=True)  # other users of the machine have no business here
                self.keep_reserve()
                self._try_to_write()
            self.even_if_full(self._open)
        except StorageError as exc:
            if exc.code != "STORAGE_READONLY" or not self._path.is_file():
                raise
            self._read_what_is_there(exc)

    def _open(self) -> None:
        """Open it to read and to write; one that is damaged to read."""
        self._db.init(str(self._path), pragmas=PRAGMAS, timeout=self._busy_timeout_s)
        with self.typed_errors(), ExitStack() as undo:
            in_use = os.open(self._data, os.O_RDONLY)
            undo.callback(os.close, in_use)
            fcntl.flock(in_use, fcntl.LOCK_SH)  # so that nobody restores a backup under our feet
            # Without a connection that stays, each short one would be the last: its close copies the WAL back and
            # removes it, and the next one makes it again (a turn took 1.7 ms, with this one 0.9 ms).
            standing = sqlite3.connect(self._path, timeout=self._busy_timeout_s, check_same_thread=False)
            undo.callback(standing.close)
            trouble = snapshot.trouble(standing)  # makes the file, if there is none
            for path in self._data.glob(f"{self._path.name}*"):  # new logs take the rights of their database
                keep_private(path)
            if trouble:
                self._tell_damage()
                return  # nothing is held, so that a backup can be restored
            self._use_wal(standing)
            self._back_up_before(standing)
            self._migrate()
            self.forget_copies(COPIES_S)
            undo.pop_all()
        self._standing, self._in_use, self.damaged, self.unwritable = standing, in_use, "", ""

    def _tell_damage(self) -> None:
        self._only_read("mode=ro")
        last = last_backup(self._data)
        way = f"The last backup is {last}. {_RESTORE}" if last else _NO_BACKUP
        self.damaged, self._seen = f"The database {self._path} is damaged, so nothing new is kept. {way}", self._file()

    def _read_what_is_there(self, why: StorageError) -> None:
        """Of a folder that may not be written. Raises `why` when that takes a migration, or cannot be read either."""
        log = self._path.with_name(f"{self._path.name}-wal")
        # SQLite makes a file beside one in WAL mode even to read it, unless it is told that nobody writes. What a crash
        # left in a log is read with the file that lies beside it already.
        self._only_read("mode=ro" if log.is_file() and log.stat().st_size else "mode=ro&immutable=1")
        try:
            with self.read():
                applied = {name for (name,) in self.rows("SELECT name FROM migrations")}
        except StorageError:
            raise why from None
        if applied != self._migrations.keys():
            raise why
        self.unwritable = why.sentence

    def _only_read(self, how: str) -> None:
        self._db.init(f"file:{quote(str(self._path))}?{how}", uri=True, pragmas={}, timeout=self._busy_timeout_s)

    def _mend(self) -> None:
        """Open it anew if what was wrong at the start may be gone. Raises StorageError when it is not."""
        with self._mending:
            if self.damaged and self._file() != self._seen:
                self.even_if_full(self._open)
            elif self.unwritable:
                with self.typed_errors():
                    self._try_to_write()  # before anything changes for those who read
                self.keep_reserve()
                self.even_if_full(self._open)

    def _try_to_write(self) -> None:
        """Raises OSError when the folder is read-only; that it is full is met where it matters."""
        try:
            with tempfile.TemporaryFile(dir=self._data):
                pass
        except OSError as exc:
            if exc.errno not in FULL_ERRNOS:
                raise

    def _file(self) -> tuple[int, ...]:
        """Which file it is, and as of when; () for none."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def close(self) -> None:
        if self._standing is not None:
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
        if self.damaged and self._db.is_closed():
            self._mend()
        with self.typed_errors(), self._db.connection_context():
            yield

    @contextmanager
    def write(self) -> Iterator[None]:
        """One transaction: on disk when it is left, undone when it raises."""
        if self.damaged or self.unwritable:
            self._mend()
        if self.damaged:
            raise StorageError(self.damaged, code="DB_CORRUPT")
        # IMMEDIATE: a read-then-write in a deferred transaction failed 412 of 480 times under 8 threads (design, 5)
        with self.read(), self._db.atomic("IMMEDIATE"):
            yield

    def forget_copies(self, min_age_s: float = 0) -> None:
        """Those made before a migration: they hold what is deleted since."""
        with self.typed_errors():
            for copy in (self._data / BACKUPS).glob(COPIES):
                if copy.stat().st_mtime <= time.time() - min_age_s:
                    copy.unlink(missing_ok=True)

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
                if exc.errno not in FULL_ERRNOS:
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
        """For files beside the database too. What no database can hold, and a page may ask for, is not there."""
        try:
            yield
        except (OSError, sqlite3.DatabaseError, DatabaseError) as exc:
            if self.damaged and not isinstance(exc, OSError):
                raise StorageError(self.damaged, code="DB_CORRUPT") from exc
            if (error := storage_error(exc, self._path)) is None:
                raise
            raise error from exc
        except (UnicodeEncodeError, OverflowError) as exc:  # half a character, or a number of more than 64 bits
            raise NotFound("There is no such thing.") from exc

    def _use_wal(self, standing: sqlite3.Connection) -> None:
        """SQLite says "locked" at once, whatever its timeout, when several processes open a new file at once: 3 of 400
        opens, by four at a time, without this loop; 0 with it."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                standing.execute("PRAGMA journal_mode = wal").fetchall()
                standing.execute("SELECT count(*) FROM sqlite_master").fetchall()  # from here it holds the WAL
                return
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(WAL_RETRY_S)

    def _back_up_before(self, standing: sqlite3.Connection) -> None:
        """A copy of what a newer version is about to change; the newest few stay."""
        if not standing.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
            return  # a new file
        applied = {name for (name,) in standing.execute("SELECT name FROM migrations")}
        pending = [name for name in self._migrations if name not in applied]
        if not pending or applied - self._migrations.keys():
            return
        folder = self._data / BACKUPS
        folder.mkdir(mode=0o700, exist_ok=True)
        moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        snapshot.take(standing, folder / f"{moment}-before-{pending[0]}.db")
        for old in sorted(folder.glob(COPIES))[:-MIGRATION_BACKUPS]:
            old.unlink()

    def _migrate(self) -> None:
        migrations = self._migrations
        with self.typed_errors(), self._db.connection_context(), self._db.atomic("IMMEDIATE"):
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


_RESTORE = "Bring it back with: python -m avatar.backup restore, and that path."
_NO_BACKUP = "There is no backup. Move the file away: AVATAR then starts with an empty history."
_NEWER = "was written by a newer version of AVATAR. Use that version, or set AVATAR_DATA to another folder."
