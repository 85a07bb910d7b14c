"""The page by keyboard and for a screen reader, in a browser."""

from typing import Any

import pytest
from page_fakes import FakeAssistant, with_an_hq_voice
from page_rows import TEA, Row
from page_site import IN_A_BROWSER, Open, Site
from playwright.sync_api import expect

from avatar.ui.strings import CHINESE, ENGLISH

pytestmark = IN_A_BROWSER


@pytest.fixture
def assistant() -> FakeAssistant:
    return with_an_hq_voice()


FOCUS = """() => {
  const e = document.activeElement, ringed = n => n && getComputedStyle(n).outlineStyle === 'solid'
    && parseFloat(getComputedStyle(n).outlineWidth) >= 3;
  const place = ['.av-mute', '.av-main', '.av-end', '#voice', '#quality', '#chat', '#type', '[role=tab]']
    .find(name => e.closest(name)) ?? '';
  return [place, ringed(e) || ringed(e.closest('label')) || ringed(e.closest('#type')), e.outerHTML.slice(0, 90)];
}"""


IN_SIGHT = """() => { const r = document.activeElement.getBoundingClientRect();
  return r.right > 0 && r.left < innerWidth; }"""


def test_tab_goes_through_the_page_in_order_and_is_seen_everywhere(site: Open) -> None:
    s = site()
    s.assistant.live = TEA[:2]
    s.start()
    s.speak(1, 9)
    expect(s.page.locator("#chat a").first).to_be_visible()
    s.answered()  # nothing is drawn anew under the focus
    s.page.locator("[role=tab]").first.focus()
    s.page.keyboard.press("Shift+Tab")
    order: list[str] = []
    for _ in range(40):
        s.page.keyboard.press("Tab")
        place, ringed, markup = s.page.evaluate(FOCUS)
        assert ringed, markup
        assert s.page.evaluate(IN_SIGHT), markup  # nothing in the closed sidebar
        if place and (not order or order[-1] != place):
            order.append(place)
        if place == "#type":
            break
    assert order == ["[role=tab]", ".av-mute", ".av-main", ".av-end", "#voice", "#quality", "#chat", "#type"]


def test_escape_only_interrupts_and_space_is_ignored_where_it_means_something_else(site: Open) -> None:
    s = site()
    s.start()
    s.page.keyboard.press("Escape")
    s.page.wait_for_timeout(200)
    assert s.page.evaluate("avatarUI.state") == "listening" and not s.socket.said("interrupt")
    s.socket.send("state", state="thinking", patience_ms=900)
    s.wait("avatarUI.state === 'thinking'")
    s.page.keyboard.press("Escape")
    s.until(lambda: s.socket.said("interrupt"))
    s.page.locator("#type textarea").press("Space")
    s.tab(1)
    s.page.mouse.click(5, 500)  # beside every control
    s.page.keyboard.press("Space")
    s.page.wait_for_timeout(200)
    assert not s.socket.said("hold")


def test_of_a_toast_only_its_close_is_reached_and_its_sentence_stays(site: Open) -> None:
    s = site()
    s.start()
    s.socket.send("notice", code="NEWS", text="Something that is good to know.")
    sentence = s.page.locator(".toast-body").get_by_text("Something that is good to know.")
    expect(sentence).to_be_visible()
    within = ".toast-body :is(button, [tabindex], [role=button])"
    assert s.page.locator(within).evaluate_all("all => all.map(e => e.ariaLabel)") == [ENGLISH["close"]]
    s.page.locator(".toast-icon").click(force=True)
    expect(sentence).to_be_visible()
    s.page.get_by_role("button", name=ENGLISH["close"], exact=True).press("Enter")
    expect(sentence).to_be_hidden()


def test_each_state_is_said_once_and_a_fault_is_an_alert(site: Open) -> None:
    s = site()
    state, notice = s.page.locator(".av-state"), s.page.locator(".av-notice")
    assert (state.get_attribute("role"), state.get_attribute("aria-live")) == ("status", "polite")
    assert notice.get_attribute("role") == "alert" and s.page.locator("canvas").get_attribute("aria-hidden") == "true"
    s.page.evaluate("""() => { window.said = 0;
      new MutationObserver(() => window.said++).observe(document.querySelector('.av-state'), {childList: true}); }""")
    s.start()
    for _ in range(3):
        s.socket.send("state", state="listening", patience_ms=900)
    s.page.wait_for_timeout(300)
    assert s.page.evaluate("window.said") == 2  # Connecting, Listening
    s.page.evaluate("avatarUI.set('refused')")
    expect(notice).to_be_visible()
    expect(notice).to_contain_text("Your browser did not allow it")


