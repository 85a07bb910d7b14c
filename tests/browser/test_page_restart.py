"""A server that stops, or that comes back as another process: what the page says, and that it goes on."""

import json
import re

import pytest
from page_rows import ESPEAK, ID, SMOLLM, Row, Rung
from page_site import IN_A_BROWSER, Open, Site
from playwright.sync_api import Route, expect

from avatar.ui.strings import CHINESE, ENGLISH

pytestmark = IN_A_BROWSER
ASKED = re.compile("/gradio_api/(component_server|app_id)")  # what the stage asks by itself
EVERYTHING = re.compile("/gradio_api/")  # Gradio's own questions too


def gone(s: Site, asked: re.Pattern[str] = ASKED) -> None:
    s.page.route(asked, lambda route: route.abort())


def test_a_live_conversation_goes_on_by_itself_after_a_restart(site: Open) -> None:
    s = site()
    s.page.evaluate("window.sameDocument = true")
    s.start()
    s.answered()  # what Start asks
    gone(s)
    asked: list[str] = []
    s.page.on("request", lambda request: asked.append(request.url))
    s.socket.drop(1012)
    s.wait("avatarUI.state === 'lost' && document.querySelector('.av-notice').innerText.match(/try ([3-9])/)")
    assert asked and not [url for url in asked if "queue/join" in url]  # Gradio would load the page again
    assert s.page.locator(".toast-body").count() == 0
    s.page.unroute(ASKED)
    s.wait("avatarUI.state === 'listening'")
    expect(s.page.locator(".av-hint")).to_have_text(ENGLISH["hears_again"])
    assert s.page.evaluate("window.sameDocument") and s.socket.said("hello")[1]["conversation"] == "new1"


def test_a_conversation_whose_question_was_cut_off_goes_on_after_the_page_is_loaded_again(site: Open) -> None:
    s = site()
    s.start()
    s.answered()
    s.page.evaluate("window.sameDocument = true")
    gone(s, EVERYTHING)
    s.socket.send("turn", turn=1)
    expect(s.page.locator(".toast-body")).to_contain_text(ENGLISH["no_answer"])
    s.socket.drop(1012)
    s.wait("avatarUI.state === 'lost'")
    s.page.locator("#type textarea, #type input").fill("and how long")
    s.page.unroute(EVERYTHING)
    s.wait("!window.sameDocument")
    s.wait("window.avatarUI?.state === 'listening'")
    assert s.socket.said("hello")[-1]["conversation"] == "new1"
    expect(s.page.locator(".av-hint")).to_have_text(ENGLISH["hears_again"])
    expect(s.page.locator(".toast-body")).to_contain_text(ENGLISH["hears_again"])  # on whichever tab
    expect(s.page.locator("#type textarea, #type input")).to_have_value("and how long")
    assert not s.errors


def test_what_was_said_in_a_turn_that_a_crash_cut_off_is_offered_and_what_was_stored_is_not(site: Open) -> None:
    s = site()
    box = s.page.locator("#type textarea, #type input")
    for stored in (False, True):
        if not stored:
            s.start()
        s.wait("window.avatarUI?.state === 'listening'")
        s.answered()  # what Start asks
        box.fill("")
        s.socket.send("heard", final="How long for a big pot?", partial="")
        s.socket.send("turn", turn=1)
        s.socket.send("state", state="thinking", patience_ms=900)
        s.wait("avatarUI.state === 'thinking'")
        if stored:
            s.socket.send("saved", turn=1, id=ID, state="done", conversation="new1")
            s.wait("avatarUI.log.some(([what]) => what === 'saved')")
        s.page.evaluate("window.sameDocument = true")
        gone(s, EVERYTHING)
        s.socket.drop(1012)
        s.wait("avatarUI.state === 'lost'")
        s.tab(1)  # what Gradio asks is cut off
        s.page.unroute(EVERYTHING)
        s.wait("!window.sameDocument")
        s.wait("window.avatarUI?.state === 'listening'")
        expect(box).to_have_value("" if stored else "How long for a big pot?")
        expect(s.page.get_by_text(ENGLISH["unanswered"])).to_have_count(0 if stored else 1)
        s.tab(0)
    assert not s.errors


