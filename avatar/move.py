"""python -m avatar.move out|in|list: one owner from a front to another, with conversations, recordings and voices.

`out` makes a backup (backup.py) that holds nothing of anybody else; `in` adds such a backup to a front's own data. Both
work while the fronts run; only the owner should not be talking. What was moved stays where it was until `erase`.
"""

import argparse
import sqlite3
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from avatar import backup, snapshot
from avatar.durable import sync_folder
from avatar.errors import AvatarError, NotFound, StorageError
from avatar.settings import Settings
from avatar.store import Store, moving
from avatar.voices import Voices


def owners(data: Path) -> list[str]:
    """Those of whom something is kept. Raises StorageError."""
    with backup.typed(data), closing(_opened(data / backup.DATABASE)) as database:
        return moving.owners(database)


def out(data: Path, owner: str, into: Path) -> backup.Report:
    """A backup of this owner alone, a new folder below `into`. Raises NotFound, StorageError."""
    if owner not in owners(data):
        raise NotFound(f"Nothing of {owner} is kept in {data}. python -m avatar.move list shows who is.")
    with backup.typed(into):
        into.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=into, prefix=".moving-") as folder:
            alone = Path(folder)
            with closing(_opened(data / backup.DATABASE)) as live:
                snapshot.take(live, alone / backup.DATABASE)
            with closing(sqlite3.connect(alone / backup.DATABASE, isolation_level=None)) as copy:
                moving.equip(copy)
                moving.keep_only(copy, owner)
            for name in ("audio", "voices"):  # the backup copies what its database names, and no more
                (alone / name).symlink_to((data / name).resolve())
            return backup.create(alone, into)


def take_in(folder: Path, data: Path) -> backup.Report:
    """Add what `out` has made to `data`, all of it or nothing. Raises StorageError: it is damaged, of another version,
    or here already."""
    report = backup.verify(folder)
    store = Store(data)  # makes and migrates what is needed
    store.close()
    placed: list[Path] = []
    with backup.typed(data), closing(_opened(data / backup.DATABASE)) as database:
        if not moving.attach(database, folder / backup.DATABASE):
            sentence = f"{folder} is of another version of AVATAR than this. Use the same on both."
            raise StorageError(sentence, code="VERSION")
        try:
            for name in _files(folder):
                if (target := data / name).exists():
                    raise StorageError(f"{target} is here already. Nothing was changed.", code="MOVED_TWICE")
                placed.append(target)  # before it is: half a file goes too
                backup.copied(folder / name, target)
            for place in {place for target in placed for place in target.parents if place.is_relative_to(data)}:
                sync_folder(place)
            moving.take_in(database)
        except BaseException as exc:
            for path in placed:
                path.unlink(missing_ok=True)
            if isinstance(exc, sqlite3.IntegrityError):
                raise StorageError("A part of it is here already. Nothing was changed.", code="MOVED_TWICE") from exc
            raise
    return report


def erase(data: Path, owner: str) -> None:
    """Everything that is kept of this owner, where it was moved away from. Raises StorageError."""
    store = Store(data)
    try:
        voices = Voices(data, store.profiles)
        voices.set_default(owner, "")
        for profile in voices.of(owner):
            voices.delete(owner, profile.id)
        store.erase(owner)
    finally:
        store.close()


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise StorageError(f"There is no history in {path.parent}. AVATAR_DATA says where it is.")
    database = sqlite3.connect(f"file:{path.resolve()}", uri=True, timeout=10)
    moving.equip(database)
    return database


def _files(folder: Path) -> list[str]:
    """Those that belong to the owner, not to the front."""
    every = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return [name for name in every if name.startswith(("audio/", "voices/"))]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.move", description="One owner from a front to another.")
    parser.add_argument("--data", type=Path, help="of the front; default: AVATAR_DATA")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="of whom something is kept")
    for name, words in (
        ("out", "make a backup of OWNER alone below DIR"),
        ("erase", "everything of OWNER, once moved"),
    ):
        command = commands.add_parser(name, help=words)
        command.add_argument("owner", metavar="OWNER")
        if name == "out":
            command.add_argument("folder", metavar="DIR", type=Path)
    commands.add_parser("in", help="add what `out` made to this front").add_argument("folder", metavar="DIR", type=Path)
    options = parser.parse_args(argv)
    try:
        data = options.data or Settings.from_env().data
        match options.command:
            case "list":
                print("\n".join(owners(data)))
            case "out":
                print(out(data, options.owner, options.folder).folder)
            case "in":
                report = take_in(options.folder, data)
                print(f"{report.holds.conversations} conversations, {len(report.holds.voices)} voices moved in.")
            case "erase":
                erase(data, options.owner)
    except AvatarError as exc:
        print(exc.sentence, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
