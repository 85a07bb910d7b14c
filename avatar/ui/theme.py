"""The page's style sheets; Gradio's theme variables, mapped onto the tokens of the first, which alone hold values."""

import inspect
import re
from typing import Any, Final

import gradio as gr

from avatar.ui.fragments import ASSETS

# in this order: later ones override earlier ones where both are as specific
STYLES: Final = (
    "tokens.css",
    "frame.css",
    "controls.css",
    "stage.css",
    "chat.css",
    "history.css",
    "status.css",
    "voices.css",
    "narrow.css",
)

FONTS = [
    "ui-sans-serif",
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "PingFang TC",
    "Microsoft JhengHei",
    "Noto Sans TC",
    "Noto Sans CJK TC",
    "sans-serif",
]

# token -> the Gradio variables that take it, in both light and dark
_TOKENS: dict[str, tuple[str, ...]] = {
    "bg": ("body_background_fill",),
    "surface": (
        "background_fill_primary",
        "block_background_fill",
        "block_label_background_fill",
        "input_background_fill",
        "button_secondary_background_fill",
        "button_cancel_background_fill",
        "checkbox_label_background_fill",
        "checkbox_background_color",
        "table_even_background_fill",
        "table_odd_background_fill",
        "panel_background_fill",
    ),
    "sunk": ("background_fill_secondary", "button_secondary_background_fill_hover"),
    "line": ("block_border_color", "border_color_primary", "checkbox_label_border_color", "table_border_color"),
    "line-strong": ("input_border_color", "button_secondary_border_color", "checkbox_border_color"),
    "text": (
        "body_text_color",
        "button_secondary_text_color",
        "checkbox_label_text_color",
        "checkbox_label_text_color_selected",
        "table_text_color",
        "accordion_text_color",
    ),
    "muted": (
        "body_text_color_subdued",
        "block_label_text_color",
        "block_title_text_color",
        "block_info_text_color",
        "input_placeholder_color",
    ),
    "hear": (
        "border_color_accent",
        "input_border_color_focus",
        "button_primary_background_fill",
        "button_primary_background_fill_hover",
        "button_primary_border_color",
        "button_primary_border_color_hover",
        "checkbox_background_color_selected",
        "checkbox_border_color_selected",
        "color_accent",
        "slider_color",
        "stat_background_fill",
    ),
    "hear-bg": ("checkbox_label_background_fill_selected", "color_accent_soft"),
    "on": ("button_primary_text_color",),
    "speak": ("link_text_color",),
    "fault": ("button_cancel_text_color", "button_cancel_border_color"),
    "fault-bg": ("button_cancel_background_fill_hover",),
}
_SHAPES = {
    "block_radius": "var(--av-r)",
    "input_radius": "var(--av-r-s)",
    "button_large_radius": "var(--av-pill)",
    "button_medium_radius": "var(--av-pill)",
    "button_small_radius": "var(--av-pill)",
    "block_shadow": "none",
    "button_border_width": "1.5px",
    "input_border_width": "1px",
}


def _tokens() -> list[dict[str, str]]:
    """The colours of the first sheet: light, dark."""
    light, dark = (ASSETS / STYLES[0]).read_text(encoding="utf-8").split(".dark {")
    return [dict(re.findall(r"--av-([\w-]+): (#\w+)", part)) for part in (light, dark)]


def theme() -> gr.themes.Base:
    """System fonts only: a web font would be a request to another host. The colours are spelled out as well, because
    Gradio paints with two of these variables before it has any sheet."""
    mono = ["ui-monospace", "Menlo", "Consolas", "monospace"]
    base = gr.themes.Base(font=FONTS, font_mono=mono, text_size="md", spacing_size="md", radius_size="md")
    known = inspect.signature(base.set).parameters
    values: dict[str, Any] = dict(_SHAPES)
    light, dark = _tokens()
    for token, names in _TOKENS.items():
        for name in names:
            values[name] = f"var(--av-{token}, {light[token]})"
            if f"{name}_dark" in known:
                values[f"{name}_dark"] = f"var(--av-{token}, {dark[token]})"
    return base.set(**values)
