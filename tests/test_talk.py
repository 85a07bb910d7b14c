"""The Talk tab without a browser: turns over Gradio's events, what the stage is told, and why it answered."""

from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from page_fakes import CHINESE, ENGLISH, STAGE, FakeAssistant, owner_of
from page_rows import ESPEAK, ID, MOONSHINE, SMOLLM, TEA, WHISPER

from avatar.errors import AudioError, AvatarError, ServerFull
from avatar.turntaking.reasons import Reason
from avatar.ui import strings
from avatar.ui.handlers import session_of
from avatar.ui.rating import RatingEvents
from avatar.ui.stage import overview
from avatar.ui.talk import TalkEvents
from avatar.ui.why import WhyEvents
from avatar.wire import MAX_TEXT


@pytest.mark.parametrize("stage", ["c9", "other"])
async def test_a_rating_redraws_the_conversation_that_shows_the_reply(stage: str) -> None:
    assistant = FakeAssistant()
    assistant.live, assistant.rated_in = TEA[:2], "c9"
    on, event = RatingEvents(assistant, owner_of), gr.EventData(None, {"turn": ID, "rating": 8})  # type: ignore[arg-type]
    chat = await on.rated({"conversation": stage, "live": ""}, event, ENGLISH)
    assert assistant.asked == [("rate", "local", ID, 8)]
    assert ("Sound 8/10" in str(chat)) is (stage == "c9")


async def test_a_rating_that_is_refused_changes_nothing_on_the_page() -> None:
    assistant = FakeAssistant()
    assistant.trouble = AvatarError("A rating is a whole number from 1 to 10.", code="BAD_RATING")
    on = RatingEvents(assistant, owner_of)  # type: ignore[arg-type]
    for data in (None, "x", {"turn": {"a": 1}, "rating": [1]}, {"turn": "x" * 1000}):
        with pytest.warns(UserWarning, match="1 到 10"):
            assert await on.rated(STAGE, gr.EventData(None, data), CHINESE) == gr.skip()
    assert max(len(turn) for _, _, turn, _ in assistant.asked) == 64


@pytest.mark.parametrize("value", [None, "x", [], {"live": 3, "conversation": ["a"]}, {"live": "x" * 65}])
def test_a_stage_value_that_makes_no_sense_is_no_session(value: object) -> None:
    assert session_of(value) == ("", "")


async def test_typed_text_leaves_the_box_when_the_turn_has_begun() -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    steps = [step async for step in on.typed("How long?", STAGE, "t1", "auto", 100, ENGLISH)]
    assert assistant.asked == [("typed", "local", "c9", "How long?", "t1", "auto", 100)]
    assert [step[0] for step in steps][0] == "" and steps[1][0] != ""  # afterwards the box is the user's again
    assert steps[-1][1] == "t1" and steps[0][3] == {"conversation": "c1", "live": ""}
    assert steps[-1][3]["conversation"] == "c1" and steps[-1][3]["latency"]["ttft"] == 41.0
    assert steps[-1][4].value and [m["role"] for m in steps[-1][2]] == ["user", "assistant"]


async def test_typed_text_stays_when_the_turn_fails() -> None:
    assistant = FakeAssistant()
    assistant.trouble = ServerFull("All 5 seats are taken. <b>")
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="seats are taken. &lt;b&gt;"):
        steps = [step async for step in on.typed("How long?", STAGE, "t1", "auto", 100, ENGLISH)]
    assert [step[0] for step in steps] == ["How long?"]
    with pytest.warns(UserWarning, match="座位已滿"):
        assert len([step async for step in on.typed("How long?", STAGE, "t1", "auto", 100, CHINESE)]) == 1


async def test_typed_text_goes_to_the_open_socket() -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    steps = [step async for step in on.typed("Hi", {"conversation": "", "live": "L"}, "t1", "auto", 100, ENGLISH)]
    assert assistant.asked == [("say", "local", "L", "Hi", "t1")] and steps[0][0] == ""
    assert [step async for step in on.typed("  ", STAGE, "t2", "auto", 100, ENGLISH)] == [gr.skip()]


