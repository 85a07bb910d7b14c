"""Search over 100,000 turns, and opening a conversation of 500: `make campaign NAME=history_speed`."""

import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from avatar.chat import Chat
from avatar.store import Store, Turn, Wanted
from avatar.ui.past import past_messages

TURNS, LONG = 100_000, 500
VOICES = ("default", "alba", "marius", "profile:1f", "profile:2e")
QUERIES = ("天氣", "好", "go", "g", "th", "the wa", "oolong", "今天 go", "w00", "of the", "天氣 tea", '"of the"', "zzz")
COMMON = (
    "the of and to in is you that it he was for on are as with his they at be this have from or one had by word but"
    " not what all were we when your can said there use each which she do how their if will up other about out then"
)
ENGLISH = [*COMMON.split(" ")] + [f"w{n:04x}" for n in range(5000)]
CHINESE = "的一是不了人我在有他這中大來上國個到說們為子和你地出道也時年得就那要下以生會自去之過家學對可她里後天氣好今"


def words(chance: random.Random) -> str:
    if chance.random() < 0.4:
        return "".join(chance.choices(CHINESE, k=chance.randint(5, 60)))
    return " ".join(chance.choice(ENGLISH[:58] if chance.random() < 0.7 else ENGLISH) for _ in range(20)) + " go tea"


def filled(data: Path, turns: int, long: int) -> tuple[Store, str]:
    """Two owners with half of the turns each, 20 to a conversation; and a conversation of `long` turns."""
    store, chance = Store(data), random.Random(5)
    db = store._db
    with db.write():
        for n in range(turns // 20):
            conversation = f"c{n}"
            list(db.rows("INSERT INTO conversations (id, owner, title, created_at) VALUES (?, ?, 't', '')",
                         conversation, "ann" if n % 2 else "bob"))  # fmt: skip
            for k in range(20):
                list(db.rows(
                    """INSERT INTO turns (id, conversation, number, user_text, reply_text, state, engines, timings_ms,
                    created_at, voice) VALUES (?, ?, ?, ?, ?, 'done', '{}', '{}', '2026-01-01', ?)""",
                    f"{n}-{k}", conversation, k + 1, words(chance), words(chance),
                    "seldom" if n % 500 == 3 and k == 0 else VOICES[n % len(VOICES)],
                ))  # fmt: skip
    one = store.create_conversation("ann")
    for _ in range(long):
        store.add_turn("ann", one, Turn(user_text=words(chance), reply_text=words(chance), state="done"))
    return store, one


@pytest.mark.campaign
def test_history_speed(tmp_path: Path) -> None:
    store, one = filled(tmp_path, TURNS, LONG)
    took = []
    for n in range(20):
        for query in QUERIES:
            began = time.perf_counter()
            voice = (None, "default", "seldom", "profile:1f")[n // 2 % 4]
            store.search.find("ann" if n % 2 else "bob", Wanted(words=query, voice=voice))
            took.append(1000 * (time.perf_counter() - began))
    began = time.perf_counter()
    assert len(store.search.voices("ann")) == len(VOICES) + 1
    voices_ms = 1000 * (time.perf_counter() - began)
    opening = []
    for _ in range(20):
        began = time.perf_counter()
        rows = store.turns("ann", one)
        past_messages(Chat(one, rows).lines(), {row.number: row for row in rows}, [], "en")
        opening.append(1000 * (time.perf_counter() - began))
    other, waited = Store(tmp_path), [0.0]
    deleting = threading.Thread(target=store.delete_conversation, args=("ann", "c1"))
    began = time.perf_counter()
    deleting.start()
    while deleting.is_alive():  # somebody else's turns, meanwhile
        asked = time.perf_counter()
        other.add_turn("ann", one, Turn(user_text="meanwhile", reply_text="", state="done"))
        waited.append(1000 * (time.perf_counter() - asked))
    deleting_s = time.perf_counter() - began
    other.close()
    store.close()
    p50, p95, worst = np.percentile(took, (50, 95, 100))
    print(f"search over {TURNS} turns: P50 {p50:.1f}, P95 {p95:.1f}, max {worst:.1f} ms, n {len(took)}")
    print(
        f"a conversation of {LONG} turns, all of it: P95 {np.percentile(opening, 95):.0f} ms; delete {deleting_s:.2f} s"
        f", while {len(waited) - 1} turns were stored, the slowest in {max(waited):.0f} ms"
    )
    print(f"the voices to filter by: {voices_ms:.0f} ms")
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} CPUs")
    assert p95 <= 50 and np.percentile(opening, 95) <= 300
