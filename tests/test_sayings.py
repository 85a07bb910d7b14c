import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import avatar.store.store as store_module
from avatar.errors import AvatarError, NotFound
from avatar.saying import with_sayings
from avatar.store import Store
from avatar.store.sayings import MAX_CHARS, MAX_ENTRIES, Dictionary, _clean
from avatar.store.schema import MIGRATIONS


@pytest.fixture
def sayings(tmp_path: Path) -> Iterator[Dictionary]:
    store = Store(tmp_path)
    yield store.sayings
    store.close()


def test_each_owner_has_words_of_their_own(sayings: Dictionary) -> None:
    sayings.put("ann", "GIF", "jif")
    sayings.put("bob", "GIF", "gift without tea")
    sayings.put("ann", "重慶", "蟲慶")
    assert sayings.of("ann") == {"GIF": "jif", "重慶": "蟲慶"}
    assert sayings.of("bob") == {"GIF": "gift without tea"} and sayings.of("eve") == {}
    with pytest.raises(NotFound):
        sayings.remove("bob", "重慶")
    sayings.remove("bob", "GIF")
    assert sayings.of("bob") == {} and len(sayings.of("ann")) == 2


def test_a_word_is_kept_once_whatever_its_case(sayings: Dictionary) -> None:
    sayings.put("ann", "Gif", "one")
    sayings.put("ann", " gif ", "two")
    assert sayings.of("ann") == {"gif": "two"}
    sayings.remove("ann", "GIF")
    assert sayings.of("ann") == {}


@pytest.mark.parametrize(
    ("written", "spoken", "code"),
    [
        ("", "x", "SAYING_EMPTY"),
        ("x", "  ", "SAYING_EMPTY"),
        ("😀", "grin", "SAYING_EMPTY"),
        ("grin", "😀\u200d🔥", "SAYING_EMPTY"),
        (".*", "x", "SAYING_EMPTY"),
        ("x" * (MAX_CHARS + 1), "x", "SAYING_LONG"),
        ("x", "y" * 10**6, "SAYING_LONG"),
    ],
)
def test_what_cannot_be_said_is_refused(sayings: Dictionary, written: str, spoken: str, code: str) -> None:
    with pytest.raises(AvatarError) as refused:
        sayings.put("ann", written, spoken)
    assert refused.value.code == code and sayings.of("ann") == {}


def test_hostile_words_are_only_words(sayings: Dictionary) -> None:
    hostile = {"a.b": "g<0>(x)", "x'; DROP TABLE sayings; --": "y", "(?P<a": "z", "[q": "^w"}
    for written, spoken in hostile.items():
        sayings.put("ann", written, spoken)
    assert sayings.of("ann") == hostile
    assert with_sayings("a.b acb (?P<a [q", sayings.of("ann")) == "g<0>(x) acb z ^w"


def test_kept_is_what_a_reply_can_hold(sayings: Dictionary) -> None:
    sayings.put("ann", "**Zoe\u0301** 😀", "Zo\u202e-\x00é\n ok")
    assert sayings.of("ann") == {"Zoé": "Zo-é ok"}


def test_full_is_full_but_changes_and_others_go_on(sayings: Dictionary) -> None:
    with sayings._db.write():
        for number in range(MAX_ENTRIES):
            sayings._sayings.insert(owner="ann", written=f"word {number}", spoken="x").execute()
    with pytest.raises(AvatarError) as refused:
        sayings.put("ann", "one more", "x")
    assert refused.value.code == "SAYINGS_FULL"
    sayings.put("ann", "WORD 7", "changed")
    sayings.put("bob", "one more", "x")
    assert len(sayings.of("ann")) == MAX_ENTRIES and sayings.of("ann")["WORD 7"] == "changed"


def test_two_threads_cannot_pass_the_bound_together(sayings: Dictionary) -> None:
    with sayings._db.write():
        for number in range(MAX_ENTRIES - 1):
            sayings._sayings.insert(owner="ann", written=f"word {number}", spoken="x").execute()
    refused: list[str] = []

    def add(written: str) -> None:
        try:
            sayings.put("ann", written, "x")
        except AvatarError as error:
            refused.append(error.code)

    threads = [threading.Thread(target=add, args=(f"new {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["SAYINGS_FULL"] * 3 and len(sayings.of("ann")) == MAX_ENTRIES


def test_a_database_of_before_gets_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: statements for name, statements in MIGRATIONS.items() if name < "0002"}
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "MIGRATIONS", before)
        old = Store(tmp_path)
    conversation = old.create_conversation("ann", "kept")
    old.close()
    store = Store(tmp_path)
    store.sayings.put("ann", "x", "y")
    assert store.conversation("ann", conversation).title == "kept" and store.sayings.of("ann") == {"x": "y"}
    store.close()


@given(st.text(max_size=100))
def test_cleaning_is_bounded_and_done_once(text: str) -> None:
    try:
        kept = _clean(text)
    except AvatarError:
        return
    assert 0 < len(kept) <= MAX_CHARS and _clean(kept) == kept
