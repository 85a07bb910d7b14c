"""What an owner says, chooses and rates: told to their own turns, and out of reach for anyone else's."""

import asyncio
from types import SimpleNamespace

import gradio as gr
import pytest
from assistants import typed
from fakes import FakeLLM, FakeTTS

from avatar.errors import AvatarError, NotFound, ServerFull
from avatar.sessions import LOCAL
from avatar.ui.talk import TalkEvents
from avatar.wire import Hello


async def test_a_persona_is_told_to_the_model_and_kept_with_its_conversation(new_assistant):
    llm = FakeLLM("Arr.")
    assistant = new_assistant(llm=llm)
    ours = await assistant.wishes.set_persona(LOCAL, "", "", "You are a pirate.")
    assert assistant.store.conversations(LOCAL) == []  # listed once it has a turn
    await typed(assistant, "who are you", ours)
    assert [m.role for m in llm.prompts[0]] == ["system", "user"]
    assert llm.prompts[0][0].content.endswith("\nYou are a pirate.")
    assert assistant.store.turns(LOCAL, ours)[0].user_text == "who are you"
    await typed(assistant, "and now", "", "t2")
    assert "pirate" not in llm.prompts[1][0].content
    bobs = await assistant.wishes.set_persona("bob", ours, "", "A thief.")
    assert bobs != ours and assistant.store.persona(LOCAL, ours) == "You are a pirate."


async def test_a_live_conversation_takes_its_persona_at_once_and_reopens_with_it(new_assistant):
    llm = FakeLLM("Arr.")
    assistant = new_assistant(llm=llm)
    live = await assistant.join("ann", Hello(token=""))
    try:
        ours = await assistant.wishes.set_persona("ann", "", live.live_id, "You are a pirate.")
        assert ours == live.chat.id
        with pytest.raises(NotFound):
            await assistant.wishes.set_persona("bob", ours, live.live_id, "A thief.")
        with pytest.raises(AvatarError):
            await assistant.wishes.set_persona("ann", ours, live.live_id, "x" * 401)
        await assistant.say("ann", live.live_id, "hello", "t1")
        async with asyncio.timeout(2):
            while not isinstance(await live.outbox.get(), bytes):  # until it is heard
                pass
        assert llm.prompts[-1][0].content.endswith("\nYou are a pirate.")
    finally:
        await assistant.leave(live)
    again = await assistant.join("ann", Hello(token="", conversation=ours))
    assert again.chat.id == ours and again.chat.persona == "You are a pirate." and len(again.chat.exchanges) == 1
    await assistant.leave(again)
    assistant.attendant._task.cancel()


async def test_the_same_turn_id_of_another_owner_is_another_turn(new_assistant):
    assistant = new_assistant()
    mine = (await typed(assistant, owner="ann"))[-1]
    theirs = (await typed(assistant, owner="bob"))[-1]
    assert mine.conversation_id != theirs.conversation_id


async def test_no_owner_reaches_what_is_anothers(new_assistant):
    llm = FakeLLM("Yes.")
    assistant = new_assistant(llm=llm)
    anns = (await typed(assistant, "my secret", owner="ann"))[-1].conversation_id
    for conversation in (anns, "no such", "' OR 1=1 --"):
        bobs = (await typed(assistant, "what did I say", conversation, f"b-{conversation}", owner="bob"))[-1]
        assert bobs.conversation_id != anns
    assert all("my secret" not in m.content for prompt in llm.prompts[1:] for m in prompt)
    assert len(assistant.store.turns("ann", anns)) == 1
    with pytest.raises(NotFound):
        assistant.lines("bob", anns)
    live = await assistant.join("ann", Hello(token=""))
    try:
        with pytest.raises(NotFound):
            await assistant.say("bob", live.live_id, "hello", "t9")
        with pytest.raises(NotFound):
            [lines async for lines in assistant.follow("bob", live.live_id)]
        with pytest.raises(NotFound):
            await assistant.say("ann", "made up", "hello", "t9")
        with pytest.raises(NotFound):
            assistant.reasons("bob", live.live_id)
        with pytest.raises(NotFound):
            await assistant.again("bob", live.live_id)
        assert assistant.reasons("ann", live.live_id) == []
    finally:
        await assistant.leave(live)
        assistant.attendant._task.cancel()


