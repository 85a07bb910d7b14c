"""The one bridge from blocking generators to asyncio. Knows nothing of engines."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from queue import SimpleQueue
from typing import Any, Final, TypeVar

T = TypeVar("T")
_END: Final = object()


async def in_thread(
    items: Generator[T, None, None], timeout_s: float | None = None, since: Callable[[], float] = lambda: 0.0
) -> AsyncGenerator[T, None]:
    """Drive a blocking generator from a daemon thread of its own, one pull per item.

    Closing this generator closes `items` behind the pull that is still running, on its own thread: whatever `items`
    holds (a lease, a lock) is released there, and the event loop never waits. Raises TimeoutError when one item takes
    longer than `timeout_s`, counted from its pull, or from `since()` by time.monotonic() where that is later; the
    thread is then abandoned, and ends if `next(items)` ever returns. A daemon thread, not an executor: CPython joins
    executor threads at exit, so one hung engine would hang the shutdown.
    """
    loop = asyncio.get_running_loop()
    pulls: SimpleQueue[asyncio.Future[Any] | None] = SimpleQueue()

    def post(future: asyncio.Future[Any], settle: Callable[[Any], None], value: Any) -> None:
        def settle_once() -> None:
            if not future.done():  # cancelled or timed out meanwhile
                settle(value)

        try:
            loop.call_soon_threadsafe(settle_once)
        except RuntimeError:  # the loop closed while the engine worked: nobody is waiting
            items.close()

    def pull_until_closed() -> None:
        while (future := pulls.get()) is not None:
            try:
                item = next(items, _END)
            except BaseException as exc:  # noqa: BLE001 - carried to the coroutine that awaits it
                post(future, future.set_exception, exc)
            else:
                post(future, future.set_result, item)
        items.close()

    threading.Thread(target=pull_until_closed, daemon=True, name="pull").start()
    try:
        while True:
            future: asyncio.Future[Any] = loop.create_future()
            pulls.put(future)
            item = await _in_time(future, timeout_s, since)
            if item is _END:
                return
            yield item
    finally:
        pulls.put(None)


async def _in_time(future: asyncio.Future[Any], timeout_s: float | None, since: Callable[[], float]) -> Any:
    pulled_at = time.monotonic()
    try:
        while not future.done():
            left_s = None if timeout_s is None else max(pulled_at, since()) + timeout_s - time.monotonic()
            if left_s is not None and left_s <= 0:
                raise TimeoutError
            await asyncio.wait((future,), timeout=left_s)  # wait_for loses a cancellation that meets a result, in 3.11
        return future.result()
    finally:
        future.cancel()
