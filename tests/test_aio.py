import asyncio
import threading
import time
from collections.abc import Generator

import pytest

from avatar.aio import in_thread


class Engine:
    """Yields 0, 1, 2... on its own thread; remembers which, and when it was closed."""

    def __init__(self, n: int = 1000, fail_at: int | None = None, stall_at: int | None = None) -> None:
        self.n, self.fail_at, self.stall_at = n, fail_at, stall_at
        self.threads: set[int] = set()
        self.made = 0
        self.go_on, self.closed = threading.Event(), threading.Event()

    def items(self) -> Generator[int, None, None]:
        try:
            for item in range(self.n):
                self.threads.add(threading.get_ident())
                if item == self.fail_at:
                    raise RuntimeError("out of memory")
                if item == self.stall_at:
                    assert self.go_on.wait(5)
                self.made += 1
                yield item
        finally:
            self.threads.add(threading.get_ident())
            self.closed.set()


async def closes(engine: Engine) -> bool:
    return await asyncio.to_thread(engine.closed.wait, 5)


async def test_items_come_in_order_from_one_other_thread() -> None:
    engine = Engine(100)
    assert [item async for item in in_thread(engine.items())] == list(range(100))
    assert await closes(engine)
    assert len(engine.threads) == 1 and threading.get_ident() not in engine.threads


async def test_it_pulls_no_more_than_it_is_asked_for() -> None:
    engine = Engine()
    stream = in_thread(engine.items())
    assert [await anext(stream) for _ in range(3)] == [0, 1, 2]
    await asyncio.sleep(0.02)
    assert engine.made == 3
    await stream.aclose()


async def test_closing_closes_the_engine_on_its_own_thread() -> None:
    engine = Engine()
    stream = in_thread(engine.items())
    await anext(stream)
    await stream.aclose()
    assert await closes(engine)
    assert len(engine.threads) == 1


async def test_closing_while_it_works_returns_at_once_and_closes_behind_the_item() -> None:
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    engine = Engine(stall_at=1)
    stream = in_thread(engine.items())
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not engine.closed.is_set()
    engine.go_on.set()
    assert await closes(engine)
    await asyncio.sleep(0.01)  # the late item is dropped in silence
    assert complaints == []


async def test_its_exception_arrives_and_it_is_closed() -> None:
    engine, seen = Engine(fail_at=2), []
    with pytest.raises(RuntimeError, match="out of memory"):
        async for item in in_thread(engine.items()):
            seen.append(item)
    assert seen == [0, 1]
    assert await closes(engine)


async def test_an_item_that_takes_too_long_is_a_timeout_and_the_loop_goes_on() -> None:
    engine = Engine(stall_at=1)
    stream = in_thread(engine.items(), timeout_s=0.05)
    assert await anext(stream) == 0
    with pytest.raises(TimeoutError):
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    engine.go_on.set()  # it came back after all: what it holds is released
    assert await closes(engine)


async def test_the_clock_of_an_item_starts_when_it_is_begun() -> None:
    engine, begun = Engine(stall_at=0), time.monotonic() + 0.2
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        await anext(in_thread(engine.items(), timeout_s=0.1, since=lambda: begun))
    assert time.monotonic() - started >= 0.3
    engine.go_on.set()
    assert await closes(engine)


async def test_the_loop_is_free_while_the_engine_works() -> None:
    engine = Engine(n=1, stall_at=0)
    first = asyncio.ensure_future(anext(in_thread(engine.items())))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not first.done()
    engine.go_on.set()
    assert await first == 0


def test_a_loop_that_ends_while_the_engine_works_leaves_nothing_open() -> None:
    engine = Engine(stall_at=0)

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await anext(in_thread(engine.items()))

    asyncio.run(give_up())
    engine.go_on.set()
    assert engine.closed.wait(5)


async def test_five_engines_work_at_once() -> None:
    engines = [Engine(n=1, stall_at=0) for _ in range(5)]
    firsts = [asyncio.ensure_future(anext(in_thread(engine.items()))) for engine in engines]
    await asyncio.sleep(0.02)
    for engine in reversed(engines):
        engine.go_on.set()
    assert await asyncio.gather(*firsts) == [0] * 5
