"""What a live session hears, and when it answers."""

import asyncio

from live_session import FRAME_S

from avatar.wire import MIC_RATE


async def test_unsure_it_waits_for_the_patience_and_says_so(live):
    async with live(patience_ms=800) as s:
        s.smart_turn.value = 0.01
        await s.hear(1.0)
        await s.silence(0.4)
        assert s.kinds("turn") == []
        pausing = next(m for m in s.messages if m["t"] == "state" and m["state"] == "pausing")
        assert 300 < pausing["patience_ms"] < 800
        latency = await s.until("latency")
        assert not latency["sure"]


async def test_a_pause_inside_a_sentence_does_not_end_the_turn(live):
    async with live() as s:
        s.smart_turn.value = 0.01
        s.stt.words = "and so my fellow"
        await s.hear(1.0)
        await s.silence(0.5)
        s.stt.words, s.smart_turn.value = "and so my fellow Americans ask not.", 0.99
        await s.hear(1.0)
        await s.until("saved")
        assert [turn[0] for turn in s.saved] == ["and so my fellow Americans ask not."]
        assert s.saved[0][3] / MIC_RATE > 2.3


async def test_partial_words_are_shown_while_speaking(live):
    async with live() as s:
        partial = await s.talk_until("heard")
        assert partial["partial"] == s.stt.words and partial["final"] == ""


async def test_words_heard_the_same_twice_are_shown_as_settled(live):
    async with live() as s:
        s.stt.growing = [(1.1, "what is the wea"), (9, "What is the weather, in Par")]
        first = await s.talk_until("heard")
        assert (first["final"], first["partial"]) == ("", "what is the wea")
        await s.talk_until("heard", final="What is the", partial="weather, in Par")


async def test_the_language_that_was_heard_is_the_voices(live):
    async with live() as s:
        s.stt.language = "de"
        await s.hear(1.0)
        await s.silence(1.0)
        await s.until("saved")
        assert set(s.stt.asked) == {None} and s.tts.languages == {"de"}


async def test_after_committed_words_their_language_is_given(live, monkeypatch):
    monkeypatch.setattr("avatar.hearing.COMMIT_MS", 500)
    async with live() as s:
        s.stt.language, s.smart_turn.value = "ja", 0.0
        await s.hear(1.0)
        await s.silence(0.4)
        assert set(s.stt.asked) == {None}
        s.stt.asked.clear()
        await s.hear(1.0)
        assert s.stt.asked and set(s.stt.asked) == {"ja"}


async def test_the_model_reads_the_words_while_they_are_spoken(live):
    async with live() as s:
        s.pool.warm(s.pool.choose("llm"))
        await s.hear(1.5)
        await s.until("turn")
        assert s.llm.read and [m.content for m in s.llm.read[0]][1:] == [s.stt.words]


async def test_the_answer_begins_before_it_is_certain_and_is_not_asked_for_twice(live):
    async with live(patience_ms=2000) as s:
        s.smart_turn.value = 0.0
        await s.hear(1.0)
        for _ in range(30):
            await s.silence(FRAME_S)
        assert len(s.llm.prompts) == 1 and s.kinds("turn", "clause") == [] and s.it.chat.lines() == []
        latency = await s.until("latency")
        assert latency["llm"] + latency["tts"] < 100 and latency["wasted"] == 0
        assert len(s.llm.prompts) == 1
        assert (await s.until("saved"))["state"] == "done"
        assert s.saved[0][:2] == (s.stt.words, s.llm.text)


async def test_a_guess_after_which_the_user_goes_on_leaves_no_trace(live):
    async with live(patience_ms=2000) as s:
        s.smart_turn.value = 0.0
        await s.hear(1.0)
        await s.silence(0.4)
        s.stt.words = "what is the weather today in Paris?"
        s.smart_turn.value = 0.99
        await s.hear(1.0)
        latency = await s.until("latency")
        await s.until("saved")
        asked = [prompt[-1].content for prompt in s.llm.prompts]
        assert asked == ["what is the weather today?", "what is the weather today in Paris?"]
        assert len(s.llm.prompts[1]) == 2  # nothing remembered of the first
        assert [saved[0] for saved in s.saved] == asked[1:] and len(s.kinds("turn")) == 1
        assert latency["wasted"] > 0


async def test_ears_that_are_slow_are_not_asked_for_the_words_before_each_breath(live):
    async with live() as s:
        s.stt.done.clear()
        for _ in range(6):
            await s.hear(0.2)
            await s.silence(0.12)
        assert len(s.stt.asked) == 1
        s.stt.done.set()
        await s.until("turn")
        assert len(s.stt.asked) <= 3  # of the first breath, of the last, and once more


async def test_no_part_of_the_time_is_negative_when_frames_come_late(live):
    async with live() as s:
        s.stt.takes_s = 0.6
        await s.hear(1.0)
        await s.silence(0.2)
        await asyncio.sleep(0.5)  # of real time
        await s.silence(0.6)
        latency = await s.until("latency")
        assert latency["stt"] > 0 and latency["eot"] >= 0


async def test_silence_and_noise_get_no_reply_and_are_told(live):
    async with live() as s:
        s.stt.words = "?"
        await s.hear(0.6)
        assert (await s.until("notice"))["code"] == "NOTHING_HEARD"
        await s.silence(2.0)
        assert s.kinds("turn") == [] and s.saved == []


async def test_a_minute_without_a_pause_is_closed_with_a_notice(live):
    async with live() as s:  # five seconds here
        await s.hear(5.5)
        assert (await s.until("notice"))["code"] == "TOO_LONG"
        await s.until("turn")


async def test_a_minute_is_closed_although_the_user_draws_breath_while_it_is_written_down(live):
    async with live() as s:
        s.stt.takes_s = 0.05  # 0.4 s of sound
        await s.hear(4.9)
        await s.silence(0.12)
        await s.hear(1.0)
        await s.until("turn")
        assert s.it.reasons()[-1][1].why == "too long"


async def test_chinese_without_ears_for_it_is_told_and_not_listened_to(live):
    async with live(language="zh") as s:
        assert (await s.until("notice"))["code"] == "LANGUAGE"
        await s.hear(1.0)
        await s.silence(1.5)
        assert s.kinds("turn") == []


async def test_another_language_gets_no_reply_but_a_sentence(live):
    async with live() as s:
        s.stt.foreign = True
        await s.hear(1.0)
        assert (await s.until("error"))["code"] == "LANGUAGE"
        await s.silence(2.0)
        assert s.audio == {} and s.saved == [] and s.it.chat.lines() == []
        s.stt.foreign = False
        await s.hear(1.0)
        await s.until("saved")
        s.stt.foreign = True  # once understood, not asked again
        await s.hear(1.0)
        await s.until("saved", 2)
