import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from avatar.errors import AvatarError, NotFound, StorageError
from avatar.store import ConversationRow, Store, Turn

WRITER = """
import sys
from pathlib import Path
from avatar.store import Store, Turn
data, acknowledged = Path(sys.argv[1]), open(sys.argv[2], "a")
store = Store(data)
conversation = store.create_conversation("local")
print("started", flush=True)
while True:
    audio = store.save_audio(lambda path: path.write_bytes(b"heard"))
    turn = Turn(user_text="a", reply_text="b" * 500, state="done", reply_audio=audio)
    row = store.add_turn("local", conversation, turn)
    acknowledged.write(row.id + "\\n")
    acknowledged.flush()
"""


def typed(text: str = "hello", **more: object) -> Turn:
    return Turn(user_text=text, reply_text="hi", state="done", **more)  # type: ignore[arg-type]


def holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB; yields its folder."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # lazy: a failed test leaves files open


def test_turns_are_numbered_and_come_back_whole(store: Store) -> None:
    conversation = store.create_conversation("local")
    first = store.add_turn(
        "local",
        conversation,
        typed(client_turn_id="x1", language="en", engines={"stt": "moonshine"}, timings_ms={"stt": 90.5}),
    )
    second = store.add_turn("local", conversation, typed("and then?"))
    assert (first.number, second.number) == (1, 2)
    assert store.turns("local", conversation) == [first, second]
    assert store.turn("local", first.id) == first
    assert first.timings_ms == {"stt": 90.5} and first.engines == {"stt": "moonshine"}


def test_the_last_turns_come_alone_in_their_order(store: Store) -> None:
    conversation = store.create_conversation("local")
    for text in "abcd":
        store.add_turn("local", conversation, typed(text))
    assert [turn.user_text for turn in store.turns("local", conversation, 2)] == ["c", "d"]
    assert [turn.user_text for turn in store.turns("local", conversation, 9)] == [*"abcd"]


def test_a_resend_stores_nothing(store: Store) -> None:
    conversation = store.create_conversation("local")
    first = store.add_turn("local", conversation, typed(client_turn_id="x1"))
    assert store.add_turn("local", conversation, typed("other words", client_turn_id="x1")) == first
    assert store.turns("local", conversation) == [first]
    for _ in range(2):  # no client id is no identity
        store.add_turn("local", conversation, typed(client_turn_id=""))
    other = store.create_conversation("someone")
    assert store.add_turn("someone", other, typed(client_turn_id="x1")).id != first.id
    assert len(store.turns("local", conversation)) == 3


def test_a_conversation_that_is_there_already_stays_as_it_is_and_its_owners(store: Store) -> None:
    assert store.create_conversation("local", "Tea", conversation_id="c1") == "c1"
    for owner in ("local", "someone"):
        store.create_conversation(owner, "Coffee", conversation_id="c1")
    assert store.conversation("local", "c1").title == "Tea"
    with pytest.raises(NotFound):
        store.add_turn("someone", "c1", typed())


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ("  what  is\nthe time ", "what is the time"),
        (
            "tell me a story about a small dog who goes to the sea and back",
            "tell me a story about a small dog who goes to…",
        ),
        ("今天天氣" * 20, "今天天氣" * 12 + "…"),
        ("a\u202eb\x00c", "a b c"),
    ],
)
def test_the_first_words_become_the_title(store: Store, said: str, title: str) -> None:
    conversation = store.create_conversation("local")
    store.add_turn("local", conversation, typed(""))
    assert store.conversation("local", conversation).title == ""
    store.add_turn("local", conversation, typed(said))
    store.add_turn("local", conversation, typed("later words"))
    assert store.conversation("local", conversation).title == title


def test_a_given_title_stays(store: Store) -> None:
    conversation = store.create_conversation("local")
    store.rename("local", conversation, " Trip to\tTainan " + "x" * 100)
    store.add_turn("local", conversation, typed())
    title = store.conversation("local", conversation).title
    assert title.startswith("Trip to Tainan x") and len(title) == 80


def test_the_list_has_the_last_used_first_and_pages(store: Store) -> None:
    ids = [store.create_conversation("local") for _ in range(5)]
    for conversation in ids:
        store.add_turn("local", conversation, typed())
    store.add_turn("local", ids[1], typed())
    store.create_conversation("local")  # without a turn: not listed
    newest_first = [ids[1], ids[4], ids[3], ids[2], ids[0]]
    rows = store.conversations("local")
    assert [row.id for row in rows] == newest_first
    assert [row.turns for row in rows] == [2, 1, 1, 1, 1]
    page = store.conversations("local", limit=2)
    assert [row.id for row in page] == newest_first[:2]
    assert [row.id for row in store.conversations("local", 2, before=page[-1].id)] == newest_first[2:4]
    assert store.conversations("local", before=ids[0]) == []


