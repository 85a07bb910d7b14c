"""Turns without a socket: typed, recorded, sent again, answered again, refused, failed."""

import asyncio
import math
from contextlib import aclosing

import av
import numpy as np
import pytest
from assistants import typed
from audio_files import read_tags
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble

from avatar.errors import AudioError, AvatarError, NotFound, ServerFull, StorageError
from avatar.provenance import is_marked
from avatar.sessions import LOCAL
from avatar.wire import REPLY_RATE

LONG = " ".join(["This is a sentence of a long reply."] * 40)


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


async def test_a_typed_turn_streams_text_then_gives_its_audio_and_is_stored(new_assistant):
    assistant = new_assistant()
    updates = await typed(assistant)
    texts = [u.lines[-1].text for u in updates if u.lines[-1].role == "assistant"]
    assert texts[0] == "I" and texts[-1] == FakeLLM().text and texts == sorted(texts, key=len)
    assert [u.audio is None for u in updates] == [True] * (len(updates) - 1) + [False]
    latency = updates[-1].latency
    assert 0 <= latency["ttft"] <= latency["llm"] and latency["tts"] >= 0 and latency["engines"]["tts"] == "Tts"
    rate, sound = updates[-1].audio
    assert rate == REPLY_RATE and sound.dtype == np.int16 and len(sound) == pytest.approx(REPLY_RATE * 0.41, rel=0.05)
    (row,) = assistant.store.turns(LOCAL, updates[-1].conversation_id)
    assert (row.state, row.user_text, row.reply_text) == ("done", "how are you", FakeLLM().text)
    assert row.reply_audio and not row.user_audio and row.client_turn_id == "t1"
    assert is_marked(read_tags(assistant.store.audio_path(LOCAL, row.id, "reply")))
    assert row.engines == {"llm": "Llm", "tts": "Tts"}
    assert {"eot", "stt", "llm", "tts"} <= row.timings_ms.keys()
    assert assistant.seats.count() == 0


async def test_a_recording_is_heard_answered_and_kept(new_assistant, recording):
    assistant = new_assistant(stt=FakeSTT("what time is it"))
    updates = [u async for u in assistant.answer(LOCAL, "", recording(), "t1", "auto")]
    assert updates[-1].lines[0].text == "what time is it" and updates[-1].audio
    (row,) = assistant.store.turns(LOCAL, updates[-1].conversation_id)
    assert row.user_audio and row.reply_audio and row.language == "en"
    assert assistant.store.audio_path(LOCAL, row.id, "user").stat().st_size > 500


async def test_the_conversation_goes_on_and_the_model_remembers(new_assistant):
    llm = FakeLLM("Fine.")
    assistant = new_assistant(llm=llm)
    first = (await typed(assistant, "one"))[-1]
    second = (await typed(assistant, "two", first.conversation_id, "t2"))[-1]
    assert second.conversation_id == first.conversation_id
    assert [line.text for line in second.lines] == ["one", "Fine.", "two", "Fine."]
    assert [m.content for m in llm.prompts[1]][1:] == ["one", "Fine.", "two"]


async def test_a_dash_copied_from_an_interruption_is_no_part_of_the_answer(new_assistant):
    llm = FakeLLM("Well, I like tea — green tea. —")
    assistant = new_assistant(llm=llm)
    first = (await typed(assistant, "tea?"))[-1]
    await typed(assistant, "and now?", first.conversation_id, "t2")
    answer = "Well, I like tea — green tea."
    assert first.lines[-1].text == answer
    assert assistant.store.turns(LOCAL, first.conversation_id)[0].reply_text == answer
    assert [m.content for m in llm.prompts[1]][1:] == ["tea?", answer, "and now?"]


async def test_the_seat_is_held_for_the_turn_only(new_assistant):
    assistant = new_assistant()
    counts = []
    async for _ in assistant.answer(LOCAL, "", "hi", "t1", "auto"):
        counts.append(assistant.seats.count())
    assert counts[0] == 1 and counts[-1] == 0


@pytest.mark.parametrize("stage", ["stt", "llm", "tts"])
async def test_a_failed_turn_gives_its_seat_back_and_may_be_tried_again(new_assistant, recording, stage):
    engines = {"stt": FakeSTT("hello"), "llm": FakeLLM("Yes."), "tts": FakeTTS()}
    engines[stage].trouble = Trouble(fail_on=(1,))
    assistant = new_assistant(**engines)
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


async def test_the_sixth_turn_is_refused_before_any_work(new_assistant, recording):
    llm = FakeLLM()
    assistant = new_assistant(llm=llm)
    for number in range(5):
        assistant.seats.admit(LOCAL, str(number))
    with pytest.raises(ServerFull, match="All 5 seats are taken"):
        await typed(assistant)
    with pytest.raises(ServerFull):
        [u async for u in assistant.answer(LOCAL, "", recording().with_name("missing.wav"), "t1", "auto")]
    with pytest.raises(ServerFull):
        assistant.admit(LOCAL)
    assert llm.prompts == [] and assistant.store.conversations(LOCAL) == []
    assert assistant.seats.count() == 5 and assistant.metrics.counted().refusals == {"SERVER_FULL": 3}


async def test_a_resend_is_one_turn(new_assistant):
    llm = FakeLLM("Yes.")
    assistant = new_assistant(llm=llm)
    first = (await typed(assistant, "hello"))[-1]
    lost = (await typed(assistant, "hello"))[-1]  # the page saw no answer, so it knows no conversation either
    known = (await typed(assistant, "hello", first.conversation_id))[-1]
    assert lost.conversation_id == known.conversation_id == first.conversation_id
    assert [line.text for line in lost.lines] == [line.text for line in known.lines] == ["hello", "Yes."]
    assert len(llm.prompts) == 1 and len(assistant.store.conversations(LOCAL)) == 1
    assert len(assistant.store.turns(LOCAL, first.conversation_id)) == 1


