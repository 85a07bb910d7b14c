"""torch's old checkpoint format, read without torch; a pickle that asks for more is refused, not run."""

import os
import pickle
import struct
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

from avatar.checkpoint import MAGIC, VERSION, read_tensors

# The opcodes of a dict {"state": {"w": tensor}} as torch wrote it: what a test can make without torch.
STORAGE = "(X\x07\x00\x00\x00storagectorch\n{kind}\nX\x01\x00\x00\x00kX\x03\x00\x00\x00cpuK\x06Nt"


def tensor(kind: str = "FloatStorage", offset: int = 0, shape: tuple[int, int] = (2, 3), stride: int = 3) -> bytes:
    """The pickle of {"state": {"w": a tensor}}."""
    size = "".join(f"K{chr(number)}" for number in shape)
    call = STORAGE.format(kind=kind) + f"QK{chr(offset)}({size}t(K{chr(stride)}K\x01t\x89}}t"
    inner = f"X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n({call}R"
    return ("\x80\x02}(X\x05\x00\x00\x00state}(" + inner + "uu.").encode("latin-1")


def write(path: Path, pickled: bytes, values: bytes | None = None, count: int = 6, magic: int = MAGIC) -> Path:
    head = b"".join(pickle.dumps(part, 2) for part in (magic, VERSION, {"little_endian": True}))
    data = np.arange(6, dtype="<f4").tobytes() if values is None else values
    path.write_bytes(head + pickled + pickle.dumps(["k"], 2) + struct.pack("<q", count) + data)
    return path


def test_tensors_come_out_by_name(tmp_path: Path) -> None:
    tensors = read_tensors(write(tmp_path / "a.pt", tensor()), "state")
    assert list(tensors) == ["w"]
    np.testing.assert_array_equal(tensors["w"], [[0, 1, 2], [3, 4, 5]])
    part = read_tensors(write(tmp_path / "b.pt", tensor(offset=2, shape=(1, 3))), "state")
    np.testing.assert_array_equal(part["w"], [[2, 3, 4]])


class Harm:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_nothing_that_a_pickle_asks_for_is_run(tmp_path: Path) -> None:
    for place, bad in enumerate([{"state": Harm(tmp_path / "harm")}, Harm(tmp_path / "harm")]):
        with pytest.raises(ValueError, match="not a checkpoint"):
            read_tensors(write(tmp_path / f"{place}.pt", pickle.dumps(bad, 2)), "state")
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    "make",
    [
        lambda path: write(path, tensor(), values=b"\0" * 20),  # ends early
        lambda path: write(path, tensor(), count=1 << 40),
        lambda path: write(path, tensor(), count=-1),
        lambda path: write(path, tensor(), magic=7),
        lambda path: write(path, tensor("DoubleStorage")),
        lambda path: write(path, tensor(offset=3)),  # reaches beyond its storage
        lambda path: write(path, tensor(stride=1)),
        lambda path: write(path, pickle.dumps({"other": OrderedDict()}, 2)),
        lambda path: write(path, pickle.dumps([1, 2], 2)),
        lambda path: write(path, pickle.dumps({"state": {"w": 5}}, 2)),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(300)),
        lambda path: path.write_bytes(np.random.default_rng(3).bytes(5000)),
    ],
)
def test_what_is_no_checkpoint_is_a_value_error(tmp_path: Path, make: object) -> None:
    make(tmp_path / "x.pt")  # type: ignore[operator]
    with pytest.raises(ValueError):
        read_tensors(tmp_path / "x.pt", "state")
