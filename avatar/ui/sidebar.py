"""The settings beside the page: what a first conversation does not need. The browser keeps what differs from the
server's own; changes go to transport.js, which tells the open socket, and with the next turn without one.
"""

import json
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
# Runs before the stage's script may be there. What an earlier version kept, and this one does not know, is left out.
_RECALL: Final = """(...now) => {
  const fits = FITS, names = Object.keys(fits);
  let kept = {};
  try { kept = JSON.parse(localStorage.getItem('avatar.settings')) ?? {}; } catch { /* the browser keeps nothing */ }
  window.avatarDefaults = Object.fromEntries(names.map((name, i) => [name, now[i]]));
  const valid = (x, of) => of === null ? typeof x === 'boolean'
    : Array.isArray(of) ? of.includes(x) : typeof x === 'number' && x >= of.min && x <= of.max;
  return names.map((name, i) => valid(kept[name], fits[name]) ? kept[name] : now[i]);
}"""
_CHANGE: Final = """(...values) => {
  const wanted = Object.fromEntries(NAMES.map((name, i) => [name, values[i]]));
  window.avatarUI.prefer(wanted);
  const own = Object.entries(wanted).filter(([name, value]) => value !== window.avatarDefaults?.[name]);
  try { localStorage.setItem('avatar.settings', JSON.stringify(Object.fromEntries(own))); } catch { /* not kept */ }
  return [];
}"""


@dataclass(frozen=True, slots=True)
class Controls:
    """What turns without a socket are told of the settings."""

    language: gr.Dropdown
    rate_pct: gr.Slider


def settings_sidebar(blocks: gr.Blocks, patience_ms: int, more: Callable[[], None]) -> Controls:
    """Lay it out inside `blocks`. `more` lays out what comes below."""
    with gr.Sidebar(T("settings"), open=False, position="right", width=320):
        fragment(_HEAD)
        choices: list[Any] = list(zip((T("lang_auto"), "English", "中文"), LANGUAGES, strict=True))
        language = gr.Dropdown(choices, value="auto", label=T("lang"))
        volume = gr.Slider(*VOLUME_PCT, 100, step=5, label=T("volume"))
        rate = gr.Slider(*RATE_PCT, 100, step=5, label=T("rate"))
        fragment(_MIC)
        patience = gr.Slider(*PATIENCE_MS, patience_ms, step=100, label=T("patience"))
        levels = [(T(f"bargein_{level}"), level) for level in SENSITIVITIES]
        bargein = gr.Radio(levels, value="normal", label=T("bargein"), info=T("bargein_why"), elem_classes="av-seg")
        duplex = gr.Checkbox(label=T("duplex"))
        captions = gr.Checkbox(label=T("caps"), value=True)
        fragment(_LOOK)
        more()
    every: list[Any] = [language, patience, bargein, duplex, captions, volume, rate]
    blocks.load(None, every, every, js=_RECALL.replace("FITS", json.dumps(FITS)), api_visibility="private")
    change = _CHANGE.replace("NAMES", json.dumps(list(FITS)))
    gr.on([control.change for control in every], None, every, None, js=change, api_visibility="private")
    return Controls(language, rate)
