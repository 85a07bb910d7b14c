"""The page without a browser: it builds, every sentence is there twice, nothing foreign becomes markup."""

import ast
import re
import string
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import pytest

from avatar.engines.hindrance import Hindrance
from avatar.errors import AudioError, AvatarError, ServerFull
from avatar.events import Notice
from avatar.store import Score
from avatar.turntaking.bargein import SENSITIVITIES
from avatar.turntaking.reasons import Reason, What
from avatar.ui import fragments, ladder, status, strings, talk
from avatar.ui.handlers import session_of
from avatar.ui.page import launch_options
from avatar.ui.persona import PersonaEvents
from avatar.ui.rating import RatingEvents, score_list
from avatar.ui.sayings import SayingsEvents
from avatar.ui.stage import SCRIPTS, overview, stage_script
from avatar.ui.talk import TalkEvents
from avatar.ui.voice import ReplyVoiceEvents
from avatar.ui.why import WhyEvents, reason_list
from avatar.weights.downloads import Downloads
from tests.page_fakes import (
    BROKEN,
    ESPEAK,
    ID,
    MOONSHINE,
    SMOLLM,
    TEA,
    WHISPER,
    FakeAssistant,
    Line,
    Rung,
    built,
    owner_of,
)

HOSTILE = """<img src="http://evil.test/x.png" onerror=alert(1)> ![x](http://evil.test/y.png) **b** $$z$$ &amp; 'q'"""
ENGLISH = gr.Request(headers={"accept-language": "en-GB,en;q=0.9"})
CHINESE = gr.Request(headers={"accept-language": "zh-HK,zh;q=0.9"})
STAGE = {"conversation": "c9", "live": ""}


def slots(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


# -- sentences --------------------------------------------------------------------------------------------------------


def test_both_languages_say_the_same_things() -> None:
    english, chinese = strings.ENGLISH, strings.CHINESE
    assert {k for k in english if not k.startswith("err_")} == {k for k in chinese if not k.startswith("err_")}
    for key in english.keys() & chinese.keys():
        if key != "turns_1":
            own = english[key] == "{sentence}"  # the engine's own words, which are English
            assert own or slots(english[key]) == slots(chinese[key]), key
    assert not [k for table in strings.STRINGS.values() for k, v in table.items() if "!" in v or "！" in v or not v]


def test_scripts_and_python_use_only_sentences_that_exist() -> None:
    scripts = "".join((fragments.ASSETS / n).read_text() for n in SCRIPTS)
    python = "".join(p.read_text() for p in Path(talk.__file__).parent.glob("*.py"))
    used = set(re.findall(r"\b(?:t|markup)\('(\w+)'", scripts)) | set(re.findall(r"\b(?:say|T)\(\"(\w+)\"", python))
    states = re.search(r"const GLYPH = \{(.*?)\};", scripts, re.S)
    assert states is not None
    used |= {f"st_{name}" for name in re.findall(r"(\w+): '", states[1])}
    assert len(used) > 80
    assert used <= strings.ENGLISH.keys()


@pytest.mark.parametrize(
    ("header", "table"),
    [("zh-TW,zh;q=0.9,en;q=0.8", "zh-TW"), ("zh-CN", "zh-TW"), ("en,zh", "en"), ("", "en"), (None, "en")],
)
def test_the_first_language_of_the_browser_counts(header: str | None, table: str) -> None:
    assert strings.language_of(header) == table


def test_a_failure_is_told_in_the_users_language_or_in_its_own_words() -> None:
    error = AudioError("This file has no sound.")
    assert strings.failure(error, "en") == "This file has no sound."
    assert "聲音" in strings.failure(error, "zh-TW")
    notice = Notice("STEPPED_DOWN", "The voice failed. Another takes over until it is back.")
    assert strings.failure(notice, "en") == notice.sentence
    assert "接手" in strings.failure(notice, "zh-TW")


def codes() -> set[str]:
    """Of every failure and notice that can reach the page: `code` of a class or a call, or what a call begins with."""
    found: set[str] = set()
    naming = {"Notice", "notice", "hang_up", "_error", "Refused"}
    for path in (fragments.ASSETS.parent / "avatar").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call):
                values = [k.value for k in node.keywords if k.arg == "code"]
                if getattr(node.func, "attr", getattr(node.func, "id", "")) in naming:
                    values += node.args[:1]
            elif isinstance(node, ast.ClassDef):
                names = (s for s in node.body if isinstance(s, ast.Assign) and ast.unparse(s.targets[0]) == "code")
                values = [statement.value for statement in names]
            if "bench" not in path.parts:
                constants = (x.value for value in values for x in ast.walk(value) if isinstance(x, ast.Constant))
                found |= {code for code in constants if isinstance(code, str) and re.fullmatch("[A-Z_]*[A-Z]", code)}
    return found - {"SETTINGS", "DOWNLOAD_STOPPED"}  # stops the start; the user's own wish


