"""Admission and steps down, with readings and time that are injected."""

import threading
import time

import pytest

from avatar.errors import ServerFull
from avatar.gpu import GpuMemory
from avatar.pressure import CALM_S, HELD_S, LOOK_S, Pressure, Step
from avatar.sessions import Seats


class Card:
    """100 bytes, of which `used` are used; also the clock."""

    def __init__(self, used: int = 50) -> None:
        self.used, self.now = used, 0.0

    def __call__(self) -> GpuMemory:
        return GpuMemory(used=self.used, free=100 - self.used, total=100, card=100)

    def clock(self) -> float:
        return self.now


class Ladder:
    """Records what gives way; each thing frees `frees` bytes of the card, none when it was not loaded."""

    def __init__(self, card: Card, **frees: int) -> None:
        self.card, self.frees, self.done = card, frees, list[str]()

    def steps(self) -> list[Step]:
        return [self._step(name, frees) for name, frees in self.frees.items()]

    def _step(self, name: str, frees: int) -> Step:
        def down(sentence: str) -> bool:
            assert sentence.startswith("The graphics memory is 9")
            self.done.append(f"-{name}")
            self.card.used -= frees
            return frees > 0

        def up() -> None:
            self.done.append(f"+{name}")
            self.card.used += frees

        return Step(down, up, f"{name} rests.", needs=frees)


def watch(card: Card, ladder: Ladder, seconds: float, pressure: Pressure) -> None:
    end = card.now + seconds
    while card.now < end:
        card.now += LOOK_S
        pressure.look()


@pytest.fixture
def card() -> Card:
    return Card()


def test_from_90_percent_on_nobody_new_is_let_in_until_it_is_below_87(card: Card) -> None:
    pressure = Pressure(card, clock=card.clock)
    seats = Seats(5, 240, 300, full=pressure.refusal)
    refused = []
    for card.used in (50, 89, 90, 95, 89, 87, 86, 89):
        pressure.look()
        try:
            seats.admit("local", f"key {len(refused)}")
            refused.append(False)
        except ServerFull as full:
            assert full.code == "SERVER_FULL" and "graphics memory is" in full.sentence and "Try again" in full.sentence
            refused.append(True)
        else:
            seats.release(f"key {len(refused) - 1}")
    assert refused == [False, False, True, True, True, True, False, False]


def test_no_card_refuses_nobody() -> None:
    pressure = Pressure(lambda: None)
    pressure.look()
    assert pressure.refusal() == "" and pressure.level == 0


def test_a_refusal_comes_within_a_second_and_waits_for_no_driver() -> None:
    full, hangs = threading.Event(), threading.Event()

    def read() -> GpuMemory:
        if full.is_set():
            hangs.wait(5)
        return GpuMemory(used=95, free=5, total=100, card=100)

    pressure = Pressure(read)
    pressure.start()
    seats = Seats(5, 240, 300, full=pressure.refusal)
    full.set()  # from now on the driver does not answer
    time.sleep(2 * LOOK_S)
    started = time.monotonic()
    with pytest.raises(ServerFull):
        seats.admit("local", "a")
    assert time.monotonic() - started < 1  # the driver hangs for 5 s
    pressure.close()
    hangs.set()


def test_things_give_way_one_by_one_and_come_back_in_reverse(card: Card) -> None:
    ladder = Ladder(card, hq=10, steps=2, fast=5)
    pressure = Pressure(card, ladder.steps(), card.clock)
    card.used = 92
    watch(card, ladder, HELD_S + 1, pressure)
    assert ladder.done == ["-hq"] and card.used == 82
    card.used = 99  # another program takes more
    watch(card, ladder, 3 * HELD_S + 1, pressure)
    assert ladder.done == ["-hq", "-steps", "-fast"] and pressure.level == 3
    assert [notice.sentence for notice in pressure.told(0)][0] == "The graphics memory is 92% full. hq rests."
    card.used = 70
    watch(card, ladder, CALM_S - 1, pressure)
    assert pressure.level == 3
    watch(card, ladder, 3 * CALM_S + 3, pressure)
    assert ladder.done[3:] == ["+fast", "+steps"], "hq needs 10, and 77 of 87 are used"
    card.used = 60
    watch(card, ladder, CALM_S + 1, pressure)
    assert ladder.done[5:] == ["+hq"] and pressure.level == 0
    assert [notice.code for notice in pressure.told(0)] == [*["GAVE_WAY"] * 3, "CAME_BACK"]


def test_what_is_not_loaded_is_passed_over_at_once_and_nobody_is_told(card: Card) -> None:
    ladder = Ladder(card, hq=0, fast=20)
    pressure = Pressure(card, ladder.steps(), card.clock)
    card.used = 95
    watch(card, ladder, HELD_S + 1, pressure)
    assert ladder.done == ["-hq", "-fast"]
    assert [notice.sentence.endswith("fast rests.") for notice in pressure.told(0)] == [True]


def test_a_moment_over_the_line_moves_nothing(card: Card) -> None:
    ladder = Ladder(card, hq=10)
    pressure = Pressure(card, ladder.steps(), card.clock)
    for _ in range(20):
        card.used = 95
        watch(card, ladder, HELD_S - 1, pressure)
        card.used = 85
        watch(card, ladder, 1, pressure)
    assert ladder.done == [] and pressure.told(0) == []


def test_it_does_not_swing_when_what_comes_back_would_fill_the_card_again(card: Card) -> None:
    ladder = Ladder(card, hq=10)
    pressure = Pressure(card, ladder.steps(), card.clock)
    card.used = 91
    watch(card, ladder, 600, pressure)
    assert ladder.done == ["-hq"]