async def test_what_is_typed_while_the_first_answer_comes_joins_its_conversation(new_assistant):
    assistant = new_assistant()
    first = assistant.answer(LOCAL, "", "one", "t1", "auto")
    begun = (await anext(first)).conversation_id
    assert (await typed(assistant, "two", begun, "t2"))[-1].conversation_id == begun
    async for update in first:
        assert update.conversation_id == begun
    assert [row.turns for row in assistant.store.conversations(LOCAL)] == [2]


async def test_a_resend_finds_its_turn_by_an_id_that_came_to_nothing(new_assistant):
    assistant = new_assistant()
    first = (await typed(assistant, "hello"))[-1]
    again = (await typed(assistant, "hello", "0f" * 16))[-1]
    assert again.conversation_id == first.conversation_id


async def test_the_last_words_are_answered_again_in_the_place_of_the_old_reply(new_assistant, recording):
    llm = FakeLLM("The first one.")
    assistant = new_assistant(llm=llm)
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


async def test_the_old_reply_stays_when_the_new_one_fails(new_assistant):
    llm = FakeLLM("The first one.")
    assistant = new_assistant(llm=llm)
    first = (await typed(assistant))[-1]
    llm.trouble.fail_on = (2,)
    seen = []
    with pytest.raises(AvatarError):
        async for update in assistant.answer(LOCAL, first.conversation_id, None, "", "auto"):
            seen.append(update)
    assert [line.text for line in seen[-1].lines][:2] == ["how are you", "The first one."]
    assert [row.state for row in assistant.store.turns(LOCAL, first.conversation_id)] == ["done", "failed"]


async def test_a_page_that_goes_away_in_the_middle_leaves_an_interrupted_turn(new_assistant):
    assistant = new_assistant(llm=FakeLLM(LONG))
    async with aclosing(assistant.answer(LOCAL, "", "a story", "t1", "auto")) as updates:
        async for update in updates:
            if update.lines and update.lines[-1].text.count(" ") > 20:
                break
    assert assistant.seats.count() == 0
    (conversation,) = assistant.store.conversations(LOCAL)
    (row,) = assistant.store.turns(LOCAL, conversation.id)
    assert row.state == "interrupted" and row.user_text == "a story" and LONG.startswith(row.reply_text.strip())


async def test_an_empty_recording_is_no_turn(new_assistant, recording):
    llm = FakeLLM()
    assistant = new_assistant(stt=FakeSTT(""), llm=llm)
    with pytest.raises(AudioError, match="I heard no words"):
        [u async for u in assistant.answer(LOCAL, "", recording(amplitude=0), "t1", "auto")]
    assert llm.prompts == [] and assistant.store.conversations(LOCAL) == [] and assistant.seats.count() == 0


async def test_a_file_that_is_no_recording_is_refused_in_words(new_assistant, tmp_path):
    assistant = new_assistant()
    path = tmp_path / "song.wav"
    path.write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(AudioError, match="no sound I can read"):
        [u async for u in assistant.answer(LOCAL, "", path, "t1", "auto")]
    assert assistant.seats.count() == 0


async def test_with_a_full_disk_the_answer_is_given_and_the_loss_is_said(new_assistant, monkeypatch):
    assistant = new_assistant()

    def full(*_: object) -> None:
        raise StorageError("The disk is full. Free some space.", code="STORAGE_FULL")

    monkeypatch.setattr(assistant.store, "save_audio", full)
    last = (await typed(assistant))[-1]
    assert last.audio is not None and last.notice.sentence == "The disk is full. Free some space."
    assert assistant.seats.count() == 0


async def test_five_turns_at_once(new_assistant):
    assistant = new_assistant(llm=FakeLLM("Yes, indeed."))
    turns = [typed(assistant, f"question {n}", "", f"t{n}") for n in range(5)]
    results = await asyncio.gather(*turns)
    assert [u[-1].lines[0].text for u in results] == [f"question {n}" for n in range(5)]
    assert all(u[-1].audio is not None for u in results)
    assert len(assistant.store.conversations(LOCAL)) == 5 and assistant.seats.count() == 0


async def test_a_rate_that_is_no_number_is_the_voices_own(new_assistant):
    """JSON knows no NaN, but Python reads it: an engine that fails at it would be taken from everybody."""
    tts = FakeTTS()
    assistant = new_assistant(tts=tts)
    answering = assistant.answer(LOCAL, "", "how are you", "t1", "auto", math.nan)
    updates = [update async for update in answering]
    assert updates[-1].audio is not None and [voice.rate for voice in tts.voices[-1:]] == [1.0]
    assert assistant.seats.count() == 0


async def test_nothing_is_erased_while_a_turn_runs_that_would_be_stored_after_it(new_assistant):
    llm = FakeLLM(trouble=Trouble(hang_at=1))
    assistant = new_assistant(llm=llm)
    turn = assistant.answer(LOCAL, "", "how are you", "t1", "auto")
    await anext(turn)
    with pytest.raises(AvatarError) as refused:
        await asyncio.to_thread(assistant.erase, LOCAL)
    assert refused.value.code == "ERASE_LIVE"
    llm.trouble.hang.set()
    assert [update async for update in turn]
    await asyncio.to_thread(assistant.erase, LOCAL)
    assert assistant.store.conversations(LOCAL) == []