def test_every_code_has_a_chinese_sentence_and_every_sentence_a_code() -> None:
    """English ones come with the error itself; the table may say more."""
    sentences = {key.removeprefix("err_") for key in strings.CHINESE if key.startswith("err_")}
    assert sentences == codes()
    assert {key.removeprefix("err_") for key in strings.ENGLISH if key.startswith("err_")} <= sentences


async def test_a_notice_is_told_in_the_users_language(monkeypatch: pytest.MonkeyPatch) -> None:
    toasts: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda words, title: toasts.append(words))
    on = TalkEvents(FakeAssistant(), owner_of)  # type: ignore[arg-type]
    for request in (ENGLISH, CHINESE):
        async for _ in on.recorded("a.wav", STAGE, "r1", "auto", 100, request):
            pass
    assert toasts == ["That was a minute without a pause.", strings.CHINESE["err_TOO_LONG"]]


# -- nothing foreign becomes markup -----------------------------------------------------------------------------------


def test_what_people_say_is_never_markdown_or_html() -> None:
    shown = fragments.plain(HOSTILE)
    assert not set(shown) & set("<>!*[]()$\"'`_~|\\")
    assert fragments.plain("1. one\n    code\n# two") == "1&#46; one\ncode\n&#35; two"
    (message,) = fragments.messages([Line("user", HOSTILE)], "en")
    assert message == {"role": "user", "content": shown}


def test_below_a_reply_stand_play_bar_and_tag() -> None:
    user, _, _, cut = fragments.messages(TEA, "en")
    assert user["content"].count("<a ") == 1 and f'href="#play-{TEA[0].turn_id}-user"' in user["content"]
    assert "462 ms" in cut["content"] and "Interrupted after 2.1 s" in cut["content"]
    assert 'class="av-eot" style="width:14.1%"' in cut["content"]
    assert "2.1 秒後被打斷" in fragments.messages(TEA, "zh-TW")[3]["content"]


def test_a_finished_reply_can_be_copied_and_the_last_one_given_again() -> None:
    shown = [m["content"] for m in fragments.messages(TEA, "en", again=True)]
    assert ["#copy" in x for x in shown] == [False, True, False, True]
    assert ["#again" in x for x in shown] == [False, False, False, True] and "Answer again" in shown[3]
    assert "#again" not in fragments.messages(TEA, "en")[3]["content"]
    running = replace(TEA[3], over=False)
    assert "#copy" not in fragments.messages([running], "en", again=True)[0]["content"]
    unheard = fragments.messages([replace(TEA[3], text="")], "zh-TW", again=True)[0]["content"]
    assert "#copy" not in unheard and "重新回答" in unheard


