import pytest

from avatar.errors import AvatarError, NotFound
from avatar.store import Score, Store, Turn, TurnRow


def spoken(store: Store, owner: str, conversation: str, tts: str = "eSpeak NG", **more: object) -> TurnRow:
    """A turn whose reply was heard, unless told otherwise."""
    fields = {"user_text": "a", "reply_text": "b", "state": "done", "reply_audio": "r.opus", "engines": {"tts": tts}}
    return store.add_turn(owner, conversation, Turn(**{**fields, **more}))  # type: ignore[arg-type]


def test_a_rating_is_kept_changed_and_taken_back(store: Store) -> None:
    here = store.create_conversation("ann")
    turn = spoken(store, "ann", here)
    assert turn.rating is None
    for rating in (1, 10, 7, None):
        assert store.ratings.put("ann", turn.id, rating) == here
        assert store.turn("ann", turn.id).rating == rating


@pytest.mark.parametrize("rating", [0, 11, -1, True, 7.0, "7", [7]])
def test_what_is_no_rating_is_refused_and_changes_nothing(store: Store, rating: object) -> None:
    turn = spoken(store, "ann", store.create_conversation("ann"))
    store.ratings.put("ann", turn.id, 4)
    with pytest.raises(AvatarError) as refused:
        store.ratings.put("ann", turn.id, rating)  # type: ignore[arg-type]
    assert refused.value.code == "BAD_RATING" and store.turn("ann", turn.id).rating == 4


def test_only_the_owner_rates_and_only_what_was_heard(store: Store) -> None:
    here = store.create_conversation("ann")
    heard, silent = spoken(store, "ann", here), spoken(store, "ann", here, reply_audio=None)
    for owner, turn in (("bob", heard.id), ("ann", silent.id), ("ann", "none")):
        with pytest.raises(NotFound):
            store.ratings.put(owner, turn, 5)
    assert [turn.rating for turn in store.turns("ann", here)] == [None, None]


def test_means_are_told_apart_by_engine_voice_and_owner(store: Store) -> None:
    assert store.ratings.scores("ann") == []
    here, there = store.create_conversation("ann"), store.create_conversation("bob")
    rated = [
        (spoken(store, "ann", here), 4),
        (spoken(store, "ann", here, "Pocket TTS", voice="alba"), 8),
        (spoken(store, "ann", here, "Pocket TTS", voice="alba"), 9),
        (spoken(store, "ann", here, "Pocket TTS", voice="marius"), 6),
        (spoken(store, "ann", here, "Pocket TTS", voice="alba"), None),
        (spoken(store, "ann", here, engines={}), 5),
    ]
    for turn, rating in rated:
        store.ratings.put("ann", turn.id, rating)
    store.ratings.put("bob", spoken(store, "bob", there, voice="alba").id, 1)
    assert store.ratings.scores("ann") == [
        Score("Pocket TTS", "alba", 8.5, 2),
        Score("", "default", 5.0, 1),
        Score("Pocket TTS", "marius", 6.0, 1),
        Score("eSpeak NG", "default", 4.0, 1),
    ]


def test_a_reply_that_takes_the_place_of_another_has_no_rating_yet(store: Store) -> None:
    here = store.create_conversation("ann")
    old = spoken(store, "ann", here)
    store.ratings.put("ann", old.id, 2)
    new = Turn(user_text="a", reply_text="c", state="done", reply_audio="s.opus", engines={"tts": "eSpeak NG"})
    store.add_turn("ann", here, new, instead_of=old.id)
    assert [turn.rating for turn in store.turns("ann", here)] == [None] and store.ratings.scores("ann") == []
