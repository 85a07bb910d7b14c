"""A connection that dies without a word: a pulled cable, a laptop that sleeps."""

import asyncio
import time
from dataclasses import replace

import pytest
from assistants import door, make_assistant, put_away
from dead_line import line
from fakes import FakeLLM

from avatar import pulse
from avatar.pulse import SILENT_S
from avatar.server import SILENT_CODE

LONG = " ".join(["This is a sentence of a long reply."] * 40)


@pytest.fixture
async def here(settings, make_pool):
    assistant = make_assistant(replace(settings, max_sessions=1), make_pool, llm=FakeLLM(LONG))
    async with door(assistant) as opened:
        yield opened
    put_away(assistant)


async def test_the_seat_is_free_soon_and_what_was_heard_is_kept(here):
    async with line(here.host) as carrier, replace(here, host=f"127.0.0.1:{carrier.port}").page() as page:
        await page.send("alive")
        await page.until("alive")
        await page.send("say", text="a long story", client_turn_id="t1")
        turn = await page.until("audio")
        await page.send("played", turn=turn["turn"], samples=2400)
        await page.send("alive")
        await page.until("alive")
        carrier.dead, gone = True, time.monotonic()
        await here.wait(lambda: here.assistant.seats.count() == 0)
        took_s = time.monotonic() - gone
        assert SILENT_S - 0.1 < took_s < 10  # how soon, by a clock that no busy machine stops: test_pulse.py
        carrier.dead = False  # it is back after all, and told to connect anew
        assert await page.closed() == SILENT_CODE
        async with here.page(conversation=page.seen[0]["conversation"]):
            (live,) = here.assistant.live.values()
            (exchange,) = live.chat.exchanges
            assert exchange.user == "a long story" and 0.1 <= exchange.interrupted_s < took_s + 1


async def test_frames_are_a_sign_of_life_and_who_never_gave_one_keeps_the_seat(here, monkeypatch):
    monkeypatch.setattr(pulse, "SILENT_S", 0.4)
    monkeypatch.setattr(pulse, "LOOK_S", 0.05)
    monkeypatch.setattr(pulse, "STALLED_S", 0.15)  # as there, well below SILENT_S
    async with here.page() as page:
        await asyncio.sleep(0.6)  # another client than the page, the bench: nothing is expected of it
        assert here.assistant.seats.count() == 1
        await page.send("alive")
        for _ in range(12):
            await page.ws.send(bytes(640))
            await asyncio.sleep(0.05)
        assert here.assistant.seats.count() == 1
        await here.wait(lambda: here.assistant.seats.count() == 0)
