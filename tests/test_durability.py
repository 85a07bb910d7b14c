"""What happens to the history when the database is damaged, is about to change, or the disk refuses."""

import random
import sqlite3
import subprocess
from pathlib import Path

import pytest
from assistants import door, make_assistant, put_away

from avatar import snapshot
from avatar.database import BACKUPS, LAST_BACKUP, MIGRATION_BACKUPS, Database, last_backup
from avatar.errors import StorageError
from avatar.settings import Settings
from avatar.store import Store, Turn
from tests.turn_path import kill_on_the_turn_path


def typed(text: str = "hello") -> Turn:
    return Turn(user_text=text, reply_text="hi", state="done")


def filled(data: Path, conversations: int = 40) -> list[str]:
    store = Store(data)
    ids = []
    for _ in range(conversations):
        ids.append(store.create_conversation("local"))
        for _ in range(4):
            store.add_turn("local", ids[-1], typed("x" * 2000))
    store.close()
    return ids


def damage(data: Path, share: float = 0.3, head: bool = False) -> None:
    """Overwrite pages in the second half of the file, or the first one."""
    file = data / "avatar.db"
    content, chance = bytearray(file.read_bytes()), random.Random(3)
    pages = len(content) // 4096
    for page in [0] if head else chance.sample(range(pages // 2, pages), int(pages / 2 * share)):
        content[page * 4096 : page * 4096 + 4096] = chance.randbytes(4096)
    file.write_bytes(content)


def test_a_damaged_database_is_read_as_far_as_it_goes_and_nothing_is_written(tmp_path: Path) -> None:
    ids = filled(tmp_path)
    damage(tmp_path)
    before = (tmp_path / "avatar.db").read_bytes()
    store = Store(tmp_path)
    assert "is damaged" in store.damaged and "There is no backup" in store.damaged
    readable = 0
    for conversation in ids:
        try:
            readable += len(store.turns("local", conversation))
        except StorageError as error:
            assert error.code == "DB_CORRUPT"
    assert readable >= 8
    for change in (
        lambda: store.create_conversation("local"),
        lambda: store.add_turn("local", ids[0], typed()),
        lambda: store.delete_conversation("local", ids[0]),
        lambda: store.sayings.put("local", "a", "b"),
    ):
        with pytest.raises(StorageError) as refused:
            change()
        assert refused.value.code == "DB_CORRUPT" and refused.value.sentence == store.damaged
    store.close()
    assert (tmp_path / "avatar.db").read_bytes() == before


def test_the_last_backup_is_named(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    assert last_backup(tmp_path) is None
    made = tmp_path / "elsewhere"
    made.mkdir()
    (tmp_path / LAST_BACKUP).write_text(str(made))
    damage(tmp_path, head=True)
    store = Store(tmp_path)
    assert str(made) in store.damaged and "avatar.backup restore" in store.damaged
    store.close()
    made.rmdir()
    assert last_backup(tmp_path) is None


@pytest.mark.parametrize("head", [True, False])
async def test_talking_works_with_a_damaged_database_and_says_that_nothing_is_kept(
    settings: Settings, make_pool: object, head: bool
) -> None:
    ids = filled(settings.data, 20)
    damage(settings.data, 0.9, head)
    assistant = make_assistant(settings, make_pool)
    async with door(assistant) as here, here.page(conversation=ids[0]) as page:
        await page.send("say", text="How are you?", client_turn_id="t1")
        turn, end = await page.until("turn"), await page.until("end")
        await page.send("played", turn=turn["turn"], samples=end["samples"])
        error = await page.until("error", 10)
        assert error["code"] == "DB_CORRUPT" and "nothing new is kept" in error["text"]
    put_away(assistant)


def test_a_migration_is_preceded_by_a_backup_and_the_newest_stay(tmp_path: Path) -> None:
    first = {"0001_a": ("CREATE TABLE a (x TEXT)",)}
    Database(tmp_path, first).close()
    assert not (tmp_path / BACKUPS).exists()  # nothing was there to be lost
    with sqlite3.connect(tmp_path / "avatar.db") as raw:
        raw.execute("INSERT INTO a VALUES ('kept')")
    raw.close()
    migrations = dict(first)
    for n in range(2, 2 + MIGRATION_BACKUPS + 2):
        migrations[f"000{n}_b"] = (f"CREATE TABLE b{n} (x TEXT)",)
        (tmp_path / BACKUPS).mkdir(exist_ok=True)
        Database(tmp_path, migrations).close()
        Database(tmp_path, migrations).close()  # no migration, no backup
    made = sorted((tmp_path / BACKUPS).iterdir(), key=lambda path: path.name.partition("-before-")[2])
    assert len(made) == MIGRATION_BACKUPS and made[-1].name.endswith(f"-before-000{n}_b.db")
    with sqlite3.connect(made[-1]) as copy:
        assert copy.execute("SELECT x FROM a").fetchall() == [("kept",)] and not snapshot.trouble(copy, thorough=True)
        assert not copy.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"b{n}",)).fetchone()
    copy.close()
    assert last_backup(tmp_path) in made


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    first = {"0001_a": ("CREATE TABLE a (x TEXT)",)}
    Database(tmp_path, first).close()
    with pytest.raises(Exception, match="syntax error"):
        Database(tmp_path, {**first, "0002_b": ("CREATE TABLE b (x TEXT)", "nonsense")})
    database = Database(tmp_path, first)
    with database.read():
        assert not list(database.rows("SELECT 1 FROM sqlite_master WHERE name = 'b'"))
    database.close()


def test_a_disk_that_becomes_read_only_is_said_and_heals_without_a_restart(tmp_path: Path) -> None:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], capture_output=True).returncode:
        pytest.skip("cannot mount a disk of its own")
    try:
        store = Store(folder / "data")
        conversation = store.create_conversation("local")
        kept = store.add_turn("local", conversation, typed())
        # what a disk with errors becomes; `remount,ro` is refused while files are open for writing
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        with pytest.raises(StorageError) as refused:
            store.save_audio(lambda path: path.write_bytes(b"x"))
        assert refused.value.code == "STORAGE_READONLY"
        assert store.turns("local", conversation) == [kept]
        subprocess.run(["umount", folder], check=True)
        assert store.add_turn("local", conversation, typed("after")).number == 2
        assert store.save_audio(lambda path: path.write_bytes(b"x"))
        store.close()
    finally:
        while subprocess.run(["umount", "--lazy", folder], capture_output=True).returncode == 0:
            pass


@pytest.mark.slow
def test_kill_nine_on_the_turn_path_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert kill_on_the_turn_path(tmp_path, kills=3) > 3