def test_a_reply_that_was_heard_can_be_rated_and_the_newest_at_once() -> None:
    shown = [m["content"] for m in fragments.messages([*TEA[:3], replace(TEA[3], rating=7)], "en", again=True)]
    assert ["av-rate" in x for x in shown] == [False, True, False, True]
    assert ['<details class="av-rate" open>' in x for x in shown] == [False, False, False, True]
    assert [shown[1].count(f'#rate-{ID}-{n}"') for n in range(12)] == [0, *[1] * 10, 0]
    assert "Sound 7/10" in shown[3] and f'<a class="on" href="#rate-{ID}-0" title="7 of 10, chosen' in shown[3]
    assert f'<a class="to" href="#rate-{ID}-6"' in shown[3] and f'<a class="" href="#rate-{ID}-8"' in shown[3]
    assert "為聲音評分" in fragments.messages(TEA, "zh-TW")[1]["content"]
    for silent in (replace(TEA[1], turn_id=None), replace(TEA[1], over=False), replace(TEA[1], turn_id='"><script>')):
        assert "av-rate" not in fragments.messages([silent], "en", again=True)[0]["content"]


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


def test_a_mean_never_stands_without_its_n() -> None:
    shown = score_list([Score("<b>", "alba", 7.75, 4), Score("eSpeak NG", "default", 3.0, 1)], "en")
    assert "&lt;b&gt;, alba" in shown and "7.8 of 10 (n = 4)" in shown
    assert "eSpeak NG, the engine&#x27;s own voice" in shown and "3.0 of 10 (n = 1)" in shown
    assert strings.ENGLISH["scores_none"] in score_list([], "en")
    assert "還沒有評分" in score_list([], "zh-TW")


def test_an_id_that_is_none_is_no_link() -> None:
    (message,) = fragments.messages([Line("user", "x", '"><script>', 1)], "en")
    assert message["content"] == "x"


@pytest.mark.parametrize(
    "markup",
    [
        fragments.rung(HOSTILE, HOSTILE, "warming", HOSTILE, True, 0.5),
        fragments.figure(HOSTILE, HOSTILE, HOSTILE),
        fragments.meter(0.5, HOSTILE),
        ladder.ladder(
            "stt",
            [Rung("stt", HOSTILE, HOSTILE, "failed", hindrance=Hindrance("FAILED", HOSTILE))],
            Downloads(Path("/x")),
            "en",
        ),
    ],
)
def test_fragments_escape_names(markup: str) -> None:
    assert "<img" not in markup and "'q'" not in markup and '"http' not in markup


# -- the blocks -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def blocks() -> gr.Blocks:
    return built(FakeAssistant())


def test_turns_share_five_slots_and_nothing_is_public(blocks: gr.Blocks) -> None:
    events = [fn for fn in blocks.fns.values() if fn.fn is not None]
    turns = {fn.fn.__name__: fn.concurrency_limit for fn in events if fn.concurrency_id == "turns"}
    assert turns == {
        "typed": 5,
        "recorded": 5,
        "again": 5,
    }  # "follow" only shows what runs over a socket, which holds a seat
    assert all(fn.concurrency_limit is None for fn in events if fn.concurrency_id != "turns" and fn.queue)
    assert {fn.api_visibility for fn in blocks.fns.values()} == {"private"}


def test_no_two_handlers_share_a_name(blocks: gr.Blocks) -> None:
    """The tests of the real app find an event by the name of its handler."""
    handlers = {fn.fn.__qualname__ for fn in blocks.fns.values() if hasattr(fn.fn, "__self__")}
    assert len(handlers) > 10 and len({name.rpartition(".")[2] for name in handlers}) == len(handlers)


def test_components_keep_their_accessible_names(blocks: gr.Blocks) -> None:
    named = (gr.Textbox, gr.Chatbot, gr.Audio, gr.Radio, gr.Dropdown, gr.Slider, gr.Checkbox)
    nameless = [b for b in blocks.blocks.values() if isinstance(b, named) and not b.label and b.visible]
    assert not nameless
    assert [b.id for b in blocks.blocks.values() if isinstance(b, gr.Tab)] == ["talk", "history", "status"]


