"""Fast or HQ: the switch, kept for each conversation, and HQ that is loaded while the fast voice answers."""

import asyncio
import threading
from dataclasses import replace

import gradio as gr
import pytest
from assistants import make_assistant, put_away
from fakes import FakeLLM, FakeTTS, rung
from page_fakes import CHINESE, ENGLISH, FakeAssistant
from page_rows import Rung

from avatar.engines.hindrance import Hindrance
from avatar.engines.pool import EnginePool
from avatar.errors import NotFound
from avatar.events import Serving
from avatar.pipeline import Pipeline
from avatar.planner import Share
from avatar.sessions import LOCAL
from avatar.ui import strings
from avatar.ui.quality import QualityEvents, hq_note, hq_possible

NO_ROOM = Hindrance("NO_ROOM", "6.0 GiB are missing.", {"name": "CosyVoice 3"})
RESTS = Hindrance("RESTING", "The graphics memory is 93% full.", {"name": "CosyVoice 3"})
HQ = Rung("tts", "cosyvoice", "CosyVoice 3", state="ready", hq=True)


# -- the switch -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rungs", "english", "chinese", "soon"),
    [
        ([], "no HQ engine", "沒有高品質引擎", False),
        ([HQ], "CosyVoice 3 speaks here", "由 CosyVoice 3 說話", False),
        ([replace(HQ, state="warming", fraction=0.4)], "loading, 40 %", "載入中 40 %", True),
        ([replace(HQ, state="warming")], "is loading. The fast voice answers", "先用快速語音回答", True),
        ([replace(HQ, state="cold")], "at the next reply", "下一次回覆時", True),
        ([replace(HQ, state="absent", hindrance=NO_ROOM)], "HQ needs CosyVoice 3: 6.0", "顯示記憶體放不下", False),
        ([replace(HQ, state="failed", hindrance=RESTS)], "CosyVoice 3: The graphics memory", "先讓出空間", False),
    ],
)
def test_the_note_says_what_hq_does_or_needs(rungs: list[Rung], english: str, chinese: str, soon: bool) -> None:
    fast = Rung("tts", "espeak", "eSpeak NG", state="ready")
    for language, words in (("en", english), ("zh-TW", chinese)):
        sentence, changes = hq_note([*rungs, fast], language)  # type: ignore[list-item]
        assert words in sentence and changes is soon


def test_the_switch_is_there_where_an_hq_voice_can_be() -> None:
    fast = Rung("tts", "espeak", "eSpeak NG", state="ready")
    absent = replace(HQ, state="absent", hindrance=NO_ROOM)
    assert not hq_possible([fast]) and not hq_possible([fast, absent])  # type: ignore[list-item]
    for there in (HQ, replace(HQ, state="cold"), replace(HQ, state="failed"), replace(absent, lacks=("cosyvoice3",))):
        assert hq_possible([fast, there])  # type: ignore[list-item]


async def test_the_switch_belongs_to_the_conversation_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    toasts: list[str] = []
    monkeypatch.setattr(gr, "Warning", lambda text, **_: toasts.append(text))
    assistant = FakeAssistant()
    on = QualityEvents(assistant, lambda _: "local")  # type: ignore[arg-type]
    stage = {"conversation": "c9", "live": ""}
    shown, note, timer = await on.choose_quality("hq", stage, ENGLISH)
    assert shown == stage and "no HQ engine" in note and not timer.active
    assert on.quality(stage, CHINESE)[0] == "hq" and "沒有高品質引擎" in on.quality(stage, CHINESE)[1]
    assert on.quality({"conversation": "c8", "live": ""}, ENGLISH)[0] == "fast"
    assert (await on.choose_quality("fast", stage, ENGLISH))[1] == ""
    assert (await on.choose_quality("hq", {"conversation": "c9", "live": "L"}, ENGLISH))[0] == gr.skip()
    assert assistant.asked[-1] == ("quality", "local", "c9", "L", "hq")
    assert (await on.choose_quality("hq", {}, ENGLISH))[0] == {"conversation": "c1", "live": ""}
    asked = len(assistant.asked)
    assert await on.choose_quality("best'; --", stage, ENGLISH) == (gr.skip(),) * 3 and len(assistant.asked) == asked
    assistant.trouble = NotFound("This session has ended.", code="SESSION_ENDED")
    assert await on.choose_quality("hq", stage, CHINESE) == (gr.skip(),) * 3
    assert toasts[-1] == strings.CHINESE["err_SESSION_ENDED"]


