"""The other tabs in a browser, and what holds for all of them."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hubs import Hub, serving, weight
from page_rows import BROKEN, ESPEAK, SMOLLM, TEA, WHISPER, Row, Rung
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import Browser, expect

from avatar import weights
from avatar.store import Score
from avatar.ui.status import REFRESH_S
from avatar.ui.strings import CHINESE, ENGLISH
from avatar.weights.downloads import Downloads

pytestmark = IN_A_BROWSER


def test_history_opens_renames_deletes_and_goes_on(site: Open) -> None:
    site.assistant.store.rows = [Row("a1", "Steeping tea"), Row("a2", "Gifts")]  # type: ignore[attr-defined]
    s = site()
    s.tab(1)
    s.page.get_by_text("Steeping tea").click()
    expect(s.page.locator("#past")).to_contain_text("rinse them first")
    s.page.get_by_role("button", name="Rename").click()
    s.page.locator("#title textarea, #title input").fill("Oolong")
    s.page.locator("#title textarea, #title input").press("Enter")
    expect(s.page.locator("h2.av-title")).to_have_text("Oolong")
    s.page.get_by_role("button", name="Continue").click()
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    s.start()
    assert s.socket.said("hello")[0]["conversation"] == "a1"
    s.tab(1)
    s.page.get_by_role("button", name="Delete", exact=True).click()
    expect(s.page.get_by_role("alert").filter(has_text="Oolong")).to_contain_text("cannot be undone")
    s.page.get_by_role("button", name="Delete it").click()
    expect(s.page.get_by_text("Steeping tea")).to_have_count(0)
    expect(s.page.locator(".av-found button")).to_have_count(1)
    assert [row.id for row in s.assistant.store.rows] == ["a2"]


def test_a_search_is_marked_and_leads_to_a_fork(site: Open) -> None:
    rows = [Row("a1", "Steeping tea"), Row("a2", "Gifts <img src=x onerror=alert(1)>")]
    site.assistant.store.rows = rows  # type: ignore[attr-defined]
    s = site(width=390, height=844)
    s.tab(1)
    s.page.locator("#search textarea, #search input").press_sequentially("Gif")
    expect(s.page.locator(".av-found button")).to_have_count(1)
    expect(s.page.locator(".av-found mark").first).to_have_text("Gifts")
    s.page.locator("#search textarea, #search input").fill("Steep")
    expect(s.page.locator(".av-found b mark")).to_have_text("Steeping")
    s.page.locator(".av-found button").press("Enter")
    expect(s.page.locator("#past mark").first).to_have_text("steep")
    s.wait("document.activeElement.dataset.conversation === 'a1'")  # though the list was drawn again
    s.page.locator("#past a.av-fork").last.click()
    expect(s.page.get_by_role("alert").filter(has_text="turns 1 to 2")).to_be_visible()
    expect(s.page.get_by_role("button", name="Fork and go on")).to_be_focused()  # though the link is far below
    s.page.locator("#fork-voice input").click()
    s.page.get_by_role("option", name="marius").click()
    expect(s.page.locator("#fork-quality")).to_have_count(0)  # no HQ voice is possible
    s.page.get_by_role("button", name="Fork and go on").press("Enter")
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    assert s.assistant.store.rows[-1].id == "fork"
    assert [asked[3:] for asked in s.assistant.asked if asked[0] == "fork"] == [("marius", "fast")]
    s.start()
    assert s.socket.said("hello")[0]["conversation"] == "fork"
    assert s.page.evaluate("document.documentElement.scrollWidth <= innerWidth") and not s.errors and not s.foreign


def test_on_a_phone_a_conversation_opens_in_sight(site: Open) -> None:
    site.assistant.store.rows = [Row(f"a{i}", f"Steeping {i}") for i in range(12)]  # type: ignore[attr-defined]
    s = site(width=390, height=844)
    s.tab(1)
    s.page.get_by_text("Steeping 3").click()
    expect(s.page.locator("h2.av-title")).to_be_in_viewport()
    expect(s.page.locator("#past")).to_be_in_viewport()


def test_the_list_is_filtered_by_voice(site: Open) -> None:
    site.assistant.store.rows = [Row("a1", "Tea", voices=("alba",)), Row("a2", "Gifts")]  # type: ignore[attr-defined]
    s = site()
    s.tab(1)
    expect(s.page.locator(".av-found button")).to_have_count(2)
    s.page.get_by_label("In which voice").click()
    expect(s.page.get_by_role("option")).to_contain_text([ENGLISH["heard_any"], "alba", ENGLISH["heard_own"]])
    s.page.get_by_role("option", name="alba").click()
    expect(s.page.locator(".av-found button")).to_have_count(1)
    expect(s.page.locator(".av-found button")).to_contain_text("Tea")
    assert s.page.evaluate("document.documentElement.scrollWidth <= innerWidth") and not s.errors


def test_status_shows_the_ladder_and_refreshes_only_while_it_is_shown(site: Open) -> None:
    s = site()
    s.tab(2)
    expect(s.page.locator(".av-rung")).to_have_count(4)
    s.assistant.metrics.parts = {"total": (462, 881), "stt": (96, 168)}
    s.assistant.metrics.totals = [462.0, 500.0]
    s.assistant.pool.rungs = [SMOLLM, ESPEAK, Rung("stt", "w", "whisper <b>", "warming", 0.5)]
    expect(s.page.locator(".av-figs")).to_contain_text("462")
    expect(s.page.locator(".av-prog")).to_have_attribute("aria-valuenow", "50")
    expect(s.page.locator(".vega-embed canvas, .vega-embed svg").first).to_be_visible()
    expect(s.page.get_by_text(ENGLISH["scores_none"])).to_be_visible()
    s.assistant.store.ratings.kept = [Score("Pocket TTS", "alba", 7.5, 4)]
    expect(s.page.locator(".av-scores")).to_contain_text("7.5 of 10 (n = 4)")
    reading, left, status = threading.Event(), threading.Event(), s.assistant.pool.status

    def slowly() -> list[Rung]:
        reading.set()
        left.wait(10)
        return status()

    s.tab(0)
    s.assistant.pool.status = slowly  # type: ignore[method-assign]
    s.tab(2)
    s.until(reading.is_set)
    s.tab(0)  # before there is an answer
    left.set()
    s.answered()
    asked: list[str] = []
    s.page.on("request", lambda r: asked.append(r.url) if "queue/join" in r.url else None)
    s.page.wait_for_timeout(1000 * (REFRESH_S + 1))
    assert not asked


@pytest.mark.parametrize(("locale", "words"), [("en-US", ENGLISH), ("zh-TW", CHINESE)])
def test_a_narrow_page_never_scrolls_sideways_and_every_control_has_a_name(
    site: Open, locale: str, words: dict[str, str]
) -> None:
    s = site(width=390, height=844, locale=locale)
    s.assistant.live = TEA
    s.start()
    s.speak(1, 3)
    for number, key in enumerate(("tab_talk", "tab_history", "tab_status")):
        expect(s.page.locator("button[role=tab]").nth(number)).to_have_text(words[key])
        s.tab(number)
        expect(s.page.locator(("#chat", "#search", ".av-rung")[number]).first).to_be_visible()
        assert s.page.evaluate("document.documentElement.scrollWidth") <= 390
    s.tab(0)
    expect(s.page.locator(".av-mute")).to_be_visible()
    assert s.page.locator(".av-mute").get_attribute("aria-label") == words["mute"]
    nameless: list[Any] = s.page.evaluate(
        """() => [...document.querySelectorAll('button, a[href], input, textarea, select, audio')]
          .filter(e => e.checkVisibility({ visibilityProperty: true }))
          .filter(e => !(e.innerText || e.ariaLabel || e.title || e.labels?.length))
          .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert nameless == []


