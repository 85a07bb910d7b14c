"""The door for real: app.py open to the network, over https, entered by browsers that are strangers to each other."""

from collections.abc import Iterator

import httpx
import pytest
from page_site import PATIENCE_S
from playwright.sync_api import Browser, BrowserContext, sync_playwright
from running import Running

from avatar import lan
from avatar.bench.browser import FLAGS
from avatar.headers import HEADERS

pytestmark = [pytest.mark.slow, pytest.mark.browser]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("open") / "data"
    running = Running(data, {"AVATAR_OPEN": "1"}, options=("--host", "0.0.0.0", "--https")).start()
    try:
        running.until("press Start")
        running.http.close()
        address = (lan.addresses() or ["127.0.0.1"])[0]
        base = f"https://{address}:{running.port}"
        running.http = httpx.Client(base_url=base, verify=False, trust_env=False, timeout=60)
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, opened: Running):
    """visit(): a browser of its own on the Talk tab, and what its console complained of."""
    contexts: list[BrowserContext] = []

    def make(**more: object):
        context = browser.new_context(ignore_https_errors=True, permissions=["microphone"], **more)
        context.set_default_timeout(1000 * PATIENCE_S)
        contexts.append(context)
        page, errors = context.new_page(), []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.goto(str(opened.http.base_url))
        page.wait_for_function("window.avatarUI?.engines")
        return page, errors

    yield make
    for context in contexts:
        context.close()


def test_the_start_prints_the_way_for_a_phone(opened):
    opened.until("▀" * 20)  # the last line of the QR code
    printed = opened.said().partition("On other devices of your network: ")[2]
    assert printed.startswith(f"https://{lan.addresses()[0]}:{opened.port}\n")
    assert sum(set(line) <= set(" █▀▄") for line in printed.splitlines()[1:20]) >= 13  # the QR code


def test_every_answer_carries_the_headers(opened):
    for path, status in (("/", 200), ("/healthz", 200), ("/avatar/audio/x/reply", 404), ("/nowhere", 404)):
        answer = opened.http.get(path)
        assert answer.status_code == status
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    refused = opened.http.get("/", headers={"Host": "evil.example"})
    assert (
        refused.status_code == 403 and refused.headers["content-security-policy"] == HEADERS["Content-Security-Policy"]
    )


def test_strangers_talk_over_https_and_do_not_see_each_other(visit, opened):
    ann, errors = visit()
    cookies = {c["name"]: c for c in ann.context.cookies()}
    assert cookies["avatar_guest"]["httpOnly"] and cookies["avatar_guest"]["secure"]
    ann.click(".av-main")
    ann.wait_for_function("avatarUI.state === 'listening'")  # socket, worklets and microphone work
    ann.fill("#type textarea", "Hello there")
    ann.press("#type textarea", "Enter")
    ann.wait_for_selector("a[href*='-reply'], #chat .bot")
    ann.click(".av-end")
    assert not [text for text in errors if "Content Security Policy" in text or "violates" in text], errors

    bob, _ = visit()
    bob.get_by_role("tab", name="History").click()
    bob.wait_for_timeout(1500)
    assert "Hello there" not in bob.inner_text("body")
    ann.get_by_role("tab", name="History").click()
    ann.wait_for_function("document.body.innerText.includes('Hello there')")


def test_status_shows_the_way_for_a_phone(visit, opened):
    page, errors = visit(viewport={"width": 390, "height": 844}, locale="zh-TW")
    page.locator("button[role=tab]").last.click()
    page.wait_for_selector("#phone svg")
    assert f"{lan.addresses()[0]}:{opened.port}" in page.inner_text("#phone")
    assert not [text for text in errors if "Content Security Policy" in text], errors


def test_a_guest_is_no_operator(visit, opened):
    assert opened.http.get("/metrics").status_code == 401
    assert set(opened.http.get("/readyz").json()) == {"ready"}