def test_finished_lines_are_read_and_streamed_words_are_not(site: Open) -> None:
    s = site()
    chat, log = s.page.locator("#chat [role=log]"), s.page.locator(".av-log")
    assert log.get_attribute("role") == "log" and log.get_attribute("aria-live") == "polite"
    s.start()
    expect(chat).to_have_attribute("aria-live", "off")
    s.socket.send("heard", final="How long", partial="for a pot")
    expect(s.page.locator(".av-partial")).to_be_visible()
    expect(log).to_be_empty()
    assert s.page.locator(".av-caption").evaluate("e => !e.closest('[aria-live]')")
    s.socket.send("state", state="thinking", patience_ms=900)
    expect(log).to_have_text("How long for a pot")
    samples = s.speak(1, 0.4)
    s.socket.send("end", turn=1, samples=samples)
    expect(log).to_contain_text("Three minutes for a big pot.")
    s.page.evaluate("avatarUI.end()")
    expect(chat).to_have_attribute("aria-live", "polite")


# What a screen reader is given for each control, by Chromium's own computation.
SPOKEN = ("button", "textbox", "searchbox", "combobox", "radio", "checkbox", "slider", "spinbutton", "link", "tab",
          "Audio", "listbox", "radiogroup", "DisclosureTriangle")  # fmt: skip


def names(s: Site) -> dict[str, list[str]]:
    tree = s.page.context.new_cdp_session(s.page).send("Accessibility.getFullAXTree")["nodes"]
    found: dict[str, list[str]] = {}
    for node in tree:
        role = node.get("role", {}).get("value", "")
        if role in SPOKEN and not node.get("ignored"):
            found.setdefault(role, []).append(node.get("name", {}).get("value", ""))
    return found


@pytest.mark.parametrize(("locale", "words"), [("en-US", ENGLISH), ("zh-TW", CHINESE)])
def test_every_control_has_a_name_on_every_tab(site: Open, locale: str, words: dict[str, str]) -> None:
    s = site(locale=locale)
    s.assistant.live, s.assistant.store.rows = TEA, [Row("a1", "Steeping tea")]
    s.start()
    s.settings()
    for panel in ("#record", "#persona", "#why"):
        s.page.locator(f"{panel} button").first.click()
    expect(s.page.locator("#persona textarea")).to_be_visible()
    expect(s.page.locator("#why .av-note, #why .av-why").first).to_be_visible()
    s.slid()
    heard: dict[str, Any] = {"talk": names(s)}
    s.settings()
    for number, tab in ((1, "history"), (2, "status")):
        s.tab(number)
        if tab == "history":
            s.page.get_by_text("Steeping tea").click()
            expect(s.page.locator("#past")).to_contain_text("rinse them first")
            expect(s.page.get_by_role("button", name=words["rename"], exact=True)).to_be_visible()
        else:
            expect(s.page.locator(".av-rung").first).to_be_visible()
        heard[tab] = names(s)
    nameless = {tab: role for tab, roles in heard.items() for role, found in roles.items() if "" in found}
    assert nameless == {}
    talk = heard["talk"]
    assert words["voice"] in talk["combobox"] and any(name.startswith(words["type"]) for name in talk["textbox"])
    assert words["search"] in heard["history"]["textbox"] and words["mute"] in talk["button"]


SMALL = """least => [...document.querySelectorAll('button, a[href], input, textarea, select, summary')]
  .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.closest('[aria-hidden=true], .av-sr'))
  .filter(e => !e.matches('[type=file], [type=range], [role=combobox]'))
  .map(e => [e, (e.matches('[type=radio], [type=checkbox]') ? e.closest('label') : e).getBoundingClientRect()])
  .filter(([, r]) => r.width && Math.min(r.width, r.height) < least)
  .map(([e, r]) => `${Math.round(r.width)}x${Math.round(r.height)} ${e.outerHTML.slice(0, 90)}`)"""


@pytest.mark.parametrize("width", [1280, 390])
def test_targets_are_large_enough(site: Open, width: int) -> None:
    s = site(width=width, height=844)
    s.assistant.live = TEA
    s.start()
    s.speak(1, 3)
    for panel in ("#record", "#persona"):
        s.page.locator(f"{panel} button").first.click()
    s.settings()
    assert s.page.evaluate(SMALL, 24) == []  # WCAG 2.2, 2.5.8
    for selector in (".av-main", ".av-mute", ".av-end", "[role=tab]"):
        box = s.page.locator(selector).first.bounding_box()
        assert box is not None and min(box["width"], box["height"]) >= 44, (selector, box)


def test_the_sidebar_says_what_it_is_and_whether_it_is_open(site: Open) -> None:
    s = site(locale="zh-TW")
    toggle = s.page.get_by_role("button", name=CHINESE["settings"], exact=True).first
    expect(toggle).to_have_attribute("aria-expanded", "false")
    expect(s.page.get_by_label(CHINESE["lang"], exact=True)).to_be_hidden()
    toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    expect(s.page.get_by_label(CHINESE["lang"], exact=True)).to_be_visible()
    expect(s.page.get_by_role("slider", name=CHINESE["rate"], exact=True)).to_be_visible()
    for name in ("bargein", "quality"):  # native groups have no name of their own
        expect(s.page.get_by_role("group", name=CHINESE[name], exact=True)).to_be_visible()