def test_a_jumping_clock_changes_no_order(tmp_path: Path) -> None:
    times = iter([9e8, 9e8 + 60, 9e8 - 86400, 9e8 + 5])
    store = Store(tmp_path, clock=lambda: next(times))
    conversation = store.create_conversation("local")
    for word in "abc":
        store.add_turn("local", conversation, typed(word))
    assert [turn.user_text for turn in store.turns("local", conversation)] == ["a", "b", "c"]
    assert store.conversation("local", conversation).created_at == "1998-07-09T16:00:00.000+00:00"
    store.close()


def test_nothing_of_another_owner_can_be_reached(store: Store) -> None:
    mine = store.create_conversation("ann")
    turn = store.add_turn("ann", mine, typed(reply_audio=store.save_audio(holding(b"x"))))
    attempts: list[Callable[[], object]] = [
        lambda: store.conversation("bob", mine),
        lambda: store.turns("bob", mine),
        lambda: store.turn("bob", turn.id),
        lambda: store.audio_path("bob", turn.id, "reply"),
        lambda: store.rename("bob", mine, "his"),
        lambda: store.delete_conversation("bob", mine),
        lambda: store.add_turn("bob", mine, typed()),
        lambda: store.add_turn("bob", mine, typed(client_turn_id="x")),
    ]
    sentences = set()
    for attempt in attempts:
        with pytest.raises(NotFound) as refused:
            attempt()
        sentences.add(refused.value.sentence)
    for missing in (lambda: store.conversation("ann", "no"), lambda: store.turn("ann", "no")):
        with pytest.raises(NotFound) as refused:
            missing()
        assert refused.value.sentence in sentences  # not yours reads like not there
    assert store.conversations("bob") == []
    assert store.turns("ann", mine) == [turn]
    assert store.conversation("ann", mine).title == "hello"


def test_audio_is_found_by_turn_only(store: Store) -> None:
    conversation = store.create_conversation("local")
    turn = store.add_turn("local", conversation, typed(reply_audio=store.save_audio(holding(b"reply"))))
    assert store.audio_path("local", turn.id, "reply").read_bytes() == b"reply"
    with pytest.raises(NotFound):
        store.audio_path("local", turn.id, "user")
    store.audio_path("local", turn.id, "reply").unlink()
    with pytest.raises(NotFound):
        store.audio_path("local", turn.id, "reply")


