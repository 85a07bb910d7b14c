import asyncio

import pytest

from avatar import pulse
from avatar.pulse import Pulse


@pytest.fixture
def fast(monkeypatch):
    monkeypatch.setattr(pulse, "LOOK_S", 0.001)


class Clock:
    """Moves on by `step_s` at each look."""

    def __init__(self, step_s: float) -> None:
        self.now, self.step_s = 0.0, step_s

    def __call__(self) -> float:
        self.now += self.step_s / 2  # it is asked before and after each pause
        return self.now


async def test_silence_after_a_beat_ends_it(fast):
    heart = Pulse(clock := Clock(0.25))
    heart.beat()
    async with asyncio.timeout(2):
        await heart.stopped()
    assert pulse.SILENT_S < clock.now < pulse.SILENT_S + 0.6


@pytest.mark.parametrize("beating", [False, True])
async def test_who_never_beat_may_be_silent_and_who_beats_goes_on(fast, beating):
    heart = Pulse(Clock(0.25))
    task = asyncio.create_task(heart.stopped())
    for _ in range(30):
        if beating:
            heart.beat()
        await asyncio.sleep(0.001)
    assert not task.done()
    task.cancel()


async def test_a_process_that_was_held_up_looks_again(fast):
    heart = Pulse(Clock(2 * pulse.STALLED_S + 0.1))
    heart.beat()
    task = asyncio.create_task(heart.stopped())
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