def test_nothing_of_the_page_comes_from_another_host() -> None:
    texts = [p.read_text(encoding="utf-8") for p in fragments.ASSETS.iterdir() if p.suffix in (".css", ".js", ".svg")]
    assert len(texts) >= 7
    found = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+", "".join(texts)))
    assert found == {"http://www.w3.org"}  # the namespace of SVG, which nobody fetches
    options = launch_options()
    assert options["run_history"] is False and not options["theme"]._stylesheets


def test_the_script_carries_the_worklets_as_text() -> None:
    script = stage_script()
    assert script.startswith('const WORKLETS = "') and "registerProcessor('avatar-player'" in script.splitlines()[0]


# -- Talk -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [None, "x", [], {"live": 3, "conversation": ["a"]}, {"live": "x" * 65}])
def test_a_stage_value_that_makes_no_sense_is_no_session(value: object) -> None:
    assert session_of(value) == ("", "")


async def test_typed_text_leaves_the_box_when_the_turn_has_begun() -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    steps = [step async for step in on.typed("How long?", STAGE, "t1", "auto", 100, ENGLISH)]
    assert assistant.asked == [("typed", "local", "c9", "How long?", "t1", "auto", 100)]
    assert [step[0] for step in steps][0] == "" and steps[1][0] != ""  # afterwards the box is the user's again
    assert steps[-1][1] == "t1" and steps[-1][3] == {"conversation": "c1", "live": ""}
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
    assert [step async for step in on.typed("  ", STAGE, "t2", "auto", 100, ENGLISH)] == []


async def test_the_last_words_are_answered_again_with_and_without_a_socket() -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    steps = [step async for step in on.again(STAGE, "zh", 120, ENGLISH)]
    assert assistant.asked == [("typed", "local", "c9", None, "", "zh", 120)]
    assert steps[-1][1] == {"conversation": "c1", "live": ""} and "#again" in steps[-1][0][-1]["content"]
    assert [step async for step in on.again({"conversation": "c9", "live": "L"}, "zh", 120, ENGLISH)] == []
    assert assistant.asked[1:] == [("again", "local", "L")]
    assistant.trouble = AvatarError("There is no answer to give again.", code="NOT_FOUND")
    for stage in (STAGE, {"conversation": "", "live": "L"}):
        with pytest.warns(UserWarning, match="not there any more"):
            assert [step async for step in on.again(stage, "auto", 100, ENGLISH)] == []


async def test_a_recording_stays_when_its_turn_fails(tmp_path: Path) -> None:
    assistant = FakeAssistant()
    on = TalkEvents(assistant, owner_of)  # type: ignore[arg-type]
    done = [step async for step in on.recorded(str(tmp_path / "a.webm"), STAGE, "t1", "zh", 100, ENGLISH)]
    assert done[-1][0] is None and assistant.asked == [("recorded", "local", "c9", ".webm", "t1", "zh", 100)]
    assistant.trouble = AudioError("This file has no sound I can read.")
    with pytest.warns(UserWarning, match="no sound I can read"):
        assert [step async for step in on.recorded("a.wav", STAGE, "t1", "zh", 100, ENGLISH)] == []
    assert [step async for step in on.recorded(None, STAGE, "t1", "zh", 100, ENGLISH)] == []


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


# -- why it answered or stopped ---------------------------------------------------------------------------------------


def rules() -> set[str]:
    """Of every decision: the last string of an Ending's rule, a Judgement, a Decision; and how a turn is ended."""
    found: set[str] = set()
    for name in ("turntaking/endpointing.py", "turntaking/bargein.py", "hearing.py"):
        source = (Path(talk.__file__).parents[1] / name).read_text(encoding="utf-8")
        found |= set(
            re.findall(
                r'(?:Ending\.\w+\)?, |ALONE, |Judgement\([^()]*, |_finish\(|_reason\("\w+", |False, )"([a-z ]+)"',
                source,
            )
        )
    return found