def test_a_turn_answered_again_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours = store.create_conversation("local")
    said, old, new = (store.save_audio(holding(content)) for content in (b"said", b"zebra", b"horse"))
    first = store.add_turn("local", ours, typed("hello", user_audio=said, reply_audio=old))
    second = store.add_turn("local", ours, typed("and then"))
    again = store.add_turn("local", ours, typed("hello", reply_audio=new, client_turn_id="again"), first.id)
    assert (again.number, again.user_audio) == (1, said) and store.turns("local", ours) == [again, second]
    assert store.audio_path("local", again.id, "user").read_bytes() == b"said"
    assert not any(b"zebra" in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    with pytest.raises(NotFound):
        store.turn("local", first.id)
    assert store.add_turn("local", ours, typed("hello", client_turn_id="again"), first.id) == again
    assert store.add_turn("local", ours, typed("late"), first.id).number == 3  # gone meanwhile: added at the end
    store.close()


def test_a_turn_of_another_conversation_or_owner_is_never_replaced(store: Store) -> None:
    anns, bobs = store.create_conversation("ann"), store.create_conversation("bob")
    row = store.add_turn("ann", anns, typed())
    with pytest.raises(NotFound):
        store.add_turn("bob", anns, typed(), row.id)
    store.add_turn("bob", bobs, typed(), row.id)
    assert store.turns("ann", anns) == [row]


def test_a_persona_belongs_to_one_conversation_of_one_owner(store: Store) -> None:
    anns, bobs = store.create_conversation("ann"), store.create_conversation("bob")
    assert store.persona("ann", anns) == ""
    assert store.set_persona("ann", anns, "  You are\n a\u0000 pirate. \ud800 ") == "You are a pirate."
    assert store.persona("ann", anns) == "You are a pirate." and store.persona("bob", anns) == ""
    assert store.persona("bob", bobs) == "" and store.persona("ann", "no such") == ""
    for conversation in (anns, "no such"):
        with pytest.raises(NotFound):
            store.set_persona("bob", conversation, "A thief.")
    assert len(store.set_persona("ann", anns, "茶" * 400)) == 400
    for long in ("x" * 401, "\N{HOT BEVERAGE}\N{VARIATION SELECTOR-16}" * 250, "\U0001f375" * 301):
        with pytest.raises(AvatarError) as refused:
            store.set_persona("ann", anns, long)
        assert refused.value.code == "PERSONA_LONG"
    assert store.persona("ann", anns) == "茶" * 400
    assert store.set_persona("ann", anns, "") == "" and store.persona("ann", anns) == ""


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


def test_delete_leaves_no_trace(tmp_path: Path) -> None:
    store = Store(tmp_path)
    gone, kept = store.create_conversation("local"), store.create_conversation("local")
    for n in range(10):
        store.add_turn("local", gone, typed(f"zebra {n}", user_audio=store.save_audio(holding(b"zebra"))))
    row = store.add_turn("local", kept, typed("horse", user_audio=store.save_audio(holding(b"horse"))))
    store.delete_conversation("local", gone)
    files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
    assert not any(b"zebra" in content for content in files)
    assert any(b"horse" in content for content in files)
    assert store.turns("local", kept) == [row]
    with pytest.raises(NotFound):
        store.delete_conversation("local", gone)
    store.close()


def test_history_survives_a_restart(tmp_path: Path) -> None:
    before = Store(tmp_path)
    conversation = before.create_conversation("local")
    turn = before.add_turn("local", conversation, typed(reply_audio=before.save_audio(holding(b"reply"))))
    before.close()
    after = Store(tmp_path)
    assert after.turns("local", conversation) == [turn]
    assert after.audio_path("local", turn.id, "reply").read_bytes() == b"reply"
    assert after.add_turn("local", conversation, typed()).number == 2
    after.close()


def test_two_stores_in_one_process_are_apart(tmp_path: Path) -> None:
    one, two = Store(tmp_path / "1"), Store(tmp_path / "2")
    conversation = one.create_conversation("local")
    with pytest.raises(NotFound):
        two.conversation("local", conversation)
    assert isinstance(one.conversation("local", conversation), ConversationRow)
    one.close()
    two.close()


def test_orphans_are_swept_and_nothing_else(store: Store, tmp_path: Path) -> None:
    conversation = store.create_conversation("local")
    turn = store.add_turn("local", conversation, typed(user_audio=store.save_audio(holding(b"kept"))))
    for _ in range(3):
        store.save_audio(holding(b"orphan"))
    assert store.sweep() == 0  # too young: their turns may be on the way
    audio = tmp_path / "data" / "audio"
    (next(audio.iterdir()) / ".writing-x").touch()  # a writer was killed here
    for file in audio.glob("*/*"):
        os.utime(file, (0, time.time() - 7200))
    assert store.sweep() == 4
    assert store.audio_path("local", turn.id, "user").read_bytes() == b"kept"
    assert store.sweep() == 0


def test_eight_threads_lose_nothing(store: Store) -> None:
    conversations = [store.create_conversation("local") for _ in range(2)]  # shared: numbers are given under contention

    def write(worker: int) -> list[str]:
        return [
            store.add_turn("local", conversations[n % 2], typed(client_turn_id=f"{worker}-{n}")).id for n in range(12)
        ]

    with ThreadPoolExecutor(8) as threads:
        acknowledged = {turn for turns in threads.map(write, range(8)) for turn in turns}
    rows = [store.turns("local", conversation) for conversation in conversations]
    assert acknowledged == {turn.id for turns in rows for turn in turns} and len(acknowledged) == 96
    assert all([turn.number for turn in turns] == list(range(1, len(turns) + 1)) for turns in rows)


def test_a_resend_from_two_threads_at_once_is_one_turn(store: Store) -> None:
    conversation = store.create_conversation("local")
    with ThreadPoolExecutor(8) as threads:
        rows = list(threads.map(lambda _: store.add_turn("local", conversation, typed(client_turn_id="x")), range(8)))
    assert len({row.id for row in rows}) == len(store.turns("local", conversation)) == 1


def test_two_processes_may_open_a_new_database_at_once(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from avatar.store import Store; Store(Path(sys.argv[1])).close()"
    both = [subprocess.Popen([sys.executable, "-c", code, tmp_path], stderr=subprocess.PIPE) for _ in range(2)]
    for process in both:
        assert process.communicate()[1] == b""
        assert process.returncode == 0


def test_threads_may_open_one_file_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as threads:
        for opened in list(threads.map(Store, [tmp_path] * 6)):
            opened.close()


def kill_writers(folder: Path, kills: int) -> int:
    """Kill a writer `kills` times in the middle of its work; returns how many turns it had been promised."""
    chance, acks = random.Random(7), folder / "acknowledged"
    for _ in range(kills):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, folder / "data", acks], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0.02, 0.2))
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
    promised = acks.read_text().split()
    store = Store(folder / "data")
    turns = [turn for row in store.conversations("local", limit=kills) for turn in store.turns("local", row.id)]
    assert set(promised) <= {turn.id for turn in turns}
    assert all(turn.reply_text == "b" * 500 for turn in turns)
    for turn in turns:
        assert store.audio_path("local", turn.id, "reply").read_bytes() == b"heard"
    for file in (folder / "data" / "audio").glob("*/*"):
        os.utime(file, (0, 0))
    assert store.sweep() <= kills  # each kill can orphan one recording
    store.close()
    return len(promised)


