"""The page's sentences: each is there in both languages, and each code and rule has one."""

import ast
import re
import string
from pathlib import Path
from typing import get_args

import gradio as gr
import pytest
from page_fakes import CHINESE, ENGLISH, STAGE, FakeAssistant, owner_of

from avatar.engines.catalog import CATALOG
from avatar.errors import AudioError
from avatar.events import Notice
from avatar.turntaking.bargein import SENSITIVITIES
from avatar.turntaking.reasons import What
from avatar.ui import fragments, strings, talk
from avatar.ui.stage import SCRIPTS
from avatar.ui.talk import TalkEvents
from avatar.ui.words import status


def slots(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def test_both_languages_say_the_same_things() -> None:
    english, chinese = strings.ENGLISH, strings.CHINESE
    assert {k for k in english if not k.startswith("err_")} == {k for k in chinese if not k.startswith("err_")}
    for key in english.keys() & chinese.keys():
        if not key.endswith("_1"):
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


def test_every_licence_is_told_in_chinese_or_is_a_name() -> None:
    worded = {row.licence for row in CATALOG if " " in row.licence}
    assert worded == status.LICENCES.keys()
    assert strings.licence("MIT", "zh-TW") == "MIT"
    for words in worded:
        assert strings.licence(words, "en") == words and re.search("[\u4e00-\u9fff]", strings.licence(words, "zh-TW"))


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


def test_one_thing_is_told_as_one() -> None:
    assert strings.counted("kept_now", "en", 1, mb="0.1") == "1 conversation, 0.1 MB of recordings."
    assert strings.counted("kept_now", "en", 2, mb="0.1") == "2 conversations, 0.1 MB of recordings."
    assert strings.counted("fork_ask", "zh-TW", 1) == strings.say("fork_ask_1", "zh-TW")
