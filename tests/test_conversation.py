"""Whole turns of a live session: spoken, typed, held, muted, failed, closed."""

import asyncio

import pytest
from live_session import SPEED

from avatar.errors import NotFound, StorageError
from avatar.wire import MIC_RATE, Preferences


async def test_speech_is_answered_played_and_stored(live):
    async with live() as s:
        await s.hear(1.0)
        saved = await s.until("saved")
        assert saved["state"] == "done" and saved["id"] == "turn-1" and saved["conversation"] == "c1"
        user, reply, state, samples = s.saved[0]
        assert (user, reply, state) == ("what is the weather today?", s.llm.text, "done")
        assert 0.9 < samples / MIC_RATE < 1.5
        clauses = [m for m in s.messages if m["t"] == "clause"]
        assert [c["text"] for c in clauses] == s.tts.said and clauses[1]["at"] == len(s.tts.said[0]) * 240
        assert s.audio[1] == sum(map(len, s.tts.said)) * 240
        latency = await s.until("latency")
        assert latency["sure"] and latency["eot"] >= 20 and latency["engines"]["stt"] == "Ears"
        states = [m["state"] for m in s.messages if m["t"] == "state"]
        assert states == ["thinking", "speaking", "listening"]
        assert s.touched > 0


async def test_the_last_words_are_answered_again_and_the_old_reply_is_forgotten(live):
    async with live() as s:
        with pytest.raises(NotFound):
            s.it.again()
        await s.hear(1.0)
        await s.until("turn")
        with pytest.raises(NotFound):  # it is still being answered
            s.it.again()
        await s.until("saved")
        old, s.llm.text = s.llm.text, "Another answer."
        s.it.again()
        await s.until("saved", 2)
        assert [m.content for m in s.it.chat.messages()] == [s.stt.words, "Another answer."]
        assert all(old not in m.content for m in s.llm.prompts[-1])
        assert s.ended[1].instead_of is s.ended[0].exchange and s.ended[1].replaces
        assert s.ended[1].client_turn_id == "again-turn-1"


async def test_typed_text_interrupts_and_is_answered_once(live):
    async with live() as s:
        s.it.say("what is tea?", "id-1")
        s.it.say("what is tea?", "id-1")
        await s.until("saved")
        await s.silence(1.0)
        assert [turn[0] for turn in s.saved] == ["what is tea?"] and s.saved[0][3] == 0


async def test_held_space_ends_the_turn_on_release_only(live):
    async with live() as s:
        s.it.hold(True)
        await s.hear(0.8)
        await s.silence(2.0)
        assert s.kinds("turn") == []
        s.it.hold(False)
        await s.until("turn")


async def test_who_releases_space_with_the_last_word_is_answered_then(live):
    async with live() as s:
        s.smart_turn.value, s.stt.takes_s = 0.0, 0.05
        s.it.hold(True)
        await s.hear(0.8)
        s.it.hold(False)
        assert (await s.until("latency"))["eot"] < 1000  # counted from the release, not from a pause long ago
        assert [reason.why for _, reason in s.it.reasons()] == ["released"]


async def test_what_is_said_with_space_held_takes_the_place_of_a_running_reply(live):
    async with live() as s:
        s.it.hold(True)
        s.it.say("what is tea?", "id-1")  # with the other hand
        first, play = (await s.until("turn"))["turn"], s.play
        s.play = lambda turn, samples: asyncio.sleep(0) if turn == first else play(turn, samples)  # it is not heard out
        await s.hear(0.8)
        s.it.hold(False)
        await s.until("saved", 2)
        assert {turn[0]: turn[2] for turn in s.saved} == {
            "what is tea?": "interrupted",
            "what is the weather today?": "done",
        }
        assert s.it.at_rest


async def test_muted_nothing_is_heard(live):
    async with live() as s:
        s.it.mute(True)
        await s.hear(1.0)
        await s.silence(1.0)
        s.it.mute(False)
        await s.silence(1.0)
        assert s.kinds("turn", "heard") == []


async def test_a_reply_to_typed_words_is_shown_while_muted_so_that_it_can_be_stopped(live):
    async with live() as s:
        s.it.mute(True)
        s.it.say("what is tea?")
        await s.until("latency")
        await s.until("saved")
        states = [m["state"] for m in s.messages if m["t"] == "state"]
        assert states == ["muted", "thinking", "speaking", "muted"]


@pytest.mark.parametrize("engine", ["stt", "llm", "tts"])
async def test_a_failing_engine_is_told_and_the_next_turn_works(live, engine):
    async with live() as s:
        getattr(s, engine).trouble.fail_on = (1,)
        await s.hear(0.5)
        error = await s.until("error")
        assert error["code"] == "ENGINE_FAILED" and "secret" not in error["text"]
        for slot in s.pool._slots.values():
            slot.retry_at = 0.0
        await s.silence(3.0)
        await s.hear(0.5)
        await s.until("saved", 1, state="done")


async def test_a_full_disk_is_told_and_the_conversation_goes_on(live):
    async with live() as s:
        s.save_error = StorageError("The disk is full, so this turn was not kept.", code="STORAGE_FULL")
        await s.hear(0.8)
        assert (await s.until("error"))["code"] == "STORAGE_FULL"
        s.save_error = None
        await s.hear(0.8)
        await s.until("saved")
        assert len(s.llm.prompts[-1]) == 4  # the turn that was not kept is still remembered