def test_every_rule_has_a_sentence_and_every_sentence_a_rule() -> None:
    named = {"rule_" + rule.replace(" ", "_") for rule in rules()}
    assert len(named) > 15 and named == {key for key in strings.ENGLISH if key.startswith("rule_")}
    for words in (
        *(f"why_{what}" for what in get_args(What)),
        *(f"bargein_{wish}" for wish in SENSITIVITIES),
    ):
        assert words in strings.ENGLISH


def test_a_decision_is_told_with_its_rule_and_its_probability() -> None:
    sure = Reason(9.0, "answer", "closed", 240, 0.934, 0.5)
    never = Reason(8.0, "wait", "open word", 1300, 0.9, 1.01)
    echo = Reason(7.0, "kept", "echo", 480, 0.71, 0.62)
    hum = Reason(6.0, "kept", "listening noise", 1480)
    shown = reason_list([(0.6, sure), (2.0, never), (4.0, echo), (61.0, hum)], "en")
    assert (
        "Answered after 240 ms of silence" in shown and "a whole sentence · sounds finished 93 %, needs 50 %" in shown
    )
    assert "sounds finished 90 %, which is not enough here" in shown
    assert "its own echo · like the reply itself 71 %, limit 62 %" in shown
    assert "<span>a listening noise</span><em>61 s ago</em>" in shown and "1,480 ms" in shown
    assert "聽起來說完了 93 %" in reason_list([(1, sure)], "zh-TW")
    assert "Nothing is decided yet" in reason_list([], "en")


async def test_only_the_owner_of_a_session_reads_its_decisions() -> None:
    assistant = FakeAssistant()
    assistant.why = [(1.0, Reason(9.0, "patience", "number", 1300, 0.4, 0.9))]
    seen = await WhyEvents(assistant, owner_of).reasons({"conversation": "", "live": "L"}, ENGLISH)  # type: ignore[arg-type]
    assert "patience ran out" in seen
    for owner, live in (("eve", "L"), ("local", "M"), ("local", "")):
        other = WhyEvents(assistant, lambda request, owner=owner: owner)  # type: ignore[arg-type, misc]
        assert "Nothing is decided yet" in await other.reasons({"conversation": "", "live": live}, ENGLISH)


# -- voice ------------------------------------------------------------------------------------------------------------


async def test_the_voices_are_those_that_can_be_chosen_and_the_one_that_is() -> None:
    assistant = FakeAssistant()
    on = ReplyVoiceEvents(assistant, owner_of)  # type: ignore[arg-type]
    shown = on.voices(STAGE, ENGLISH)
    assert [value for _, value in shown.choices] == ["", "alba", "marius"] and shown.value == ""
    assert shown.choices[1][0] == "Voice: alba · Pocket TTS"
    assert await on.choose_voice("alba", STAGE, ENGLISH) == STAGE
    assert await on.choose_voice("alba", {"conversation": "c9", "live": "L"}, ENGLISH) == gr.skip()
    assert assistant.asked == [("voice", "local", "c9", "", "alba"), ("voice", "local", "c9", "L", "alba")]
    assert on.voices(STAGE, ENGLISH).value == "alba" and on.voices({}, ENGLISH).value == ""
    assert (await on.choose_voice("marius", {}, ENGLISH)) == {"conversation": "c1", "live": ""}


async def test_a_voice_whose_engine_is_gone_stays_chosen_and_says_so() -> None:
    assistant = FakeAssistant()
    assistant.store.chosen["c9"], assistant.voices.choices = "alba", []
    on = ReplyVoiceEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert on.voices(STAGE, CHINESE).choices[-1] == ("聲音：alba，目前無法使用", "alba")
    assistant.trouble = AvatarError("This voice is not here now. Choose another one.", code="NO_VOICE")
    with pytest.warns(UserWarning, match="not here now"):
        assert await on.choose_voice("marius", STAGE, ENGLISH) == gr.skip()
    assert on.voices(STAGE, ENGLISH).value == "alba"


