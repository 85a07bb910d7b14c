"""A page that dies, comes back, and finds its turns where it left them."""

import asyncio
import time

import pytest
from assistants import AUTH, one_turn
from fakes import FakeLLM

from avatar.errors import NotFound
from avatar.wire import REPLY_RATE

LONG = " ".join(["This is a sentence of a long reply."] * 40)  # FakeTTS takes 14 s to say it


async def test_a_tab_that_dies_frees_its_seat_and_stores_what_was_heard(open_door):
    here = await open_door(llm=FakeLLM(LONG))
    async with here.page() as page:
        await page.send("say", text="tell me everything", client_turn_id="t1")
        turn = (await page.until("audio"))["turn"]
        await asyncio.sleep(0.5)
        await page.send("played", turn=turn, samples=REPLY_RATE // 2)
        await asyncio.sleep(0.1)
        page.ws.transport.abort()
        gone = time.perf_counter()
        await here.wait(lambda: here.assistant.seats.count() == 0)
        assert time.perf_counter() - gone < 1
    await here.wait(lambda: not here.assistant.live)
    (row,) = here.assistant.store.conversations("local")
    (stored,) = here.assistant.store.turns("local", row.id)
    assert (stored.state, stored.user_text, stored.client_turn_id) == ("interrupted", "tell me everything", "t1")
    assert stored.reply_text and LONG.startswith(stored.reply_text) and len(stored.reply_text) < 120
    assert 0.4 < stored.timings_ms["heard"] / 1000 < 1.5
    assert stored.reply_audio


async def test_reconnect_reopens_the_conversation_and_a_resend_is_one_turn(open_door):
    llm = FakeLLM("Yes.")
    here = await open_door(llm=llm)
    async with here.page() as page:
        saved = await one_turn(page, "first words", "t1")
    assert len(page.sound[1]) // 2 == REPLY_RATE // 100 * len("Yes.")
    async with here.page(conversation=saved["conversation"]) as page:
        assert page.seen[0]["conversation"] == saved["conversation"]
        await page.send("say", text="first words", client_turn_id="t1")  # it does not know that this arrived
        again = await one_turn(page, "second words", "t2")
        await page.send("say", text="second words", client_turn_id="t2")
    assert again["conversation"] == saved["conversation"]
    stored = here.assistant.store.turns("local", saved["conversation"])
    assert [turn.user_text for turn in stored] == ["first words", "second words"]
    assert len(llm.prompts) == 2
    assert [m.content for m in llm.prompts[1][1:]] == ["first words", "Yes.", "second words"]


async def test_a_page_that_comes_back_at_once_finds_the_turn_it_left(open_door):
    llm = FakeLLM(LONG)
    here = await open_door(llm=llm)
    conversation = here.assistant.store.create_conversation("local")
    async with here.page(conversation=conversation) as page:
        await page.send("say", text="a long story", client_turn_id="t1")
        await page.until("audio")
        page.ws.transport.abort()
    await here.wait(lambda: here.assistant.seats.count() == 0)
    async with here.page(conversation=conversation):
        (live,) = here.assistant.live.values()
        (exchange,) = live.chat.exchanges
        assert exchange.user == "a long story" and exchange.interrupted_s is not None


async def test_a_conversation_is_live_in_the_window_that_opened_it_last(open_door):
    here = await open_door(llm=FakeLLM(LONG), max_sessions=1)
    conversation = here.assistant.store.create_conversation("local")
    async with here.page(conversation=conversation) as first:
        await first.send("say", text="a long story", client_turn_id="t1")
        await first.until("audio")
        async with here.page(conversation=conversation) as second:  # there is one seat: it comes along
            assert (await first.until("error"))["code"] == "ELSEWHERE"
            await first.ws.wait_closed()
            (live,) = here.assistant.live.values()
            (exchange,) = live.chat.exchanges
            assert exchange.user == "a long story" and exchange.interrupted_s is not None
            assert live.live_id == second.seen[0]["live"] and here.assistant.seats.count() == 1


async def test_a_page_that_comes_back_unasked_takes_only_what_it_had(open_door):
    here = await open_door()
    conversation = here.assistant.store.create_conversation("local")
    async with here.page(conversation=conversation) as first:
        had = first.seen[0]["live"]
        async with here.page(conversation=conversation, live=had) as again:  # nobody has seen yet that it was cut off
            async with here.socket() as other:
                token = here.assistant.issue_token("local")
                await other.send("hello", token=token, conversation=conversation, live=had)
                assert (await other.until("error"))["code"] == "ELSEWHERE"
            assert list(here.assistant.live) == [again.seen[0]["live"]]


async def test_a_turn_is_stored_where_it_was_begun(open_door):
    here = await open_door(llm=FakeLLM(LONG))
    saved = []
    async with here.page() as page:
        for number in (1, 2):
            await page.send("say", text=f"question {number}", client_turn_id=f"t{number}")
            await page.until("audio")
            await page.send("new")  # the turn is stored after it
            saved.append(await page.until("saved"))
    assert [turn["state"] for turn in saved] == ["interrupted", "interrupted"]
    for number, turn in enumerate(saved, 1):
        (row,) = here.assistant.store.turns("local", turn["conversation"])
        assert row.user_text == f"question {number}"


async def test_a_socket_lost_in_the_first_reply_comes_back_to_its_conversation(open_door):
    here = await open_door(llm=FakeLLM(LONG))
    async with here.page() as page:
        begun = page.seen[0]["conversation"]
        await page.send("say", text="first words", client_turn_id="t1")
        await page.until("audio")
        page.ws.transport.abort()
    await here.wait(lambda: here.assistant.seats.count() == 0)
    async with here.page(conversation=begun) as page:
        await page.send("say", text="second words", client_turn_id="t2")
        await page.until("audio")
    await here.wait(lambda: not here.assistant.live)
    (row,) = here.assistant.store.conversations("local")
    assert row.id == begun
    assert [turn.user_text for turn in here.assistant.store.turns("local", begun)] == ["first words", "second words"]


async def test_a_page_is_back_before_the_loss_of_its_socket_is_noticed(open_door):
    here = await open_door(llm=FakeLLM(LONG))
    async with here.page() as lost:
        begun = lost.seen[0]["conversation"]
        await lost.send("say", text="first words", client_turn_id="t1")
        await lost.until("audio")
        async with here.page(conversation=begun) as page:
            assert page.seen[0]["conversation"] == begun
            await page.send("say", text="second words", client_turn_id="t2")
            await page.until("audio")
    await here.wait(lambda: not here.assistant.live)
    assert [row.turns for row in here.assistant.store.conversations("local")] == [2]


async def test_only_an_id_that_was_given_to_this_owner_opens(open_door):
    here = await open_door(host="0.0.0.0", auth=AUTH)
    here.app.tokens |= {"a-cookie": "ann", "b-cookie": "bob"}
    stored = here.assistant.store.create_conversation("bob")
    async with here.page("bob", {"Cookie": "access-token-id=b-cookie"}) as bob:
        for conversation in (stored, bob.seen[0]["conversation"], "made-up"):
            async with here.page("ann", {"Cookie": "access-token-id=a-cookie"}, conversation=conversation) as page:
                assert page.seen[0]["conversation"] != conversation


async def test_a_reply_over_the_socket_is_rated_and_shown_so_after_a_reload(open_door):
    here = await open_door()
    async with here.page() as page:
        saved = await one_turn(page, "hello", "t1")
        conversation = saved["conversation"]
        assert await here.assistant.rate("local", saved["id"], 9) == conversation
        (live,) = here.assistant.live.values()
        assert [line.rating for line in live.chat.lines()] == [None, 9]
    async with here.page(conversation=conversation):
        assert [line.rating for line in await here.assistant.current("local", conversation)] == [None, 9]


async def test_a_conversation_that_is_deleted_in_another_window_goes_on_as_a_new_one(open_door):
    llm = FakeLLM("Yes.")
    here = await open_door(llm=llm)
    async with here.page() as page:
        old = (await one_turn(page, "a secret", "t1"))["conversation"]
        told = await here.assistant.delete("local", old)
        assert told == {next(m["live"] for m in page.seen if m["t"] == "ready")}
        assert (await page.until("notice"))["code"] == "DELETED"
        new = (await page.until("ready"))["conversation"]
        assert new != old
        for number in (2, 3):
            assert (await one_turn(page, f"words {number}", f"t{number}"))["conversation"] == new
    assert "secret" not in str(llm.prompts[1:]) and not [m for m in page.seen if m["t"] == "error"]
    assert [row.id for row in here.assistant.store.conversations("local")] == [new]
    assert [turn.user_text for turn in here.assistant.store.turns("local", new)] == ["words 2", "words 3"]


async def test_only_the_owner_deletes_and_only_who_is_in_it_is_told(open_door):
    here = await open_door()
    async with here.page() as page, here.page() as other:
        old = (await one_turn(page, "a secret", "t1"))["conversation"]
        kept = (await one_turn(other, "another", "t2"))["conversation"]
        with pytest.raises(NotFound):
            await here.assistant.delete("bob", old)
        await here.assistant.delete("local", old)
        assert (await one_turn(other, "goes on", "t3"))["conversation"] == kept
