"""What the tests of the store put into it, and into the disk below it. Not a test itself."""

from collections.abc import Callable
from pathlib import Path

from avatar.store import Turn


def typed(text: str = "hello", **more: object) -> Turn:
    return Turn(user_text=text, reply_text="hi", state="done", **more)  # type: ignore[arg-type]


def holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return ballast
