"""The settings beside the page, and what a page shows that was just opened, or opened again."""

from collections.abc import AsyncIterator

from page_fakes import FakeAssistant
from page_rows import Line, Row
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import expect

from avatar.errors import NotFound

pytestmark = IN_A_BROWSER


def test_light_or_dark_is_chosen_in_the_settings_and_kept(site: Open) -> None:
    s = site()
    s.settings()
    s.page.locator("select.av-look").select_option("dark")
    s.wait("document.body.classList.contains('dark')")
    s.page.reload()
    s.wait("window.avatarUI?.engines && document.body.classList.contains('dark')")
    s.settings()
    expect(s.page.locator("select.av-look")).to_have_value("dark")
    s.page.locator("select.av-look").select_option("")
    s.wait("!document.body.classList.contains('dark')")


def test_nothing_of_the_settings_is_cut_off(site: Open) -> None:
    s = site()
    expect(s.page.locator("select.av-mic")).to_have_value("")
    expect(s.page.locator("select.av-mic option").first).to_have_text("The system's choice")  # before any permission
    s.settings()
    expect(s.page.get_by_role("heading", name="Settings")).to_be_visible()
    cut = s.page.evaluate("""() => [...document.querySelectorAll('.sidebar label, .sidebar input[type=number]')]
      .filter(node => node.offsetParent && (node.scrollWidth > node.clientWidth + 2
        || node.getBoundingClientRect().right > node.closest('.form, .sidebar').getBoundingClientRect().right))
      .map(node => node.outerHTML.slice(0, 80))""")
    assert cut == []
    numbers = s.page.evaluate("""() => [...document.querySelectorAll('.sidebar input[type=number]')].map(node =>
      node.parentElement.getBoundingClientRect().bottom - node.getBoundingClientRect().bottom)""")
    assert numbers and min(numbers) >= -1, numbers  # a number stood lower than its box
    assert s.page.locator("footer button").count() == 0  # Gradio's own settings are for who builds the page


def test_the_engines_leave_the_captions_when_start_is_pressed(site: Open) -> None:
    s = site()
    expect(s.page.locator(".av-caption")).to_contain_text("SmolLM2")
    pressed = """() => { document.querySelector('.av-main').click();
      return [avatarUI.state, document.querySelector('.av-caption').innerText]; }"""
    assert s.page.evaluate(pressed) == ["connecting", ""]  # at once, and not with the state that comes after it


def test_a_page_that_is_loaded_again_shows_its_conversation_before_start(site: Open) -> None:
    site.assistant.store.rows = [Row("c1", "Tea")]
    site.assistant.store.chosen["c1"] = "alba"
    s = site("sessionStorage.setItem('avatar.conversation', 'c1');")
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    expect(s.page.locator("#voice input")).to_have_value("Voice: alba · Pocket TTS")
    box = s.page.locator("#type textarea")
    box.fill("And now?")
    box.press("Enter")
    s.until(lambda: s.assistant.asked)
    assert s.assistant.asked[0][2] == "c1"  # it goes on


def test_a_page_whose_conversation_was_deleted_opens_empty(site: Open) -> None:
    s = site("sessionStorage.setItem('avatar.conversation', 'gone');")
    s.answered()
    expect(s.page.locator("#chat")).to_contain_text("What you both say appears here.")
    assert s.page.locator(".toast-body").count() == 0


class Ended(FakeAssistant):
    """Its sessions are over when the page asks what was said."""

    async def follow(self, owner: str, live_id: str) -> AsyncIterator[list[Line]]:
        raise NotFound("This session has ended. Press Start to begin another.", code="SESSION_ENDED")
        yield []


def test_a_session_that_is_over_already_is_no_second_message(site: Open) -> None:
    site.assistant.__class__ = Ended
    s = site()
    s.start()
    s.answered()
    assert s.page.locator(".toast-body").count() == 0


def test_who_has_no_keyboard_is_not_told_to_hold_space(site: Open) -> None:
    s = site("""const match = window.matchMedia;
      window.matchMedia = query => query === '(pointer: coarse)' ? { matches: true } : match.call(window, query);""")
    expect(s.page.locator(".av-hint")).to_have_text("Press Start and speak.")
