"""A store that is killed, and whose disk or database is full, read-only, locked, damaged, old or too new."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stores import fill, holding, typed

from avatar.errors import StorageError
from avatar.store import Store

WRITER = """
import sys
from pathlib import Path
from avatar.store import Store, Turn
store = Store(Path(sys.argv[1]))
conversation = store.create_conversation("local")
print("started", flush=True)
while True:
    audio = store.save_audio(lambda path: path.write_bytes(b"heard"))
    turn = Turn(user_text="a", reply_text="b" * 500, state="done", reply_audio=audio)
    row = store.add_turn("local", conversation, turn)
    print(row.id, flush=True)
"""


def test_a_database_of_the_version_before_personas_is_read(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours = store.create_conversation("local")
    row = store.add_turn("local", ours, typed())
    store.close()
    (file,) = tmp_path.glob("*.db")
    with sqlite3.connect(file) as old:
        old.execute("ALTER TABLE conversations DROP COLUMN persona")
        old.execute("DELETE FROM migrations WHERE name = '0003_personas'")
    old.close()
    store = Store(tmp_path)
    assert store.turns("local", ours) == [row] and store.persona("local", ours) == ""
    assert store.set_persona("local", ours, "A pirate.") == "A pirate."
    store.close()


def kill_writers(folder: Path, kills: int) -> int:
    """Kill a writer `kills` times in the middle of its work; returns how many turns it had been promised."""
    chance, promised = random.Random(7), set[str]()
    for _ in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, folder / "data"], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "started\n"
        promised |= {writer.stdout.readline().strip() for _ in range(chance.randint(2, 20))}
        time.sleep(chance.uniform(0, 0.02))  # in the middle of one
        writer.send_signal(signal.SIGKILL)
        promised |= set(writer.stdout.read().split("\n")[:-1])  # a line that was cut promised nothing
        writer.wait()
        writer.stdout.close()
    store = Store(folder / "data")
    turns = [turn for row in store.conversations("local", limit=kills) for turn in store.turns("local", row.id)]
    assert promised <= {turn.id for turn in turns}
    assert all(turn.reply_text == "b" * 500 for turn in turns)
    for turn in turns:
        assert store.audio_path("local", turn.id, "reply").read_bytes() == b"heard"
    for file in (folder / "data" / "audio").glob("*/*"):
        os.utime(file, (0, 0))
    assert store.sweep() <= kills  # each kill can orphan one recording
    store.close()
    return len(promised)


@pytest.mark.slow
def test_kill_nine_loses_no_acknowledged_turn(tmp_path: Path) -> None:
    assert kill_writers(tmp_path, kills=6) > 6


def test_a_full_disk_loses_nothing_and_heals_without_restart(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "data")
    old, conversation = store.create_conversation("local"), store.create_conversation("local")
    kept = [store.add_turn("local", old, typed("x" * 400)) for _ in range(100)]
    kept_audio = store.add_turn("local", conversation, typed(reply_audio=store.save_audio(holding(b"reply"))))
    ballast = fill(tiny_disk)
    stored = []
    with pytest.raises(StorageError) as full:
        for _ in range(2000):  # what the WAL has room for is stored
            stored.append(store.add_turn("local", conversation, typed("y" * 4000)))
    assert full.value.code == "STORAGE_FULL" and "disk is full" in full.value.sentence
    with pytest.raises(StorageError) as full:
        store.save_audio(holding(bytes(100_000)))
    assert full.value.code == "STORAGE_FULL"
    assert store.turns("local", old) == kept
    assert store.turns("local", conversation) == [kept_audio, *stored]
    assert store.audio_path("local", kept_audio.id, "reply").read_bytes() == b"reply"

    store.delete_conversation("local", old)  # works on the full disk
    assert store.add_turn("local", conversation, typed("after")).user_text == "after"
    ballast.unlink()
    store.add_turn("local", conversation, typed("y" * 4000))
    store.close()
    reopened = Store(tiny_disk / "data")
    assert len(reopened.turns("local", conversation)) == len(stored) + 3
    assert (tiny_disk / "data" / "reserve").stat().st_size == 4 << 20
    reopened.close()


def test_a_disk_full_at_the_start_is_said(tiny_disk: Path) -> None:
    ballast = fill(tiny_disk)
    with pytest.raises(StorageError) as full:
        Store(tiny_disk / "data")
    assert full.value.code == "STORAGE_FULL"
    ballast.unlink()
    Store(tiny_disk / "data").close()


def test_history_opens_on_a_full_disk(tiny_disk: Path) -> None:
    before = Store(tiny_disk / "data")
    conversation = before.create_conversation("local")
    turn = before.add_turn("local", conversation, typed())
    before.close()
    fill(tiny_disk)
    store = Store(tiny_disk / "data")
    assert store.turns("local", conversation) == [turn]
    store.delete_conversation("local", conversation)
    store.close()


def test_a_read_only_disk_is_said(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "data")
    conversation = store.create_conversation("local")
    turn = store.add_turn("local", conversation, typed())
    store.close()
    subprocess.run(["mount", "-o", "remount,ro", tiny_disk], check=True)
    store = Store(tiny_disk / "data")
    assert "AVATAR_DATA" in store.unwritable and store.turns("local", conversation) == [turn]
    with pytest.raises(StorageError) as refused:
        store.rename("local", conversation, "x")
    assert refused.value.code == "STORAGE_READONLY"
    subprocess.run(["mount", "-o", "remount,rw", tiny_disk], check=True)
    store.rename("local", conversation, "x")
    store.close()


def test_a_locked_database_is_said_and_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path, busy_timeout_s=0.1)
    conversation = store.create_conversation("local")
    other = sqlite3.connect(tmp_path / "avatar.db", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StorageError) as busy:
        store.add_turn("local", conversation, typed())
    assert busy.value.code == "DB_BUSY" and busy.value.retryable
    assert store.turns("local", conversation) == []  # reading goes on in WAL
    other.execute("ROLLBACK")
    other.close()
    assert store.add_turn("local", conversation, typed()).number == 1
    store.close()


@pytest.mark.parametrize("damage", ["header", "pages"])
def test_a_damaged_database_is_said(tmp_path: Path, damage: str) -> None:
    store = Store(tmp_path)
    conversation = store.create_conversation("local")
    for _ in range(20):
        store.add_turn("local", conversation, typed("x" * 2500))
    store.close()
    file = tmp_path / "avatar.db"
    content = bytearray(file.read_bytes())
    start = 0 if damage == "header" else 4096
    content[start : start + 40_000] = random.Random(1).randbytes(40_000)
    file.write_bytes(content)
    with pytest.raises(StorageError) as corrupt:
        damaged = Store(tmp_path)
        try:
            damaged.turns("local", conversation)
        finally:
            damaged.close()
    assert corrupt.value.code == "DB_CORRUPT" and str(file) in corrupt.value.sentence


def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    Store(tmp_path).close()
    newer = sqlite3.connect(tmp_path / "avatar.db")
    newer.execute("INSERT INTO migrations VALUES ('9999_later', '')")
    newer.commit()
    newer.close()
    with pytest.raises(StorageError) as refused:
        Store(tmp_path)
    assert refused.value.code == "DB_NEWER" and "9999_later" in refused.value.sentence
