"""A page whose parts come late: over Wi-Fi, through a tunnel or on a busy machine they come in any order."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager

from page_rows import Row
from page_site import IN_A_BROWSER, Open, Site
from playwright.sync_api import Route, expect

from avatar.ui.strings import ENGLISH

pytestmark = IN_A_BROWSER
STAGE = re.compile("/assets/HTML-")  # the script of the stage's component
CHAT = re.compile("/assets/markdown-code-")  # of the conversation's: the page is whole only when it has come
LOOK = re.compile("/gradio_api/component_server")  # the seats and the engines
KEPT = {"language": "en", "patience_ms": 1500, "captions": False}
KEEP = f"localStorage.setItem('avatar.settings', JSON.stringify({json.dumps(KEPT)}));"
ONCE = "if (!sessionStorage.getItem('once')) {{ sessionStorage.setItem('once', '1'); {} }}"
CONVERSATION = "sessionStorage.setItem('avatar.conversation', 'c1');"


@contextmanager
def late(s: Site, part: re.Pattern[str]) -> Iterator[None]:
    """The page loaded again; inside, the `part` has not come yet. Blocks until it was asked for."""
    held: list[Route] = []
    here = False
    s.page.route(part, lambda route: route.continue_() if here else held.append(route))
    s.page.reload(wait_until="commit")
    s.until(lambda: held)
    yield
    here = True
    for route in held:
        route.continue_()


def opened(site: Open, keep: str = "") -> Site:
    site.assistant.store.rows = [Row("c1", "Tea")]
    s = site(ONCE.format(keep + CONVERSATION))
    s.answered()
    return s


def change_duplex(s: Site) -> None:
    s.page.locator(".sidebar .toggle-button").click()
    s.page.locator(".sidebar input[type=checkbox]").first.check()


def kept(s: Site) -> dict[str, object]:
    return dict(s.page.evaluate("JSON.parse(localStorage.getItem('avatar.settings'))"))


def test_what_is_typed_before_the_stage_is_there_is_answered(site: Open) -> None:
    s = opened(site, KEEP)
    with late(s, STAGE):
        box = s.page.locator("#type textarea, #type input")
        box.fill("And now?")
        box.press("Enter")
        s.answered()
        assert not s.assistant.asked
    s.until(lambda: s.assistant.asked)
    s.answered()
    assert [(asked[0], asked[2], asked[3], asked[5]) for asked in s.assistant.asked] == [
        ("typed", "c1", "And now?", "en")
    ]
    expect(box).to_have_value("")
    assert not s.errors


def test_a_setting_that_is_changed_before_the_stage_is_there_is_told_and_kept(site: Open) -> None:
    s = opened(site, KEEP)
    with late(s, STAGE):
        change_duplex(s)
    s.wait("window.avatarUI?.engines")
    s.answered()
    assert kept(s) == {**KEPT, "half_duplex": True}
    expect(s.page.locator(".sidebar input[type=checkbox]").first).to_be_checked()
    s.start()
    hello = s.socket.said("hello")[-1]
    assert (hello["language"], hello["patience_ms"], hello["half_duplex"]) == ("en", 1500, True)


def test_who_starts_or_changes_a_setting_before_the_page_is_whole_has_the_settings_that_were_kept(site: Open) -> None:
    s = opened(site, KEEP)
    s.assistant.live = s.assistant.past  # the conversation that goes on
    with late(s, CHAT):
        s.start()
        hello = s.socket.said("hello")[-1]
        assert (hello["language"], hello["patience_ms"], hello["half_duplex"]) == ("en", 1500, False)
        expect(s.page.locator(".av-stage")).to_have_class(re.compile("nocaps"))
        change_duplex(s)
        s.until(lambda: s.socket.said("settings"))
        told = s.socket.said("settings")[-1]
        assert (told["language"], told["patience_ms"], told["half_duplex"]) == ("en", 1500, True)
        assert kept(s) == {**KEPT, "half_duplex": True}
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    s.answered()
    expect(s.page.get_by_label(ENGLISH["lang"], exact=True)).to_have_value("English")
    assert kept(s) == {**KEPT, "half_duplex": True}
    assert len(s.socket.said("settings")) == 1


def test_the_conversation_is_shown_though_the_engines_are_not_known_yet(site: Open) -> None:
    s = opened(site)
    with late(s, LOOK):
        expect(s.page.locator("#chat")).to_contain_text("rinse them first")
        assert not s.page.evaluate("!!window.avatarUI?.engines")
    s.wait("window.avatarUI.engines")


FIND = """async () => {
  for (const { name } of performance.getEntriesByType('resource')) {
    if (/assets.Index.*js$/.test(name) && (await (await fetch(name)).text()).includes('submit-button')) return name;
  }
}"""


def test_what_was_typed_before_a_restart_waits_for_the_text_box_and_gives_way_to_what_is_typed(site: Open) -> None:
    away = json.dumps({"live": False, "tab": 0, "typed": "and how long", "unanswered": False})
    keep = f"sessionStorage.setItem('avatar.away', {json.dumps(away)})"
    s = opened(site)
    box = s.page.locator("#type textarea, #type input")
    s.page.evaluate(keep)
    with late(s, re.compile(re.escape(s.page.evaluate(FIND)))):
        s.wait("window.avatarUI?.engines")
        expect(s.page.locator(".av-hint")).to_have_text(ENGLISH["back_again"])
        expect(box).to_have_count(0)
    expect(box).to_have_value("and how long")
    s.answered()
    s.page.evaluate(keep)
    with late(s, LOOK):
        box.fill("tea?")
    s.wait("window.avatarUI?.engines")
    expect(s.page.locator(".av-hint")).to_have_text(ENGLISH["back_again"])
    s.answered()
    expect(box).to_have_value("tea?")


def test_a_page_that_was_to_be_dark_is_so_before_its_parts_are_there(site: Open) -> None:
    s = opened(site, "localStorage.setItem('avatar-look', 'dark');")
    with late(s, STAGE):
        s.wait("document.querySelector('[role=tab]') && document.body.classList.contains('dark')")
        expect(s.page.locator("select.av-look")).to_have_count(0)
    expect(s.page.locator("select.av-look")).to_have_value("dark")
