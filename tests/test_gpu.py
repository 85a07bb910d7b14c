import ctypes
import sys
from pathlib import Path
from typing import Any

import pytest

from avatar.gpu import CUBLAS, Gpu, GpuMemory, Gpus, cublas_folder, load_cublas


class Nvml:
    """Two cards of 24 and 80 GB in libnvidia-ml's manner: result codes, values through pointers."""

    cards = (24_000_000_000, 80_000_000_000)
    uuids = (b"GPU-a", b"GPU-b")

    def __init__(self) -> None:
        self.reads = self.init_result = self.memory_result = 0

    def nvmlInit_v2(self) -> int:
        return self.init_result

    def nvmlDeviceGetHandleByIndex_v2(self, index: ctypes.c_uint, handle: Any) -> int:
        handle._obj.value = index.value + 1
        return 0 if index.value < len(self.cards) else 6  # NVML_ERROR_NOT_FOUND

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:
        if uuid not in self.uuids:
            return 6
        handle._obj.value = self.uuids.index(uuid) + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: ctypes.c_void_p, memory: Any) -> int:
        self.reads += 1
        total = self.cards[(handle.value or 0) - 1]
        memory._obj.total, memory._obj.used, memory._obj.free = total, 1_000, total - 1_000
        return self.memory_result


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("visible", "total"),
    [
        (None, Nvml.cards[0]),
        ("0,1", Nvml.cards[0]),
        ("1", Nvml.cards[1]),
        ("GPU-b,GPU-a", Nvml.cards[1]),
        ("2", None),
        ("GPU-c", None),
        ("", None),
        ("-1", None),
    ],
)
def test_the_first_visible_card_is_read(visible: str | None, total: int | None) -> None:
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    memory = Gpu(Nvml, env).memory()
    assert memory == (None if total is None else GpuMemory(used=1_000, free=total - 1_000, total=total, card=total))


def test_a_reading_is_used_for_a_second() -> None:
    nvml, clock = Nvml(), Clock()
    gpu = Gpu(lambda: nvml, {}, clock)
    for clock.now in (0.0, 0.5, 0.9, 1.0, 1.5):
        gpu.memory()
    assert nvml.reads == 2


def test_no_card_is_remembered_for_a_second_too() -> None:
    clock, attempts = Clock(), []

    def no_driver() -> Any:
        attempts.append(clock.now)
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    gpu = Gpu(no_driver, {}, clock)
    for clock.now in (0.0, 0.5, 1.0):
        assert gpu.memory() is None
    assert attempts == [0.0, 1.0]


@pytest.mark.parametrize("broken", ["init_result", "memory_result"])
def test_a_driver_that_fails_is_no_card_until_it_heals(broken: str) -> None:
    nvml, clock = Nvml(), Clock()
    setattr(nvml, broken, 999)
    gpu = Gpu(lambda: nvml, {}, clock)
    assert gpu.memory() is None
    setattr(nvml, broken, 0)
    clock.now = 2.0
    assert gpu.memory() is not None


def test_a_driver_without_these_functions_is_no_card() -> None:
    assert Gpu(object, {}).memory() is None


def test_this_machine_answers() -> None:
    memory = Gpu().memory()
    assert memory is None or 0 < memory.free <= memory.total


def test_a_smaller_card_can_be_pretended() -> None:
    """Two programs hold 117 of 141 GB: a ballast, and the driver. What AVATAR takes later counts."""

    class Large(Nvml):
        cards, used = (141_000, 0), 117_500

        def nvmlDeviceGetMemoryInfo(self, handle: ctypes.c_void_p, memory: Any) -> int:
            memory._obj.total, memory._obj.used = self.cards[0], self.used
            return 0

    nvml, clock = Large(), Clock()
    gpu = Gpu(lambda: nvml, {}, clock, pretend_gib=24_000 / 2**30)
    assert gpu.memory() == GpuMemory(used=500, free=23_500, total=24_000, card=141_000)
    nvml.used, clock.now = 137_000, 2.0
    assert gpu.memory() == GpuMemory(used=20_000, free=4_000, total=24_000, card=141_000)
    nvml.used, clock.now = 0, 4.0  # the ballast has ended
    assert gpu.memory() == GpuMemory(used=0, free=24_000, total=24_000, card=141_000)


def test_more_than_there_is_cannot_be_pretended() -> None:
    memory = Gpu(Nvml, {}, pretend_gib=1_000).memory()
    assert memory is not None and memory.total == memory.card == Nvml.cards[0]


@pytest.mark.parametrize("folder", [None, Path("/wheel/lib")])
@pytest.mark.parametrize("where", ["wheel", "system", "nowhere"])
def test_the_library_of_cuda_12_is_loaded_or_named(folder: Path | None, where: str) -> None:
    loaded: list[str] = []

    def load(path: str) -> None:
        if where == "nowhere" or path.startswith("/wheel") != (where == "wheel"):
            raise OSError(f"{path}: cannot open shared object file")
        loaded.append(Path(path).name)

    sentence = load_cublas(folder, load)
    if where == "system" or (where == "wheel" and folder):
        assert sentence == "" and tuple(loaded) == CUBLAS
    else:
        assert "libcublasLt.so.12 of CUDA 12 is missing" in sentence and "requirements-gpu.txt" in sentence


def test_the_wheel_is_found_where_pip_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia" / "cublas" / "lib").mkdir(parents=True)
    (tmp_path / "nvidia" / "cublas" / "__init__.py").touch()
    for name in [name for name in sys.modules if name.partition(".")[0] == "nvidia"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    assert cublas_folder() == tmp_path / "nvidia" / "cublas" / "lib"


@pytest.mark.parametrize(
    ("visible", "totals"),
    [(None, list(Nvml.cards)), ("1", [Nvml.cards[1]]), ("GPU-b,GPU-a", [Nvml.cards[1], Nvml.cards[0]]), ("", [])],
)
def test_all_visible_cards_are_read_in_their_order(visible: str | None, totals: list[int]) -> None:
    env = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    gpus = Gpus(make=lambda number: Gpu(Nvml, env, number=number))
    assert [memory.total for memory in gpus.memories()] == totals
    together = gpus.memory()
    assert (None if together is None else together.total) == (sum(totals) or None)
    assert gpus.of(len(totals)) is None