def test_kill_nine_loses_no_acknowledged_turn(tmp_path: Path) -> None:
    assert kill_writers(tmp_path, kills=6) > 6


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


def test_threads_that_come_and_go_leave_no_files_open(store: Store) -> None:
    conversation = store.create_conversation("local")

    def open_files_after(threads: int) -> int:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda _: store.add_turn("local", conversation, typed()), range(2 * threads)))
        return len(os.listdir("/proc/self/fd"))

    # SQLite parks a descriptor while the file is locked and uses it again: bounded by how many write at once
    before = open_files_after(8)
    for _ in range(4):
        after = open_files_after(8)
    assert after <= before + 8


def test_a_recording_that_goes_while_the_sweep_looks_is_no_failure(store: Store, tmp_path: Path) -> None:
    store.save_audio(holding(b"x"))
    folder = next((tmp_path / "data" / "audio").iterdir())
    (folder / "gone").symlink_to(tmp_path / "nowhere")  # listed, and not there when asked for
    assert store.sweep(min_age_s=-60) == 1


def test_a_fork_shares_the_turns_up_to_one(store: Store) -> None:
    ours = store.create_conversation("local", "Tea")
    store.set_persona("local", ours, "A pirate.")
    said = store.save_audio(holding(b"said"))
    first = store.add_turn("local", ours, typed("one", client_turn_id="c1", user_audio=said, engines={"tts": "x"}))
    second = store.add_turn("local", ours, typed("two", timings_ms={"llm": 4.0}))
    store.add_turn("local", ours, typed("three"))
    fork = store.fork("local", second.id)
    rows = store.turns("local", fork)
    assert [(row.number, row.user_text) for row in rows] == [(1, "one"), (2, "two")]
    assert rows[0].engines == first.engines and rows[1].timings_ms == second.timings_ms
    assert rows[0].client_turn_id is None and not {row.id for row in rows} & {first.id, second.id}
    assert store.conversation("local", fork).title == "Tea" and store.conversation("local", fork).forked_at == 2
    assert store.persona("local", fork) == "A pirate."
    assert store.add_turn("local", fork, typed("four")).number == 3
    assert [row.user_text for row in store.turns("local", ours)] == ["one", "two", "three"]
    assert store.conversation_of("local", "c1") == ours


def test_a_fork_and_its_origin_go_without_each_other(store: Store) -> None:
    ours = store.create_conversation("local")
    row = store.add_turn("local", ours, typed(user_audio=store.save_audio(holding(b"said"))))
    fork = store.fork("local", row.id, voice="mei")
    assert store.conversation("local", fork).voice_profile == "mei"
    shared = store.turns("local", fork)[0].id
    store.delete_conversation("local", ours)
    assert store.audio_path("local", shared, "user").read_bytes() == b"said"
    other = store.fork("local", shared)
    store.add_turn("local", fork, typed("instead"), instead_of=shared)  # its sound of the user is kept
    store.delete_conversation("local", fork)
    path = store.audio_path("local", store.turns("local", other)[0].id, "user")
    assert path.read_bytes() == b"said"
    store.delete_conversation("local", other)
    assert not path.exists()


def test_a_fork_has_the_hq_takes_of_the_turns_it_shares(store: Store) -> None:
    ours = store.create_conversation("local")
    first, second = (store.add_turn("local", ours, typed(words)) for words in ("one", "two"))
    assert store.keep_take(first.id, store.save_audio(holding(b"take")))
    fork = store.fork("local", second.id)
    shared = store.turns("local", fork)[0].id
    assert store.takes.of(fork) == {shared: store.takes.name(first.id)}
    store.delete_conversation("local", ours)
    path = store.audio_path("local", shared, "hq")
    assert path.read_bytes() == b"take"
    store.delete_conversation("local", fork)
    assert not path.exists()


def test_a_fork_of_what_is_not_yours_is_none(store: Store) -> None:
    row = store.add_turn("ann", store.create_conversation("ann"), typed())
    for owner, turn in (("bob", row.id), ("ann", "no")):
        with pytest.raises(NotFound):
            store.fork(owner, turn)
    assert store.conversations("bob") == []
