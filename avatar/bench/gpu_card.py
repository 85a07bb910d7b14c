"""The graphics card under a bench: what is used of it all the time, and a program that takes most of it away.

python -m avatar.bench.gpu_card GIB    hold the card but for so many GiB until standard input ends
"""

import itertools
import subprocess
import sys
import threading
from typing import Self

from avatar.errors import AvatarError
from avatar.gpu import Gpu, GpuMemory

EVERY_S = 0.05
START_S = 60.0


class CardError(AvatarError):
    code = "BENCH_CARD"


def used() -> GpuMemory:
    """A reading of now. Raises CardError without a card."""
    if (memory := Gpu(clock=itertools.count(0, 10).__next__).memory()) is None:
        raise CardError("No NVIDIA card answers here. This bench needs one.")
    return memory


class Sampler:
    """Looks every 50 ms from enter to exit; `peak` is the most that was used, in bytes, by everyone."""

    def __init__(self) -> None:
        self._gpu = Gpu(clock=itertools.count(0, 10).__next__)  # every reading anew
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peak, self.looks = 0, 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(EVERY_S):
            if (memory := self._gpu.memory()) is not None:
                self.peak, self.looks = max(self.peak, memory.used), self.looks + 1


class Ballast:
    """A process that holds all of the card but `leave_gib`, from enter to exit. `used`: of the card once it does."""

    def __init__(self, leave_gib: float) -> None:
        self._leave, self.used = leave_gib, 0

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "avatar.bench.gpu_card", str(self._leave)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if "holding" not in (line := self._process.stdout.readline()):
            self.__exit__()
            raise CardError(f"The card could not be filled: {line.strip() or 'the process ended'}.")
        self.used = used().used
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(START_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def hold(leave_gib: float) -> None:
    """Take plain memory in pieces until `leave_gib` are free, and keep it until standard input ends."""
    import torch

    pieces = []
    torch.zeros(1, device="cuda")  # the context comes first: it is part of what is held
    for size in (1 << 30, 64 << 20, 4 << 20):
        while used().free - size >= leave_gib * 2**30:
            pieces.append(torch.empty(size, dtype=torch.uint8, device="cuda"))
    print(f"holding {len(pieces)} pieces", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    hold(float(sys.argv[1]))
