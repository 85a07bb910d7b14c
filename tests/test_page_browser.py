"""The page in a real Chromium, against a server whose socket the test speaks itself: no engines are needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from avatar import weights
from avatar.bench.browser import FLAGS
from avatar.errors import ServerFull
from avatar.turntaking.reasons import Reason
from avatar.ui.strings import CHINESE, ENGLISH
from avatar.weights.downloads import Downloads
from tests.hubs import Hub, serving, weight
from tests.page_fakes import ESPEAK, ID, SMOLLM, TEA, WHISPER, FakeAssistant, FakeSocket, Line, Row, Rung, served, tone

pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    # Gradio's queue statistics use an option that pandas 3 deprecates; as an error it ends every event
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),
]

LATENCY = {"turn": 1, "eot": 212, "stt": 96, "llm": 58, "tts": 96, "engines": {"eot": "Smart Turn", "stt": "<b>ears"}}


@dataclass
class Site:
    """The page opened in one browser context."""

    page: Page
    assistant: FakeAssistant
    socket: FakeSocket
    foreign: list[str]
    errors: list[str]

    def start(self) -> None:
        self.page.click(".av-main")
        self.wait("avatarUI.state === 'listening'")

    def wait(self, condition: str, timeout_s: float = 15) -> None:
        self.page.wait_for_function(condition, timeout=1000 * timeout_s)

    def until(self, condition: Callable[[], object], timeout_s: float = 10) -> None:
        for _ in range(int(timeout_s / 0.05)):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not happen in time")

    def marks(self, what: str) -> list[float]:
        return [at for name, at, _ in self.page.evaluate("avatarUI.log") if name == what]

    def speak(self, turn: int, seconds: float) -> int:
        """One reply of so many seconds, sent at once. Returns its samples."""
        samples = tone(seconds)
        self.socket.send("turn", turn=turn)
        self.socket.send("state", state="speaking", patience_ms=900)
        self.socket.send("clause", turn=turn, text="Three minutes for a big pot.", at=0)
        self.socket.audio(turn, samples)
        return len(samples)

    def tab(self, number: int) -> None:
        self.page.locator("button[role=tab]").nth(number).click()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, headless=True, args=FLAGS)
        yield browser
        browser.close()


Open = Callable[..., Site]


@pytest.fixture
def site(browser: Browser) -> Iterator[Open]:
    """Open the page: site(assistant, script run before it, width, height, locale)."""
    assistant = FakeAssistant()
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


# -- the socket -------------------------------------------------------------------------------------------------------


def test_start_opens_a_socket_without_a_token_in_its_address_and_streams_the_microphone(site: Open) -> None:
    s = site()
    s.start()
    assert s.socket.paths[0].endswith("/avatar/ws") and s.socket.got[0]["t"] == "hello"
    assert set(s.socket.got[0]) == {"t", "token", "conversation", "language", "patience_ms", "half_duplex", "bargein"}
    first = len(s.socket.frames)
    s.page.wait_for_timeout(2000)
    frames = s.socket.frames[first:]
    assert 90 <= len(frames) <= 112 and {len(f) for f in frames} == {640}  # 20 ms each
    loud = np.abs(np.frombuffer(b"".join(frames), "<i2").astype(int))
    assert loud.max() > 1000  # the fake device beeps
    assert not s.errors


def test_a_reply_is_played_once_and_reported_to_its_last_sample(site: Open) -> None:
    s = site()
    s.start()
    s.socket.send("heard", final="And how long", partial="for a")
    expect(s.page.locator(".av-partial")).to_have_text("for a")
    sent = s.page.evaluate("performance.now()")
    total = s.speak(1, 1.5)
    s.socket.send("latency", **LATENCY)
    s.socket.send("end", turn=1, samples=total)
    s.wait("avatarUI.log.some(e => e[0] === 'done')")
    played = s.socket.said("played")
    assert played[-1] == {"t": "played", "turn": 1, "samples": total}
    assert [p["samples"] for p in played] == sorted(p["samples"] for p in played) and len(played) >= 5
    assert s.marks("first")[0] - sent < 1000 and not s.marks("gap")
    assert 1400 < s.marks("done")[0] - s.marks("first")[0] < 2200
    assert "462 ms" in s.page.inner_text(".av-lat") and "<b>ears" in s.page.inner_text(".av-lat")
    assert "Three minutes" in s.page.locator(".av-log").text_content()
    s.socket.audio(1, tone(0.3))  # late frames of a turn that is over never sound
    s.page.wait_for_timeout(300)
    assert len(s.marks("first")) == 1


def test_duck_and_flush_are_heard_at_once_and_stale_frames_never(site: Open) -> None:
    s = site()
    s.start()
    s.speak(1, 4)
    s.wait("avatarUI.log.some(e => e[0] === 'first')")
    s.socket.send("duck", on=True)
    s.wait("avatarUI.log.some(e => e[0] === 'ducked')")
    s.socket.send("flush", turn=1)
    s.wait("avatarUI.log.some(e => e[0] === 'silent')")
    s.socket.audio(1, tone(0.5))
    assert s.marks("ducked")[0] - s.marks("duck-asked")[0] < 150
    assert s.marks("silent")[0] - s.marks("flush")[0] < 100
    s.until(lambda: s.socket.said("played"))
    assert 0 < s.socket.said("played")[-1]["samples"] < 3 * 24000
    s.page.wait_for_timeout(300)
    assert len(s.marks("first")) == 1
    s.speak(2, 0.5)
    s.wait("avatarUI.log.filter(e => e[0] === 'first').length === 2")


@pytest.mark.parametrize("how", ["Escape", "button", "ring"])
def test_an_interruption_is_silent_here_before_the_server_knows(site: Open, how: str) -> None:
    s = site()
    s.start()
    s.speak(1, 4)
    s.wait("avatarUI.log.some(e => e[0] === 'first')")
    if how == "Escape":
        s.page.keyboard.press("Escape")
    else:
        s.page.click({"button": ".av-main", "ring": ".av-orb"}[how])
    s.wait("avatarUI.log.some(e => e[0] === 'silent')")
    s.until(lambda: s.socket.said("interrupt"))
    assert s.marks("silent")[0] - s.marks("interrupt")[0] < 100
    s.socket.send("state", state="listening", patience_ms=900)
    s.page.wait_for_timeout(200)
    assert s.page.inner_text(".av-hint") == ENGLISH["stopped"]  # not overwritten at once


def test_a_lost_connection_comes_back_to_the_same_conversation_with_a_new_token(site: Open) -> None:
    s = site()
    s.start()
    s.socket.send("turn", turn=1)  # and nothing of it is stored yet
    s.socket.drop(1011)
    s.wait("avatarUI.state === 'lost'")
    assert "try 1" in s.page.inner_text(".av-notice")
    s.wait("avatarUI.state === 'listening'")
    first, second = s.socket.said("hello")
    assert (first["conversation"], second["conversation"]) == ("", "new1") and second["token"] != first["token"]
    total = s.speak(1, 0.4)  # the new session counts from one again
    s.socket.send("end", turn=1, samples=total)
    s.wait("avatarUI.log.some(e => e[0] === 'done')")


def test_a_page_that_is_loaded_again_goes_on_with_its_conversation(site: Open) -> None:
    s = site()
    s.start()
    s.page.reload()
    s.wait("window.avatarUI?.state === 'idle'")
    s.start()
    first, second = s.socket.said("hello")
    assert (first["conversation"], second["conversation"]) == ("", "new1")


def test_a_full_server_says_so_and_then_that_a_seat_is_free(site: Open) -> None:
    s = site()
    s.socket.full = True
    s.assistant.seats.taken = 5
    s.page.click(".av-main")
    s.wait("avatarUI.state === 'full'")
    assert "All 5 seats" in s.page.inner_text(".av-state") and "5 of 5" in s.page.inner_text(".av-seats")
    assert "getUserMedia" not in s.errors and not s.marks("microphone")
    s.assistant.seats.taken = 4
    s.wait("avatarUI.state === 'idle'", 8)
    assert s.page.inner_text(".av-hint") == ENGLISH["seat_free"]


def test_a_socket_that_does_not_open_leads_to_the_recording(site: Open) -> None:
    s = site()
    s.socket.deaf = True
    s.page.click(".av-main")
    s.wait("avatarUI.state === 'offline'", 5)
    assert "3 seconds" in s.page.inner_text(".av-notice")
    expect(s.page.locator("#record").get_by_text(ENGLISH["record_l"])).to_be_visible()


def test_an_idle_seat_that_was_freed_is_not_taken_again(site: Open) -> None:
    s = site()
    s.start()
    s.socket.send("idle", left_s=60)
    expect(s.page.locator(".av-hint")).to_contain_text("60 s")
    s.socket.send("error", code="IDLE", text="Freed.")
    s.socket.drop(1000)
    s.wait("avatarUI.state === 'idle'")
    assert s.page.inner_text(".av-hint") == ENGLISH["err_IDLE"]
    s.page.wait_for_timeout(700)
    assert s.socket.opened == 1


# -- microphone -------------------------------------------------------------------------------------------------------

REJECT = "navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('no', '{}'); }};"


@pytest.mark.parametrize(
    ("error", "state"), [("NotAllowedError", "refused"), ("NotFoundError", "missing"), ("NotReadableError", "inuse")]
)
def test_a_microphone_that_cannot_be_had_is_called_by_its_cause(site: Open, error: str, state: str) -> None:
    s = site(REJECT.format(error))
    s.page.click(".av-main")
    s.wait(f"avatarUI.state === '{state}'")
    assert s.page.inner_text(".av-state") == ENGLISH[f"st_{state}"]
    s.until(lambda: s.socket.said("bye"))  # the seat is given back
    assert not s.errors


def test_an_insecure_address_is_named(site: Open) -> None:
    s = site("Object.defineProperty(window, 'isSecureContext', { value: false });")
    s.page.click(".av-main")
    s.wait("avatarUI.state === 'insecure'")
    assert s.page.evaluate("location.origin") in s.page.inner_text(".av-notice")
    assert not s.socket.paths


def test_muted_sends_nothing_and_half_duplex_sends_silence_while_speaking(site: Open) -> None:
    s = site()
    s.start()
    s.page.click(".av-mute")
    s.wait("avatarUI.state === 'muted'")
    s.until(lambda: s.socket.said("mute") == [{"t": "mute", "on": True}])
    s.page.wait_for_timeout(100)
    count = len(s.socket.frames)
    s.page.wait_for_timeout(400)
    assert len(s.socket.frames) == count
    s.page.click(".av-mute")
    s.page.evaluate("avatarUI.prefer({ half_duplex: true })")
    s.speak(1, 4)
    s.wait("avatarUI.log.some(e => e[0] === 'first')")
    s.page.wait_for_timeout(150)
    count = len(s.socket.frames)
    s.page.wait_for_timeout(1500)
    silent = b"".join(s.socket.frames[count:])
    assert len(silent) > 30000 and not any(silent)
    assert s.socket.said("settings")[-1]["half_duplex"] is True


def test_space_starts_holds_and_lets_go(site: Open) -> None:
    s = site()
    s.page.keyboard.down("Space")
    s.wait("avatarUI.state === 'listening'")
    s.until(lambda: s.socket.said("hold") == [{"t": "hold", "on": True}])
    s.page.keyboard.up("Space")
    s.until(lambda: len(s.socket.said("hold")) == 2)
    assert s.socket.said("hold")[1]["on"] is False


def test_space_after_a_click_on_start_talks_and_does_not_end(site: Open) -> None:
    s = site()
    s.start()
    s.page.keyboard.press("Space")
    s.until(lambda: len(s.socket.said("hold")) == 2)
    assert s.page.evaluate("avatarUI.state") == "listening" and not s.socket.said("bye")


def test_the_sidebar_changes_the_open_conversation(site: Open) -> None:
    s = site()
    s.start()
    s.page.locator(".toggle-button").first.click()
    s.page.get_by_label(ENGLISH["duplex"]).check()
    s.until(lambda: s.socket.said("settings"))
    assert s.socket.said("settings")[-1]["half_duplex"] is True
    slider = s.page.locator("input[type=range]")
    slider.fill("1500")
    s.until(lambda: s.socket.said("settings")[-1]["patience_ms"] == 1500)
    s.page.get_by_label(ENGLISH["bargein_quick"]).check()
    s.until(lambda: s.socket.said("settings")[-1]["bargein"] == "quick")
    s.page.get_by_label(ENGLISH["caps"]).uncheck()
    expect(s.page.locator(".av-stage")).to_have_class("av-stage nocaps")
    s.page.get_by_label(ENGLISH["mic"]).select_option(index=2)
    s.until(lambda: len(s.marks("microphone")) == 2)
    count = len(s.socket.frames)
    s.until(lambda: len(s.socket.frames) > count + 10)


def test_a_word_is_taught_changed_and_forgotten(site: Open) -> None:
    s = site()
    kept = s.assistant.store.sayings.kept
    s.page.locator(".toggle-button").first.click()
    s.page.get_by_role("button", name=ENGLISH["sayings"]).click()
    boxes = s.page.locator("#sayings textarea")
    written, spoken = boxes.nth(0), boxes.nth(1)
    written.fill("<b>GIF</b>")
    spoken.fill("jif")
    spoken.press("Enter")
    row = s.page.get_by_label("<b>GIF</b> is said as jif", exact=True)
    expect(row).to_be_visible()
    expect(written).to_have_value("")
    row.check()
    expect(written).to_have_value("<b>GIF</b>")
    spoken.fill("ghif")
    s.page.locator("#sayings").get_by_role("button", name=ENGLISH["saying_add"]).click()
    s.until(lambda: kept == {"<b>GIF</b>": "ghif"})
    s.page.get_by_label("<b>GIF</b> is said as ghif", exact=True).check()
    s.page.locator("#sayings").get_by_role("button", name=ENGLISH["delete"]).click()
    s.until(lambda: not kept)
    expect(s.page.get_by_label(ENGLISH["saying_list"])).to_be_hidden()
    assert not s.foreign and not s.errors


def test_chinese_without_an_engine_for_it_says_what_to_get_and_does_not_listen(site: Open) -> None:
    s = site()
    s.page.evaluate("avatarUI.prefer({ language: 'zh' })")
    s.wait("avatarUI.state === 'tongue'")
    notice = s.page.inner_text(".av-notice")
    assert "Moonshine tiny understands no 中文" in notice and "faster-whisper base" in notice
    s.page.click(".av-main")
    s.page.wait_for_timeout(300)
    assert not s.socket.paths
    s.page.evaluate("avatarUI.prefer({ language: 'auto' })")
    assert s.page.evaluate("avatarUI.state") == "idle"
    assert ENGLISH["english_only"].format(name="Moonshine tiny") in s.page.inner_text(".av-caption")
    assert s.page.inner_text(".av-demo") == ENGLISH["demo"]


# -- worklets ---------------------------------------------------------------------------------------------------------

CAPTURE = """async ([rate, hertz]) => {
  const context = new OfflineAudioContext(1, rate, rate);
  const url = URL.createObjectURL(new Blob([avatarUI.worklets], { type: 'text/javascript' }));
  await context.audioWorklet.addModule(url);
  const node = new AudioWorkletNode(context, 'avatar-microphone', { numberOfOutputs: 0 });
  const samples = [];
  node.port.onmessage = ({ data }) => samples.push(...new Int16Array(data.pcm));
  const tone = new OscillatorNode(context, { frequency: hertz });
  tone.connect(node);
  tone.start();
  await context.startRendering();
  await new Promise(resolve => setTimeout(resolve, 200));
  return samples;
}"""


@pytest.mark.parametrize("rate", [48000, 44100])
def test_the_microphone_is_resampled_without_aliases(site: Open, rate: int) -> None:
    s = site()

    def level(hertz: int) -> float:
        samples = np.array(s.page.evaluate(CAPTURE, [rate, hertz])[1600:], float) / 32767
        assert 12_000 < len(samples) < 14_500  # of one second, less the 100 ms cut off and the last frame
        return float(20 * np.log10(np.sqrt(2 * np.mean(samples**2)) + 1e-9))

    assert abs(level(1000)) < 0.1 and abs(level(6000)) < 0.5
    assert level(10_000) < -60 and level(15_000) < -60


# -- words ------------------------------------------------------------------------------------------------------------


def test_typed_text_is_answered_aloud_and_stays_when_it_fails(site: Open) -> None:
    s = site()
    box = s.page.locator("#type textarea")
    box.fill("How long?")
    box.press("Enter")
    expect(s.page.locator("#chat")).to_contain_text("Three minutes.")
    expect(box).to_have_value("")
    expect(s.page.locator("#reply")).to_be_visible()
    s.assistant.trouble = ServerFull("All 5 seats are taken.")
    box.fill("And now?")
    box.press("Enter")
    expect(s.page.locator(".toast-body")).to_contain_text("All 5 seats are taken.")
    expect(box).to_have_value("And now?")
    s.assistant.trouble = None
    box.press("Enter")
    expect(box).to_have_value("")
    (_, _, opened, _, first, _), (*_, failed, _), (*_, again, _) = s.assistant.asked
    assert opened == "" and failed == again != first  # a resend keeps its id
    assert s.assistant.asked[-1][2] == "c1"  # and goes on in the conversation that the first one opened


# Gradio's player plays through an element that is not in the page: count what any element plays to its end.
COUNT_ENDS = """const play = HTMLMediaElement.prototype.play;
window.ended = 0;
HTMLMediaElement.prototype.play = function () {
  this.addEventListener('ended', () => window.ended++, { once: true });
  return play.call(this);
};"""


def test_a_recording_is_answered_aloud_and_then_put_away(site: Open) -> None:
    s = site(COUNT_ENDS)
    s.page.click("#record button")
    record = s.page.locator("#record").get_by_role("button", name="Record", exact=True)
    record.click()
    s.page.wait_for_timeout(1200)
    s.page.locator("#record .stop-button").click()
    expect(s.page.locator("#chat")).to_contain_text("rinse them first")
    expect(s.page.locator(".toast-body")).to_contain_text("That was a minute without a pause.")
    assert s.assistant.asked[0][:4] == ("recorded", "local", "", ".wav")
    assert len(s.assistant.asked) == 1 and len(s.assistant.asked[0][4]) == 32
    s.wait("window.ended === 1")
    expect(record).to_be_visible()  # ready for the next one


def test_typed_text_goes_over_an_open_socket_and_a_new_conversation_too(site: Open) -> None:
    s = site()
    s.start()
    s.page.locator("#type textarea").fill("Hi")
    s.page.locator("#type textarea").press("Enter")
    s.until(lambda: s.assistant.asked)
    assert s.assistant.asked[0][:4] == ("say", "local", "live1", "Hi")
    s.socket.send("turn", turn=1)
    s.page.click("#new")
    s.until(lambda: s.socket.said("new"))
    s.socket.send("ready", live="live1", conversation="c2", n=1, of=5)
    expect(s.page.locator("#chat")).not_to_contain_text("Hi")
    s.socket.send("saved", turn=1, id=ID, state="interrupted", conversation="new1")  # of the one that was left
    s.socket.drop(1011)
    s.until(lambda: len(s.socket.said("hello")) == 2)
    assert s.socket.said("hello")[1]["conversation"] == "c2"
    assert len(s.socket.said("new")) == 1


def test_what_is_said_stays_words_and_loads_nothing(site: Open) -> None:
    said = "![x](http://evil.test/x.png) <img src=http://evil.test/y.png> **b** $$z$$ http://evil.test"
    s = site()
    s.assistant.live = [Line("user", said), Line("assistant", said, ID, 1)]
    s.start()
    expect(s.page.locator("#chat .message").first).to_contain_text(said)
    assert s.page.locator("#chat img").count() == 0
    for number in (1, 2, 0):
        s.tab(number)
        s.page.wait_for_timeout(700)
    assert not s.foreign and not s.errors


def test_a_play_link_plays_in_the_one_player_of_its_tab(site: Open) -> None:
    s = site()
    s.assistant.live = TEA
    s.start()
    s.page.locator("#chat a").nth(1).click()
    player = s.page.locator(".av-replay:visible audio")
    expect(player).to_have_count(1)
    assert player.get_attribute("aria-label") == "Reply 1, AI speech"
    s.wait("document.querySelector('.av-replay audio').currentTime > 0")
    assert player.get_attribute("src", timeout=1000).endswith(f"/avatar/audio/{ID}/reply")


def test_a_reply_is_copied_as_it_reads_and_given_again(site: Open) -> None:
    words = "First *line*.\nSecond <b>line</b> & more."
    s = site("navigator.clipboard.writeText = async words => { window.copied = words; };")
    s.assistant.live = [*TEA[:2], Line("user", "Two?"), Line("assistant", words, ID, 2, None, {"llm": 60.0})]
    s.start()
    s.page.locator("#chat a[href='#copy']").nth(1).click()
    s.wait("window.copied")
    assert s.page.evaluate("window.copied") == words
    expect(s.page.get_by_text(ENGLISH["copied"])).to_be_visible()
    again = s.page.locator("#chat a[href='#again']")
    expect(again).to_have_count(1)
    again.click()
    s.until(lambda: ("again", "local", "live1") in s.assistant.asked)
    assert not s.errors


def test_the_decisions_are_read_while_the_list_is_open(site: Open) -> None:
    s = site()
    s.assistant.why = [(1.0, Reason(9.0, "answer", "closed", 240, 0.93, 0.5))]
    panel = s.page.locator("#why")
    panel.get_by_text(ENGLISH["why"]).click()
    expect(panel.get_by_text(ENGLISH["why_none"])).to_be_visible()
    s.start()
    expect(panel.get_by_text("Answered after 240 ms of silence")).to_be_visible()
    expect(panel.get_by_text("needs 50 %")).to_be_visible()


def test_a_persona_is_shown_for_its_conversation_only(site: Open) -> None:
    s = site()
    s.assistant.store.rows = [Row("a1", "Steeping tea")]
    s.assistant.store.personas["local", "a1"] = "A pirate."
    panel = s.page.locator("#persona")
    panel.get_by_text(ENGLISH["persona"]).click()
    box = panel.get_by_label(ENGLISH["persona_l"])
    expect(box).to_be_visible()
    expect(panel.get_by_text("The demo model is too small")).to_be_visible()
    s.tab(1)
    s.page.get_by_text("Steeping tea").click()
    s.page.get_by_role("button", name=ENGLISH["continue"]).click()
    expect(box).to_have_value("A pirate.")
    box.fill("A pirate who loves tea.")
    panel.get_by_role("button", name=ENGLISH["persona_save"]).click()
    s.until(lambda: ("persona", "local", "a1", "", "A pirate who loves tea.") in s.assistant.asked)
    s.page.locator("#new").click()
    expect(box).to_have_value("")


# -- other tabs -------------------------------------------------------------------------------------------------------


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
    expect(s.page.locator(".av-list label")).to_have_count(1)
    assert [row.id for row in s.assistant.store.rows] == ["a2"]


def test_status_shows_the_ladder_and_refreshes_only_while_it_is_shown(site: Open) -> None:
    s = site()
    s.tab(2)
    expect(s.page.locator(".av-rung")).to_have_count(4)
    s.assistant.metrics.parts = {"total": (462, 881), "stt": (96, 168)}
    s.assistant.metrics.totals = [462.0, 500.0]
    s.assistant.pool.rungs = [SMOLLM, ESPEAK, Rung("stt", "w", "whisper <b>", "warming", 0.5)]
    expect(s.page.locator(".av-figs")).to_contain_text("462", timeout=8000)
    expect(s.page.locator(".av-prog")).to_have_attribute("aria-valuenow", "50")
    expect(s.page.locator(".vega-embed canvas, .vega-embed svg").first).to_be_visible()
    s.tab(0)
    s.page.wait_for_timeout(500)
    asked: list[str] = []
    s.page.on("request", lambda r: asked.append(r.url) if "queue/join" in r.url else None)
    s.page.wait_for_timeout(5000)
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
        s.page.wait_for_timeout(600)
        assert s.page.evaluate("document.documentElement.scrollWidth") <= 390
    s.tab(0)
    s.page.wait_for_timeout(300)
    assert s.page.locator(".av-mute").get_attribute("aria-label") == words["mute"]
    nameless: list[Any] = s.page.evaluate(
        """() => [...document.querySelectorAll('button, a[href], input, textarea, select, audio')]
          .filter(e => e.checkVisibility())
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
        s.page.wait_for_timeout(300)
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
        expect(row).to_contain_text("Loads when needed", timeout=8000)
        assert (tmp_path / "model.bin").read_bytes() == content
        assert hub.gets() == ["", "bytes=600000-", "bytes=1000000-"]
    assert s.errors == [] and s.foreign == []


def test_a_failed_rung_is_tried_from_the_status_tab(site: Open) -> None:
    s = site()
    s.assistant.pool.rungs = [replace(WHISPER, state="failed", sentence="Out of memory. Trying again in 4 min.")]
    s.tab(2)
    s.page.get_by_role("button", name="Try now: faster-whisper base").click()
    s.until(lambda: s.assistant.pool.retried == ["whisper"])
