"""A front that is asked to stop: nobody new, what is being answered is heard to its end, then it is empty."""

import pytest
from assistants import one_turn
from fakes import FakeLLM

from avatar.attendant import RESTART
from avatar.errors import ServerFull

LONG = "This is a reply of more than a second, so that somebody is still listening while the front drains."


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.attendant.WATCH_S", 0.02)


async def test_nobody_new_is_let_in_and_the_page_knows_to_come_back(open_door) -> None:
    here = await open_door()
    here.assistant.attendant.drain()
    async with here.socket() as page:
        await page.send("hello", token=here.assistant.issue_token("local"))
        assert await page.closed() == RESTART
    assert page.seen[-1]["code"] == "DRAINING"
    assert here.assistant.attendant.empty and here.assistant.attendant.draining
    with pytest.raises(ServerFull):
        here.assistant.seats.check("local")


async def test_who_is_at_rest_is_hung_up_on_at_once(open_door) -> None:
    here = await open_door()
    async with here.page() as page:
        assert (await one_turn(page, "hello", "t1"))["state"] == "done"
        assert not here.assistant.attendant.empty
        here.assistant.attendant.drain()
        assert await page.closed() == RESTART
    assert page.seen[-1]["code"] == "DRAINING"
    await here.wait(lambda: here.assistant.attendant.empty)


async def test_a_reply_that_runs_is_heard_to_its_end(open_door) -> None:
    here = await open_door(llm=FakeLLM(LONG))
    async with here.page() as page:
        await page.send("say", text="hello", client_turn_id="t1")
        turn = (await page.until("audio"))["turn"]
        here.assistant.attendant.drain()
        end = await page.until("end", 20)
        assert end["turn"] == turn and end["samples"] > 0.9 * len(LONG) * 240
        await page.send("played", turn=turn, samples=end["samples"])
        assert (await page.until("saved"))["state"] == "done"
        assert await page.closed() == RESTART
    await here.wait(lambda: here.assistant.attendant.empty)
