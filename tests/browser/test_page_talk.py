"""Words on the Talk tab in a browser: typed, recorded, shown, replayed, copied."""

from page_rows import ID, TEA, Line, Row
from page_site import IN_A_BROWSER, Open
from playwright.sync_api import expect

from avatar.errors import AvatarError, ServerFull
from avatar.turntaking.reasons import Reason
from avatar.ui.strings import ENGLISH

pytestmark = IN_A_BROWSER


def test_typed_text_is_answered_aloud_and_stays_when_it_fails(site: Open) -> None:
    s = site()
    box = s.page.locator("#type textarea")
    box.fill("How long?")
    box.press("Enter")
    expect(s.page.locator("#chat")).to_contain_text("Three minutes.")
    expect(box).to_have_value("")
    expect(s.page.locator("#reply")).to_be_visible()
    card = s.page.locator(".av-lat")
    expect(card).to_contain_text("1,250 ms")
    assert card.get_attribute("aria-label") == "Last reply took 1250 milliseconds: thinking 60, speaking 1190."
    expect(card.locator("dt")).to_have_text([ENGLISH["lat_llm"], ENGLISH["lat_tts"]])  # nothing was heard
    expect(card).to_contain_text("SmolLM2 · first word 41 ms")
    s.assistant.trouble = ServerFull("All 5 seats are taken.")
    box.fill("And now?")
    box.press("Enter")
    expect(s.page.locator(".toast-body")).to_contain_text("All 5 seats are taken.")
    expect(box).to_have_value("And now?")
    s.assistant.trouble = None
    box.press("Enter")
    expect(box).to_have_value("")
    (_, _, opened, _, first, *_), (*_, failed, _, _), (*_, again, _, _) = s.assistant.asked
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
    for number, part in ((1, "#search"), (2, ".av-rung"), (0, "#chat")):
        s.tab(number)
        expect(s.page.locator(part).first).to_be_visible()
    s.answered()
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
    s.answered()
    expect(s.page.locator("#chat")).to_contain_text("Second <b>line</b>")  # until the new reply takes its place
    assert not s.errors


def test_an_event_that_comes_to_nothing_leaves_the_conversation_as_it_is(site: Open) -> None:
    s = site()
    s.assistant.live, chat = TEA, s.page.locator("#chat")
    s.start()
    s.socket.send("turn", turn=1)
    expect(chat).to_contain_text("rinse them first")
    with s.page.expect_request(lambda asked: "queue/join" in asked.url):
        s.page.locator("#type textarea").press("Enter")  # nothing is written there
    s.answered()
    s.assistant.trouble = AvatarError("The disk is full.")
    s.page.locator("#chat a[href='#again']").click()
    expect(s.page.locator(".toast-body")).to_contain_text("The disk is full.")
    s.answered()
    expect(chat).to_contain_text("rinse them first")
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


def test_a_voice_is_chosen_for_its_conversation_only(site: Open) -> None:
    s = site()
    s.assistant.store.rows = [Row("a1", "Steeping tea")]
    s.assistant.store.chosen["a1"] = "alba"
    box = s.page.get_by_label(ENGLISH["voice"], exact=True)
    expect(box).to_have_value(ENGLISH["voice_default"])
    s.tab(1)
    s.page.get_by_text("Steeping tea").click()
    s.page.get_by_role("button", name=ENGLISH["continue"]).click()
    expect(box).to_have_value("Voice: alba · Pocket TTS")
    s.start()
    box.click()
    s.page.get_by_role("option", name="Voice: marius · Pocket TTS").click()
    s.until(lambda: ("voice", "local", "a1", "live1", "marius") in s.assistant.asked)
    expect(box).to_have_value("Voice: marius · Pocket TTS")
    s.page.locator("#new").click()
    expect(box).to_have_value(ENGLISH["voice_default"])
    assert not s.errors