# -- persona ----------------------------------------------------------------------------------------------------------


async def test_a_persona_is_kept_for_the_conversation_that_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    toasts: list[str] = []
    monkeypatch.setattr(gr, "Info", lambda words, title: toasts.append(words))
    assistant = FakeAssistant()
    on = PersonaEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert await on.keep_persona("A pirate.", STAGE, ENGLISH) == STAGE
    assert assistant.asked == [("persona", "local", "c9", "", "A pirate.")]
    assert on.persona(STAGE, "", ENGLISH) == ("A pirate.", "c9") and on.persona({}, "c9", ENGLISH) == ("", "")
    assert on.persona(STAGE, "c9", ENGLISH) == (gr.skip(), gr.skip())  # it may be changed just now
    assert on.persona({"conversation": "c8"}, "", ENGLISH) == (gr.skip(), "c8")
    other = PersonaEvents(assistant, lambda request: "eve")  # type: ignore[arg-type]
    assert other.persona(STAGE, "c8", ENGLISH) == ("", "c9")
    assert await on.keep_persona("A pirate.", {}, ENGLISH) == {"conversation": "c1", "live": ""}
    assert await on.keep_persona("A pirate.", {"conversation": "c9", "live": "L"}, CHINESE) == gr.skip()
    assert toasts[0] == strings.ENGLISH["persona_saved"] and toasts[2] == strings.CHINESE["persona_saved"]
    assistant.trouble = AvatarError("At most 400 characters fit.", code="PERSONA_LONG")
    with pytest.warns(UserWarning, match="400 characters"):
        assert await on.keep_persona("x" * 401, STAGE, ENGLISH) == gr.skip()
    assert len(toasts) == 3


# -- how words are said -----------------------------------------------------------------------------------------------


def test_a_word_is_saved_listed_changed_and_deleted() -> None:
    assistant = FakeAssistant()
    on = SayingsEvents(assistant, owner_of)  # type: ignore[arg-type]
    assert not on.taught(ENGLISH)[0].visible and not on.choose("GIF", ENGLISH)[2].visible
    written, spoken, rows, delete = on.teach("GIF", "jif", ENGLISH)
    assert (written, spoken) == ("", "") and assistant.asked == [("say_as", "local", "GIF", "jif")]
    assert rows.visible and rows.choices == [("GIF is said as jif", "GIF")] and not delete.visible
    assert on.taught(CHINESE)[0].choices == [("GIF 唸成 jif", "GIF")]
    assert on.choose("GIF", ENGLISH)[:2] == ("GIF", "jif") and on.choose("GIF", ENGLISH)[2].visible
    assert not on.forget("GIF", ENGLISH)[0].visible and assistant.store.sayings.kept == {}
    with pytest.warns(UserWarning, match="not there any more"):
        on.forget("GIF", ENGLISH)


def test_a_word_that_is_refused_stays_in_its_boxes() -> None:
    assistant = FakeAssistant()
    assistant.trouble = AvatarError("Both sides need a letter or a digit.", code="SAYING_EMPTY")
    on = SayingsEvents(assistant, owner_of)  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="need a letter"):
        assert on.teach("GIF", "", ENGLISH) == (gr.skip(), gr.skip(), gr.skip(), gr.skip())
    with pytest.warns(UserWarning, match="兩格都填寫"):
        on.teach("GIF", "", CHINESE)


CAUSES = [
    (Hindrance("PACKAGE", "", {"package": "faster_whisper"}), "faster_whisper"),
    (Hindrance("PACKAGE_GET", "", {"package": "pocket_tts", "install": "make voice"}), "make voice"),
    (Hindrance("SETTING", "", {"setting": "AVATAR_LLM_URL"}), "AVATAR_LLM_URL"),
    (WHISPER.hindrance, "python -m avatar.weights fetch whisper-base"),
    (Hindrance("WEIGHTS_NEVER", "", {"weights": "a, b", "mb": "9", "first": "a"}), "avatar.weights fetch a"),
]


