"""What an engine makes of a profile's reference, kept in memory and in the profile's own folder. Knows no engine.

Both are bounded, the least recently used goes first. The folder is never made here: a profile that was deleted has
none, so nothing of it can come back.
"""

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

from avatar.engines.base import Voice

log = logging.getLogger(__name__)
T = TypeVar("T")

KEPT = 8  # in memory, of each engine; 12 s of reference are 7 MB in pocket-tts's 100 M models
MAX_DISK_BYTES = 256 << 20  # of all profiles and engines together


class Conditioning(Generic[T]):
    """`suffix` is that of its files, with the dot. Thread-safe."""

    def __init__(self, engine: str, suffix: str, kept: int = KEPT) -> None:
        self._engine, self._suffix, self._kept = engine, suffix, kept
        self._lock = threading.Lock()
        self._values: dict[tuple[str, str], T] = {}  # by profile and variant, the least recently used first
        self._forgotten = set[str]()  # an id is never used again

    def get(
        self,
        voice: Voice,
        variant: str,
        make: Callable[[], T],
        read: Callable[[Path], T],
        write: Callable[[T, Path], object],
    ) -> T:
        """Blocks while it is read or made. `variant` names what it depends on beside the reference: model, language,
        weights. What `read` raises for a damaged file counts as not kept. Raises what `make` raises."""
        variant = f"{variant} {_digest(voice)}"
        key = voice.profile_id or "", variant
        with self._lock:
            value = self._values.pop(key, None)
        if value is None:
            file = self._file(voice, variant)
            value = make() if file is None else self._from_disk(file, make, read, write)
        with self._lock:
            if key[0] not in self._forgotten:
                self._values[key] = value
            while len(self._values) > self._kept:
                del self._values[next(iter(self._values))]
        return value

    def forget(self, profile_id: str) -> None:
        """Drop it, and keep nothing of it that is being made now. Its files go with the profile's folder."""
        with self._lock:
            self._forgotten.add(profile_id)
            for key in [key for key in self._values if key[0] == profile_id]:
                del self._values[key]

    def _file(self, voice: Voice, variant: str) -> Path | None:
        if voice.cache is None:
            return None
        name = hashlib.sha256(variant.encode()).hexdigest()[:32]
        return voice.cache / f"{self._engine}-{name}{self._suffix}"

    def _from_disk(
        self, file: Path, make: Callable[[], T], read: Callable[[Path], T], write: Callable[[T, Path], object]
    ) -> T:
        if file.is_file():
            try:
                value = read(file)
            except Exception as exc:  # noqa: BLE001 - a foreign engine reads it; whatever it says, it can be made again
                log.warning("%s could not read what it had kept of a voice: %s", self._engine, type(exc).__name__)
            else:
                with suppress(OSError):
                    os.utime(file)
                return value
        value = make()
        self._keep(file, lambda scratch: write(value, scratch))
        return value

    def _keep(self, file: Path, write: Callable[[Path], object]) -> None:
        """Whole or not at all. A disk that is full, or a folder that is gone, costs only the time to make it again."""
        try:
            handle, scratch = tempfile.mkstemp(dir=file.parent, suffix=self._suffix)
            os.close(handle)
            try:
                write(Path(scratch))
                os.replace(scratch, file)
            except BaseException:
                Path(scratch).unlink(missing_ok=True)
                raise
            bound(file.parents[2], MAX_DISK_BYTES)
        except OSError as exc:
            log.info("%s could not keep what it made of a voice: %s", self._engine, type(exc).__name__)


def bound(voices: Path, max_bytes: int) -> None:
    """Remove the least recently used files of all profiles until `max_bytes` are left."""
    files = []
    for file in voices.glob("*/cache/*"):
        with suppress(FileNotFoundError):
            files.append((file.stat().st_mtime, file.stat().st_size, file))
    total = sum(size for _, size, _ in files)
    for _, size, file in sorted(files):
        if total <= max_bytes:
            return
        file.unlink(missing_ok=True)
        total -= size


def _digest(voice: Voice) -> str:
    """Of the reference itself: what was kept for another one is never taken for it."""
    reference = voice.reference
    if reference is None:
        return ""
    return hashlib.sha256(reference.samples.tobytes() + str(reference.sample_rate).encode()).hexdigest()
