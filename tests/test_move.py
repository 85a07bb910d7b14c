"""One owner from a front to another: all of theirs, nothing of others, and all or nothing."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from test_backup import all_turns, five_talking, speak
from voice_profiles import kept

from avatar import backup, move
from avatar.errors import NotFound, StorageError
from avatar.store import Store, Wanted
from avatar.voices import Voices

ANN, BOB = "guest:a1", "guest:b2"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A front with two owners; Ann has a fork, a voice that is her default, and words said in her own way."""
    data = tmp_path / "old"
    store = Store(data)
    for owner in (ANN, BOB):
        conversation = store.create_conversation(owner)
        first = speak(store, conversation, f"tulips of {owner}", owner)
        speak(store, conversation, f"more of {owner}", owner)
        store.sayings.put(owner, "AVATAR", f"ava tar {owner[-2:]}")
        if owner == ANN:
            speak(store, store.fork(ANN, first.id), "and then", ANN)
    voices = Voices(data, store.profiles)
    profile = kept(voices, ANN)
    voices.set_default(ANN, profile.id)
    kept(voices, BOB)
    store.close()
    return data


def words(data: Path) -> bytes:
    return b"".join(path.read_bytes() for path in data.rglob("*") if path.is_file() and not path.is_symlink())


def test_what_is_moved_is_there_as_it_was(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    report = move.out(old, ANN, tmp_path / "moved")
    backup.verify(report.folder)
    move.take_in(report.folder, new)
    assert all_turns(new, ANN).keys() and move.owners(new) == [ANN]
    before, after = Store(old), Store(new)
    for store in (before, after):
        assert dict(store.sayings.of(ANN)) == {"AVATAR": "ava tar a1"}
    assert [row.id for row in after.conversations(ANN)] == [row.id for row in before.conversations(ANN)]
    assert [row for c in after.conversations(ANN) for row in after.turns(ANN, c.id)] == [
        row for c in before.conversations(ANN) for row in before.turns(ANN, c.id)
    ]
    assert after.search.find(ANN, Wanted(words="tulips")) and not after.search.find(BOB, Wanted(words="tulips"))
    (mine,) = [one for one in Voices(new, after.profiles).of(ANN) if not one.starter]
    assert Voices(new, after.profiles).default(ANN) == mine.id
    assert Voices(new, after.profiles).clip(ANN, mine.id) == Voices(old, before.profiles).clip(ANN, mine.id)
    before.close()
    after.close()


def test_nothing_of_anybody_else_is_in_it(old: Path, tmp_path: Path) -> None:
    report = move.out(old, ANN, tmp_path / "moved")
    packed = words(report.folder)
    assert b"tulips of guest:a1" in packed
    assert b"tulips of guest:b2" not in packed and b"guest:b2" not in packed and b"guest" in packed
    assert not (report.folder / "guests.key").exists()


def test_a_front_that_has_others_keeps_them(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    store = Store(new)
    with five_talking(store, 0.01):  # while it runs, and others talk
        move.take_in(move.out(old, ANN, tmp_path / "moved").folder, new)
    assert set(move.owners(new)) == {ANN, "local"}
    with closing(sqlite3.connect(new / "avatar.db")) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    store.close()


def test_twice_is_refused_and_changes_nothing(old: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    report = move.out(old, ANN, tmp_path / "moved")
    move.take_in(report.folder, new)
    before = all_turns(new, ANN)
    with pytest.raises(StorageError, match="here already"):
        move.take_in(report.folder, new)
    assert all_turns(new, ANN) == before


def test_one_that_broke_off_can_be_taken_in_after_all(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, copied = tmp_path / "new", backup.copied
    report = move.out(old, ANN, tmp_path / "moved")

    def full(source: Path, target: Path) -> None:
        copied(source, target)
        if target.name == "clip.flac":
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(backup, "copied", full)
        assert move.main(["--data", str(new), "in", str(report.folder)]) == 1  # in a sentence
    move.take_in(report.folder, new)
    assert all_turns(new, ANN) == all_turns(old, ANN)


def test_a_damaged_history_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "avatar.db").write_bytes(b"no database" * 1000)
    for command in (["list"], ["out", ANN, str(tmp_path / "moved")]):
        assert move.main(["--data", str(tmp_path), *command]) == 1
        assert "could not be used" in capsys.readouterr().err


def test_a_damaged_one_is_refused(old: Path, tmp_path: Path) -> None:
    report = move.out(old, ANN, tmp_path / "moved")
    next((report.folder / "audio").rglob("*.*")).write_bytes(b"other")
    with pytest.raises(StorageError, match="damaged"):
        move.take_in(report.folder, tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_moved_away_is_erased_and_others_stay(old: Path) -> None:
    move.erase(old, ANN)
    assert move.owners(old) == [BOB] and b"tulips of guest:a1" not in words(old)
    assert all_turns(old, BOB)


def test_the_command(old: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert move.main(["--data", str(old), "list"]) == 0
    assert capsys.readouterr().out.split() == [ANN, BOB]
    assert move.main(["--data", str(old), "out", ANN, str(tmp_path / "moved")]) == 0
    folder = capsys.readouterr().out.strip()
    assert move.main(["--data", str(tmp_path / "new"), "in", folder]) == 0
    assert "2 conversations, 1 voices moved in." in capsys.readouterr().out
    assert move.main(["--data", str(old), "erase", ANN]) == 0
    assert move.main(["--data", str(old), "out", ANN, str(tmp_path / "moved")]) == 1
    assert "Nothing of guest:a1" in capsys.readouterr().err
    with pytest.raises(NotFound):
        move.out(old, "nobody", tmp_path)
