"""The recordings of turns: files with names that only the database gives. Knows nothing of sound, and no SQL."""

import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from avatar.database import Database
from avatar.durable import keep_private, sync_folder


class Sounds:
    """Files of `folder`. Raises StorageError for what the disk refuses."""

    def __init__(self, folder: Path, db: Database) -> None:
        self._folder, self._db = folder, db
        with db.typed_errors():
            folder.mkdir(mode=0o700, exist_ok=True)
        keep_private(folder)  # the data folder may be one that others can look into

    def save(self, write: Callable[[Path], object]) -> str:
        """Have `write` make a new file at the path it is given, whole and on disk when it returns; its name."""
        name = f"{uuid.uuid4().hex}.opus"
        path = self.path(name)
        with self._db.typed_errors():
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True)
                sync_folder(self._folder)
            write(path)
        return name

    def path(self, name: str) -> Path:
        return self._folder / name[:2] / name

    def remove(self, names: Iterable[str]) -> None:
        with self._db.typed_errors():
            for name in names:
                self.path(name).unlink(missing_ok=True)

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name."""
        with self._db.typed_errors():
            return dict(_sized(self._folder))

    def older_than(self, moment: float) -> list[Path]:
        """All files written before `moment` (Unix time)."""
        with self._db.typed_errors():
            return [file for file in self._folder.glob("*/*") if _modified_at(file) < moment]


def _sized(folder: Path) -> Iterator[tuple[str, int]]:
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            for file in os.scandir(entry):
                with suppress(FileNotFoundError):  # deleted since it was listed
                    yield file.name, file.stat(follow_symlinks=False).st_size


def _modified_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # deleted, or renamed by its writer, since it was listed
        return math.inf