def test_who_was_muted_stays_unheard_after_the_page_is_loaded_again(site: Open) -> None:
    s = site()
    s.start()
    s.page.locator(".av-mute").click()
    gone(s)
    s.socket.drop(1012)
    s.wait("avatarUI.state === 'lost'")
    address = s.page.url
    s.page.goto("about:blank")  # while the server is gone: the old page must not join again by itself
    s.page.unroute(ASKED)
    s.page.goto(address)
    s.wait("window.avatarUI?.engines")
    expect(s.page.locator(".av-hint")).to_have_text(ENGLISH["back_again"])
    assert s.page.evaluate("avatarUI.state") == "idle" and s.socket.opened == 1


def test_who_types_while_the_connection_is_lost_is_answered(site: Open) -> None:
    s = site()
    s.start()
    gone(s)  # for the socket: there is no token
    s.socket.drop(1011)
    s.wait("avatarUI.state === 'lost'")
    box = s.page.locator("#type textarea, #type input")
    box.fill("hello")
    box.press("Enter")
    expect(s.page.locator("#chat")).to_contain_text("Three minutes.")
    assert [asked[0:4] for asked in s.assistant.asked] == [("typed", "local", "new1", "hello")]


def test_an_idle_page_says_that_the_server_is_gone_and_that_it_is_there_again(site: Open) -> None:
    site.assistant.pool.rungs = [SMOLLM, ESPEAK, Rung("stt", "w", "whisper", "warming", 0.5)]  # type: ignore[attr-defined]
    s = site(locale="zh-TW")
    gone(s)
    s.wait("avatarUI.state === 'gone'")
    expect(s.page.locator(".av-state")).to_have_text(CHINESE["st_gone"])
    expect(s.page.locator(".av-notice")).to_contain_text("本頁每隔幾秒查看一次")
    s.page.unroute(ASKED)
    s.wait("window.avatarUI?.state === 'idle'")  # Gradio loads it again where a first question was cut off
    expect(s.page.locator(".av-hint")).to_have_text(CHINESE["back_again"])
    assert not s.errors


def test_a_page_whose_parts_another_server_does_not_know_is_loaded_again_and_says_why(site: Open) -> None:
    rungs = [SMOLLM, ESPEAK, Rung("stt", "w", "whisper", "warming", 0.5)]
    site.assistant.pool.rungs = rungs  # type: ignore[attr-defined]
    site.assistant.store.rows = [Row("a1", "Steeping tea")]  # type: ignore[attr-defined]
    s = site()
    s.tab(1)
    s.page.get_by_text("Steeping tea").click()
    s.page.get_by_role("button", name="Continue").click()
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    gone(s)
    s.wait("avatarUI.state === 'gone'")
    s.page.evaluate("window.sameDocument = true")

    told: list[str] = []

    def another(route: Route) -> None:
        """Knows no part of the old page, and those of the one that comes after it."""
        if told:
            return route.continue_()
        if not route.request.url.endswith("app_id"):
            return route.fulfill(status=500)
        told.append(route.request.url)
        return route.fulfill(body=json.dumps({"app_id": "another"}))

    s.page.route(ASKED, another)
    s.wait("!window.sameDocument")
    s.page.unroute_all()  # whatever it asks by now is answered the same way: only sooner
    s.wait("window.avatarUI?.engines")
    expect(s.page.locator(".av-hint")).to_have_text(ENGLISH["back_again"])
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")


@pytest.mark.parametrize("live", [True, False])
def test_a_tab_that_was_opened_while_the_server_was_gone_is_there_when_it_is_back(site: Open, live: bool) -> None:
    rungs = [SMOLLM, ESPEAK, Rung("stt", "w", "whisper", "warming", 0.5)]
    site.assistant.pool.rungs = rungs  # type: ignore[attr-defined]
    s = site(locale="zh-TW")
    if live:
        s.start()
        s.answered()  # what Start asks
    gone(s, EVERYTHING)
    if live:
        s.socket.drop(1012)
    s.wait("['lost', 'gone'].includes(avatarUI.state)")
    s.tab(2)
    expect(s.page.locator(".toast-body")).to_contain_text(CHINESE["no_answer"])
    s.page.evaluate("window.sameDocument = true")
    s.page.unroute(EVERYTHING)
    s.wait("!window.sameDocument")
    expect(s.page.locator("#figures")).to_contain_text(CHINESE["seats_used"])
    expect(s.page.locator("#av-pill")).to_be_visible(visible=live)
    if live:  # the microphone is open: the pill and a sentence say so
        expect(s.page.locator("#av-pill")).to_contain_text(CHINESE["st_listening"])
        expect(s.page.locator(".toast-body")).to_contain_text(CHINESE["hears_again"])
    assert not s.errors
