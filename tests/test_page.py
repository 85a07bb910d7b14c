"""The page's blocks without a browser: what is queued, named, and loaded from where."""

import re

import gradio as gr
import pytest
from page_fakes import FakeAssistant
from page_server import built

from avatar.ui import fragments
from avatar.ui.page import launch_options
from avatar.ui.stage import stage_script
from avatar.ui.strings import ENGLISH
from avatar.ui.theme import STYLES


@pytest.fixture(scope="module")
def blocks() -> gr.Blocks:
    """With every tab; the Voices tab asks its studio nothing while it is laid out."""
    assistant = FakeAssistant()
    assistant.studio = assistant.previews = object()
    return built(assistant)


def test_turns_share_five_slots_and_nothing_is_public(blocks: gr.Blocks) -> None:
    events = [fn for fn in blocks.fns.values() if fn.fn is not None]
    turns = {fn.fn.__name__: fn.concurrency_limit for fn in events if fn.concurrency_id == "turns"}
    assert turns == {
        "typed": 5,
        "recorded": 5,
        "again": 5,
    }  # "follow" only shows what runs over a socket, which holds a seat
    others = {(fn.concurrency_id, fn.concurrency_limit) for fn in events if fn.concurrency_id != "turns" and fn.queue}
    assert {limited for limited in others if limited[1] is not None} == {("studio", 2)}  # recordings that are judged
    assert {fn.api_visibility for fn in blocks.fns.values()} == {"private"}


def test_no_two_handlers_share_a_name(blocks: gr.Blocks) -> None:
    """The tests of the real app find an event by the name of its handler."""
    handlers = {fn.fn.__qualname__ for fn in blocks.fns.values() if hasattr(fn.fn, "__self__")}
    assert len(handlers) > 10 and len({name.rpartition(".")[2] for name in handlers}) == len(handlers)


def test_components_keep_their_accessible_names(blocks: gr.Blocks) -> None:
    named = (gr.Textbox, gr.Chatbot, gr.Audio, gr.Radio, gr.Dropdown, gr.Slider, gr.Checkbox)
    nameless = [b for b in blocks.blocks.values() if isinstance(b, named) and not b.label and b.visible]
    assert not nameless
    assert [b.id for b in blocks.blocks.values() if isinstance(b, gr.Tab)] == ["talk", "voices", "history", "status"]


def test_no_value_is_a_key_of_the_translations(blocks: gr.Blocks) -> None:
    """Gradio translates a value of that name where its tables come before the component's own script."""
    chosen = [str(value) for b in blocks.blocks.values() for _, value in getattr(b, "choices", None) or ()]
    values = [b.value for b in blocks.blocks.values() if isinstance(getattr(b, "value", None), str)] + chosen
    assert {"auto", "normal", "interrupted"} <= set(values)
    assert set(values).isdisjoint(ENGLISH)


def test_what_needs_the_stage_waits_for_it(blocks: gr.Blocks) -> None:
    """Its script may be the last that comes; the head comes before every part of the page."""
    scripts = [fn.js for fn in blocks.fns.values() if isinstance(fn.js, str)]
    assert len([js for js in scripts if "await window.avatarStage" in js]) >= 6
    assert not [js for js in scripts if "avatarUI" in js]
    head = launch_options()["head"]
    assert "window.avatarStage = new Promise" in head and head.count("<script>") == head.count("</script>") == 1
    assert stage_script().rstrip().endswith("window.avatarStaged(ui);")


def test_the_stage_knows_the_settings_that_the_controls_show(blocks: gr.Blocks) -> None:
    (load,) = [fn for fn in blocks.fns.values() if fn.js and "recall()" in fn.js]
    (stage,) = [b for b in blocks.blocks.values() if b.elem_id == "live"]
    settings = stage.props["settings"]
    assert list(settings["usual"]) == list(settings["fits"])
    assert list(settings["usual"].values()) == [control.value for control in load.outputs]


def test_the_colours_are_there_before_the_sheets() -> None:
    theme = launch_options()["theme"]
    assert theme._get_computed_value("body_background_fill") == "var(--av-bg, #f6f5f1)"
    assert theme._get_computed_value("body_background_fill_dark") == "var(--av-bg, #121214)"


def test_nothing_of_the_page_comes_from_another_host() -> None:
    texts = [p.read_text(encoding="utf-8") for p in fragments.ASSETS.iterdir() if p.suffix in (".css", ".js", ".svg")]
    assert len(texts) >= 7
    found = set(re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]+", "".join(texts)))
    assert found == {"http://www.w3.org"}  # the namespace of SVG, which nobody fetches
    options = launch_options()
    assert options["run_history"] is False and not options["theme"]._stylesheets


def test_every_style_sheet_reaches_the_page() -> None:
    assert sorted([*STYLES, "outside.css", "login.css"]) == sorted(path.name for path in fragments.ASSETS.glob("*.css"))
    assert "#av-pill" in launch_options()["head"]
    assert [path.name for path in launch_options()["css_paths"]] == [*STYLES]


def test_the_script_carries_the_worklets_as_text() -> None:
    script = stage_script()
    assert script.startswith('const WORKLETS = "') and "registerProcessor('avatar-player'" in script.splitlines()[0]
