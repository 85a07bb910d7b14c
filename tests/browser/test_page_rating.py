"""One tap from 1 to 10 below a reply, by mouse and by keyboard."""

from page_rows import TEA, Row
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import expect

from avatar.ui.strings import ENGLISH

pytestmark = IN_A_BROWSER


def test_a_reply_is_rated_by_one_tap_changed_and_taken_back_by_keyboard(site: Open) -> None:
    s = site()
    s.assistant.live = TEA[:2]
    s.start()
    strip = s.page.locator("#chat .av-rate")
    strip.get_by_role("link", name="Reply 1, sound 7", exact=True).click()
    expect(strip.locator("summary")).to_have_text("Sound 7/10")
    strip.get_by_role("link", name="Reply 1, sound 9", exact=True).focus()
    s.page.keyboard.press("Enter")
    expect(strip.locator("summary")).to_have_text("Sound 9/10")
    s.wait("document.activeElement.innerText?.endsWith('9')")  # the links were replaced under the keyboard
    assert s.page.evaluate("document.activeElement.title") == ENGLISH["rate_undo"].format(n=9)
    s.page.keyboard.press("Enter")
    expect(strip.locator("summary")).to_have_text(ENGLISH["rate_it"])
    assert [x[3] for x in s.assistant.asked if x[0] == "rate"] == [7, 9, None]
    assert s.page.evaluate("location.hash") == "" and not s.errors


def test_a_reply_of_the_history_is_rated_there(site: Open) -> None:
    s = site()
    s.assistant.store.rows = [Row("a1", "Steeping tea")]
    s.assistant.rated_in = "a1"
    s.tab(1)
    s.page.get_by_text("Steeping tea").click()
    folded = s.page.locator("#past .av-rate").first
    expect(folded.get_by_role("link", name="Reply 1, sound 10")).to_be_hidden()
    folded.locator("summary").click()
    folded.get_by_role("link", name="Reply 1, sound 10").click()
    expect(folded.locator("summary")).to_have_text("Sound 10/10")