@pytest.mark.parametrize(("cause", "names"), CAUSES)
def test_why_a_rung_is_not_there_names_what_to_get_in_both_languages(cause: Any, names: str) -> None:
    for language in ("en", "zh-TW"):
        words = ladder.rung_note(replace(WHISPER, hindrance=cause), language)  # type: ignore[arg-type]
        assert (
            names in words
            and "{" not in words
            and (re.search("[\u4e00-\u9fff]", words) is not None) == (language != "en")
        )
    assert strings.hindrance(SMOLLM, "zh-TW") == ""  # type: ignore[arg-type]


def test_why_a_rung_failed_is_its_own_sentence_in_english_and_its_code_in_chinese() -> None:
    failed: Any = replace(WHISPER, state="failed", hindrance=BROKEN, again_s=240.0)
    assert ladder.rung_note(failed, "en") == "Out of memory. Trying again in 4 min."
    assert ladder.rung_note(failed, "zh-TW") == (
        "faster-whisper base 出了差錯（ENGINE_FAILED），細節在紀錄檔裡。4 分鐘後會自動再試。"
    )
    for code in ("FAILED_MEMORY", "FAILED_TIMEOUT", "FAILED_NETWORK", "RESTING", "NO_ROOM"):
        words = ladder.rung_note(replace(failed, hindrance=replace(BROKEN, code=code), again_s=0), "zh-TW")
        assert "Out of memory" not in words and words.endswith("。")


# -- Status -----------------------------------------------------------------------------------------------------------


def test_rungs_say_what_they_can_and_why_they_cannot() -> None:
    warming = Rung("llm", "q", "Qwen", "warming", 0.43, languages=("zh", "en"), clones=False)
    rungs: Any = [replace(warming, state="failed", hindrance=BROKEN), warming, SMOLLM]
    card = ladder.ladder("llm", rungs, Downloads(Path("/nowhere")), "en")
    assert "Cannot run" in card and "Out of memory." in card and "Warming 43 %" in card and 'aria-valuenow="43"' in card
    assert "中文 · English · 150 MiB · MIT" in card and "demo model" in card and "Serving" in card
    assert ladder.rung_note(ESPEAK, "zh-TW").startswith("100+ 種語言")
    assert ladder.rung_word(replace(warming, fraction=None), "en") == "Warming"
    assert "no voice cloning" in ladder.rung_note(ESPEAK, "en") and "cloning" not in card
    pocket = replace(ESPEAK, languages=("en",), clones=True, voices=("alba", "marius"))
    assert ladder.rung_note(pocket, "en").startswith("English · 2 voices · clones voices · ")
    whisper = replace(MOONSHINE, slower=True)
    assert "clear English stays with the faster rung below" in ladder.rung_note(whisper, "en")
    assert "清楚的英語仍由下一級聽" in ladder.rung_note(whisper, "zh-TW")


def test_figures_compare_with_their_goals() -> None:
    seen = status.figures((3, 5), {"p50": 462.4, "p95": 1081}, (1.25, 8), False, "en")
    assert (
        "462 <small>ms" in seen and "goal 500" in seen and "181 over goal 900" in seen and seen.count('class="on"') == 3
    )
    assert "16 percent" in seen and "no GPU found" in seen
    assert "after the first turn" in status.figures((0, 5), {}, (20, 24), True, "en")


def test_plots_wait_for_the_first_turn() -> None:
    assert not status.parts_plot({}, "en").visible and not status.turns_plot([], "en").visible
    plot: Any = status.parts_plot({"stt": {"p50": 96.4, "p95": 168, "n": 9}}, "zh-TW")
    assert plot.visible and plot.color_map["聽"] == status.SHADES["stt"]
    assert status.turns_plot([400, 1700], "en").y_lim == [0, 1700]
