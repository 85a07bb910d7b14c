import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from voice_profiles import kept

from avatar import backup
from avatar.database import last_backup
from avatar.errors import StorageError
from avatar.store import Store, Turn, TurnRow, Wanted
from avatar.voices import Voices


def speak(store: Store, conversation: str, text: str, owner: str = "local") -> TurnRow:
    sound = f"sound of {text}".encode() * 40
    audio = {side: store.save_audio(lambda path: path.write_bytes(sound)) for side in ("user_audio", "reply_audio")}
    return store.add_turn(owner, conversation, Turn(user_text=text, reply_text="hi", state="done", **audio))


def all_turns(data: Path, owner: str = "local") -> dict[str, tuple[TurnRow, bytes, bytes]]:
    """Every turn with its sound, by id."""
    store = Store(data)
    found = {}
    for row in store.conversations(owner, 10_000):
        for turn in store.turns(owner, row.id):
            sounds = [store.audio_path(owner, turn.id, side).read_bytes() for side in ("user", "reply")]  # type: ignore[arg-type]
            found[turn.id] = turn, *sounds
    store.close()
    return found  # type: ignore[return-value]


@contextmanager
def five_talking(store: Store, pause_s: float = 0.0) -> Iterator[None]:
    """Five threads that store turns one after the other; each has stored one."""
    stop, all_began = threading.Event(), threading.Barrier(6, timeout=60)

    def talk(seat: int) -> None:
        conversation = store.create_conversation("local")
        speak(store, conversation, f"words {seat} 1")
        all_began.wait()
        n = 1
        while not stop.wait(pause_s):
            speak(store, conversation, f"words {seat} {(n := n + 1)}")

    threads = [threading.Thread(target=talk, args=(seat,)) for seat in range(5)]
    for thread in threads:
        thread.start()
    try:
        all_began.wait()
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def backups_under_load(folder: Path, backups: int, pause_s: float = 0.0) -> int:
    """Make so many backups while five talk, restore each and compare it with its snapshot; returns turns compared."""
    store, compared = Store(folder / "data"), 0
    with five_talking(store, pause_s):
        for n in range(backups):
            report = backup.create(folder / "data", folder / "backups")
            with sqlite3.connect(report.folder / "avatar.db") as snapshot:
                wanted = {row[0] for row in snapshot.execute("SELECT id FROM turns")}
            snapshot.close()
            assert backup.verify(report.folder).holds == report.holds and not report.missing
            backup.restore(report.folder, folder / f"restored-{n}")
            restored = all_turns(folder / f"restored-{n}")
            assert restored.keys() == wanted and len(wanted) == report.holds.turns
            for turn, user, reply in restored.values():
                assert store.turn("local", turn.id) == turn
                assert user == reply == f"sound of {turn.user_text}".encode() * 40
            compared += len(restored)
    store.close()
    return compared


@pytest.fixture
def data(tmp_path: Path) -> Path:
    store = Store(tmp_path / "data")
    ours = store.create_conversation("local")
    for n in range(3):
        speak(store, ours, f"天氣 {n}")
    speak(store, store.create_conversation("ann"), "hers", "ann")
    kept(Voices(tmp_path / "data", store.profiles))
    store.sayings.put("local", "SQL", "sequel")
    store.close()
    return tmp_path / "data"


@pytest.mark.slow
def test_backups_while_five_talk_restore_equal(tmp_path: Path) -> None:
    assert backups_under_load(tmp_path, 3) >= 15


def test_the_drill_a_lost_history_comes_back_whole(data: Path, tmp_path: Path) -> None:
    before, hers = all_turns(data), all_turns(data, "ann")
    made = backup.create(data, tmp_path / "safe")
    assert last_backup(data) == made.folder and made.holds.turns == 4 and made.holds.conversations == 2
    (data / "avatar.db").write_bytes(b"not a database any more" * 1000)
    for recording in [*(data / "audio").glob("*/*"), *(data / "voices").glob("*/clip.flac")]:
        recording.unlink()
    store = Store(data)
    assert str(made.folder) in store.damaged
    store.close()
    assert backup.restore(made.folder, data).holds == made.holds
    assert all_turns(data) == before and all_turns(data, "ann") == hers
    store = Store(data)
    assert store.sayings.of("local") == {"SQL": "sequel"} and not store.damaged
    assert len(store.search.find("local", Wanted(words="天氣"))) == 1
    (voice,) = (voices := Voices(data, store.profiles)).of("ann")
    assert voices.clip("ann", voice.id).startswith(b"fLaC")
    cache = voices.voice("ann", voice.id).cache
    assert cache is not None and cache.is_dir(), "engines keep what they make of it again"
    speak(store, store.create_conversation("local"), "after")
    store.close()
    (aside,) = data.glob("replaced-*")
    assert (aside / "avatar.db").read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("name", ["audio", "voices", "avatar.db", "guests.key"])
