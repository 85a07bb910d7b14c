"""The page in a real Chromium, against a server whose socket the test speaks itself: no engines are needed."""

from collections.abc import Iterator

import pytest
from page_fakes import FakeAssistant
from page_server import served
from page_site import Open, Site
from playwright.sync_api import Browser, sync_playwright

from avatar.bench.browser import FLAGS


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def assistant() -> FakeAssistant:
    """The one behind the page; a file of tests may have another."""
    return FakeAssistant()


@pytest.fixture
def site(browser: Browser, assistant: FakeAssistant) -> Iterator[Open]:
    """Open the page: site(script run before it, width, height, locale)."""
    contexts = []
    with served(assistant) as (address, socket):

        def open_page(script: str = "", width: int = 1280, height: int = 800, locale: str = "en-US") -> Site:
            context = browser.new_context(
                viewport={"width": width, "height": height}, locale=locale, permissions=["microphone"]
            )
            contexts.append(context)
            page = context.new_page()
            opened = Site(page, assistant, socket, [], [])
            page.on("request", lambda r: None if _local(r.url, address) else opened.foreign.append(r.url))
            page.on("pageerror", lambda error: opened.errors.append(str(error)))
            if script:
                page.add_init_script(script)
            page.goto(address)
            opened.wait("window.avatarUI?.engines")
            return opened

        open_page.assistant = assistant  # type: ignore[attr-defined]
        yield open_page
        for context in contexts:
            context.close()


def _local(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws", 1), "blob:", "data:"))
