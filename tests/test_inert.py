"""Nothing that a user names, says or finds becomes markup: looked for in Chromium, wherever the page shows it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_site import PATIENCE_S
from playwright.sync_api import Page, sync_playwright
from running import NOWHERE, SPEECH, Running
from strangers import FROM, Guest
from test_isolation import opened  # noqa: F401  # a fixture

from avatar.bench.browser import FLAGS
from avatar.ui.strings import ENGLISH

pytestmark = [pytest.mark.slow, pytest.mark.browser]
IMAGE = "<img src=x onerror=\"window.pwned=1;alert('img')\">"
HOSTILE = f"{IMAGE}<script>window.pwned=2</script><svg onload=alert(3)>"
LINK = "[a](javascript:window.pwned=4) ![b](http://evil.example/x.png)"
FILE = "<img src=x onerror=alert(5)>.flac"
NODES = (
    "[onerror], [onload], #chat script, #past script, svg[onload], a[href^='javascript'], img[src='x'], img[src*=evil]"
)


@pytest.fixture
def seen() -> list[str]:
    """What must not happen: a dialog that a script opened, a request that left for another host."""
    return []


@pytest.fixture
def page(opened: Running, chromium: str, seen: list[str]) -> Iterator[Page]:  # noqa: F811
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        page = browser.new_page(locale="en-US")
        page.set_default_timeout(1000 * PATIENCE_S)
        page.on("dialog", lambda dialog: (seen.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: seen.append(request.url) if "evil.example" in request.url else None)
        page.goto(f"http://127.0.0.1:{opened.port}/")
        page.wait_for_function("window.avatarUI?.engines")  # every part is there: Gradio sets its value when it comes
        yield page
        browser.close()


@pytest.fixture
def carol(page: Page, opened: Running) -> Iterator[Guest]:  # noqa: F811
    """Whose browser it is, to send what its page would not let through."""
    guest = Guest(opened, FROM[:5])
    guest.be("; ".join(f"{c['name']}={c['value']}" for c in page.context.cookies()))
    yield guest
    guest.close()


def shows(page: Page, selector: str, words: str = "onerror") -> None:
    """The words are there, as words: in the text of an element, or in a box to write in."""
    script = "([s, w]) => [...document.querySelectorAll(s)].some(e => (e.value ?? e.innerText ?? '').includes(w))"
    page.wait_for_function(script, arg=[selector, words])


def inert(page: Page, seen: list[str]) -> None:
    page.wait_for_timeout(300)
    assert page.evaluate("window.pwned") is None and seen == []
    assert page.locator(NODES).count() == 0


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()


def test_what_is_said_written_and_found(page, carol, seen):
    """A turn, who it is to be, how words are said, a title, and the marks of a search in all of them."""
    typed = carol.event("typed", [HOSTILE + LINK, NOWHERE, "xss", "auto", 100])
    conversation = typed.outputs[3]["conversation"]
    carol.event("rename", [conversation, HOSTILE[:60]])
    carol.event("keep_persona", [HOSTILE, {"conversation": conversation, "live": ""}])
    carol.event("teach", ["<b>img</b>", "<img src=x onerror=alert(6)>"])
    page.fill("#type textarea", HOSTILE)
    page.press("#type textarea", "Enter")
    shows(page, "#chat")
    page.get_by_role("tab", name="History").click()
    page.fill("#search textarea, #search input", "onerror")
    page.locator("[data-conversation] mark").first.wait_for()
    for found in page.locator("[data-conversation]").all():
        found.click()
        shows(page, "#past")
    page.locator("[data-conversation]").filter(has_text=HOSTILE[:30]).last.click()
    shows(page, ".av-title")
    page.locator("#past mark").first.wait_for()
    press(page, "Rename")
    shows(page, "#title textarea, #title input")
    press(page, "Delete")
    shows(page, ".av-ask")
    press(page, "Continue")
    page.click("#persona button")
    shows(page, "#persona textarea")
    inert(page, seen)


def test_how_words_are_said(page, carol, seen):
    carol.event("teach", ["<b>img</b>", "<img src=x onerror=alert(6)>"])
    page.locator(".sidebar .toggle-button").click()
    page.locator("#sayings button").first.click()
    shows(page, "#sayings")
    inert(page, seen)


def test_a_voice_and_its_recording(page, carol, seen, tmp_path: Path):
    """A file's name, and the name, note and person of a voice, in the list, its questions and every other choice."""
    page.get_by_role("tab", name="Voices").click()
    (tmp_path / FILE).write_bytes((SPEECH / "jfk.flac").read_bytes())
    page.click("#clip [aria-label='Upload file']")
    page.set_input_files("#clip input[type=file]", tmp_path / FILE)
    page.locator(".av-q").wait_for()
    carol.call("uploaded", [carol.upload(FILE, (SPEECH / "jfk.flac").read_bytes())])
    carol.call("save", [None, IMAGE, HOSTILE, "en", "permitted", HOSTILE[:90], HOSTILE, True, None])
    page.get_by_role("tab", name="Talk").click()
    page.get_by_role("tab", name="Voices").click()
    shows(page, ".av-list")
    page.locator(".av-list label").filter(has_text="onerror").first.click()
    press(page, "Rename")
    page.wait_for_function("[...document.querySelectorAll('input, textarea')].some(e => e.value.includes('onerror'))")
    press(page, "Delete")
    shows(page, ".av-ask")
    press(page, "Use as default")
    page.get_by_text(ENGLISH["v_defaulted"]).first.wait_for()
    page.get_by_role("tab", name="Talk").click()
    page.click("#voice input")
    page.locator("[role=option]").filter(has_text="onerror").first.wait_for()
    inert(page, seen)
