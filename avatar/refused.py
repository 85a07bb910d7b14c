"""What a disk refuses, SQLite's errors and the system's alike, as the StorageErrors that AVATAR can name."""

import errno
import shutil
import sqlite3
from pathlib import Path

from peewee import DatabaseError

from avatar.errors import StorageError

FULL_ERRNOS, READONLY_ERRNOS = (errno.ENOSPC, errno.EDQUOT), (errno.EROFS, errno.EACCES, errno.EPERM)
FULL_BYTES = 64 << 10  # less free space than this explains an I/O error or a file that cannot be opened


def storage_error(exc: Exception, database: Path) -> StorageError | None:
    """None when `exc` is a bug of ours, such as a constraint that does not hold."""
    code, folder = _sqlite_code(exc), database.parent
    number = exc.errno if isinstance(exc, OSError) else None
    unusable = code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN)
    if code == sqlite3.SQLITE_FULL or number in FULL_ERRNOS or (unusable and _full(folder)):
        return StorageError(_FULL, code="STORAGE_FULL")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN) or number in READONLY_ERRNOS:
        return StorageError(f"AVATAR may not write in {folder}. {WRITABLE}", code="STORAGE_READONLY")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageError(_BUSY, code="DB_BUSY")
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StorageError(f"The database {database} is damaged. {_CORRUPT}", code="DB_CORRUPT")
    if code == sqlite3.SQLITE_IOERR or number is not None:
        return StorageError(f"The disk failed while AVATAR used {folder}: {exc}. Check the disk.")
    return None


def _full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < FULL_BYTES
    except OSError:  # the whole disk was taken away
        return False


def _sqlite_code(exc: BaseException | None) -> int:
    """SQLite's primary result code. On a full disk SQLite has rolled back by itself, peewee's own rollback then fails,
    and that is what arrives here: the cause is further down."""
    code = sqlite3.SQLITE_ERROR  # the generic one
    while code == sqlite3.SQLITE_ERROR and isinstance(exc, DatabaseError | sqlite3.DatabaseError):
        code = getattr(exc, "sqlite_errorcode", code) & 0xFF  # without the extension bits
        exc = exc.__context__
    return code


_FULL = "The disk is full, so this turn was not kept. Free space, then go on talking."
WRITABLE = "Make the folder writable, or set AVATAR_DATA to another one."
_BUSY = "The database is in use by another program, so this was not stored. Close that program, then try again."
_CORRUPT = "Put a backup in its place, or move it away: AVATAR then starts with an empty history."
