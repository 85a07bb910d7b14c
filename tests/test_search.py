import sqlite3
from pathlib import Path

import pytest

from avatar.store import Store, Turn, Wanted


def said(user: str, reply: str = "", **more: object) -> Turn:
    return Turn(user_text=user, reply_text=reply, state="done", **more)  # type: ignore[arg-type]


def talk(store: Store, *turns: Turn, owner: str = "local") -> str:
    conversation = store.create_conversation(owner)
    for turn in turns:
        store.add_turn(owner, conversation, turn)
    return conversation


def found(store: Store, words: str, owner: str = "local", **more: object) -> list[str]:
    return [hit.conversation for hit in store.search.find(owner, Wanted(words=words, **more))]  # type: ignore[arg-type]


def vocabulary(folder: Path) -> set[str]:
    """All words that are in the index, also those of turns that are only marked as deleted."""
    with sqlite3.connect(folder / "avatar.db") as raw:
        raw.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab (main, said, row)")
        words = {word for (word,) in raw.execute("SELECT term FROM words")}
    raw.close()
    return words


def test_words_are_found_in_either_side_and_any_script(store: Store) -> None:
    weather = talk(store, said("今天的天氣好嗎？", "It will rain."))
    trip = talk(store, said("Shall we go to Tainan?", "我們去go吧，好。"))
    talk(store, said("天空與氣球", "Ergo sum."))
    assert found(store, "天氣") == [weather]
    assert found(store, "好") == [trip, weather]  # newest first
    assert found(store, "go") == [trip] and found(store, "GO ") == [trip]
    assert found(store, "去go吧") == [trip] and found(store, "tainan 好") == [trip]
    assert found(store, "Tai") == [trip] and found(store, "Tai ") == []  # the word that is being typed
    assert found(store, '"we go"') == [trip] and found(store, '"go we"') == []
    assert found(store, "rain 天氣") == [weather] and found(store, "rain Tainan") == []


@pytest.mark.parametrize(
    "query", ['"', "'; DROP TABLE said; --", "AND OR NOT", "user_text:x", "*", "(", "😀", "a" * 5000]
)
def test_no_query_is_syntax(store: Store, query: str) -> None:
    talk(store, said("hello"))
    assert found(store, query) == []


def test_an_empty_query_is_everything_once(store: Store) -> None:
    first, second = talk(store, said("one"), said("two")), talk(store, said("three"))
    store.add_turn("local", first, said("four"))
    assert found(store, "") == found(store, "  ") == [first, second]
    (newest, _) = store.search.find("local", Wanted())
    assert (newest.number, newest.user_text) == (3, "four")


def test_pages_follow_by_a_larger_limit(store: Store) -> None:
    all_of_them = [talk(store, said(f"tea {n}"), said("tea")) for n in range(7)][::-1]
    assert [hit.conversation for hit in store.search.find("local", Wanted(words="tea"), 3)] == all_of_them[:3]
    assert [hit.conversation for hit in store.search.find("local", Wanted(words="tea"), 9)] == all_of_them


def test_filters_hold_for_one_turn_together(tmp_path: Path) -> None:
    now = [1e9]
    store = Store(tmp_path, clock=lambda: now[0])
    old = talk(store, said("tea"))
    now[0] += 86400
    cut = talk(store, Turn(user_text="tea", reply_text="three", state="interrupted"), said("coffee"))
    now[0] -= 40  # a clock that jumped back
    new = talk(store, said("tea"))
    assert found(store, "tea", state="interrupted") == [cut] and found(store, "coffee", state="interrupted") == []
    assert found(store, "", state="interrupted") == [cut]
    assert found(store, "tea", since="2001-09-10") == [new, cut] and found(store, "tea", before="2001-09-10") == [old]
    assert found(store, "", since="2001-09-10T01:46:40") == [cut]
    store.close()


def test_a_voice_is_a_filter(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours = talk(store, said("tea", voice="alba"), said("coffee"))
    other = talk(store, said("tea", voice="profile:1f"))
    talk(store, said("tea", voice="marius"), owner="ann")
    assert found(store, "tea", voice="alba") == [ours] and found(store, "coffee", voice="alba") == []
    assert found(store, "", voice="profile:1f") == [other] and found(store, "", voice="marius") == []
    assert store.search.voices("local") == ["profile:1f", "default", "alba"] and store.search.voices("bob") == []
    fork = store.fork("local", store.turns("local", ours)[0].id)
    assert found(store, "tea", voice="alba") == [fork, ours]
    store.close()


def test_voices_of_turns_that_were_there_before_the_filter_are_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours = talk(store, said("the tea", voice="alba"), said("the coffee"))
    store.close()
    with sqlite3.connect(tmp_path / "avatar.db") as old:  # as the version before had it
        old.execute("DELETE FROM said")
        old.execute("INSERT INTO said (rowid, user_text, facets) SELECT seq, user_text, 'x' FROM turns")
        old.execute("DROP INDEX turns_voice")
        old.execute("DELETE FROM migrations WHERE name = '0009_search_by_voice'")
    old.close()
    store = Store(tmp_path)
    assert found(store, "tea", voice="alba") == [ours] and found(store, "the", voice="default") == [ours]
    assert found(store, "coffee", voice="alba") == []
    store.close()


def test_each_owner_finds_their_own(store: Store) -> None:
    anns, bobs = talk(store, said("the secret tea"), owner="ann"), talk(store, said("tea"), owner="bob")
    assert found(store, "tea", "ann") == [anns] and found(store, "tea", "bob") == [bobs]
    assert found(store, "secret", "bob") == [] and found(store, "tea", "") == []
    fork = store.fork("ann", store.turns("ann", anns)[0].id)
    assert found(store, "secret", "ann") == [fork, anns] and found(store, "secret", "bob") == []


def test_deleted_words_are_not_in_the_index(tmp_path: Path) -> None:
    store = Store(tmp_path)
    gone = talk(store, said("the zebra crossing", "斑馬線"))
    kept = talk(store, said("a horse"), said("with one llama"))
    assert {"zebra", "斑", "horse"} <= vocabulary(tmp_path)
    store.delete_conversation("local", gone)
    assert not {"zebra", "斑", "馬"} & vocabulary(tmp_path) and "horse" in vocabulary(tmp_path)
    assert found(store, "zebra") == [] and found(store, "horse") == [kept]
    store.add_turn("local", kept, said("with one alpaca"), instead_of=store.turns("local", kept)[1].id)
    assert "llama" not in vocabulary(tmp_path) and found(store, "alpaca") == [kept]
    store.close()


def test_what_was_said_before_there_was_a_search_is_found(tmp_path: Path) -> None:
    store = Store(tmp_path)
    ours = talk(store, said("天氣"))
    store.close()
    with sqlite3.connect(tmp_path / "avatar.db") as old:
        old.execute("DROP TABLE said")
        for thing in ("TABLE said_gone", "TRIGGER turn_said", "TRIGGER turn_gone", "INDEX turns_created"):
            old.execute(f"DROP {thing}")
        old.execute("DROP INDEX turns_user_audio")
        old.execute("DROP INDEX turns_reply_audio")
        old.execute("DROP INDEX turns_voice")
        old.execute("DELETE FROM migrations WHERE name IN ('0005_search', '0009_search_by_voice')")
    old.close()
    store = Store(tmp_path)
    assert found(store, "天氣") == [ours]
    store.close()
