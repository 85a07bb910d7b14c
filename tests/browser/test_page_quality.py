"""The switch between the fast and the HQ voice, and the replay of an HQ take, in a browser."""

from dataclasses import replace

import pytest
from page_fakes import FakeAssistant
from page_rows import ID, TEA, Row, Rung
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import expect

pytestmark = IN_A_BROWSER
HQ = Rung("tts", "cosyvoice", "CosyVoice 3", state="warming", fraction=0.4, hq=True)


@pytest.fixture
def assistant() -> FakeAssistant:
    made = FakeAssistant()
    made.pool.rungs = [HQ, *made.pool.rungs]
    return made


def test_hq_is_chosen_for_a_conversation_and_watched_while_it_loads(site: Open) -> None:
    s = site()
    s.page.locator("#quality input[value=hq]").check()
    expect(s.page.get_by_text("CosyVoice 3 is loading, 40 %.")).to_be_visible()
    s.assistant.pool.rungs = [replace(HQ, state="ready"), *s.assistant.pool.rungs[1:]]
    expect(s.page.get_by_text("CosyVoice 3 speaks here")).to_be_visible()
    assert s.assistant.asked == [("quality", "local", "", "", "hq")]
    assert s.errors == [] and s.foreign == []


def test_an_hq_take_is_what_history_replays(site: Open) -> None:
    s = site()
    s.assistant.store.rows = [Row("a1", "All about tea")]
    s.assistant.past = [TEA[0], replace(TEA[1], hq=True)]
    s.tab(1)
    s.page.get_by_text("All about tea").click()
    with s.page.expect_request(f"**/avatar/audio/{ID}/hq"):
        s.page.locator(f'a[href="#play-{ID}-hq"]').click()
    expect(s.page.locator(".av-replay:visible figcaption")).to_contain_text("in the HQ voice")


def test_a_fork_goes_on_in_the_hq_voice(site: Open) -> None:
    s = site()
    s.assistant.store.rows = [Row("a1", "All about tea")]
    s.tab(1)
    s.page.get_by_text("All about tea").click()
    s.page.locator("#past a.av-fork").last.click()
    s.page.locator("#fork-quality input[value=hq]").check()
    s.page.get_by_role("button", name="Fork and go on").click()
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    assert [asked[4] for asked in s.assistant.asked if asked[0] == "fork"] == ["hq"]