async def test_typed_text_is_whole_characters_and_not_endless() -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    for sent, kept in (("cut \ud83d", "cut ?"), ("x" * 10_000, "x" * MAX_TEXT)):
        assistant.asked.clear()
        assert [step async for step in on.typed(sent, STAGE, "t1", "auto", 100, ENGLISH)]
        assert assistant.asked[0][3] == kept


async def test_the_last_words_are_answered_again_with_and_without_a_socket() -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    steps = [step async for step in on.again(STAGE, "zh", 120, ENGLISH)]
    assert assistant.asked == [("typed", "local", "c9", None, "", "zh", 120)]
    assert steps[-1][1]["conversation"] == "c1" and "#again" in steps[-1][0][-1]["content"]
    assert [step async for step in on.again({"conversation": "c9", "live": "L"}, "zh", 120, ENGLISH)] == [gr.skip()]
    assert assistant.asked[1:] == [("again", "local", "L")]
    assistant.trouble = AvatarError("There is no answer to give again.", code="NOT_FOUND")
    for stage in (STAGE, {"conversation": "", "live": "L"}):
        with pytest.warns(UserWarning, match="not there any more"):
            assert [step async for step in on.again(stage, "auto", 100, ENGLISH)] == [gr.skip()]


async def test_a_recording_stays_when_its_turn_fails(tmp_path: Path) -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    done = [step async for step in on.recorded(str(tmp_path / "a.webm"), STAGE, "t1", "zh", 100, ENGLISH)]
    assert done[-1][0] is None and assistant.asked == [("recorded", "local", "c9", ".webm", "t1", "zh", 100)]
    assistant.trouble = AudioError("This file has no sound I can read.")
    with pytest.warns(UserWarning, match="no sound I can read"):
        assert [step async for step in on.recorded("a.wav", STAGE, "t1", "zh", 100, ENGLISH)] == [gr.skip()]
    assert [step async for step in on.recorded(None, STAGE, "t1", "zh", 100, ENGLISH)] == [gr.skip()]


def test_the_stage_is_told_what_the_engines_understand() -> None:
    assistant = FakeAssistant()
    now = overview(assistant, "en")  # type: ignore[arg-type]
    assert now["engines"]["stt"]["english_only"] and now["engines"]["llm"]["demo"]
    assert now["chinese"] == {"ready": False, "get": {"name": WHISPER.label, "why": strings.hindrance(WHISPER, "en")}}
    assert now["coming"] is None and now["seats"] == {"n": 1, "of": 5}
    why = overview(assistant, "zh-TW")["chinese"]["get"]["why"]  # type: ignore[arg-type]
    assert why == strings.hindrance(WHISPER, "zh-TW") and "（whisper-base，145 MB）" in why  # type: ignore[arg-type]
    arriving = replace(WHISPER, state="warming", fraction=0.43)
    assistant.pool.rungs = [arriving, MOONSHINE, SMOLLM, ESPEAK]
    assert overview(assistant, "en")["coming"] == {"name": WHISPER.label, "pct": 43}  # type: ignore[arg-type]
    assistant.pool.rungs = [replace(WHISPER, state="ready", serving=True), SMOLLM]
    now = overview(assistant, "en")  # type: ignore[arg-type]
    assert now["chinese"]["ready"] and not now["engines"]["stt"]["english_only"] and now["engines"]["tts"] is None


async def test_only_the_owner_of_a_session_reads_its_decisions() -> None:
    assistant = FakeAssistant()
    assistant.why = [(1.0, Reason(9.0, "patience", "number", 1300, 0.4, 0.9))]
    seen = await WhyEvents(assistant, owner_of).reasons({"conversation": "", "live": "L"}, ENGLISH)  # type: ignore[arg-type]
    assert "patience ran out" in seen
    for owner, live in (("eve", "L"), ("local", "M"), ("local", "")):
        other = WhyEvents(assistant, lambda request, owner=owner: owner)  # type: ignore[arg-type, misc]
        assert "Nothing is decided yet" in await other.reasons({"conversation": "", "live": live}, ENGLISH)
