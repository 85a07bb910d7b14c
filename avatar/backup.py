"""python -m avatar.backup create|verify|restore DIR: the history, its recordings and the voices, while AVATAR runs.

The database is copied first, by SQLite's online backup API; then the files that this copy names. Every file is in a
manifest with its SHA-256. A backup appears under its name when it is whole, or not at all.
"""

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from avatar import snapshot
from avatar.database import LAST_BACKUP
from avatar.durable import sync_folder, sync_tree, write_new
from avatar.errors import AvatarError, StorageError
from avatar.settings import Settings
from avatar.store.contents import Contents, contents

DATABASE, MANIFEST, PREFIX = "avatar.db", "manifest.json", "avatar-"
REPLACED = ("avatar.db", "avatar.db-wal", "avatar.db-shm", "audio", "voices")  # of a data folder, when one is restored
BESIDE = ("guests.key",)  # whose history is whose, for guests without a login
FORMAT = 1
CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Report:
    """`missing`: files that the database names and that were not there, such as one deleted while the backup ran."""

    folder: Path
    holds: Contents
    size: int  # bytes
    missing: tuple[str, ...]


def create(data: Path, into: Path) -> Report:
    """Make a new folder below `into`. Raises StorageError: there is nothing to back up, it is damaged, the disk."""
    name = f"{PREFIX}{datetime.now(UTC):%Y%m%dT%H%M%S%f}"[: len(PREFIX) + 18]
    if not (data / DATABASE).is_file():
        raise StorageError(f"There is no history in {data}: nothing to back up. AVATAR_DATA says where it is.")
    with typed(into):
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(dir=into, prefix=".making-"))
        try:
            report = _fill(staged, data)
            sync_tree(staged)
            staged.rename(into / name)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        sync_folder(into)
    with typed(data):
        (data / LAST_BACKUP).write_text(str((into / name).resolve()), encoding="utf-8")
    return Report(into / name, report.holds, report.size, report.missing)


def _fill(staged: Path, data: Path) -> Report:
    with closing(sqlite3.connect(data / DATABASE)) as live:
        snapshot.take(live, staged / DATABASE)
    with closing(sqlite3.connect(staged / DATABASE)) as copy:
        holds = contents(copy)
    files, missing = {DATABASE: _hashed(staged / DATABASE)}, []
    for name in _named(holds, data):
        try:
            files[name] = copied(data / name, staged / name)
        except FileNotFoundError:
            missing.append(name)
    manifest = {
        "format": FORMAT,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "conversations": holds.conversations,
        "turns": holds.turns,
        "files": {name: {"sha256": sha256, "size": size} for name, (sha256, size) in files.items()},
        "missing": missing,
    }
    write_new(staged / MANIFEST, json.dumps(manifest, indent=1).encode())
    return Report(staged, holds, sum(size for _, size in files.values()), tuple(missing))


def _named(holds: Contents, data: Path) -> Iterator[str]:
    """The files that belong to a database, below the data folder."""
    for name in sorted(holds.recordings):
        yield f"audio/{name[:2]}/{name}"
    for voice in sorted(holds.voices):
        yield f"voices/{voice}/clip.flac"
    yield from (name for name in BESIDE if (data / name).is_file())


def verify(folder: Path) -> Report:
    """Look at every byte of a backup; a copy of the database alone, made before a migration, is one too. Raises
    StorageError: what is wrong with it."""
    if folder.is_file():
        return Report(folder, _whole(folder), folder.stat().st_size, ())
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        files, missing = dict(manifest["files"]), tuple(manifest["missing"])
        wanted = {name: (str(file["sha256"]), int(file["size"])) for name, file in files.items()}
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise StorageError(f"{folder} is no backup: it has no {MANIFEST} that can be read.", code=_BAD) from exc
    if manifest.get("format") != FORMAT:
        raise StorageError(f"{folder} was made by a newer version of AVATAR. Use that version.", code=_BAD)
    root = folder.resolve()
    for name, expected in wanted.items():
        path = folder / name
        try:
            whole = path.resolve().is_relative_to(root) and _hashed(path) == expected
        except OSError:
            whole = False
        if not whole:
            raise StorageError(f"{path} is missing or damaged. Use another backup.", code=_BAD)
    if DATABASE not in wanted:
        raise StorageError(f"{folder} holds no {DATABASE}. Use another backup.", code=_BAD)
    holds = _whole(folder / DATABASE)
    if lost := [name for name in _named(holds, Path()) if name not in wanted and name not in missing]:
        raise StorageError(f"{folder} lacks {len(lost)} files that its history names. Use another backup.", code=_BAD)
    return Report(folder, holds, sum(size for _, size in wanted.values()), missing)


def _whole(database: Path) -> Contents:
    """What it holds. Raises StorageError when it is damaged."""
    with closing(sqlite3.connect(f"file:{quote(str(database))}?mode=ro&immutable=1", uri=True)) as copy:
        try:
            found, holds = snapshot.trouble(copy, thorough=True), contents(copy)
        except sqlite3.Error as exc:
            raise StorageError(f"{database} is damaged. Use another backup.", code=_BAD) from exc
    if found:
        raise StorageError(f"{database} is damaged: {found}. Use another backup.", code=_BAD)
    return holds


