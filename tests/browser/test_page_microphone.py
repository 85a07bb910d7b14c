"""Microphone, keys and sidebar in a browser: by what cause nothing is heard, and what is heard when."""

import json
from dataclasses import replace

import numpy as np
from page_rows import TEA, WHISPER
from page_site import IN_A_BROWSER, Open, Site
from playwright.sync_api import expect

from avatar.ui.strings import ENGLISH

pytestmark = IN_A_BROWSER
CHOOSE = """number => {
  const select = document.querySelector('select.av-mic');
  select.selectedIndex = number;
  select.dispatchEvent(new Event('change', { bubbles: true }));
}"""
REJECT = "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('no', window.fault); };"
FAULTS = {"NotAllowedError": "refused", "NotFoundError": "missing", "NotReadableError": "inuse"}


def test_a_microphone_that_cannot_be_had_is_called_by_its_cause(site: Open) -> None:
    s = site(REJECT)
    for count, (fault, state) in enumerate(FAULTS.items(), 1):
        s.page.evaluate(f"window.fault = '{fault}'")
        s.page.click(".av-main")
        s.wait(f"avatarUI.state === '{state}'")
        assert s.page.inner_text(".av-state") == ENGLISH[f"st_{state}"]
        s.until(lambda: len(s.socket.said("bye")) == count)  # noqa: B023 - the seat is given back
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
    count = len(s.socket.frames)
    s.page.wait_for_timeout(400)
    assert len(s.socket.frames) == count
    s.page.click(".av-mute")
    s.page.evaluate("avatarUI.prefer({ half_duplex: true })")
    s.speak(1, 15)
    s.wait("avatarUI.log.some(e => e[0] === 'first')")
    count = len(s.socket.frames)
    s.until(lambda: len(s.socket.frames) >= count + 90)
    assert not any(b"".join(s.socket.frames[count + 30 :]))  # what was heard before is on its way for a while
    assert s.socket.said("settings")[-1]["half_duplex"] is True


def test_nobody_who_is_not_heard_is_told_to_interrupt_by_talking(site: Open) -> None:
    s = site()
    s.start()
    hint = s.page.locator(".av-hint")
    s.socket.send("state", state="speaking")
    expect(hint).to_have_text(ENGLISH["hi_speaking"])
    s.page.click(".av-mute")
    expect(hint).to_have_text(ENGLISH["hi_muted"])
    s.page.click(".av-mute")
    expect(hint).to_have_text(ENGLISH["hi_speaking"])
    s.page.evaluate("avatarUI.prefer({ half_duplex: true })")
    expect(hint).to_have_text(ENGLISH["hi_speaking_deaf"])
    s.socket.send("state", state="thinking")
    expect(hint).to_have_text(ENGLISH["hi_thinking"])
    s.page.click(".av-mute")
    expect(hint).to_have_text(ENGLISH["hi_muted"])


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
    s.page.get_by_label(ENGLISH["patience"]).locator("visible=true").first.fill("1500")
    s.until(lambda: s.socket.said("settings")[-1]["patience_ms"] == 1500)
    s.page.get_by_label(ENGLISH["bargein_quick"]).check()
    s.until(lambda: s.socket.said("settings")[-1]["bargein"] == "quick")
    s.page.get_by_label(ENGLISH["caps"]).uncheck()
    expect(s.page.locator(".av-stage.nocaps")).to_be_attached()
    s.page.get_by_label(ENGLISH["mic"]).select_option(index=2)
    s.until(lambda: len(s.marks("microphone")) == 2)
    count = len(s.socket.frames)
    s.until(lambda: len(s.socket.frames) > count + 10)


def test_another_microphone_takes_the_place_of_the_one_before(site: Open) -> None:
    s = site()
    s.start()
    for number in (1, 2):
        s.page.evaluate(CHOOSE, number)
        s.until(lambda number=number: len(s.marks("microphone")) == 1 + number)
    s.heard()  # one microphone, and not the silence of the two before
    assert not s.errors