async def test_closing_in_the_middle_of_a_reply_stores_what_was_heard(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        await s.silence(SPEED * 0.5)
        await s.it.close()
        assert s.saved[0][2] == "interrupted" and 0 < len(s.saved[0][1]) < len(s.llm.text)
        await s.page
        s.page = asyncio.create_task(asyncio.sleep(0))


async def test_a_new_conversation_leaves_the_running_turn_in_the_old_one(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        old = s.it.chat
        s.it.begin_again()
        await s.until("saved", state="interrupted")
        assert s.chats == [old] and s.it.chat is not old and s.it.chat.lines() == []


async def test_a_conversation_that_is_deleted_in_a_reply_and_left_is_no_error(live):
    async with live() as s:
        s.it.say("what is tea?", "id-1")
        await s.until("latency")
        s.save_error = NotFound("There is no such conversation.")
        s.it.begin_again()
        await s.silence(2.0)
        assert s.kinds("error", "saved", "notice") == []


async def test_a_sentence_that_is_being_said_while_its_conversation_is_deleted_is_answered_in_a_new_one(live):
    async with live() as s:
        s.it.say("what is tea?", "id-1")
        await s.until("saved")
        s.it.say("and coffee?", "id-2")
        await s.until("latency", turn=2)
        old = s.it.chat
        await s.hear(0.1)
        await s.it.renew()
        assert (await s.until("notice"))["code"] == "DELETED" and s.renewals == 1
        await s.until("flush", turn=2)
        await s.hear(0.8)
        await s.until("saved", 2)
        assert [turn[0] for turn in s.saved] == ["what is tea?", s.stt.words]
        assert s.chats[1] is s.it.chat is not old and "tea" not in str(s.llm.prompts[-1])
        assert s.kinds("error") == []


async def test_what_is_not_stored_when_the_conversation_turns_out_to_be_gone_goes_on_as_a_new_one(live):
    async with live() as s:
        s.it.say("what is tea?", "id-1")
        await s.until("saved")
        s.it.say("and coffee?", "id-2")
        gone, s.gone = s.it.chat, s.it.chat
        await s.until("saved", 2)
        assert (await s.until("notice"))["code"] == "DELETED" and s.renewals == 1
        assert s.chats == [gone, s.it.chat] and [line.text for line in s.it.chat.lines()][0] == "and coffee?"
        s.it.say("and cocoa?", "id-3")
        await s.until("saved", 3)
        assert "is tea" not in str(s.llm.prompts[-1]) and s.kinds("error") == []


async def test_a_page_that_reads_nothing_is_hung_up_on(live, monkeypatch):
    monkeypatch.setattr("avatar.outbox.MOST", 10)
    async with live() as s:
        s.page.cancel()
        for _ in range(30):
            s.it.post("seats", n=1, of=5)
        assert s.it.outbox.qsize() == 11
        while (message := s.it.outbox.get_nowait()) is not None:
            assert message["t"] == "seats"
        s.page = asyncio.create_task(asyncio.sleep(0))


async def test_a_bug_in_a_turn_is_told_and_the_conversation_goes_on(live, monkeypatch):
    async with live() as s:

        def broken(*_: object) -> float:
            raise ZeroDivisionError

        monkeypatch.setattr("avatar.reply.Reply.timings_ms", broken)
        await s.hear(0.8)
        assert (await s.until("error"))["code"] == "BUG"
        monkeypatch.undo()
        await s.silence(1.0)
        s.stt.words = "and what now, my friend?"
        await s.hear(0.8)
        await s.until("saved", state="done")


async def test_a_bug_while_the_language_is_judged_ends_the_turn_and_not_the_conversation(live, monkeypatch):
    async with live() as s:

        async def broken(*_: object) -> bool:
            raise ZeroDivisionError

        monkeypatch.setattr("avatar.pipeline.Pipeline.plausible", broken)
        await s.hear(0.8)
        assert (await s.until("error"))["code"] == "BUG"
        await s.until("saved", state="interrupted")
        assert s.it.reply is None and [m["state"] for m in s.messages if m["t"] == "state"][-1] == "listening"
        monkeypatch.undo()
        await s.silence(1.0)
        await s.hear(0.8)
        await s.until("saved", state="done")


async def test_the_speaking_rate_counts_from_the_next_reply_on(live):
    async with live() as s:
        for count, rate in enumerate((100, 130), 1):
            s.it.prefer(Preferences(rate_pct=rate))
            s.it.say("hello")
            await s.until("saved", count)
        assert [voice.rate for voice in dict.fromkeys(s.tts.voices)] == [1.0, 1.3]


async def test_the_model_is_told_in_which_language_the_user_chose_to_be_answered(live):
    async with live() as s:
        for count, (language, told) in enumerate((("auto", False), ("en", True), ("auto", False)), 1):
            s.it.prefer(Preferences(language=language))
            s.it.say("hello")
            await s.until("saved", count)
            assert s.llm.prompts[-1][0].content.endswith("Answer in English.") is told
            await s.silence(0.1)
            assert s.llm.read[-1][0] == s.llm.prompts[-1][0]  # what it reads ahead begins with the same words
        s.it.prefer(Preferences(language="en"))
        s.it.begin_again()
        s.it.say("hello")
        await s.until("saved", 4)
        assert s.llm.prompts[-1][0].content.endswith("Answer in English.")
