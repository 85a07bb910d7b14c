"""The settings beside the page: what a first conversation does not need. The browser keeps what differs from the
server's own (assets/settings.js), tells an open socket of changes, and with the next turn without one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import gradio as gr

from avatar.turntaking.bargein import SENSITIVITIES
from avatar.ui.fragments import fragment
from avatar.ui.strings import T
from avatar.wire import RATE_PCT

LANGUAGES: Final = ("auto", "en", "zh")
PATIENCE_MS: Final = (300, 2500)
VOLUME_PCT: Final = (0, 100)
FITS: Final[dict[str, Any]] = {  # name of a setting -> choices, or {min, max}, or null for yes and no
    "language": LANGUAGES,
    "patience_ms": {"min": PATIENCE_MS[0], "max": PATIENCE_MS[1]},
    "bargein": tuple(SENSITIVITIES),
    "half_duplex": None,
    "captions": None,
    "volume": {"min": VOLUME_PCT[0], "max": VOLUME_PCT[1]},
    "rate_pct": {"min": RATE_PCT[0], "max": RATE_PCT[1]},
}
_HEAD: Final = '<h2 class="av-settings" data-t="settings"></h2>'
_LOOK: Final = (
    '<label class="av-field"><span data-t="look"></span><select class="av-look">'
    '<option value="" data-t="look_system"></option><option value="light" data-t="look_light"></option>'
    '<option value="dark" data-t="look_dark"></option></select></label>'
)
_MIC: Final = '<label class="av-field"><span data-t="mic"></span><select class="av-mic"></select></label>'
# assets/settings.js keeps them; it has its part before the last control is there, and a change waits for it.
_RECALL: Final = "async () => (await window.avatarStage).recall()"
_CHANGE: Final = "async (...values) => { (await window.avatarStage).changed(values); return []; }"


@dataclass(frozen=True, slots=True)
class Controls:
    """What turns without a socket are told of the settings."""

    language: gr.Dropdown
    rate_pct: gr.Slider


def usual(patience_ms: int) -> dict[str, Any]:
    """What they are until somebody changes them, in the order of FITS."""
    ours = {"bargein": "normal", "half_duplex": False, "captions": True, "volume": 100, "rate_pct": 100}
    return {"language": "auto", "patience_ms": patience_ms, **ours}


def settings_sidebar(blocks: gr.Blocks, patience_ms: int, more: Callable[[], None]) -> Controls:
    """Lay it out inside `blocks`. `more` lays out what comes below."""
    now = usual(patience_ms)
    with gr.Sidebar(T("settings"), open=False, position="right", width=320):
        fragment(_HEAD)
        choices: list[Any] = list(zip((T("lang_auto"), "English", "中文"), LANGUAGES, strict=True))
        language = gr.Dropdown(choices, value=now["language"], label=T("lang"))
        volume = gr.Slider(*VOLUME_PCT, now["volume"], step=5, label=T("volume"))
        rate = gr.Slider(*RATE_PCT, now["rate_pct"], step=5, label=T("rate"))
        fragment(_MIC)
        patience = gr.Slider(*PATIENCE_MS, now["patience_ms"], step=100, label=T("patience"))
        levels = [(T(f"bargein_{level}"), level) for level in SENSITIVITIES]
        bargein = gr.Radio(
            levels, value=now["bargein"], label=T("bargein"), info=T("bargein_why"), elem_classes="av-seg"
        )
        duplex = gr.Checkbox(now["half_duplex"], label=T("duplex"))
        captions = gr.Checkbox(now["captions"], label=T("caps"))
        fragment(_LOOK)
        more()
    every: list[Any] = [language, patience, bargein, duplex, captions, volume, rate]
    blocks.load(None, None, every, js=_RECALL, api_visibility="private")
    gr.on([control.change for control in every], None, every, None, js=_CHANGE, api_visibility="private")
    return Controls(language, rate)