def test_of_two_microphones_chosen_at_once_the_last_is_heard(site: Open) -> None:
    s = site("""
      const open = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
      window.opened = [];
      navigator.mediaDevices.getUserMedia = asked => {
        opened.push(asked.audio.deviceId?.exact ?? '');
        return open(asked);
      };
    """)
    s.start()
    s.page.evaluate(f"[1, 2].forEach({CHOOSE})")
    s.until(lambda: len(s.marks("microphone")) == 2)
    assert s.page.evaluate("opened.at(-1)") == s.page.evaluate("localStorage.getItem('avatar-mic')") != ""
    assert not s.errors


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
    assert "Moonshine tiny understands no 中文" in notice
    assert "choose another language in Settings. To hear it I need faster-whisper base. Its weights" in notice
    s.page.click(".av-main")
    s.page.wait_for_timeout(300)
    assert not s.socket.paths
    s.page.evaluate("avatarUI.prefer({ language: 'auto' })")
    assert s.page.evaluate("avatarUI.state") == "idle"
    assert ENGLISH["english_only"].format(name="Moonshine tiny") in s.page.inner_text(".av-caption")
    assert s.page.inner_text(".av-demo") == ENGLISH["demo"]


def test_chinese_while_the_engine_for_it_is_on_its_way_says_so(site: Open) -> None:
    s = site()
    s.assistant.pool.rungs[0] = replace(WHISPER, state="warming", hindrance=None)
    s.page.reload()
    s.wait("window.avatarUI?.engines?.chinese.get.why === ''")
    s.page.evaluate("avatarUI.prefer({ language: 'zh' })")
    s.wait("avatarUI.state === 'tongue'")
    assert s.page.inner_text(".av-notice").endswith(ENGLISH["get_coming"].format(name="faster-whisper base"))


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
  const whole = 15680;                               // the frames of one second, less the last
  for (let i = 0; i < 100 && samples.length < whole; i++) await new Promise(resolve => setTimeout(resolve, 50));
  return samples;
}"""


def test_the_microphone_is_resampled_without_aliases(site: Open) -> None:
    s = site()

    def level(rate: int, hertz: int) -> float:
        samples = np.array(s.page.evaluate(CAPTURE, [rate, hertz])[1600:], float) / 32767
        assert 12_000 < len(samples) < 14_500  # of one second, less the 100 ms cut off and the last frame
        return float(20 * np.log10(np.sqrt(2 * np.mean(samples**2)) + 1e-9))

    for rate in (48_000, 44_100):
        assert abs(level(rate, 1000)) < 0.1 and abs(level(rate, 6000)) < 0.5
        assert level(rate, 10_000) < -60 and level(rate, 15_000) < -60


def test_volume_and_rate_reach_every_player_and_the_server_and_are_remembered(site: Open) -> None:
    s = site()
    s.assistant.live = TEA[:2]
    s.start()
    s.page.locator(".toggle-button").first.click()
    slide(s, "volume", 50)
    slide(s, "rate", 130)
    s.until(lambda: s.socket.said("settings") and s.socket.said("settings")[-1]["rate_pct"] == 130)
    s.wait("avatarUI.gains()[0] === 0.25")  # of the live reply
    s.page.locator(".av-replay audio").evaluate("player => { player.loop = true }")  # one that ended is let go
    s.page.locator("#chat a[href$=reply]").evaluate("link => link.click()")
    s.wait("document.querySelector('.av-replay audio').volume === 0.25")
    slide(s, "volume", 0)
    s.wait("document.querySelector('.av-replay audio').volume === 0 && avatarUI.gains()[0] === 0")
    s.page.reload()
    s.wait("window.avatarUI?.engines")
    s.start()
    assert s.socket.said("hello")[-1]["rate_pct"] == 130 and s.page.evaluate("avatarUI.gains()[0]") == 0
    s.page.locator("#type textarea").fill("Hi")
    s.page.click(".av-end, .av-main")  # without a socket the rate goes with the turn
    s.wait("avatarUI.state === 'idle'")
    s.page.locator("#type textarea").press("Enter")
    s.until(lambda: s.assistant.asked)
    assert s.assistant.asked[-1][0] == "typed" and s.assistant.asked[-1][-1] == 130


def test_settings_that_this_version_does_not_know_are_forgotten(site: Open) -> None:
    kept = {"language": "xx", "patience_ms": 9, "bargein": "wild", "half_duplex": "yes", "rate_pct": 500, "volume": 40}
    s = site(f"localStorage.setItem('avatar.settings', '{json.dumps(kept)}');")
    s.start()
    hello = s.socket.said("hello")[0]
    own = {"language": "auto", "patience_ms": 1300, "bargein": "normal", "half_duplex": False, "rate_pct": 100}
    assert own.items() <= hello.items()
    s.wait("Math.abs(avatarUI.gains()[0] - 0.16) < 1e-6")


def slide(s: Site, name: str, value: int) -> None:
    s.page.get_by_label(ENGLISH[name]).locator("visible=true").first.fill(str(value))
