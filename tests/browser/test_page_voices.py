"""The Voices tab in a browser, with a real studio behind it: by keyboard alone, in both languages, narrow and wide."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from page_fakes import FakeAssistant
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import Page, expect
from studios import SPEECH, studio_in
from voice_profiles import CONSENT, kept

from avatar.engines.pool import EnginePool
from avatar.preview import Previews
from avatar.ui.strings import CHINESE, ENGLISH

pytestmark = IN_A_BROWSER
NAMELESS = """() => [...document.querySelectorAll('button, a[href], input, textarea, select, audio, [role=slider]')]
  .filter(e => e.checkVisibility({ visibilityProperty: true }) && !e.innerText?.trim() && !e.labels?.length)
  .filter(e => !(e.ariaLabel || e.title || e.getAttribute('aria-labelledby')))
  .map(e => e.outerHTML.slice(0, 160))"""


@pytest.fixture
def assistant(tmp_path: Path, make_pool: Callable[..., EnginePool]) -> Iterator[FakeAssistant]:
    """One with a studio, and two voices in it."""
    with studio_in(tmp_path, make_pool) as studio:
        made = FakeAssistant()
        made.studio, made.previews = studio, Previews(studio, studio._pipeline)
        for seed, name in enumerate(("Mina", "Grandfather")):
            kept(studio.voices, "local", seed=seed, name=name, consent={**CONSENT, "owner": "local"})
        yield made


def press(page: Page, name: str) -> None:
    """By keyboard: what is focused is pressed."""
    button = page.get_by_role("button", name=name, exact=True)
    button.focus()
    page.keyboard.press("Enter")


def upload(page: Page) -> None:
    press(page, "Upload file")
    page.locator("#clip input[type=file]").set_input_files(str(SPEECH / "jfk.flac"))
    expect(page.locator(".av-score")).to_be_visible()


def test_a_default_that_is_chosen_here_is_shown_on_talk(site: Open) -> None:
    s = site()
    voices = s.assistant.studio.voices
    s.assistant.voices.default_name = lambda owner: "Mina" if voices.default(owner) else ""
    box = s.page.get_by_label(ENGLISH["voice"], exact=True)
    expect(box).to_have_value(ENGLISH["voice_default"])
    s.tab(1)
    s.page.get_by_label("Mina").check()
    press(s.page, ENGLISH["v_use"])
    expect(s.page.get_by_role("button", name=ENGLISH["v_unuse"])).to_be_visible()
    s.tab(0)
    expect(box).to_have_value(ENGLISH["voice_yours"].format(name="Mina"))


def test_a_voice_is_added_heard_renamed_and_deleted_by_keyboard(site: Open) -> None:
    s = site()
    page, studio = s.page, s.assistant.studio
    s.tab(1)
    upload(page)
    expect(page.get_by_label(ENGLISH["v_words"])).to_have_value("I say what I like.")
    assert page.get_by_role("button", name=ENGLISH["v_save_agree"]).is_disabled()
    page.get_by_label(ENGLISH["v_name"], exact=True).fill("Jack")
    page.get_by_label(ENGLISH["v_whose_other"]).focus()  # each choice of Gradio's Radio is reached with Tab
    page.keyboard.press("Space")
    expect(page.get_by_role("button", name=ENGLISH["v_save_person"])).to_be_disabled()
    page.get_by_label(ENGLISH["v_person"]).fill("Jack Example")
    page.get_by_label(ENGLISH["v_agree"]).focus()
    page.keyboard.press("Space")
    press(page, ENGLISH["v_save"])
    rows = page.locator(".av-list label")
    expect(rows).to_have_count(3)
    assert studio.voices.of("local")[0].consent["person"] == "Jack Example"
    page.locator(".av-list input:checked").focus()
    press(page, ENGLISH["v_preview"])
    expect(page.locator("audio[src*='voices/preview']")).to_have_attribute("aria-label", ENGLISH["reply_audio"])
    expect(page.get_by_role("status").filter(has_text="AI speech")).to_be_visible()
    press(page, ENGLISH["rename"])
    page.get_by_label(ENGLISH["v_new_name"]).fill("Uncle")
    page.keyboard.press("Enter")
    expect(rows.first).to_contain_text("Uncle")
    press(page, ENGLISH["v_use"])
    expect(rows.first).to_contain_text(ENGLISH["v_default"])
    expect(page.get_by_role("button", name=ENGLISH["v_unuse"])).to_be_visible()
    press(page, ENGLISH["delete"])
    expect(page.get_by_role("alert").filter(has_text="Uncle")).to_be_visible()
    press(page, ENGLISH["v_delete_yes"])
    expect(rows).to_have_count(2)
    assert [profile.name for profile in studio.voices.of("local")] == ["Grandfather", "Mina"]
    assert s.errors == [] and s.foreign == []


@pytest.mark.parametrize(("locale", "words"), [("en-US", ENGLISH), ("zh-TW", CHINESE)])
def test_a_narrow_page_holds_it_and_every_control_has_a_name(site: Open, locale: str, words: dict[str, str]) -> None:
    s = site(width=390, height=844, locale=locale)
    s.tab(1)
    expect(s.page.locator("button[role=tab]").nth(1)).to_have_text(words["tab_voices"])
    expect(s.page.locator(".av-list label")).to_have_count(2)
    s.page.locator(".av-list label").first.click()
    expect(s.page.get_by_role("button", name=words["rename"])).to_be_visible()
    s.page.locator("#clip .source-selection button").first.click()
    s.page.locator("#clip input[type=file]").set_input_files(str(SPEECH / "jfk.flac"))
    expect(s.page.locator(".av-score")).to_have_attribute("aria-label", words["v_score"].format(score=85))
    s.answered()
    s.slid()
    nameless: list[Any] = s.page.evaluate(NAMELESS)
    assert nameless == []
    assert s.page.evaluate("document.documentElement.scrollWidth") <= 390