def test_a_restore_that_a_disk_refuses_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (data / "guests.key").write_bytes(b"old")
    made, rename = backup.create(data, tmp_path / "safe"), Path.rename
    store = Store(data)
    speak(store, store.create_conversation("local"), "after")
    store.close()
    (data / "guests.key").write_bytes(b"new")

    def mounted(self: Path, target: Path) -> Path:
        if self == data / name:
            raise OSError(16, "Device or resource busy")
        return rename(self, target)

    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    with monkeypatch.context() as disk:
        disk.setattr(Path, "rename", mounted)
        with pytest.raises(StorageError, match="Nothing was changed"):
            backup.restore(made.folder, data)
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before
    assert not [*data.glob("replaced-*"), *data.glob(".restoring-*")]
    backup.restore(made.folder, data)
    (aside,) = data.glob("replaced-*")
    assert (aside / "guests.key").read_bytes() == b"new" and (data / "guests.key").read_bytes() == b"old"


def test_a_restore_is_refused_while_somebody_has_the_history_open(data: Path, tmp_path: Path) -> None:
    made = backup.create(data, tmp_path / "safe")
    store = Store(data)
    with pytest.raises(StorageError) as refused:
        backup.restore(made.folder, data)
    assert refused.value.code == "DB_BUSY" and "Stop it" in refused.value.sentence
    assert len(store.conversations("local")) == 1
    store.close()
    backup.restore(made.folder, data)
    assert not list(data.glob(".restoring-*"))


@pytest.mark.parametrize("what", ["database", "recording", "gone", "manifest", "outside", "newer"])
def test_a_damaged_backup_is_refused_and_changes_nothing(data: Path, tmp_path: Path, what: str) -> None:
    folder = backup.create(data, tmp_path / "safe").folder
    manifest = json.loads((folder / "manifest.json").read_text())
    recording = folder / next(name for name in manifest["files"] if name.startswith("audio/"))
    if what == "database":
        content = bytearray((folder / "avatar.db").read_bytes())
        content[5000] ^= 1
        (folder / "avatar.db").write_bytes(content)
    elif what == "recording":
        recording.write_bytes(recording.read_bytes()[:-1])
    elif what == "gone":
        recording.unlink()
    elif what == "manifest":
        (folder / "manifest.json").write_text("{")
    elif what == "newer":
        (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    else:
        (tmp_path / "secret").write_bytes(b"x")
        manifest["files"]["../../secret"] = {"sha256": backup._hashed(tmp_path / "secret")[0], "size": 1}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    before = all_turns(data)
    for attempt in (lambda: backup.verify(folder), lambda: backup.restore(folder, data)):
        with pytest.raises(StorageError):
            attempt()
    assert all_turns(data) == before and not list(data.glob("replaced-*"))


def test_a_recording_that_was_lost_before_is_named_and_hinders_nothing(data: Path, tmp_path: Path) -> None:
    lost = next((data / "audio").glob("*/*"))
    lost.unlink()
    made = backup.create(data, tmp_path / "safe")
    assert made.missing == (str(lost.relative_to(data)),)
    assert backup.verify(made.folder).missing == made.missing
    backup.restore(made.folder, tmp_path / "new")


def test_nothing_half_made_is_left(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StorageError, match="nothing to back up"):
        backup.create(tmp_path / "nowhere", tmp_path / "safe")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "copied", full)
    with pytest.raises(StorageError, match="Nothing was changed"):
        backup.create(data, tmp_path / "safe")
    assert not list((tmp_path / "safe").iterdir()) and last_backup(data) is None


def test_a_damaged_database_is_never_called_a_backup(data: Path, tmp_path: Path) -> None:
    content = bytearray((data / "avatar.db").read_bytes())
    content[8192:20000] = os.urandom(11808)
    (data / "avatar.db").write_bytes(content)
    with pytest.raises(StorageError) as refused:
        backup.create(data, tmp_path / "safe")
    assert refused.value.code in ("DB_CORRUPT", "STORAGE_FAILED") and not list((tmp_path / "safe").iterdir())


def test_the_commands_say_what_they_did(data: Path, tmp_path: Path) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        command = [sys.executable, "-m", "avatar.backup", *map(str, arguments), "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    code, said = run("create", tmp_path / "safe")
    assert code == 0 and "2 conversations, 4 turns, 8 recordings" in said
    (folder,) = (tmp_path / "safe").iterdir()
    assert run("verify", folder)[0] == 0 and "is restored" in run("restore", folder)[1]
    code, said = run("verify", tmp_path)
    assert code == 1 and "is no backup" in said
