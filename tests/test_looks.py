import asyncio

import pytest

from avatar.looks import Looks


async def until_idle(looks: Looks) -> None:
    async with asyncio.timeout(5):
        while looks.busy:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.005)


async def test_the_newest_look_wins() -> None:
    seen: list[str] = []

    async def look(name: str) -> None:
        await asyncio.sleep(0.01)
        seen.append(name)

    looks = Looks(lambda error: seen.append(repr(error)))
    looks.start(look("first"))
    await asyncio.sleep(0)
    looks.start(look("second"))
    assert looks.busy
    await until_idle(looks)
    assert seen == ["second"]


async def test_a_look_that_raises_is_told_and_one_that_is_cancelled_is_not() -> None:
    errors: list[BaseException] = []

    async def broken() -> None:
        raise ZeroDivisionError

    looks = Looks(errors.append)
    looks.start(broken())
    await until_idle(looks)
    assert [type(error) for error in errors] == [ZeroDivisionError]
    looks.start(asyncio.sleep(1))
    looks.cancel()
    await asyncio.sleep(0.01)
    assert len(errors) == 1 and not looks.busy


async def test_a_look_may_cancel_and_start_looks_without_ending_itself() -> None:
    seen: list[str] = []
    looks = Looks(lambda error: seen.append(repr(error)))

    async def next_one() -> None:
        seen.append("next")

    async def look() -> None:
        looks.start(next_one())
        await asyncio.sleep(0.01)
        seen.append("first")

    looks.start(look())
    await asyncio.sleep(0.05)
    assert seen == ["next", "first"]


async def test_the_newest_look_can_be_waited_for_and_goes_on_without_who_waits() -> None:
    seen: list[str] = []

    async def look() -> None:
        await asyncio.sleep(0.02)
        seen.append("looked")
        raise ZeroDivisionError

    looks = Looks(lambda error: None)
    assert not await looks.finished()
    looks.start(look())
    waiting = asyncio.create_task(looks.finished())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(ZeroDivisionError):
        await looks.finished()
    assert seen == ["looked"]
    looks.start(asyncio.sleep(0))
    assert await looks.finished()
