"""VRAM used and free, from NVIDIA's management library, which comes with the driver. No GPU is an answer, not an error.
And the one library that CTranslate2 wants of CUDA 12.

On an H100 the first reading took 21 ms and each later one 0.05 ms; nvidia-smi is a process and 26 ms every time.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FRESH_S = 1.0  # a reading is used again for this long
CUBLAS = ("libcublasLt.so.12", "libcublas.so.12")  # the second needs the first


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """Bytes of the whole card; used includes other programs and what the driver keeps for itself. With AVATAR_VRAM_GIB
    they are those of the smaller card that is pretended, and `card` is the real total."""

    used: int
    free: int
    total: int
    card: int


class _NvmlMemory(ctypes.Structure):  # nvmlMemory_t of nvml.h
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Gpu:
    """One of the cards this process may use, the first unless `number` says otherwise. Thread-safe. `pretend_gib`:
    answer as a card of so many GiB would; what is in use at the first reading is taken for the part that is pretended
    away. 0: the card as it is."""

    def __init__(
        self,
        library: Callable[[], Any] = lambda: ctypes.CDLL("libnvidia-ml.so.1"),
        env: Mapping[str, str] = os.environ,
        clock: Callable[[], float] = time.monotonic,
        pretend_gib: float = 0,
        number: int = 0,
    ) -> None:
        self._library, self._env, self._clock, self._number = library, env, clock, number
        self._pretend, self._hidden = int(pretend_gib * 2**30), -1
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._memory: GpuMemory | None = None

    def memory(self) -> GpuMemory | None:
        """None when there is no card, no driver, or CUDA_VISIBLE_DEVICES hides it. Never raises."""
        with self._lock:
            now = self._clock()
            if self._read_at is None or now - self._read_at >= FRESH_S:
                self._read_at, self._memory = now, self._read()
            return self._memory

    def _read(self) -> GpuMemory | None:
        try:
            nvml = self._library()
            if nvml.nvmlInit_v2():  # counted: harmless to repeat, and heals when the driver comes back
                return None
            handle, memory = ctypes.c_void_p(), _NvmlMemory()
            if self._find(nvml, handle) or nvml.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
                return None
        except (OSError, AttributeError):  # no driver, or one without these functions
            return None
        return self._pretended(memory.used, memory.total)

    def _pretended(self, used: int, card: int) -> GpuMemory:
        total = min(card, self._pretend or card)
        if self._hidden < 0:
            self._hidden = min(used, card - total)
        used = min(total, max(0, used - self._hidden))
        return GpuMemory(used=used, free=total - used, total=total, card=card)

    def _find(self, nvml: Any, handle: ctypes.c_void_p) -> int:
        """Returns NVML's result code, 0 for success. CUDA_VISIBLE_DEVICES holds indices or UUIDs."""
        named = self._env.get("CUDA_VISIBLE_DEVICES")
        names = [str(self._number)] if named is None else named.split(",")[self._number :]
        name = names[0].strip() if names else ""
        if name.isdecimal():
            return int(nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(name)), ctypes.byref(handle)))
        return int(nvml.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)))


class Gpus:
    """All cards that this process may use, in their order. Thread-safe."""

    def __init__(self, pretend_gib: float = 0, make: Callable[[int], Gpu] | None = None) -> None:
        """`make` gives the card of a number; one without memory ends the list."""
        make = make or (lambda number: Gpu(pretend_gib=pretend_gib, number=number))
        self.each: list[Gpu] = []
        while (gpu := make(len(self.each))).memory() is not None:
            self.each.append(gpu)

    def memories(self) -> list[GpuMemory]:
        """Of the cards that answer."""
        return [memory for gpu in self.each if (memory := gpu.memory()) is not None]

    def memory(self) -> GpuMemory | None:
        """Of all of them together; None without one."""
        read = self.memories()
        sums = (sum(getattr(memory, part) for memory in read) for part in ("used", "free", "total", "card"))
        return GpuMemory(*sums) if read else None

    def of(self, card: int) -> GpuMemory | None:
        return self.each[card].memory() if card < len(self.each) else None


def out_of_memory(error: BaseException) -> bool:
    """Whether a library says that its memory ran out, the card's or the machine's: Python and numpy by MemoryError,
    torch by OutOfMemoryError, CTranslate2 and CUDA itself by a RuntimeError in these words."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in words or "cublas_status_alloc_failed" in words)


def cublas_folder() -> Path | None:
    """Where the wheel nvidia-cublas-cu12 has its libraries: on no path that the loader searches."""
    try:
        spec = find_spec("nvidia.cublas")
    except ModuleNotFoundError:  # no nvidia wheel at all
        return None
    places = (spec.submodule_search_locations if spec else None) or []
    return next((Path(place) / "lib" for place in places), None)


def load_cublas(
    folder: Path | None, load: Callable[[str], Any] = lambda name: ctypes.CDLL(name, ctypes.RTLD_GLOBAL)
) -> str:
    """Load what CTranslate2 4.8.5 opens by its name alone: once it is in the process, the loader finds it wherever it
    lies. A torch for CUDA 13 brings libcublas.so.13 only. Returns "", or the sentence that says what is missing."""
    for name in CUBLAS:
        paths = [*([str(folder / name)] if folder is not None else []), name]
        if not any(_loads(load, path) for path in paths):
            return (
                f"Whisper hears on the CPU, not on the graphics card: {name} of CUDA 12 is missing. "
                "Get it with: python -m pip install -r requirements-gpu.txt"
            )
    return ""


def _loads(load: Callable[[str], Any], path: str) -> bool:
    try:
        load(path)
    except OSError:
        return False
    return True
