"""Files that survive a power cut: on the disk, and under their names, when a call returns; and whose they are.

Every call blocks.
"""

import os
from contextlib import suppress
from pathlib import Path


def write_new(path: Path, data: bytes) -> None:
    """Make a file; its name is safe only after `sync_folder`. Raises OSError: FileExistsError where there is one."""
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Put a folder's entries on disk: without it a power cut can take the name of a file whose bytes are safe."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """The same for a folder and all folders below it."""
    for place in folder.rglob("*"):
        if place.is_dir():
            sync_folder(place)
    sync_folder(folder)


def keep_private(path: Path) -> None:
    """Let no other user of the machine in. Best effort: a file of somebody else, and some disks, do not take it."""
    with suppress(OSError):
        path.chmod(0o700 if path.is_dir() else 0o600)
