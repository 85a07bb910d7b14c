"""The History tab without a browser."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
import stores
from page_fakes import CHINESE, ENGLISH, FakeAssistant, Studio, owner_of
from page_rows import TEA, TURNS, Row
from voice_profiles import kept

from avatar.finding import phrases
from avatar.store import Hit, Store, Wanted
from avatar.ui.fork import ForkEvents
from avatar.ui.found import ANY, PAGE, FoundEvents, since
from avatar.ui.history import TURNS as SHOWN
from avatar.ui.history import HistoryEvents
from avatar.ui.past import described, found_list, marked, marked_plain, past_messages, snippet, when
from avatar.ui.storage import StorageEvents
from avatar.ui.strings import ENGLISH as ENGLISH_WORDS
from avatar.voices import Voices

HOSTILE = """<img src="http://evil.test/x.png" onerror=alert(1)> ![x](y) **b** &amp; 'q'"""
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def event(data: Any) -> gr.EventData:
    made = gr.EventData(None, data)
    made._data = data
    return made


@pytest.mark.parametrize(
    ("at", "words"),
    [
        ("2026-11-21T08:05:00+00:00", "Today 08:05"),
        ("2026-11-20T23:59:00.123+00:00", "Yesterday 23:59"),
        ("2026-11-02T10:00:00+00:00", "2026-11-02"),
    ],
)
def test_dates_are_short(at: str, words: str) -> None:
    assert when(at, "en", NOW) == words


def test_a_span_begins_at_midnight_of_the_users_day() -> None:
    taipei = NOW.astimezone(timezone(timedelta(hours=8)))
    assert since("any", taipei) == since("nonsense", taipei) == ""
    assert since("day", taipei) == "2026-11-20T16:00:00.000+00:00"
    assert since("week", taipei) == "2026-11-14T16:00:00.000+00:00"


def test_hits_are_marked_and_nothing_foreign_becomes_markup() -> None:
    wanted = phrases("evil 天氣")
    assert marked("an EVIL <b> 天氣", wanted) == "an <mark>EVIL</mark> &lt;b&gt; <mark>天氣</mark>"
    assert marked_plain("  *evil*\n    go", wanted) == "&#42;<mark>evil</mark>&#42;\ngo"
    for shown in (
        marked(HOSTILE, wanted),
        marked_plain(HOSTILE, wanted),
        snippet(Hit("c", "t", 1, "", HOSTILE), wanted),
    ):
        bare = shown.replace("<mark>", "").replace("</mark>", "").replace("<small>", "").replace("</small>", "")
        assert "<mark>evil</mark>" in shown and not set(bare) & set("<>\"'")


def test_a_snippet_shows_the_words_around_the_first_hit() -> None:
    long = Hit("c", "t", 1, "x " * 60, "word " * 30 + "oolong " + "tea " * 60)
    cut = snippet(long, phrases("oolong"))
    assert cut.startswith("<small>…") and "<mark>oolong</mark>" in cut and cut.endswith("…</small>") and len(cut) < 160
    assert snippet(long, []) == "" and snippet(long, phrases("coffee")) == ""


def listed(
    on: FoundEvents, words: str = "", span: str = "any", state: str = "all", voice: str = ANY, limit: int = PAGE
) -> Any:
    return on.listed(words, span, state, voice, limit, "a2", ENGLISH)


def finding() -> tuple[FakeAssistant, FoundEvents]:
    assistant = FakeAssistant()
    assistant.store.rows = [Row("a1", "Tea"), Row("a2", "", turns=1), Row("a3", HOSTILE)]
    return assistant, FoundEvents(assistant, owner_of, lambda: NOW)  # type: ignore[arg-type]


def test_the_list_names_what_it_holds_and_offers_more() -> None:
    assistant, on = finding()
    shown, note, older = listed(on, limit=2)
    assert "<b>Tea</b><span>Yesterday 14:02 · 3 turns</span>" in shown and "Untitled" in shown and older.visible
    assert 'data-conversation="a2" aria-current="true"' in shown and "newest 2" in note
    shown, note, older = listed(on)
    assert "<img" not in shown and "3 conversations" in note and not older.visible
    assistant.store.rows = []
    assert "Nothing kept yet" in listed(on)[1]
    assert described(Row("a", "茶", forked_at=2), "zh-TW", NOW) == "昨天 14:02 · 3 輪 · 從第 2 輪分出"


def test_a_search_passes_the_owner_and_marks_what_it_found() -> None:
    assistant, on = finding()
    shown, note, _ = listed(on, "Tea", "week", "interrupted", "default")
    assert "<mark>Tea</mark>" in shown and "&lt;i&gt;<mark>Tea</mark>" in shown and 'data-turn="2"' in shown
    assert "1 conversation<" in note and "a2" not in shown
    ((owner, wanted, limit),) = assistant.store.search.asked
    assert (owner, wanted.state, limit) == ("local", "interrupted", PAGE + 1) and wanted.since.startswith("2026-11-15")
    assert wanted.voice == "default" and listed(on, voice="alba")[0] == ""
    assert "Nothing found" in listed(on, "coffee")[1]
    listed(on, "x" * 900)
    assert len(assistant.store.search.asked[-1][1].words) == 200
    listed(on, state="nonsense")
    assert assistant.store.search.asked[-1][1] != Wanted()  # the plain list asks for no search


def test_the_filter_offers_the_voices_that_something_was_spoken_in(tmp_path: Path) -> None:
    assistant, on = finding()
    store = Store(tmp_path)
    voices = Voices(tmp_path, store.profiles)
    mine = kept(voices, "local", name="<b>Mine")
    assistant.studio = Studio(voices)
    assistant.store.rows = [
        Row("a1", "Tea", voices=("default", "alba")),
        Row("a2", "Gifts", voices=(f"profile:{mine.id}", "profile:gone")),
    ]
    offered = on.voices_heard("alba", ENGLISH)
    assert offered.value == "alba" and [words for words, _ in offered.choices] == [
        "Any voice", "The engine's own voice", "alba", "<b>Mine", "A voice that was deleted",
    ]  # fmt: skip
    assert on.voices_heard(f"profile:{'0' * 32}", ENGLISH).value == ANY
    assert on.voices_heard(None, CHINESE).choices[1][0] == "引擎預設的聲音"
    assert "Gifts" in listed(on, voice="profile:gone")[0] and "Tea" not in listed(on, voice="profile:gone")[0]
    store.close()


def history() -> tuple[FakeAssistant, HistoryEvents]:
    assistant, _ = finding()
    return assistant, HistoryEvents(assistant, owner_of, lambda: NOW)  # type: ignore[arg-type]


def test_an_opened_conversation_shows_its_escaped_title_and_lines() -> None:
    _, on = history()
    right, heading, past, *_ = on.opened("a3", SHOWN, "", ENGLISH)
    assert right.visible and "<img" not in heading and len(past) == len(TEA)
    with pytest.warns(UserWarning, match="not there any more"):
        assert not on.opened("someone else's", SHOWN, "", ENGLISH)[0].visible
    assert not on.opened(None, SHOWN, "", ENGLISH)[0].visible


def test_an_opened_conversation_shows_its_last_turns_or_from_the_one_that_was_found() -> None:
    _, on = history()
    *_, past, _, _, _, earlier, shown = on.opened("a1", 1, "rinse", ENGLISH)
    assert [("rinse" in message["content"]) for message in past] == [False, True] and earlier.visible and shown == 1
    assert "<mark>rinse</mark>" in past[1]["content"]
    *_, past, _, _, _, earlier, shown = on.opened("a1", -1, "", ENGLISH)
    assert len(past) == 4 and not earlier.visible and shown == SHOWN
    assert on.picked(event({"conversation": "a1", "turn": 7})) == ("a1", -7)
    assert on.picked(event({"conversation": "\ud800", "turn": math.nan})) == ("?", SHOWN)  # an answer must be text
    picked = on.open_picked("", ENGLISH, event({"conversation": "a1", "turn": 2}))
    assert picked[0] == "a1" and len(picked[3]) == 4
    for strange in ("x", None, {"turn": "9"}, {"turn": -4, "conversation": "a" * 999}):
        conversation, turns = on.picked(event(strange))
        assert len(conversation) <= 64 and turns == SHOWN


def test_below_each_turn_stands_what_it_took_and_who_served_it() -> None:
    rows = {turn.number: turn for turn in TURNS}
    user, reply, _, cut = [m["content"] for m in past_messages(TEA, rows, [], "en")]
    assert "av-facts" not in user and f'href="#fork-{TURNS[0].id}"' in reply and "Fork at turn 1" in reply
    assert "Hears: moonshine 96 ms" in reply and "&lt;b&gt;espeak 96 ms" in reply and "Turn end: 212 ms" in reply
    assert "heard to its end" in reply and reply.count("av-facts") == 1 and "interrupted" in cut


def test_the_voice_of_a_turn_is_named_where_it_was_not_the_engines_own() -> None:
    rows = {turn.number: replace(turn, voice=voice) for turn, voice in zip(TURNS, ("profile:1", "<alba>"), strict=True)}
    _, reply, _, cut = [m["content"] for m in past_messages(TEA, rows, [], "zh-TW", {"profile:1": "<b>Ann"})]
    assert "聲音：&lt;b&gt;Ann" in reply and "聲音：&lt;alba&gt;" in cut and "聽：moonshine 96 ms" in reply
    assert "A voice that was deleted" in past_messages(TEA, rows, [], "en")[1]["content"]
    own = past_messages(TEA, {turn.number: turn for turn in TURNS}, [], "en")
    assert all("Voice:" not in message["content"] for message in own)


def test_a_fork_is_asked_for_and_goes_on_in_talk_in_another_voice_and_quality() -> None:
    assistant, _ = finding()
    on = ForkEvents(assistant, owner_of)  # type: ignore[arg-type]
    assistant.store.chosen["a1"], assistant.store.qualities["local", "a1"] = "alba", "hq"
    row, question, turn, voice, quality = on.ask_fork(event({"turn": TURNS[1].id}), ENGLISH)
    assert row.visible and "turns 1 to 2" in question and turn == TURNS[1].id
    assert (voice.value, quality) == ("alba", "hq") and ("Voice: marius · Pocket TTS", "marius") in voice.choices
    chosen, tabs, chat, stage = on.fork(turn, "marius", "fast", {"conversation": "", "live": "L"}, ENGLISH)
    assert (chosen, tabs.selected, stage) == ("fork", "talk", {"conversation": "fork", "live": "L"}) and len(chat) == 4
    assert assistant.asked[-1] == ("fork", "local", turn, "marius", "fast")
    for attempt in (
        lambda: on.ask_fork(event({"turn": "no"}), ENGLISH),
        lambda: on.fork("no", "", "fast", {}, CHINESE),
        lambda: on.fork(turn, "", "best", {}, ENGLISH),
    ):
        with pytest.warns(UserWarning):
            attempt()
    assert len(assistant.store.rows) == 4


async def test_deleting_asks_with_the_title_and_empties_what_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assistant, on = history()
    said: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda words, title: said.append(words))
    row, question, name = on.ask_delete("a3", ENGLISH)
    assert name.visible is False  # one thing is asked at a time
    assert row.visible and "<img" not in question and "cannot be undone" in question
    stage, chat = await on.delete("a1", {"conversation": "a1", "live": ""}, ENGLISH)
    assert stage == {"conversation": "", "live": ""} and chat == []
    stage, chat = await on.delete("a2", {"conversation": "a2", "live": "L"}, ENGLISH)
    assert stage == gr.skip() and chat == []  # the socket tells which conversation it is in now
    assert said == [ENGLISH_WORDS["deleted"]]  # of a1; over the socket it says that a2 is deleted
    assert [r.id for r in assistant.store.rows] == ["a3"]
    with pytest.warns(UserWarning, match="not there any more"):
        await on.delete("a1", {}, ENGLISH)


def test_going_on_and_renaming_pass_the_owner() -> None:
    assistant, on = history()
    tabs, chat, stage = on.go_on("a1", {"conversation": "", "live": "L"}, ENGLISH)
    assert tabs.selected == "talk" and len(chat) == len(TEA) and stage == {"conversation": "a1", "live": "L"}
    name, deleting = on.ask_name("a1", ENGLISH)
    assert name.value == "Tea" and deleting.visible is False
    on.rename("a1", "Oolong", ENGLISH)
    for nothing in ("  ", None):
        on.rename("a2", nothing, ENGLISH)  # type: ignore[arg-type]
    assert [r.title for r in assistant.store.rows[:2]] == ["Oolong", ""]


def test_the_list_can_be_read_by_a_screen_reader() -> None:
    shown = found_list([(Row("a1", "Tea"), None)], "", [], "zh-TW", NOW)  # type: ignore[list-item]
    assert 'aria-label="對話，由新到舊"' in shown and '<button type="button"' in shown


def test_what_would_go_is_shown_first_and_only_that_goes() -> None:
    assistant, _ = finding()
    on = StorageEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert "3 conversations, 3.0 MB" in on.weighed(ENGLISH) and "Nothing would go" in on.planned(0, 0, ENGLISH)[0]
    shown, ids, button = on.planned(30, None, ENGLISH)
    assert (
        "2 conversations with 2.0 MB" in shown and "<img" not in shown and ids == {"a1": 3, "a3": 3} and button.visible
    )
    assert on.planned_all(ENGLISH)[1] == ids  # a2 is open
    on.clear({"a1": 3, "a2": 1, "a3": 2, "elsewhere": 1}, ENGLISH)  # a3 has gone on since it was shown
    assert [row.id for row in assistant.store.rows] == ["a2", "a3"]
    on.clear("nonsense", ENGLISH)
    assert len(assistant.store.rows) == 2


@pytest.mark.parametrize("limit", [math.inf, -math.inf, math.nan, 1e308, 1 << 70])
def test_limits_that_are_no_numbers_let_nothing_go(store: Store, limit: float) -> None:
    store.add_turn("local", store.create_conversation("local"), stores.typed())
    assistant = SimpleNamespace(store=store, in_use=lambda owner: set())
    on = StorageEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert "Nothing would go" in on.planned(limit, limit, ENGLISH)[0]


def test_everything_is_erased_only_when_the_word_was_typed() -> None:
    assistant, _ = finding()
    on = StorageEvents(assistant, owner_of)  # type: ignore[arg-type]
    for typed in ("", "yes", "ERAS"):
        with pytest.warns(UserWarning, match="Nothing was erased"):
            on.erase(typed, ENGLISH)
    assert not assistant.asked
    assert on.erase(" 清除 ", CHINESE) == "" and on.erase("ERASE", ENGLISH) == ""
    assert assistant.asked == [("erase", "local")] * 2
