"""The page in a real Chromium, against a server whose socket the test speaks itself: no engines are needed.

Building the page takes 0.8 s of a core, and reading its scripts for the first time 0.6 s more than later: all tests
share the server, and those of a file the browser (its loop would be in the way of others) and what it keeps of the
page's scripts. No test sees what another left in cookies, storage or pages.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import gradio
import pytest
from page_fakes import FakeAssistant
from page_server import Behind, served
from page_site import PATIENCE_S, Open, Site
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from avatar.bench.browser import FLAGS
from avatar.ui.stage import stage_script

expect.set_options(timeout=1000 * PATIENCE_S)
Serve = Callable[[FakeAssistant], tuple[str, Behind]]
Context = Callable[[str], BrowserContext]


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def context(browser: Browser) -> Context:
    """context(locale): the one of this file."""
    made: dict[str, BrowserContext] = {}

    def of(locale: str) -> BrowserContext:
        if locale not in made:
            made[locale] = browser.new_context(locale=locale, permissions=["microphone"])
            made[locale].set_default_timeout(1000 * PATIENCE_S)
        return made[locale]

    return of


@pytest.fixture(scope="session")
def serve() -> Iterator[Serve]:
    """serve(assistant): the address of a page with this one behind it, and who is behind it."""
    made: dict[tuple[object, bool], tuple[str, Behind]] = {}
    with ExitStack() as servers, pytest.MonkeyPatch.context() as patch:
        # as on a machine so busy that Gradio's question to itself is not answered in 3 s: no start depends on it
        patch.setattr("gradio.networking.url_ok", lambda url: False)
        # one that answers nobody within the three seconds that Start gives a server: a test that wants them says so
        script = stage_script().replace("const OPEN_MS = 3000;", "const OPEN_MS = window.openMs ?? 60_000;")
        assert "window.openMs" in script
        patch.setattr("avatar.ui.talk.stage_script", lambda: script)
        # and one that reads no toast in the ten seconds that Gradio shows it
        tell = gradio.helpers.log_message
        patch.setattr(
            "gradio.helpers.log_message", lambda *words, **more: tell(*words, **more | {"duration": PATIENCE_S})
        )

        def of(assistant: FakeAssistant) -> tuple[str, Behind]:
            shape = Behind.shape(assistant)
            if shape not in made:
                behind = Behind(assistant)
                made[shape] = servers.enter_context(served(behind)), behind
            address, behind = made[shape]
            behind.turn_to(assistant)
            return address, behind

        yield of


@pytest.fixture
def assistant() -> FakeAssistant:
    """The one behind the page; a file of tests may have another."""
    return FakeAssistant()


@pytest.fixture
def site(context: Context, serve: Serve, assistant: FakeAssistant) -> Iterator[Open]:
    """Open the page: site(script run before it, width, height, locale)."""
    address, behind = serve(assistant)
    used = []

    def open_page(script: str = "", width: int = 1280, height: int = 800, locale: str = "en-US") -> Site:
        used.append(context(locale))
        page = used[-1].new_page()
        kept = {"origin": address, "storageTypes": "cookies,local_storage,indexeddb"}
        used[-1].new_cdp_session(page).send("Storage.clearDataForOrigin", kept)
        page.set_viewport_size({"width": width, "height": height})
        opened = Site(page, assistant, behind.socket, behind.busy)
        page.on("request", lambda r: None if _local(r.url, address) else opened.foreign.append(r.url))
        page.on("pageerror", lambda error: opened.errors.append(str(error)))
        if script:
            page.add_init_script(script)
        page.goto(address)
        opened.wait("window.avatarUI?.engines")
        if not behind.met:  # the first answers take seconds on a busy machine, and Start gives a server three
            opened.answered()
            behind.met = True
        return opened

    open_page.assistant = assistant  # type: ignore[attr-defined]
    yield open_page
    for page in [page for context in used for page in context.pages]:
        page.close()


def _local(url: str, address: str) -> bool:
    return url.startswith((address, address.replace("http", "ws", 1), "blob:", "data:"))
