"""Many threads and processes at one store."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stores import typed

from avatar.store import Store


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