# -- through the real assistant and pool ------------------------------------------------------------------------------


@pytest.fixture
def make(settings):
    """make(load of the HQ engine): an assistant with an HQ voice above a fast one; and its pool."""
    made = []

    def assistant(load_hq=FakeTTS, **share):
        rows = [rung("hq", "tts", hq=True, **share), rung("fast", "tts"), rung("llm", "llm"), rung("stt", "stt")]
        engines = {"hq": load_hq, "fast": FakeTTS, "llm": lambda: FakeLLM("Yes, it is."), "stt": FakeTTS}
        pool = EnginePool(settings, rows, lambda row, *_: engines[row.name]())
        made.append(make_assistant(settings, lambda _: pool))
        return made[-1]

    yield assistant
    for one in made:
        put_away(one)


async def voice_of(assistant, conversation, turn):
    """Who speaks the answer to one typed question, as the history has it."""
    updates = [update async for update in assistant.answer(LOCAL, conversation, "is it?", turn, "auto")]
    row = assistant.store.turns(LOCAL, updates[-1].conversation_id)[-1]
    return row.engines["tts"]


async def until(true):
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.01)


async def test_the_fast_voice_answers_while_hq_is_loaded_and_only_where_it_was_chosen(make):
    go = threading.Event()

    def slow():
        go.wait(5)
        return FakeTTS()

    assistant = make(slow)
    assistant.pool.start()
    states = lambda: {status.name: status.state for status in assistant.pool.status()}  # noqa: E731
    await until(lambda: states()["fast"] == "ready")
    assert states()["hq"] == "cold", "nobody has asked for it"
    ours = await assistant.wishes.set_quality(LOCAL, "", "", "hq")
    assert assistant.store.quality(LOCAL, ours) == "hq"
    await until(lambda: states()["hq"] == "warming")
    assert await voice_of(assistant, ours, "t1") == "Fast"
    go.set()
    await until(lambda: states()["hq"] == "ready")
    assert await voice_of(assistant, ours, "t2") == "Hq"
    assert await voice_of(assistant, "", "t3") == "Fast", "another conversation is not asked"
    await assistant.wishes.set_quality(LOCAL, ours, "", "fast")
    assert await voice_of(assistant, ours, "t4") == "Fast"


async def test_one_owner_cannot_switch_for_another(make):
    assistant = make()
    ours = await assistant.wishes.set_quality("ann", "", "", "hq")
    theirs = await assistant.wishes.set_quality("bob", ours, "", "fast")
    assert theirs != ours and assistant.store.quality("ann", ours) == "hq"
    assert assistant.store.quality("bob", ours) == "fast"
    with pytest.raises(NotFound):
        assistant.store.set_quality("bob", ours, "fast")


async def test_without_an_hq_engine_the_fast_voice_answers(make_pool, settings):
    assistant = make_assistant(settings, make_pool)
    try:
        ours = await assistant.wishes.set_quality(LOCAL, "", "", "hq")
        assert await voice_of(assistant, ours, "t1") == "Tts"
    finally:
        put_away(assistant)


async def test_an_hq_engine_that_fails_is_stepped_down_from(make):
    class Broken(FakeTTS):
        def speak(self, *_):
            raise MemoryError
            yield

    assistant = make(Broken)
    assistant.pool.warm(assistant.pool.rungs("tts")[0])
    events = [event async for event in Pipeline(assistant.pool).turn("hi", hq=True)]
    assert [event.engine for event in events if isinstance(event, Serving) and event.stage == "tts"] == ["Hq", "Fast"]


def test_an_hq_engine_that_may_not_stay_is_freed_when_nobody_asks_for_it(settings):
    now, closed = [0.0], threading.Event()

    class Closes(FakeTTS):
        def close(self):
            closed.set()

    share = Share("hq", card=0, bytes=1, of=2, resident=False)
    pool = EnginePool(settings, [rung("hq", "tts", hq=True, share=share)], lambda *_: Closes(), lambda: now[0])
    hq = pool.rungs("tts")[0]
    pool.want_hq("tts")
    pool.warm(hq)
    now[0] = 599
    pool._free_unwanted()
    assert pool.ready(hq)
    now[0] = 601
    with pool.lease(hq):
        pool._free_unwanted()
        assert not pool.ready(hq) and not closed.wait(0.05), "who is speaking may finish"
    assert closed.wait(5)
