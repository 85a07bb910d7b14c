"""The Status tab without a browser: the ladder and its reasons, figures, plots."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_rows import BROKEN, ESPEAK, MOONSHINE, SMOLLM, WHISPER, Rung

from avatar.engines.hindrance import Hindrance
from avatar.ui import ladder, status, strings
from avatar.weights.downloads import Downloads

CAUSES = [
    (Hindrance("PACKAGE", "", {"package": "faster_whisper"}), "faster_whisper"),
    (Hindrance("PACKAGE_GET", "", {"package": "pocket_tts", "install": "make voice"}), "make voice"),
    (Hindrance("SETTING", "", {"setting": "AVATAR_LLM_URL"}), "AVATAR_LLM_URL"),
    (WHISPER.hindrance, "python -m avatar.weights fetch whisper-base"),
    (Hindrance("WEIGHTS_NEVER", "", {"weights": "a, b", "mb": "9", "first": "a"}), "avatar.weights fetch a"),
]


@pytest.mark.parametrize(("cause", "names"), CAUSES)
def test_why_a_rung_is_not_there_names_what_to_get_in_both_languages(cause: Any, names: str) -> None:
    for language in ("en", "zh-TW"):
        words = ladder.rung_note(replace(WHISPER, hindrance=cause), language)  # type: ignore[arg-type]
        assert (
            names in words
            and "{" not in words
            and (re.search("[\u4e00-\u9fff]", words) is not None) == (language != "en")
        )
    assert strings.hindrance(SMOLLM, "zh-TW") == ""  # type: ignore[arg-type]


def test_why_a_rung_failed_is_its_own_sentence_in_english_and_its_code_in_chinese() -> None:
    failed: Any = replace(WHISPER, state="failed", hindrance=BROKEN, again_s=240.0)
    assert ladder.rung_note(failed, "en") == "Out of memory. Trying again in 4 min."
    assert ladder.rung_note(failed, "zh-TW") == (
        "faster-whisper base 出了差錯（ENGINE_FAILED），細節在紀錄檔裡。4 分鐘後會自動再試。"
    )
    for code in ("FAILED_MEMORY", "FAILED_TIMEOUT", "FAILED_NETWORK", "RESTING", "NO_ROOM"):
        words = ladder.rung_note(replace(failed, hindrance=replace(BROKEN, code=code), again_s=0), "zh-TW")
        assert "Out of memory" not in words and words.endswith("。")


def test_rungs_say_what_they_can_and_why_they_cannot() -> None:
    warming = Rung("llm", "q", "Qwen", "warming", 0.43, languages=("zh", "en"), clones=False)
    rungs: Any = [replace(warming, state="failed", hindrance=BROKEN), warming, SMOLLM]
    card = ladder.ladder("llm", rungs, Downloads(Path("/nowhere")), "en")
    assert "Cannot run" in card and "Out of memory." in card and "Warming 43 %" in card and 'aria-valuenow="43"' in card
    assert "中文 · English · 150 MiB · MIT" in card and "demo model" in card and "Serving" in card
    assert ladder.rung_note(ESPEAK, "zh-TW").startswith("100+ 種語言")
    assert ladder.rung_word(replace(warming, fraction=None), "en") == "Warming"
    assert "no voice cloning" in ladder.rung_note(ESPEAK, "en") and "cloning" not in card
    pocket = replace(ESPEAK, languages=("en",), clones=True, voices=("alba", "marius"))
    assert ladder.rung_note(pocket, "en").startswith("English · 2 voices · clones voices · ")
    whisper = replace(MOONSHINE, slower=True)
    assert "clear English stays with the faster engine below" in ladder.rung_note(whisper, "en")
    assert "清楚的英語仍由下一級聽" in ladder.rung_note(whisper, "zh-TW")


def test_figures_compare_with_their_goals() -> None:
    seen = status.figures((3, 5), {"p50": 462.4, "p95": 1081}, (1.25, 8), False, "en")
    assert (
        "462 <small>ms" in seen and "goal 500" in seen and "181 over goal 900" in seen and seen.count('class="on"') == 3
    )
    assert "16 percent" in seen and "no GPU found" in seen
    assert "after the first turn" in status.figures((0, 5), {}, (20, 24), True, "en")


def test_plots_wait_for_the_first_turn() -> None:
    assert not status.parts_plot({}, "en").visible and not status.turns_plot([], "en").visible
    plot: Any = status.parts_plot({"stt": {"p50": 96.4, "p95": 168, "n": 9}}, "zh-TW")
    assert plot.visible and plot.color_map["聽"] == status.SHADES["stt"]
    assert status.turns_plot([400, 1700], "en").y_lim == pytest.approx([0, 1785])
