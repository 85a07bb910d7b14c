import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from fakes import Clock

from avatar.errors import NotFound, ServerFull
from avatar.sessions import TOKENS_PER_OWNER, Seats, Tokens


def seats(n: int = 5, clock: Clock | None = None, full: str = "") -> Seats:
    return Seats(n, idle_warn_s=240, idle_s=300, full=lambda: full, clock=clock or Clock())


def test_the_lowest_free_seat_is_given() -> None:
    five = seats()
    assert [five.admit("local", key).index for key in "abcde"] == [0, 1, 2, 3, 4]
    five.release("b")
    five.release("d")
    assert five.admit("local", "f").index == 1
    assert five.admit("local", "g").index == 3
    assert five.count() == 5


def test_the_sixth_is_refused_until_a_seat_is_freed() -> None:
    five = seats()
    for key in "abcde":
        five.admit("local", key)
    with pytest.raises(ServerFull) as full:
        five.admit("local", "f")
    assert full.value.code == "SERVER_FULL" and full.value.retryable
    assert full.value.sentence == "All 5 seats are taken. A seat frees up when someone ends or closes the page."
    five.release("a")
    five.release("a")  # twice frees one
    five.admit("local", "f")
    with pytest.raises(ServerFull):
        five.admit("local", "g")


def test_one_seat_is_called_one_seat() -> None:
    one = seats(1)
    one.admit("local", "a")
    with pytest.raises(ServerFull, match="^The only seat is taken"):
        one.admit("local", "b")


def test_an_owner_holds_two_at_most_and_local_as_many_as_there_are() -> None:
    five = seats()
    five.admit("ann", "a")
    five.admit("ann", "b")
    with pytest.raises(ServerFull, match="You hold 2 seats"):
        five.admit("ann", "c")
    five.admit("bob", "c")
    five.release("a")
    five.admit("ann", "d")


def test_a_seat_goes_along_with_its_owner_though_there_is_no_other() -> None:
    two = seats(2)
    two.admit("ann", "a")
    two.admit("ann", "b")
    assert two.admit("ann", "c", instead_of=["gone", "b"]).index == 1 and two.count() == 2
    with pytest.raises(ServerFull):
        two.admit("ann", "d", instead_of=["b"])


def test_low_vram_refuses_at_once() -> None:
    five = seats(full="The graphics memory is 93% full.")
    with pytest.raises(ServerFull, match="^The graphics memory is 93% full.$"):
        five.admit("local", "a")
    assert five.count() == 0


def test_a_key_names_one_session() -> None:
    five = seats()
    five.admit("ann", "a")
    with pytest.raises(ValueError, match="already"):
        five.admit("bob", "a")


def test_idle_seats_are_warned_then_expired() -> None:
    clock = Clock()
    five = seats(clock=clock)
    five.admit("local", "quiet")
    talking = five.admit("local", "talking")
    clock.now += 239
    assert five.idle() == []
    five.touch("talking")
    clock.now += 1
    [(seat, left_s)] = five.idle()
    assert (seat.key, left_s) == ("quiet", 60)
    clock.now += 60
    assert [(seat.key, left_s) for seat, left_s in five.idle()] == [("quiet", 0)]
    five.release("quiet")
    five.touch("quiet")  # its last message may come late
    assert five.count() == 1
    clock.now += 179
    [(seat, left_s)] = five.idle()
    assert (seat.index, seat.since, left_s) == (talking.index, 1000, 60)


def test_watchers_hear_of_changes_and_may_ask() -> None:
    five = seats()
    seen: list[int] = []
    unwatch = five.watch(lambda: seen.append(five.count()))
    five.admit("local", "a")
    five.release("a")
    five.release("a")  # nothing changed
    unwatch()
    unwatch()
    five.admit("local", "b")
    assert seen == [1, 0]


def test_a_rush_fills_the_seats_exactly() -> None:
    five, gate = seats(), threading.Barrier(16)

    def rush(n: int) -> int | None:
        gate.wait()
        try:
            return five.admit("local", str(n)).index
        except ServerFull:
            return None

    with ThreadPoolExecutor(16) as threads:
        given = [index for index in threads.map(rush, range(16)) if index is not None]
    assert sorted(given) == [0, 1, 2, 3, 4]


def test_a_token_opens_once() -> None:
    tokens = Tokens()
    token = tokens.issue("ann")
    assert tokens.redeem(token) == "ann"
    for stale in (token, "", "x" * 43, "\ud800"):
        with pytest.raises(NotFound) as refused:
            tokens.redeem(stale)
        assert refused.value.code == "BAD_TOKEN"


def test_a_token_opens_once_in_a_rush() -> None:
    tokens = Tokens()
    token = tokens.issue("ann")

    def redeem(_: int) -> bool:
        try:
            return tokens.redeem(token) == "ann"
        except NotFound:
            return False

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(redeem, range(64))) == 1


def test_a_token_expires() -> None:
    clock = Clock()
    tokens = Tokens(life_s=60, clock=clock)
    early, late = tokens.issue("ann"), tokens.issue("ann")
    clock.now += 59.9
    assert tokens.redeem(early) == "ann"
    clock.now += 0.1
    with pytest.raises(NotFound):
        tokens.redeem(late)


def test_an_owner_cannot_pile_up_tokens_nor_push_out_those_of_others() -> None:
    tokens = Tokens()
    other = tokens.issue("bob")
    issued = [tokens.issue("ann") for _ in range(3 * TOKENS_PER_OWNER)]
    assert len(set(issued)) == len(issued)
    with pytest.raises(NotFound):
        tokens.redeem(issued[-TOKENS_PER_OWNER - 1])
    assert all(tokens.redeem(token) == "ann" for token in issued[-TOKENS_PER_OWNER:])
    assert tokens.redeem(other) == "bob"
