"""The live connection in a browser: what is sent and played, interruptions, refusals, coming back."""

import time

import numpy as np
from page_rows import TEA, tone
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import Route, expect
from starlette.websockets import WebSocketState

from avatar.ui.strings import ENGLISH

pytestmark = IN_A_BROWSER
LATENCY = {"turn": 1, "eot": 212, "stt": 96, "llm": 58, "tts": 96, "engines": {"eot": "Smart Turn", "stt": "<b>ears"}}


def test_start_opens_a_socket_without_a_token_in_its_address_and_streams_the_microphone(site: Open) -> None:
    s = site()
    s.start()
    assert s.socket.paths[0].endswith("/avatar/ws") and s.socket.got[0]["t"] == "hello"
    settings = {"language", "patience_ms", "half_duplex", "bargein", "rate_pct"}
    assert set(s.socket.got[0]) == {"t", "token", "conversation", "live", *settings}
    frames = s.heard()
    assert {len(f) for f in frames} == {640}  # 20 ms each
    loud = np.abs(np.frombuffer(b"".join(frames), "<i2").astype(int))
    assert loud.max() > 1000  # the fake device beeps
    assert not s.errors


def test_a_reply_is_played_once_and_reported_to_its_last_sample(site: Open) -> None:
    s = site()
    s.start()
    s.socket.send("heard", final="And how long", partial="for a")
    expect(s.page.locator(".av-partial")).to_have_text("for a")
    total = s.speak(1, 1.5)
    s.socket.send("latency", **LATENCY)
    s.socket.send("end", turn=1, samples=total)
    s.wait("avatarUI.log.some(e => e[0] === 'done')")
    s.until(lambda: s.socket.said("played")[-1:] == [{"t": "played", "turn": 1, "samples": total}])
    played = s.socket.said("played")
    assert [p["samples"] for p in played] == sorted(p["samples"] for p in played) and len(played) >= 5
    assert s.marks("first")[0] - s.marks("turn")[0] < 1500 <= s.marks("done")[0] - s.marks("turn")[0]
    assert not s.marks("gap")
    assert "462 ms" in s.page.inner_text(".av-lat") and "<b>ears" in s.page.inner_text(".av-lat")
    assert "Three minutes" in s.page.locator(".av-log").text_content()
    s.socket.audio(1, tone(0.3))  # late frames of a turn that is over never sound
    s.page.wait_for_timeout(300)
    assert len(s.marks("first")) == 1


def test_duck_and_flush_are_heard_at_once_and_stale_frames_never(site: Open) -> None:
    s = site()
    s.start()
    total = s.speak(1, 15)
    s.wait("avatarUI.log.some(e => e[0] === 'first')")
    s.socket.send("duck", on=True)
    s.wait("avatarUI.log.some(e => e[0] === 'ducked')")
    s.socket.send("flush", turn=1)
    s.wait("avatarUI.log.some(e => e[0] === 'silent')")
    s.socket.audio(1, tone(0.5))
    assert not s.marks("gap")  # before the reply was over: how soon, test_browser_real.py judges, beside nothing else
    s.until(lambda: s.socket.said("played"))
    assert 0 < s.socket.said("played")[-1]["samples"] < total
    s.page.wait_for_timeout(300)
    assert len(s.marks("first")) == 1
    s.speak(2, 0.5)
    s.wait("avatarUI.log.filter(e => e[0] === 'first').length === 2")


def test_an_interruption_is_silent_here_before_the_server_knows(site: Open) -> None:
    s = site()
    s.start()
    ways = [lambda: s.page.keyboard.press("Escape"), lambda: s.page.click(".av-main"), lambda: s.page.click(".av-orb")]
    for turn, interrupt in enumerate(ways, 1):
        s.speak(turn, 15)
        s.wait(f"avatarUI.log.some(e => e[0] === 'first' && e[2] === {turn})")
        interrupt()
        s.wait(f"avatarUI.log.some(e => e[0] === 'silent' && e[2] === {turn})")
        s.until(lambda: len(s.socket.said("interrupt")) == turn)  # noqa: B023
        assert not s.marks("gap") and not s.marks("flush")  # before the reply was over, and no server asked for it
        s.socket.send("state", state="listening", patience_ms=900)
        s.page.wait_for_timeout(200)
        assert s.page.inner_text(".av-hint") == ENGLISH["stopped"]  # not overwritten at once
        assert s.page.inner_text(".av-caption") == ""


