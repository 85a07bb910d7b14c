"""Where things are on the Talk tab in a browser: above the fold, in one place, and told apart without colour."""

from io import BytesIO

import pytest
from page_fakes import FakeAssistant, with_an_hq_voice
from page_rows import TEA
from page_site import IN_A_BROWSER, Open, Site
from PIL import Image
from playwright.sync_api import expect

from avatar.ui.strings import CHINESE, ENGLISH

pytestmark = IN_A_BROWSER


@pytest.fixture
def assistant() -> FakeAssistant:
    return with_an_hq_voice()


TIMES = {"eot": 212, "stt": 96, "llm": 58, "tts": 96}
ENGINES = {"eot": "Smart Turn", "stt": "Moonshine tiny", "llm": "SmolLM2 135M", "tts": "eSpeak NG"}
LONG = "I would like to know how long one should steep a rolled oolong tea such as Dong Ding, and at which heat, "


def bottom(s: Site, selector: str) -> float:
    box = s.page.locator(selector).bounding_box()
    assert box is not None, selector
    return box["y"] + box["height"]


@pytest.mark.parametrize("locale", ["en-US", "zh-TW"])
def test_a_running_conversation_is_above_the_fold(site: Open, locale: str) -> None:
    s = site(locale=locale)
    s.assistant.live = TEA
    s.start()
    s.socket.send("latency", engines=ENGINES, **TIMES)
    s.speak(1, 3)
    expect(s.page.locator(".av-lat .av-legs")).to_be_visible()
    parts = (".av-stage", "#voice", "#quality", "#chat", "#type", "#record", "#new")
    below = {part: bottom(s, part) for part in parts}
    assert max(below.values()) <= 800, below
    assert s.page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_main_button_stays_in_one_place_and_the_newest_words_are_seen(site: Open, width: int, height: int) -> None:
    s = site(width=width, height=height)
    button = ".av-main"
    places = {bottom(s, button)}
    s.start()
    places.add(bottom(s, button))
    s.socket.send("heard", final=LONG * 5, partial="and how often")
    expect(s.page.locator(".av-partial")).to_have_text("and how often")
    places.add(bottom(s, button))
    assert seen(s, ".av-partial")
    s.socket.send("state", state="thinking", patience_ms=900)
    s.wait("avatarUI.state === 'thinking'")
    places.add(bottom(s, button))
    s.page.evaluate(f"avatarUI.set('speaking'); avatarUI.caption('{LONG * 2}', '', '{LONG}')")
    places.add(bottom(s, button))
    assert len({round(place) for place in places}) == 1, places
    spoken, coming = (s.page.evaluate(RECTS, name) for name in (".av-final", ".av-unheard"))
    box = s.page.locator(".av-caption").bounding_box()
    assert box is not None
    edge = box["y"] + box["height"]
    assert box["y"] - 3 <= spoken[-1][0] and spoken[-1][1] <= edge + 3  # the line that is being spoken
    assert any(top >= spoken[-1][1] - 3 and end <= edge + 3 for top, end in coming)  # and one that comes


@pytest.mark.parametrize(("width", "locale"), [(1280, "en-US"), (390, "en-US"), (390, "zh-TW")])
def test_a_connection_that_is_lost_for_a_moment_moves_nothing(site: Open, width: int, locale: str) -> None:
    s = site(width=width, height=844, locale=locale)
    s.start()
    s.socket.send("latency", engines=ENGINES, **TIMES)
    expect(s.page.locator(".av-lat .av-legs")).to_be_visible()
    parts = (".av-main", ".av-lat", "#chat")
    before = [round(bottom(s, part)) for part in parts]
    s.page.evaluate("avatarUI.set('lost', { n: 3 })")
    expect(s.page.locator(".av-notice")).to_be_visible()
    assert [round(bottom(s, part)) for part in parts] == before


RECTS = "name => [...document.querySelector(name).getClientRects()].map(r => [r.top, r.bottom])"


def test_the_buttons_of_the_stage_fit_beside_the_open_settings(site: Open) -> None:
    s = site()
    s.start()
    s.speak(1, 5)
    s.wait("avatarUI.state === 'speaking'")
    s.settings()
    stage = s.page.locator(".av-stage").bounding_box()
    for selector in (".av-mute", ".av-main", ".av-end"):
        box = s.page.locator(selector).bounding_box()
        assert stage is not None and box is not None
        assert stage["x"] <= box["x"] and box["x"] + box["width"] <= stage["x"] + stage["width"], selector