def restore(folder: Path, data: Path) -> Report:
    """Put a backup in the place of what is in `data`, which is moved into a folder of its own there; of a database
    alone, the recordings and voices stay that are there. A damaged history is mended so while AVATAR runs. Raises
    StorageError: the backup is damaged, or AVATAR uses what is in `data`."""
    report = verify(folder)
    if alone := folder.is_file():
        sha256, size = _hashed(folder)
        sources = {DATABASE: (folder, sha256, size)}
    else:
        listed = json.loads((folder / MANIFEST).read_bytes())["files"]
        sources = {name: (folder / name, file["sha256"], file["size"]) for name, file in listed.items()}
    with typed(data):
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(data):
            staged = Path(tempfile.mkdtemp(dir=data, prefix=".restoring-"))
            try:
                for name, (source, sha256, size) in sources.items():
                    if copied(source, staged / name) != (sha256, size):
                        raise StorageError(f"{source} changed while it was copied. Verify the backup.")
                sync_tree(staged)
                _swap(staged, data, REPLACED[:3] if alone else REPLACED)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
            sync_folder(data)
    return report


def _swap(staged: Path, data: Path, replaced: Sequence[str]) -> None:
    """Renames only; one that is refused, of a folder that is a disk of its own say, is undone with all before it. A
    crash between them loses nothing: the old files are in `replaced-...`, the backup as it was."""
    aside = data / f"replaced-{datetime.now(UTC):%Y%m%dT%H%M%S%f}"
    aside.mkdir(mode=0o700)
    done: list[tuple[Path, Path]] = []
    names = {*replaced, *(path.name for path in staged.iterdir())}
    try:
        # the database last, for what no database names is swept at a start; its log before it, which fits no other
        for name in sorted(names, key=lambda name: (name.startswith(DATABASE), name == DATABASE)):
            for source, target in ((data / name, aside / name), (staged / name, data / name)):
                if os.path.lexists(source):
                    source.rename(target)
                    done.append((source, target))
    except OSError:
        for source, target in reversed(done):
            target.rename(source)
        raise
    finally:
        if not any(aside.iterdir()):
            aside.rmdir()


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """While nobody has the database open: database.py holds a shared lock on the folder."""
    handle = os.open(data, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise StorageError(f"AVATAR is running with {data}. Stop it, then restore.", code="DB_BUSY") from exc
    finally:
        os.close(handle)


@contextmanager
def typed(folder: Path) -> Iterator[None]:
    """What a disk or a database refuses as a StorageError that names `folder`."""
    try:
        yield
    except ValueError as exc:  # of snapshot.take
        raise StorageError(f"The database is damaged, so no backup of it was made: {exc}.", code="DB_CORRUPT") from exc
    except (OSError, sqlite3.Error) as exc:
        raise StorageError(f"{folder} could not be used: {exc}. Nothing was changed.") from exc


def copied(source: Path, target: Path) -> tuple[str, int]:
    """Copy a file onto the disk; its SHA-256 and size. Raises FileExistsError where there is one already."""
    with source.open("rb") as file:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as copy:
            digest = _digest(file, copy.write)
            copy.flush()
            os.fsync(copy.fileno())
            return digest


def _hashed(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        return _digest(file, len)


def _digest(file: Any, each: Callable[[bytes], object]) -> tuple[str, int]:
    sha256, size = hashlib.sha256(), 0
    while chunk := file.read(CHUNK):
        sha256.update(chunk)
        size += len(chunk)
        each(chunk)
    return sha256.hexdigest(), size


_BAD = "BACKUP_DAMAGED"


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.backup", description="The history of AVATAR, and back.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, words in (
        ("create", "make a new backup in a folder below DIR, also while AVATAR runs"),
        ("verify", "look at every byte of the backup DIR"),
        (
            "restore",
            "put the backup DIR in the place of the history; stop AVATAR first, unless it says that it is damaged",
        ),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("folder", metavar="DIR", type=Path)
        command.add_argument("--data", type=Path, help="default: AVATAR_DATA")
    options = parser.parse_args(argv)
    try:
        data = options.data or Settings.from_env().data
        if options.command == "create":
            report = create(data, options.folder)
        elif options.command == "verify":
            report = verify(options.folder)
        else:
            report = restore(options.folder, data)
    except AvatarError as exc:
        print(exc.sentence, file=sys.stderr)
        return 1
    holds, done = report.holds, {"create": "made", "verify": "is whole", "restore": "is restored"}[options.command]
    print(
        f"{report.folder} {done}: {holds.conversations} conversations, {holds.turns} turns, {len(holds.recordings)} "
        f"recordings, {len(holds.voices)} voices, {report.size / 1e6:.1f} MB."
    )
    if report.missing:
        print(f"{len(report.missing)} recordings were not there any more when it was made; {MANIFEST} names them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
