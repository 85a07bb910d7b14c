"""Reads the tensors of a torch checkpoint from before torch 1.6, without torch, and runs nothing that its pickles name.

The format (torch/serialization.py, `_legacy_load`): a magic number, a version and a dict about the machine, each a
pickle; the object, a pickle in which storages are persistent ids; the list of the storages' keys, a pickle; then for
each key its number of elements (int64) and the elements, little endian.
"""

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[np.float32]]

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
MAX_BYTES = 256 << 20
_Tensor = tuple[str, int, tuple[int, ...], tuple[int, ...]]  # storage key, offset, shape, strides


def read_tensors(path: Path, entry: str) -> Tensors:
    """The float32 tensors of the dict `entry` of the checkpoint, by name.

    Raises ValueError when the file is not such a checkpoint, holds anything but float32 storages, or names anything to
    call but the two functions of such files; OSError when it cannot be read.
    """
    with path.open("rb") as file:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("the checkpoint is too large")
        try:
            if _load(file) != MAGIC or _load(file) != VERSION:
                raise ValueError("not a checkpoint of torch's old format")
            _load(file)
            found = _load(file)[entry]
            storages = _storages(file, _load(file))
            return {name: _view(storages, tensor) for name, tensor in found.items()}
        except (pickle.UnpicklingError, EOFError, struct.error, KeyError, TypeError, AttributeError, IndexError) as exc:
            raise ValueError("not a checkpoint of tensors") from exc


def _load(file: IO[bytes]) -> Any:
    return _Restricted(file).load()


class _FloatStorage:
    """Stands for torch.FloatStorage, the one kind that is admitted; it is never made."""


def _rebuild_tensor(storage: str, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object) -> _Tensor:
    return storage, offset, shape, strides


_ADMITTED: dict[tuple[str, str], Any] = {
    ("torch", "FloatStorage"): _FloatStorage,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("collections", "OrderedDict"): OrderedDict,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} is not admitted")
        return _ADMITTED[module, name]

    def persistent_load(self, pid: Any) -> str:
        kind, storage, key, *_ = pid
        if kind != "storage" or storage is not _FloatStorage:
            raise pickle.UnpicklingError("only float32 storages are admitted")
        return str(key)


def _storages(file: IO[bytes], keys: list[str]) -> dict[str, NDArray[np.float32]]:
    storages: dict[str, NDArray[np.float32]] = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        if not 0 <= count <= MAX_BYTES // 4:
            raise ValueError("a storage of no possible size")
        data = file.read(4 * count)
        if len(data) != 4 * count:
            raise EOFError("the file ends early")
        storages[key] = np.frombuffer(data, "<f4")
    return storages


def _view(storages: dict[str, NDArray[np.float32]], tensor: _Tensor) -> NDArray[np.float32]:
    key, offset, shape, strides = tensor
    contiguous = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    count = int(np.prod(shape))
    if tuple(strides) != contiguous or not 0 <= offset <= len(storages[key]) - count:
        raise ValueError("a tensor that does not lie in one piece in its storage")
    return storages[key][offset : offset + count].reshape(shape)
