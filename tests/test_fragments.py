"""What the page shows of foreign words: nothing foreign becomes markup."""

from dataclasses import replace
from pathlib import Path

import pytest
from page_rows import ID, TEA, Line, Rung

from avatar.engines.hindrance import Hindrance
from avatar.store import Score
from avatar.turntaking.reasons import Reason
from avatar.ui import fragments, ladder, strings
from avatar.ui.rating import score_list
from avatar.ui.why import reason_list
from avatar.weights.downloads import Downloads

HOSTILE = """<img src="http://evil.test/x.png" onerror=alert(1)> ![x](http://evil.test/y.png) **b** $$z$$ &amp; 'q'"""


def test_what_people_say_is_never_markdown_or_html() -> None:
    shown = fragments.plain(HOSTILE)
    assert not set(shown) & set("<>!*[]()$\"'`_~|\\")
    assert fragments.plain("1. one\n    code\n# two") == "1&#46; one\ncode\n&#35; two"
    (message,) = fragments.messages([Line("user", HOSTILE)], "en")
    assert message == {"role": "user", "content": shown}


def test_below_a_reply_stand_play_bar_and_tag() -> None:
    user, _, _, cut = fragments.messages(TEA, "en")
    assert user["content"].count("<a ") == 1 and f'href="#play-{TEA[0].turn_id}-user"' in user["content"]
    assert "462 ms" in cut["content"] and "Interrupted after 2.1 s" in cut["content"]
    assert 'class="av-eot" style="width:14.1%"' in cut["content"]
    assert "2.1 秒後被打斷" in fragments.messages(TEA, "zh-TW")[3]["content"]


def test_a_finished_reply_can_be_copied_and_the_last_one_given_again() -> None:
    shown = [m["content"] for m in fragments.messages(TEA, "en", again=True)]
    assert ["#copy" in x for x in shown] == [False, True, False, True]
    assert ["#again" in x for x in shown] == [False, False, False, True] and "Answer again" in shown[3]
    assert "#again" not in fragments.messages(TEA, "en")[3]["content"]
    running = replace(TEA[3], over=False)
    assert "#copy" not in fragments.messages([running], "en", again=True)[0]["content"]
    unheard = fragments.messages([replace(TEA[3], text="")], "zh-TW", again=True)[0]["content"]
    assert "#copy" not in unheard and "重新回答" in unheard


def test_a_reply_that_was_heard_can_be_rated_and_the_newest_at_once() -> None:
    shown = [m["content"] for m in fragments.messages([*TEA[:3], replace(TEA[3], rating=7)], "en", again=True)]
    assert ["av-rate" in x for x in shown] == [False, True, False, True]
    assert ['<details class="av-rate" open>' in x for x in shown] == [False, False, False, True]
    assert [shown[1].count(f'#rate-{ID}-{n}"') for n in range(12)] == [0, *[1] * 10, 0]
    assert "Sound 7/10" in shown[3] and f'<a class="on" href="#rate-{ID}-0" title="7 of 10, chosen' in shown[3]
    assert f'<a class="to" href="#rate-{ID}-6"' in shown[3] and f'<a class="" href="#rate-{ID}-8"' in shown[3]
    assert "為聲音評分" in fragments.messages(TEA, "zh-TW")[1]["content"]
    for silent in (replace(TEA[1], turn_id=None), replace(TEA[1], over=False), replace(TEA[1], turn_id='"><script>')):
        assert "av-rate" not in fragments.messages([silent], "en", again=True)[0]["content"]


def test_a_mean_never_stands_without_its_n() -> None:
    shown = score_list([Score("<b>", "alba", 7.75, 4), Score("eSpeak NG", "default", 3.0, 1)], "en")
    assert "&lt;b&gt;, alba" in shown and "7.8 of 10 (n = 4)" in shown
    assert "eSpeak NG, the engine&#x27;s own voice" in shown and "3.0 of 10 (n = 1)" in shown
    assert strings.ENGLISH["scores_none"] in score_list([], "en")
    assert "還沒有評分" in score_list([], "zh-TW")


def test_an_id_that_is_none_is_no_link() -> None:
    (message,) = fragments.messages([Line("user", "x", '"><script>', 1)], "en")
    assert message["content"] == "x"


@pytest.mark.parametrize(
    "markup",
    [
        fragments.rung(HOSTILE, HOSTILE, "warming", HOSTILE, True, 0.5),
        fragments.figure(HOSTILE, HOSTILE, HOSTILE),
        fragments.meter(0.5, HOSTILE),
        ladder.ladder(
            "stt",
            [Rung("stt", HOSTILE, HOSTILE, "failed", hindrance=Hindrance("FAILED", HOSTILE))],
            Downloads(Path("/x")),
            "en",
        ),
    ],
)
def test_fragments_escape_names(markup: str) -> None:
    assert "<img" not in markup and "'q'" not in markup and '"http' not in markup


def test_a_decision_is_told_with_its_rule_and_its_probability() -> None:
    sure = Reason(9.0, "answer", "closed", 240, 0.934, 0.5)
    never = Reason(8.0, "wait", "open word", 1300, 0.9, 1.01)
    echo = Reason(7.0, "kept", "echo", 480, 0.71, 0.62)
    hum = Reason(6.0, "kept", "listening noise", 1480)
    shown = reason_list([(0.6, sure), (2.0, never), (4.0, echo), (61.0, hum)], "en")
    assert (
        "Answered after 240 ms of silence" in shown and "a whole sentence · sounds finished 93 %, needs 50 %" in shown
    )
    assert "sounds finished 90 %, which is not enough here" in shown
    assert "its own echo · like the reply itself 71 %, limit 62 %" in shown
    assert "<span>a listening noise</span><em>61 s ago</em>" in shown and "1,480 ms" in shown
    assert "聽起來說完了 93 %" in reason_list([(1, sure)], "zh-TW")
    assert "Nothing is decided yet" in reason_list([], "en")