async def test_that_a_session_ended_while_its_chat_was_drawn_is_no_news(new_assistant):
    on = TalkEvents(new_assistant(), lambda _: LOCAL)
    told, page = SimpleNamespace(_data={"live": "one that has ended"}), gr.Request(headers={})
    assert [lines async for lines in on.follow(told, page)] == [
        gr.skip()
    ]  # a toast would be a warning, which fails here


async def test_two_seats_for_one_user_five_for_this_machine(new_assistant):
    assistant = new_assistant()
    for owner, allowed in (("ann", 2), (LOCAL, 3)):
        for _ in range(allowed):
            await assistant.join(owner, Hello(token=""))
        with pytest.raises(ServerFull) as refused:
            await assistant.join(owner, Hello(token=""))
        assert ("2 seats already" in refused.value.sentence) == (owner == "ann")
    for live in list(assistant.live.values()):
        await assistant.leave(live)
    assert assistant.seats.count() == 0 and assistant.live == {}
    assistant.attendant._task.cancel()


async def test_each_owner_hears_their_own_sayings_and_a_live_one_at_once(new_assistant):
    tts = FakeTTS()
    assistant = new_assistant(llm=FakeLLM("A GIF, as you know well."), tts=tts)
    live = await assistant.join("ann", Hello(token=""))
    try:
        await asyncio.to_thread(assistant.say_as, "ann", "gif", "jif")
        for owner in ("ann", "bob"):
            await typed(assistant, owner=owner)
        assert tts.said == ["A jif, as you know well.", "A GIF, as you know well."]
        await assistant.say("ann", live.live_id, "hello", "t9")
        async with asyncio.timeout(2):
            while not isinstance(await live.outbox.get(), bytes):  # until it is heard
                pass
        assert tts.said[2] == "A jif, as you know well."
        assistant.unsay("ann", "GIF")
        assert live.sayings == {}
    finally:
        await assistant.leave(live)
        assistant.attendant._task.cancel()
    again = await assistant.join("ann", Hello(token=""))
    assert again.sayings == {}
    await assistant.leave(again)
    assistant.attendant._task.cancel()


async def test_a_reply_is_rated_while_another_is_on_its_way_and_after_it(new_assistant):
    assistant = new_assistant()
    first = (await typed(assistant, "one"))[-1]
    here, turn = first.conversation_id, first.lines[-1].turn_id
    seen = []
    async for update in assistant.answer(LOCAL, here, "two", "t2", "auto"):
        if not seen:
            assert await assistant.rate(LOCAL, turn, 8) == here
            shown = await assistant.current(LOCAL, here)
            assert [line.text for line in shown[:3]] == ["one", FakeLLM().text, "two"]  # the turn on its way too
        seen.append(update.lines[1].rating)
    assert seen[-1] == 8
    assert await assistant.rate(LOCAL, turn, None) == here
    assert [line.rating for line in await assistant.current(LOCAL, here)] == [None] * 4
    with pytest.raises(NotFound):
        await assistant.rate("ann", turn, 3)
    with pytest.raises(NotFound):
        await assistant.current("ann", here)


async def test_a_turn_without_a_socket_is_spoken_at_the_rate_and_answered_in_the_language_asked_for(new_assistant):
    tts, llm = FakeTTS(), FakeLLM("Fine.")
    assistant = new_assistant(tts=tts, llm=llm)
    for rate_pct, spoken in ((130, 1.3), (1e9, 1.6), (-5, 0.6)):  # from a page: kept within what a voice can do
        [_ async for _ in assistant.answer(LOCAL, "", "hi", f"r{rate_pct}", "zh", rate_pct)]
        assert tts.voices[-1].rate == spoken
    assert llm.prompts[-1][0].content.endswith("請用臺灣的繁體中文回答。")