def test_reduced_motion_and_themes_keep_the_states_apart(browser: Browser, site: Open) -> None:
    s = site()
    s.page.emulate_media(reduced_motion="reduce", color_scheme="dark")
    s.start()
    states = ["listening", "thinking", "speaking", "muted", "refused"]
    seen = set()
    for state in states:
        s.page.evaluate(f"avatarUI.set('{state}')")
        seen.add((s.page.inner_text(".av-state"), s.page.inner_html(".av-glyph")))
    assert len(seen) == len(states)


def test_weights_are_fetched_from_the_status_tab(site: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Get, progress, Cancel, Resume against a hub on the loopback, then a hub that is gone, then the rung is there."""
    content = bytes(1_500_000)
    s = site()
    with serving(Hub({"model.bin": content}, ["stall 600000", "stall 400000"])) as hub:
        monkeypatch.setitem(weights.WEIGHTS, "whisper-base", weight("whisper-base", hub))
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        s.assistant.downloads = Downloads(
            tmp_path, on_done=lambda: setattr(s.assistant.pool, "rungs", [replace(WHISPER, state="cold")])
        )
        s.assistant.pool.rungs = [replace(WHISPER, lacks=("whisper-base",)), SMOLLM, ESPEAK]
        s.tab(2)
        row = s.page.locator(".av-rung").first
        expect(row).to_contain_text("MIT")
        s.page.get_by_role("button", name="Get, 2 MB: faster-whisper base").click()
        expect(row).to_contain_text("Getting 40 %")
        expect(row.get_by_role("progressbar")).to_have_attribute("aria-valuenow", "40")
        expect(row).to_contain_text("1 of 2 MB")
        row.get_by_role("button", name="Cancel").focus()
        s.page.wait_for_timeout(2500)  # two refreshes replace the markup, and the keyboard stays where it was
        assert s.page.evaluate("document.activeElement.dataset.act") == "cancel"
        s.page.keyboard.press("Enter")
        expect(row).to_contain_text("1 of 2 MB are here")
        row.get_by_role("button", name="Resume").click()
        expect(row).to_contain_text("Getting 66 %")
        row.get_by_role("button", name="Cancel").click()
        monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
        row.get_by_role("button", name="Resume").click()
        expect(row).to_contain_text("No connection to 127.0.0.1:9 is possible from here")
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        row.get_by_role("button", name="Resume").click()
        expect(row).to_contain_text("Loads when needed")
        assert (tmp_path / "model.bin").read_bytes() == content
        assert hub.gets() == ["", "bytes=600000-", "bytes=1000000-"]
    assert s.errors == [] and s.foreign == []


def test_a_failed_rung_is_tried_from_the_status_tab(site: Open) -> None:
    s = site()
    s.assistant.pool.rungs = [replace(WHISPER, state="failed", hindrance=BROKEN, again_s=240.0)]
    s.tab(2)
    expect(s.page.locator(".av-rung").first).to_contain_text("Out of memory. Trying again in 4 min.")
    s.page.get_by_role("button", name="Try now: faster-whisper base").click()
    s.until(lambda: s.assistant.pool.retried == ["whisper"])
