"""Files that survive a power cut: on the disk, and under their names, when a call returns. Every call blocks."""

import os
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
