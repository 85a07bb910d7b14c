"""What engines keep of a profile: made once, bounded, gone when it is forgotten."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avatar.engines.base import Voice
from avatar.engines.conditioning import Conditioning, bound
from avatar.events import AudioChunk


def voice(cache: Path | None, profile_id: str = "a1", level: float = 0.1) -> Voice:
    return Voice("Ann", profile_id, AudioChunk(np.full(99, level, np.float32), 24_000), "Hi.", cache=cache)


class Maker:
    """Counts what is made, and keeps it in files of text."""

    def __init__(self, kept: int = 8) -> None:
        self.made = 0
        self.kept = Conditioning[str]("fake", ".txt", kept)

    def get(self, of: Voice, variant: str = "en") -> str:
        return self.kept.get(of, variant, self.make, lambda file: file.read_text(), lambda x, file: file.write_text(x))

    def make(self) -> str:
        self.made += 1
        return f"value {self.made}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (made := tmp_path / "a1" / "cache").mkdir(parents=True)
    return made


def test_it_is_made_once_and_read_by_the_next_process(folder: Path) -> None:
    first, second = Maker(), Maker()
    assert [first.get(voice(folder)) for _ in range(3)] == ["value 1"] * 3
    assert second.get(voice(folder)) == "value 1" and (first.made, second.made) == (1, 0)
    assert [file.suffix for file in folder.iterdir()] == [".txt"]
    assert first.get(voice(folder), "de") == first.get(voice(folder, level=0.2), "de").replace("3", "2")
    assert first.made == 3  # another language, another recording


def test_a_damaged_file_is_made_again(folder: Path) -> None:
    Maker().get(voice(folder))
    (file,) = folder.iterdir()
    file.write_bytes(b"\xff\xfe\xff")
    assert Maker().get(voice(folder)) == "value 1" == file.read_text()


def test_memory_keeps_the_most_recently_used(folder: Path) -> None:
    maker = Maker(kept=2)
    for name in ("a", "b", "a", "c", "a"):
        maker.get(voice(None, name))
    assert maker.made == 3
    maker.get(voice(None, "b"))
    assert maker.made == 4


def test_nothing_of_a_forgotten_profile_is_kept_or_comes_back(folder: Path) -> None:
    maker = Maker()
    maker.get(voice(folder))

    def make_while_deleted() -> str:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        maker.kept.forget("a1")
        return "late"

    late = replace(voice(folder), language="fr")
    assert maker.kept.get(late, "fr", make_while_deleted, Path.read_text, lambda x, file: file.write_text(x)) == "late"
    assert not folder.exists() and not maker.kept._values


def test_a_disk_that_refuses_costs_only_time(folder: Path) -> None:
    def full(value: str, file: Path) -> None:
        raise OSError(28, "No space left on device")

    maker = Maker()
    assert maker.kept.get(voice(folder), "en", maker.make, Path.read_text, full) == "value 1"
    assert list(folder.iterdir()) == []


def test_the_disk_keeps_the_most_recently_used(tmp_path: Path) -> None:
    for number in range(4):
        (place := tmp_path / f"p{number}" / "cache").mkdir(parents=True)
        (place / "x").write_bytes(bytes(100))
        os.utime(place / "x", (1000 + number, 1000 + number))
    os.utime(tmp_path / "p0/cache/x", (5000, 5000))
    bound(tmp_path, 250)
    assert [number for number in range(4) if (tmp_path / f"p{number}/cache/x").exists()] == [0, 3]
