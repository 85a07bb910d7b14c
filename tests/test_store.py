"""Conversations and turns: kept, listed, found by their owner only, replaced, deleted."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from stores import holding, typed

from avatar.errors import AvatarError, NotFound
from avatar.store import ConversationRow, Store


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


@pytest.mark.parametrize("name", ["\ud800", "a \udc00 b", 1 << 70])
def test_what_no_database_can_hold_is_not_there(store: Store, name: str) -> None:
    for ask in (store.conversation, store.turns, store.turn, store.delete_conversation):
        with pytest.raises(NotFound):
            ask("ann", name)
    with pytest.raises(NotFound):
        store.rename("ann", name, "Tea")
    assert store.voice("ann", store.create_conversation("ann")) == ""  # the connection is as it was


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


def test_other_users_of_the_machine_can_read_nothing(tmp_path: Path) -> None:
    """Also in a folder that was made for all, and where an older version had let them."""
    data = tmp_path / "for-all"
    for folder in (data, data / "audio"):
        folder.mkdir()
        folder.chmod(0o755)
    (data / "avatar.db").touch(mode=0o644)
    store = Store(data)
    conversation = store.create_conversation("local")
    store.add_turn("local", conversation, typed(reply_audio=store.save_audio(holding(b"reply"))))
    assert (data / "avatar.db-wal").exists()
    for kept in data.iterdir():
        assert kept.name == "reserve" or kept.stat().st_mode & 0o077 == 0, kept
    store.close()


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


def test_a_recording_that_goes_while_the_sweep_looks_is_no_failure(store: Store, tmp_path: Path) -> None:
    store.save_audio(holding(b"x"))
    folder = next((tmp_path / "data" / "audio").iterdir())
    (folder / "gone").symlink_to(tmp_path / "nowhere")  # listed, and not there when asked for
    assert store.sweep(min_age_s=-60) == 1
