"""Conversations that go on from a turn of another one."""

import pytest
from stores import holding, typed

from avatar.errors import NotFound
from avatar.store import Store


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
