import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from avatar.events import AudioChunk
from avatar.playback import AHEAD_S, FRAME_SAMPLES, Playback
from avatar.wire import REPLY_RATE


class Page:
    """Collects what is sent; `clock` is moved by hand or by the loop's own time."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.clauses: list[tuple[str, int]] = []
        self.ended: int | None = None

    async def send(self, pcm: bytes) -> None:
        self.frames.append(pcm)

    async def say(self, text: str, at: int) -> None:
        self.clauses.append((text, at))

    async def end(self, samples: int) -> None:
        self.ended = samples

    @property
    def samples(self) -> int:
        return sum(len(frame) // 2 for frame in self.frames)


def chunk(seconds: float, rate: int = REPLY_RATE) -> AudioChunk:
    return AudioChunk(np.full(round(seconds * rate), 0.1, np.float32), rate)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)


@pytest.fixture
def page() -> Page:
    return Page()


def allowed(page: Page, **more: Any) -> Playback:
    playback = Playback(page.send, page.say, page.end, **more)
    playback.allowed.set()
    return playback


@pytest.fixture
def playback(page: Page) -> Playback:
    return allowed(page)


async def test_nothing_leaves_before_it_is_allowed(page):
    playback = Playback(page.send, page.say, page.end)
    playback.clause("One.")
    playback.push(chunk(0.1))
    playback.finish()
    run = asyncio.create_task(playback.run())
    await asyncio.sleep(0.02)
    assert (page.frames, page.clauses, page.ended, playback.first_sent_at) == ([], [], None, None)
    playback.allowed.set()
    await until(lambda: page.ended is not None)
    assert (page.clauses, page.ended) == ([("One.", 0)], 2400)
    run.cancel()


async def test_sends_at_once_and_says_where_each_clause_begins(page, playback):
    playback.clause("One.")
    playback.push(chunk(0.1))
    playback.clause("Two.")
    playback.push(chunk(0.2))
    playback.finish()
    run = asyncio.create_task(playback.run())
    await until(lambda: page.ended is not None)
    assert page.clauses == [("One.", 0), ("Two.", 2400)]
    assert page.ended == page.samples == playback.sent == 7200
    playback.played(7200)
    await asyncio.wait_for(run, 5)
    assert len(playback.pcm) == 14400


async def test_never_more_than_a_second_ahead(page, playback):
    playback.push(chunk(3.0))
    playback.finish()
    began = asyncio.get_running_loop().time()
    run = asyncio.create_task(playback.run())
    await asyncio.sleep(0.3)
    passed_s = asyncio.get_running_loop().time() - began
    assert AHEAD_S * REPLY_RATE <= page.samples <= (AHEAD_S + passed_s + 0.15) * REPLY_RATE
    run.cancel()


async def test_room_waits_for_the_listener(playback):
    playback.push(chunk(1.3))
    run = asyncio.create_task(playback.run())
    await asyncio.sleep(0)
    before = asyncio.get_running_loop().time()
    await playback.room()
    assert 0.15 < asyncio.get_running_loop().time() - before < 1.2  # of the 1.3 s that wait to be heard
    run.cancel()


async def test_ends_although_the_page_reports_nothing(page, playback, monkeypatch):
    monkeypatch.setattr("avatar.playback.GRACE_S", 0.1)
    playback.push(chunk(0.1))
    playback.finish()
    await asyncio.wait_for(playback.run(), 5)


async def test_resamples_other_rates(page, playback):
    playback.push(chunk(0.5, 22_050))
    playback.push(chunk(0.5, 22_050))
    playback.finish()
    run = asyncio.create_task(playback.run())
    await until(lambda: page.ended is not None)
    assert abs(page.samples - REPLY_RATE) <= 2
    run.cancel()


async def test_only_what_was_heard_counts(page):
    now = [10.0]
    playback = allowed(page, clock=lambda: now[0])
    playback.clause("one two three four.")
    playback.push(chunk(0.4))
    playback.clause("five six.")
    playback.push(chunk(0.4))
    playback.finish()
    run = asyncio.create_task(playback.run())
    await until(lambda: page.ended is not None)
    assert playback.heard() == 0
    now[0] += 0.1
    assert playback.heard() == 2400  # by the clock, until the page reports
    playback.played(4800)
    assert playback.heard() == 4800
    playback.played(1200)  # a report that arrives late never counts back
    assert playback.heard() == 4800
    assert playback.heard_text(0) == ""
    assert playback.heard_text(4800) == "one two"
    assert playback.heard_text(9600) == "one two three four."
    assert playback.heard_text(playback.sent) == "one two three four. five six."
    run.cancel()


def test_words_of_a_language_without_spaces_are_cut_by_characters(page):
    playback = allowed(page)
    playback.clause("烏龍茶要泡三分鐘")
    playback.push(chunk(0.8))
    playback.finish()
    assert playback.heard_text(REPLY_RATE * 4 // 10) == "烏龍茶要"


@pytest.mark.parametrize(
    ("text", "half"), [("Thank you.", "Thank"), ("Absolutely.", ""), ("우롱차는 삼분.", "우롱차는")]
)
def test_no_word_is_cut_in_the_middle(page, text, half):
    playback = allowed(page)
    playback.clause(text)
    playback.push(chunk(0.8))
    playback.finish()
    assert playback.heard_text(REPLY_RATE * 4 // 10) == half


def test_frames_are_small(page):
    assert FRAME_SAMPLES / REPLY_RATE <= 0.1


async def test_no_reply_begins_over_a_voice_until_it_is_judged(page, playback, monkeypatch):
    monkeypatch.setattr("avatar.playback.HOLD_S", 0.2)
    playback.undisturbed.clear()
    playback.push(chunk(0.1))
    playback.finish()
    sending = asyncio.create_task(playback.run())
    await asyncio.sleep(0.05)
    assert page.frames == [] and playback.first_sent_at is None
    playback.undisturbed.set()
    await until(lambda: page.ended is not None)
    assert page.samples == 2400
    playback.played(2400)
    await sending


async def test_a_voice_that_is_never_judged_does_not_hold_the_reply_for_ever(page, playback, monkeypatch):
    monkeypatch.setattr("avatar.playback.HOLD_S", 0.05)
    playback.undisturbed.clear()
    playback.push(chunk(0.1))
    sending = asyncio.create_task(playback.run())
    await until(lambda: page.samples == 2400)
    sending.cancel()
