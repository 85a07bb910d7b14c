"""What happens to the history when the database is damaged, is about to change, or the disk refuses."""

import os
import random
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from assistants import door, make_assistant, put_away
from turn_path import kill_on_the_turn_path
from voice_profiles import kept

from avatar import backup, preflight, snapshot
from avatar.database import BACKUPS, LAST_BACKUP, MIGRATION_BACKUPS, Database, last_backup
from avatar.errors import SettingsError, StorageError
from avatar.settings import Settings
from avatar.store import Store, Turn, Wanted
from avatar.voices import Voices

HERE = Path(__file__).parent


def typed(text: str = "hello") -> Turn:
    return Turn(user_text=text, reply_text="hi", state="done")


def filled(data: Path, conversations: int = 40, die: bool = False) -> list[str]:
    store = Store(data)
    ids = []
    for _ in range(conversations):
        ids.append(store.create_conversation("local"))
        for _ in range(4):
            store.add_turn("local", ids[-1], typed("x" * 2000))
    if die:
        os._exit(1)
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


@contextmanager
def own_disk(folder: Path) -> Iterator[Callable[[bool], None]]:
    """A disk of its own at `folder`; what it gives makes it read-only, as one with errors becomes, and writable."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m", "none", folder], capture_output=True).returncode:
        pytest.skip("cannot mount a disk of its own")

    def read_only(on: bool) -> None:
        if on:  # `remount,ro` is refused while files are open for writing
            subprocess.run(["mount", "--bind", folder, folder], check=True)
            subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
        else:
            subprocess.run(["umount", folder], check=True)

    try:
        yield read_only
    finally:
        while subprocess.run(["umount", "--lazy", folder], capture_output=True).returncode == 0:
            pass


def test_a_disk_that_becomes_read_only_is_said_and_heals_without_a_restart(tmp_path: Path) -> None:
    with own_disk(tmp_path / "disk") as read_only:
        store = Store(tmp_path / "disk" / "data")
        conversation = store.create_conversation("local")
        row = store.add_turn("local", conversation, typed())
        read_only(True)
        with pytest.raises(StorageError) as refused:
            store.save_audio(lambda path: path.write_bytes(b"x"))
        assert refused.value.code == "STORAGE_READONLY"
        assert store.turns("local", conversation) == [row]
        read_only(False)
        assert store.add_turn("local", conversation, typed("after")).number == 2
        assert store.save_audio(lambda path: path.write_bytes(b"x"))
        store.close()


@pytest.mark.slow
@pytest.mark.parametrize("crashed", [False, True])
def test_a_disk_that_is_read_only_at_the_start_is_read_and_heals_without_a_restart(
    tmp_path: Path, crashed: bool
) -> None:
    with own_disk(tmp_path / "disk") as read_only:
        data = tmp_path / "disk" / "data"
        if crashed:  # what was said last is in the log only
            path = f"import sys; sys.path[:0] = {[str(HERE), str(HERE.parent)]!r}"
            dying = f"{path}; from test_durability import *; filled(Path({str(data)!r}), 3, die=True)"
            assert subprocess.run([sys.executable, "-c", dying], check=False).returncode == 1
            assert (data / "avatar.db-wal").stat().st_size
        else:
            filled(data, 3)
        read_only(True)
        preflight.check(Settings(data=data, port=0))
        store = Store(data)
        assert "may not write" in store.unwritable and not store.damaged
        conversations = store.conversations("local")
        assert len(conversations) == 3 and len(store.search.find("local", Wanted(words="hi"))) == 3
        voices = Voices(data, store.profiles)
        for change in (
            lambda: store.add_turn("local", conversations[0].id, typed()),
            lambda: store.delete_conversation("local", conversations[0].id),
            lambda: kept(voices),
            lambda: store.save_audio(lambda path: path.write_bytes(b"x")),
        ):
            with pytest.raises(StorageError) as refused:
                change()
            assert refused.value.code == "STORAGE_READONLY"
            assert len(store.turns("local", conversations[0].id)) == 4
        read_only(False)
        assert store.add_turn("local", conversations[0].id, typed("after")).number == 5
        assert not store.unwritable and kept(voices)
        assert len(store.search.find("local", Wanted(words="after"))) == 1
        store.close()


def test_a_read_only_folder_without_a_history_or_with_an_older_one_is_refused(tmp_path: Path) -> None:
    with own_disk(tmp_path / "disk") as read_only:
        data = tmp_path / "disk" / "data"
        Database(data, {"0001_a": ("CREATE TABLE a (x TEXT)",)}).close()
        read_only(True)
        with pytest.raises(StorageError) as refused:
            Database(data, {"0001_a": (), "0002_b": ("CREATE TABLE b (x TEXT)",)})
        assert refused.value.code == "STORAGE_READONLY"
        with pytest.raises(SettingsError, match="AVATAR_DATA"):
            preflight.check(Settings(data=tmp_path / "disk" / "new", port=0))


def test_a_damaged_history_is_mended_by_a_restore_while_avatar_runs(tmp_path: Path) -> None:
    data = tmp_path / "data"
    ids = filled(data, 20)
    made = backup.create(data, tmp_path / "safe")
    damage(data, 0.9)
    store = Store(data)
    assert store.damaged
    with pytest.raises(StorageError):
        store.add_turn("local", ids[0], typed())
    backup.restore(made.folder, data)
    assert [len(store.turns("local", one)) for one in ids] == [4] * 20 and not store.damaged
    assert store.add_turn("local", ids[0], typed()).number == 5
    with pytest.raises(StorageError, match="running"):  # from now on it is in use again
        backup.restore(made.folder, data)
    store.close()


def test_the_copy_before_a_migration_is_restored_by_the_same_command(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (one,) = filled(data, 1)
    with sqlite3.connect(data / "avatar.db") as raw:
        raw.execute("DELETE FROM migrations WHERE name = '0009_search_by_voice'")
        raw.execute("DROP INDEX turns_voice")
    raw.close()
    Store(data).close()
    damage(data, head=True)
    store = Store(data)
    assert (last := last_backup(data)) is not None and last.is_file() and str(last) in store.damaged
    assert backup.restore(last, data).holds.turns == 4
    assert len(store.turns("local", one)) == 4 and not store.damaged
    store.close()
    last.write_bytes(b"x" * 5000)
    with pytest.raises(StorageError, match="is damaged"):
        backup.restore(last, data)


def test_copies_before_a_migration_do_not_outlast_what_is_erased_nor_a_month(tmp_path: Path) -> None:
    store = Store(tmp_path)
    voices = Voices(tmp_path, store.profiles)
    copies = tmp_path / BACKUPS
    copies.mkdir()

    def copied() -> Path:
        (made := copies / "1-before-2.db").write_bytes(b"x")
        return made

    voice, made = kept(voices), copied()
    voices.delete("ann", voice.id)
    assert not made.exists()
    made = copied()
    store.erase("ann")
    assert not made.exists()
    made = copied()
    store.close()
    Store(tmp_path).close()
    assert made.exists()
    os.utime(made, (0, 0))
    Store(tmp_path).close()
    assert not made.exists()


@pytest.mark.slow
def test_kill_nine_on_the_turn_path_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    assert kill_on_the_turn_path(tmp_path, kills=3) > 3