def test_a_lost_connection_comes_back_to_the_same_conversation_with_a_new_token(site: Open) -> None:
    s = site()
    s.start()
    s.socket.send("turn", turn=1)  # and nothing of it is stored yet
    s.page.evaluate("""() => { window.told = [];  // the page waits half a second and then goes on by itself
      const notice = document.querySelector('.av-notice');
      new MutationObserver(() => told.push(notice.innerText)).observe(notice, { childList: true }); }""")
    s.socket.drop(1011)
    s.wait("told.some(words => words.includes('try 1')) && avatarUI.state === 'listening'")
    first, second = s.socket.said("hello")
    assert (first["conversation"], second["conversation"]) == ("", "new1") and second["token"] != first["token"]
    total = s.speak(1, 0.4)  # the new session counts from one again
    s.socket.send("end", turn=1, samples=total)
    s.wait("avatarUI.log.some(e => e[0] === 'done')")


def test_a_conversation_that_was_deleted_elsewhere_is_gone_from_the_page_and_a_new_one_is_begun(site: Open) -> None:
    s = site()
    s.start()
    s.assistant.live = TEA
    s.speak(1, 0.2)
    expect(s.page.locator("#chat")).to_contain_text("oolong")
    s.assistant.live = []
    s.socket.send("notice", code="DELETED", text="It was deleted.")
    s.socket.send("ready", live="live1", conversation="new2", n=2, of=5)
    expect(s.page.locator("#chat")).not_to_contain_text("oolong")
    expect(s.page.get_by_text("It was deleted.")).to_be_visible()
    assert s.page.evaluate("avatarUI.state") == "speaking" and not s.socket.said("new")
    s.socket.drop(1011)
    s.until(lambda: s.socket.opened == 2)
    assert s.socket.said("hello")[1]["conversation"] == "new2"


def test_a_page_that_is_loaded_again_goes_on_with_its_conversation(site: Open) -> None:
    s = site()
    s.start()
    s.page.reload()
    s.wait("window.avatarUI?.state === 'idle'")
    s.start()
    first, second = s.socket.said("hello")
    assert (first["conversation"], second["conversation"]) == ("", "new1")
    assert (first["live"], second["live"]) == ("", "")  # Start takes it from wherever it is live


def test_a_tab_that_is_closed_lets_go_of_its_socket(site: Open) -> None:
    s = site()
    s.start()
    s.speak(1, 5)
    s.wait("avatarUI.log.some(e => e[0] === 'first')")
    closed, s.page = s.page, s.page.context.new_page()
    closed.close()
    s.until(lambda: s.socket.ws.client_state == WebSocketState.DISCONNECTED)
    assert not s.errors


def test_a_full_server_says_so_and_then_that_a_seat_is_free(site: Open) -> None:
    s = site()
    s.socket.full = True
    s.assistant.seats.taken = 5
    s.page.click(".av-main")
    s.wait("avatarUI.state === 'full'")
    assert "All 5 seats" in s.page.inner_text(".av-state") and "5 of 5" in s.page.inner_text(".av-seats")
    assert "getUserMedia" not in s.errors and not s.marks("microphone")
    s.assistant.seats.taken = 4
    s.wait("avatarUI.state === 'idle'")
    assert s.page.inner_text(".av-hint") == ENGLISH["seat_free"]


def test_a_socket_that_does_not_open_leads_to_the_recording(site: Open) -> None:
    s = site("window.openMs = 3000;")
    s.socket.deaf = True
    s.page.click(".av-main")
    s.wait("avatarUI.state === 'offline'")
    assert "3 seconds" in s.page.inner_text(".av-notice")
    expect(s.page.locator("#record").get_by_text(ENGLISH["record_l"])).to_be_visible()


def test_a_server_that_is_only_slow_is_not_left_when_it_answers_while_the_page_asks_who_it_is(site: Open) -> None:
    s = site("window.openMs = 500;")
    s.socket.ready.clear()
    asked: list[Route] = []
    s.page.route("**/gradio_api/app_id", lambda route: asked.append(route))
    s.page.click(".av-main")
    s.until(lambda: asked)  # half a second has passed without a word: is it another server by now?
    s.socket.ready.set()
    s.wait("avatarUI.state === 'listening'")
    asked[0].continue_()
    s.answered()
    assert s.page.evaluate("avatarUI.state") == "listening" and s.socket.opened == 1


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
    expect(s.page.locator(".toast-body", has_text=ENGLISH["err_IDLE"])).to_have_count(1)


def test_signs_of_life_go_on_while_muted_and_a_server_without_them_is_lost(site: Open) -> None:
    s = site()
    s.start()
    s.page.click(".av-mute")
    s.wait("avatarUI.state === 'muted'")
    beats, began = s.socket.beats, time.monotonic()
    s.until(lambda: s.socket.beats >= beats + 4, 5)
    assert time.monotonic() - began > 1  # one each half second
    assert s.socket.opened == 1
    s.socket.answers = False  # as when the cable is pulled: nothing closes, and nothing comes
    s.until(lambda: s.socket.opened == 2)
    first, second = s.socket.said("hello")
    assert (first["conversation"], second["conversation"]) == ("", "new1")
    assert (first["live"], second["live"]) == ("", "live1")  # it takes nothing from another window