@pytest.mark.parametrize(("width", "locale"), [(1280, "en-US"), (390, "zh-TW")])
def test_a_toast_is_its_sentence_and_covers_neither_seats_nor_settings(site: Open, width: int, locale: str) -> None:
    s = site(width=width, locale=locale)
    s.start()
    s.settings()
    for _ in range(2):
        s.socket.send("notice", code="NEWS", text="Something that is good to know.")
    toast = s.page.locator(".toast-body")
    expect(toast).to_contain_text("Something that is good to know.")
    assert "Info" not in toast.inner_text()
    close = toast.get_by_test_id("toast-close")
    expect(close).to_have_attribute("aria-label", (CHINESE if locale == "zh-TW" else ENGLISH)["close"])
    box = toast.bounding_box()
    for other in (".av-seats", ".sidebar .toggle-button"):
        under = s.page.locator(other).bounding_box()
        assert box is not None and under is not None
        assert under["y"] + under["height"] <= box["y"], other
    if width == 1280:
        beside = s.page.locator(".sidebar").bounding_box()
        assert box is not None and beside is not None and box["x"] + box["width"] <= beside["x"]
    else:
        s.settings()
        s.tab(1)
        pill = s.page.locator("#av-pill").bounding_box()
        assert box is not None and pill is not None and box["y"] + box["height"] <= pill["y"]
    close.click()
    expect(toast).to_be_hidden()


def test_at_200_percent_no_arrow_of_a_filter_touches_its_words(site: Open) -> None:
    s = site(width=640, height=400)
    s.tab(1)
    s.page.get_by_role("combobox", name=ENGLISH["span"]).click()
    s.page.get_by_role("option", name=ENGLISH["span_month"]).click()
    gaps = s.page.evaluate(
        """() => [...document.querySelectorAll('.av-search input[role=combobox]')].map(input => {
          const pen = document.createElement('canvas').getContext('2d'), style = getComputedStyle(input);
          pen.font = style.font;
          const start = input.getBoundingClientRect().left + parseFloat(style.paddingLeft);
          const words = start + pen.measureText(input.value).width;
          const arrow = input.parentElement.querySelector('.dropdown-arrow').getBoundingClientRect();
          return arrow.left - words;
        })"""
    )
    assert len(gaps) == 3 and min(gaps) > 0, gaps


def test_the_knob_of_a_slider_has_an_edge_in_the_light(site: Open) -> None:
    s = site()
    s.settings()
    line = s.page.get_by_role("slider", name=ENGLISH["volume"], exact=True).bounding_box()
    assert line is not None  # the volume is 100: the knob is at its right end, and higher than the line
    above = {"x": line["x"] + line["width"] - 20, "y": line["y"] - 7, "width": 22, "height": 6}
    pixels = Image.open(BytesIO(s.page.screenshot(clip=above))).convert("RGB").tobytes()
    dark = [i for i in range(0, len(pixels), 3) if max(pixels[i : i + 3]) < 160]
    assert len(dark) >= 4, "white on white"


def seen(s: Site, selector: str) -> bool:
    """Is the last line of it inside the captions?"""
    box = s.page.locator(".av-caption").bounding_box()
    top, end = s.page.evaluate(RECTS, selector)[-1]
    return box is not None and box["y"] - 3 <= top and end <= box["y"] + box["height"] + 3


def test_the_pill_follows_to_other_tabs_and_stops_the_reply_there(site: Open) -> None:
    s = site()
    pill = s.page.locator("#av-pill")
    s.tab(1)
    expect(pill).to_be_hidden()  # nothing runs
    s.tab(0)
    s.start()
    expect(pill).to_be_hidden()  # the stage is in sight
    s.tab(1)
    expect(pill).to_contain_text(ENGLISH["st_listening"])
    s.speak(1, 5)
    expect(pill).to_contain_text(ENGLISH["st_speaking"])
    pill.get_by_role("button", name=ENGLISH["interrupt"]).click()
    s.until(lambda: s.socket.said("interrupt"))
    pill.get_by_role("button", name=ENGLISH["back"]).click()
    expect(s.page.locator(".av-main")).to_be_in_viewport()
    expect(pill).to_be_hidden()


