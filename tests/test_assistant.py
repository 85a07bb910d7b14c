import asyncio
import math
from contextlib import aclosing
from dataclasses import replace

import av
import numpy as np
import pytest
from assistants import make_assistant, put_away
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble

from avatar.audio import read_tags
from avatar.errors import AudioError, AvatarError, NotFound, ServerFull, StorageError
from avatar.provenance import is_marked
from avatar.sessions import LOCAL
from avatar.wire import REPLY_RATE, Hello

LONG = " ".join(["This is a sentence of a long reply."] * 40)


@pytest.fixture
def make(settings, make_pool):
    """make(llm=engine, setting=value): an Assistant over fakes, put away after the test."""
    made = []

    def assistant(**changes: object):
        engines = {name: changes.pop(name) for name in ("stt", "llm", "tts") if name in changes}
        made.append(make_assistant(replace(settings, **changes), make_pool, **engines))
        return made[-1]

    yield assistant
    for one in made:
        put_away(one)


async def typed(assistant, text="how are you", conversation="", turn="t1", owner=LOCAL, language="auto"):
    return [update async for update in assistant.answer(owner, conversation, text, turn, language)]


@pytest.fixture
def recording(tmp_path):
    """recording(seconds, amplitude): the path of a wav file."""

    def write(seconds: float = 1.0, amplitude: float = 0.3):
        path = tmp_path / "said.wav"
        wave = amplitude * np.sin(np.arange(int(16_000 * seconds)) * 2 * math.pi * 220 / 16_000)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
            samples = (wave * 32767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.rate = 16_000
            container.mux([*stream.encode(frame), *stream.encode(None)])
        return path

    return write


async def test_a_typed_turn_streams_text_then_gives_its_audio_and_is_stored(make):
    assistant = make()
    updates = await typed(assistant)
    texts = [u.lines[-1].text for u in updates if u.lines[-1].role == "assistant"]
    assert texts[0] == "I" and texts[-1] == FakeLLM().text and texts == sorted(texts, key=len)
    assert [u.audio is None for u in updates] == [True] * (len(updates) - 1) + [False]
    rate, sound = updates[-1].audio
    assert rate == REPLY_RATE and sound.dtype == np.int16 and len(sound) == pytest.approx(REPLY_RATE * 0.41, rel=0.05)
    (row,) = assistant.store.turns(LOCAL, updates[-1].conversation_id)
    assert (row.state, row.user_text, row.reply_text) == ("done", "how are you", FakeLLM().text)
    assert row.reply_audio and not row.user_audio and row.client_turn_id == "t1"
    assert is_marked(read_tags(assistant.store.audio_path(LOCAL, row.id, "reply")))
    assert row.engines == {"llm": "Llm", "tts": "Tts"}
    assert {"eot", "stt", "llm", "tts"} <= row.timings_ms.keys()
    assert assistant.seats.count() == 0


async def test_a_recording_is_heard_answered_and_kept(make, recording):
    assistant = make(stt=FakeSTT("what time is it"))
    updates = [u async for u in assistant.answer(LOCAL, "", recording(), "t1", "auto")]
    assert updates[-1].lines[0].text == "what time is it" and updates[-1].audio
    (row,) = assistant.store.turns(LOCAL, updates[-1].conversation_id)
    assert row.user_audio and row.reply_audio and row.language == "en"
    assert assistant.store.audio_path(LOCAL, row.id, "user").stat().st_size > 500


async def test_the_conversation_goes_on_and_the_model_remembers(make):
    llm = FakeLLM("Fine.")
    assistant = make(llm=llm)
    first = (await typed(assistant, "one"))[-1]
    second = (await typed(assistant, "two", first.conversation_id, "t2"))[-1]
    assert second.conversation_id == first.conversation_id
    assert [line.text for line in second.lines] == ["one", "Fine.", "two", "Fine."]
    assert [m.content for m in llm.prompts[1]][1:] == ["one", "Fine.", "two"]


async def test_a_dash_copied_from_an_interruption_is_no_part_of_the_answer(make):
    llm = FakeLLM("Well, I like tea — green tea. —")
    assistant = make(llm=llm)
    first = (await typed(assistant, "tea?"))[-1]
    await typed(assistant, "and now?", first.conversation_id, "t2")
    answer = "Well, I like tea — green tea."
    assert first.lines[-1].text == answer
    assert assistant.store.turns(LOCAL, first.conversation_id)[0].reply_text == answer
    assert [m.content for m in llm.prompts[1]][1:] == ["tea?", answer, "and now?"]


async def test_the_seat_is_held_for_the_turn_only(make):
    assistant = make()
    counts = []
    async for _ in assistant.answer(LOCAL, "", "hi", "t1", "auto"):
        counts.append(assistant.seats.count())
    assert counts[0] == 1 and counts[-1] == 0


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_failed_turn_gives_its_seat_back_and_may_be_tried_again(make, recording, stage):
    engines = {"stt": FakeSTT("hello"), "llm": FakeLLM("Yes."), "tts": FakeTTS()}
    engines[stage].trouble = Trouble(fail_on=(1,))
    assistant = make(**engines)
    path = recording()
    with pytest.raises(AvatarError) as failed:
        [u async for u in assistant.answer(LOCAL, "", path, "t1", "auto")]
    assert failed.value.code == "ENGINE_FAILED" and "secret" not in failed.value.sentence
    assert assistant.seats.count() == 0
    before = assistant.store.conversations(LOCAL)
    assert len(before) == (0 if stage == "stt" else 1)  # nothing was understood: nothing to store
    conversation = before[0].id if before else ""
    assistant.pool._slots[stage].retry_at = 0.0  # its minute is over
    again = [u async for u in assistant.answer(LOCAL, conversation, path, "t1", "auto")]
    assert again[-1].audio is not None
    states = [row.state for row in assistant.store.turns(LOCAL, again[-1].conversation_id)]
    assert states == (["done"] if stage == "stt" else ["failed", "done"])


async def test_the_sixth_turn_is_refused_before_any_work(make, recording):
    llm = FakeLLM()
    assistant = make(llm=llm)
    for number in range(5):
        assistant.seats.admit(LOCAL, str(number))
    with pytest.raises(ServerFull, match="All 5 seats are taken"):
        await typed(assistant)
    with pytest.raises(ServerFull):
        [u async for u in assistant.answer(LOCAL, "", recording().with_name("missing.wav"), "t1", "auto")]
    assert llm.prompts == [] and assistant.store.conversations(LOCAL) == []
    assert assistant.seats.count() == 5


async def test_a_resend_is_one_turn(make):
    llm = FakeLLM("Yes.")
    assistant = make(llm=llm)
    first = (await typed(assistant, "hello"))[-1]
    lost = (await typed(assistant, "hello"))[-1]  # the page saw no answer, so it knows no conversation either
    known = (await typed(assistant, "hello", first.conversation_id))[-1]
    assert lost.conversation_id == known.conversation_id == first.conversation_id
    assert [line.text for line in lost.lines] == [line.text for line in known.lines] == ["hello", "Yes."]
    assert len(llm.prompts) == 1 and len(assistant.store.conversations(LOCAL)) == 1
    assert len(assistant.store.turns(LOCAL, first.conversation_id)) == 1


async def test_what_is_typed_while_the_first_answer_comes_joins_its_conversation(make):
    assistant = make()
    first = assistant.answer(LOCAL, "", "one", "t1", "auto")
    begun = (await anext(first)).conversation_id
    assert (await typed(assistant, "two", begun, "t2"))[-1].conversation_id == begun
    async for update in first:
        assert update.conversation_id == begun
    assert [row.turns for row in assistant.store.conversations(LOCAL)] == [2]


async def test_a_resend_finds_its_turn_by_an_id_that_came_to_nothing(make):
    assistant = make()
    first = (await typed(assistant, "hello"))[-1]
    again = (await typed(assistant, "hello", "0f" * 16))[-1]
    assert again.conversation_id == first.conversation_id


async def test_the_last_words_are_answered_again_in_the_place_of_the_old_reply(make, recording):
    llm = FakeLLM("The first one.")
    assistant = make(llm=llm)
    first = (await typed(assistant, recording()))[-1]
    before = assistant.store.turns(LOCAL, first.conversation_id)[0]
    llm.text = "The second one."
    updates = await typed(assistant, None, first.conversation_id, "")
    assert [line.text for line in updates[-1].lines] == [before.user_text, "The second one."]
    assert updates[-1].lines[-1].over and updates[-1].audio is not None
    (row,) = assistant.store.turns(LOCAL, first.conversation_id)
    assert (row.reply_text, row.number, row.user_audio) == ("The second one.", 1, before.user_audio)
    assert len(llm.prompts[1]) == 2  # the old answer is not remembered
    with pytest.raises(NotFound):
        await typed(assistant, None, first.conversation_id, "", owner="bob")
    with pytest.raises(NotFound):
        await typed(assistant, None)


async def test_the_old_reply_stays_when_the_new_one_fails(make):
    llm = FakeLLM("The first one.")
    assistant = make(llm=llm)
    first = (await typed(assistant))[-1]
    llm.trouble.fail_on = (2,)
    seen = []
    with pytest.raises(AvatarError):
        async for update in assistant.answer(LOCAL, first.conversation_id, None, "", "auto"):
            seen.append(update)
    assert [line.text for line in seen[-1].lines][:2] == ["how are you", "The first one."]
    assert [row.state for row in assistant.store.turns(LOCAL, first.conversation_id)] == ["done", "failed"]


async def test_a_persona_is_told_to_the_model_and_kept_with_its_conversation(make):
    llm = FakeLLM("Arr.")
    assistant = make(llm=llm)
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


async def test_a_live_conversation_takes_its_persona_at_once_and_reopens_with_it(make):
    llm = FakeLLM("Arr.")
    assistant = make(llm=llm)
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


async def test_the_same_turn_id_of_another_owner_is_another_turn(make):
    assistant = make()
    mine = (await typed(assistant, owner="ann"))[-1]
    theirs = (await typed(assistant, owner="bob"))[-1]
    assert mine.conversation_id != theirs.conversation_id


async def test_no_owner_reaches_what_is_anothers(make):
    llm = FakeLLM("Yes.")
    assistant = make(llm=llm)
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


async def test_two_seats_for_one_user_five_for_this_machine(make):
    assistant = make()
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


async def test_each_owner_hears_their_own_sayings_and_a_live_one_at_once(make):
    tts = FakeTTS()
    assistant = make(llm=FakeLLM("A GIF, as you know well."), tts=tts)
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


async def test_a_page_that_goes_away_in_the_middle_leaves_an_interrupted_turn(make):
    assistant = make(llm=FakeLLM(LONG))
    async with aclosing(assistant.answer(LOCAL, "", "a story", "t1", "auto")) as updates:
        async for update in updates:
            if update.lines and update.lines[-1].text.count(" ") > 20:
                break
    assert assistant.seats.count() == 0
    (conversation,) = assistant.store.conversations(LOCAL)
    (row,) = assistant.store.turns(LOCAL, conversation.id)
    assert row.state == "interrupted" and row.user_text == "a story" and LONG.startswith(row.reply_text.strip())


async def test_an_empty_recording_is_no_turn(make, recording):
    llm = FakeLLM()
    assistant = make(stt=FakeSTT(""), llm=llm)
    with pytest.raises(AudioError, match="I heard no words"):
        [u async for u in assistant.answer(LOCAL, "", recording(amplitude=0), "t1", "auto")]
    assert llm.prompts == [] and assistant.store.conversations(LOCAL) == [] and assistant.seats.count() == 0


async def test_a_file_that_is_no_recording_is_refused_in_words(make, tmp_path):
    assistant = make()
    path = tmp_path / "song.wav"
    path.write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(AudioError, match="no sound I can read"):
        [u async for u in assistant.answer(LOCAL, "", path, "t1", "auto")]
    assert assistant.seats.count() == 0


async def test_with_a_full_disk_the_answer_is_given_and_the_loss_is_said(make, monkeypatch):
    assistant = make()

    def full(*_: object) -> None:
        raise StorageError("The disk is full. Free some space.", code="STORAGE_FULL")

    monkeypatch.setattr(assistant.store, "save_audio", full)
    last = (await typed(assistant))[-1]
    assert last.audio is not None and last.notice.sentence == "The disk is full. Free some space."
    assert assistant.seats.count() == 0


async def test_five_turns_at_once(make):
    assistant = make(llm=FakeLLM("Yes, indeed."))
    turns = [typed(assistant, f"question {n}", "", f"t{n}") for n in range(5)]
    results = await asyncio.gather(*turns)
    assert [u[-1].lines[0].text for u in results] == [f"question {n}" for n in range(5)]
    assert all(u[-1].audio is not None for u in results)
    assert len(assistant.store.conversations(LOCAL)) == 5 and assistant.seats.count() == 0


async def test_a_reply_is_rated_while_another_is_on_its_way_and_after_it(make):
    assistant = make()
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


async def test_a_turn_without_a_socket_is_spoken_at_the_rate_and_answered_in_the_language_asked_for(make):
    tts, llm = FakeTTS(), FakeLLM("Fine.")
    assistant = make(tts=tts, llm=llm)
    for rate_pct, spoken in ((130, 1.3), (1e9, 1.6), (-5, 0.6)):  # from a page: kept within what a voice can do
        [_ async for _ in assistant.answer(LOCAL, "", "hi", f"r{rate_pct}", "zh", rate_pct)]
        assert tts.voices[-1].rate == spoken
    assert llm.prompts[-1][0].content.endswith("請用臺灣的繁體中文回答。")
