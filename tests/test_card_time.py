import asyncio
import threading
from collections.abc import Generator

import pytest

from avatar.engines.card_time import CardTime, Rests


@pytest.fixture
def loop() -> Generator[asyncio.AbstractEventLoop, None, None]:
    made = asyncio.new_event_loop()
    thread = threading.Thread(target=made.run_forever, daemon=True)
    thread.start()
    yield made

    async def rest() -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

    asyncio.run_coroutine_threadsafe(rest(), made).result(20)
    made.call_soon_threadsafe(made.stop)
    thread.join(20)
    made.close()


class Writer:
    """A language model in another process: what it was asked, in order."""

    def __init__(self, loop: asyncio.AbstractEventLoop, longest_s: float = 5.0, fails: int = 0) -> None:
        self.done, self._fails, self._changed = list[str](), fails, threading.Condition()
        self.busy = True
        self.rests = Rests(loop, lambda: self._does("rest"), lambda: self._does("go on"), lambda: self.busy, longest_s)

    async def _does(self, what: str) -> None:
        await asyncio.sleep(0.01)
        with self._changed:
            self.done.append(what)
            self._changed.notify_all()
        if self._fails:
            self._fails -= 1
            raise ConnectionError

    def until(self, *wanted: str) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.done == list(wanted), 20)


def test_who_shares_the_card_rests_until_the_clause_is_made(loop: asyncio.AbstractEventLoop) -> None:
    card, here, elsewhere = CardTime(), Writer(loop), Writer(loop)
    card.shared(0, here.rests)
    card.shared(1, elsewhere.rests)
    with card.mine(0):
        assert here.until("rest")
    assert here.until("rest", "go on") and not elsewhere.done


def test_it_goes_on_when_the_clause_fails(loop: asyncio.AbstractEventLoop) -> None:
    card, writer = CardTime(), Writer(loop)
    card.shared(0, writer.rests)
    with pytest.raises(MemoryError), card.mine(0):
        assert writer.until("rest")
        raise MemoryError
    assert writer.until("rest", "go on")


def test_a_voice_that_hangs_does_not_silence_the_writer(loop: asyncio.AbstractEventLoop) -> None:
    card, writer = CardTime(), Writer(loop, longest_s=0.05)
    card.shared(0, writer.rests)
    with card.mine(0):
        assert writer.until("rest", "go on")
    with card.mine(0):
        assert writer.until("rest", "go on", "rest", "go on")


def test_a_clause_that_is_over_at_once_leaves_it_going_on(loop: asyncio.AbstractEventLoop) -> None:
    card, writer = CardTime(), Writer(loop)
    card.shared(0, writer.rests)
    for _ in range(20):
        with card.mine(0):
            pass
    with card.mine(0):
        writer.rests(True)  # asked twice, it rests once
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result(20)
    assert writer.done.count("rest") == writer.done.count("go on")
    assert not writer.done or writer.done[-1] == "go on"


def test_an_engine_that_failed_to_rest_is_told_to_go_on_all_the_same(loop: asyncio.AbstractEventLoop) -> None:
    card, writer = CardTime(), Writer(loop, fails=1)
    card.shared(0, writer.rests)
    with card.mine(0):
        assert writer.until("rest")
    assert writer.until("rest", "go on")
    with card.mine(0):
        assert writer.until("rest", "go on", "rest")


def test_nobody_is_asked_who_has_left_or_whose_loop_is_closed(loop: asyncio.AbstractEventLoop) -> None:
    card, gone, closed = CardTime(), Writer(loop), asyncio.new_event_loop()
    card.shared(0, gone.rests)
    card.left(gone.rests)
    dead = Writer(closed)
    card.shared(0, dead.rests)
    closed.close()
    with card.mine(0):
        pass
    assert not gone.done and not dead.done


def test_nothing_is_left_to_do_once_it_is_closed(loop: asyncio.AbstractEventLoop) -> None:
    writer = Writer(loop, longest_s=0.05)
    writer.rests(True)
    asyncio.run_coroutine_threadsafe(writer.rests.close(), loop).result(20)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.1), loop).result(20)
    assert not writer.done


def test_one_that_writes_nothing_is_not_disturbed(loop: asyncio.AbstractEventLoop) -> None:
    card, writer = CardTime(), Writer(loop)
    card.shared(0, writer.rests)
    writer.busy = False
    with card.mine(0):
        writer.busy = True  # from now on: it is not asked in the middle
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.05), loop).result(20)
    assert not writer.done