def test_the_latency_card_has_one_scale_and_one_sentence(site: Open) -> None:
    s = site()
    card = s.page.locator(".av-lat")
    expect(card).to_contain_text(ENGLISH["lat_none"])
    s.start()
    s.socket.send("latency", engines=ENGINES, **TIMES)
    expect(card).to_have_attribute("aria-label", ENGLISH["lat_read"].format(total=462, **TIMES))
    expect(card).to_contain_text(ENGLISH["lat_in"])
    bar = s.page.locator(".av-bar").bounding_box()
    end = s.page.locator(".av-bar .av-tts").bounding_box()
    assert bar is not None and end is not None
    assert (end["x"] + end["width"] - bar["x"]) / bar["width"] == pytest.approx(462 / 1500, abs=0.02)
    s.socket.send("latency", engines=ENGINES, **TIMES | {"llm": 216})
    expect(card).to_contain_text(ENGLISH["lat_over"].format(by=120))
    s.socket.send("latency", engines=ENGINES, **TIMES | {"llm": 4000})
    expect(card).to_contain_text("4,404 ms")
    end = s.page.locator(".av-bar .av-tts").bounding_box()
    assert end is not None and end["x"] + end["width"] >= bar["x"] + bar["width"] - 1  # the bar is full


def test_a_narrow_card_has_the_parts_of_a_typed_turn_in_one_line(site: Open) -> None:
    s = site(width=390, height=844, locale="zh-TW")
    s.start()
    s.socket.send("latency", engines=ENGINES, eot=0, stt=0, llm=483, tts=74, ttft=137)
    expect(s.page.locator(".av-legs dt")).to_have_count(2)
    assert len({dt.bounding_box()["y"] for dt in s.page.locator(".av-legs dt").all()}) == 1  # type: ignore[index]
    s.socket.send("latency", engines=ENGINES, eot=0, stt=121, llm=324, tts=84, ttft=99)  # of a recording
    expect(s.page.locator(".av-legs dt")).to_have_count(3)


def test_forced_colours_keep_what_colour_says(site: Open) -> None:
    s = site()
    s.page.emulate_media(forced_colors="active")
    style = "(name, what) => getComputedStyle(document.querySelector(name))[what]"
    look = lambda name, what: s.page.evaluate(f"({style})('{name}', '{what}')")  # noqa: E731
    for framed in (".av-stage", ".av-main"):
        assert look(framed, "borderTopStyle") == "solid" and look(framed, "borderTopWidth") != "0px"
    assert look("#quality label.selected", "outlineStyle") == "solid"
    assert look("#quality label:not(.selected)", "outlineStyle") == "none"
    s.start()
    s.socket.send("latency", engines=ENGINES, **TIMES)
    s.page.wait_for_selector(".av-bar .av-stt")
    shades = [look(f".av-bar .av-{part}", "backgroundColor") for part in TIMES]
    assert len(set(shades)) == 4 and look(".av-seats i.on", "backgroundColor") != look(
        ".av-seats i:not(.on)", "backgroundColor"
    )


COUNT_PICTURES = """const clear = CanvasRenderingContext2D.prototype.clearRect;
window.pictures = 0;
CanvasRenderingContext2D.prototype.clearRect = function (...area) {
  window.pictures++;
  return clear.apply(this, area);
};"""


def test_reduced_motion_draws_four_pictures_a_second_and_no_travelling_comet(site: Open) -> None:
    s = site(COUNT_PICTURES)
    s.page.emulate_media(reduced_motion="reduce")
    s.page.evaluate("avatarUI.set('thinking')")
    s.page.wait_for_timeout(600)
    now = "[performance.now() / 1000, window.pictures, document.querySelector('canvas').toDataURL()]"
    began, before, first = s.page.evaluate(now)
    s.wait(f"window.pictures >= {before + 3}")
    ended, after, second = s.page.evaluate(now)
    assert after - before <= 4 * (ended - began) + 1 and first == second
    assert s.page.evaluate("getComputedStyle(document.querySelector('.av-btn')).transitionProperty") == "none"
