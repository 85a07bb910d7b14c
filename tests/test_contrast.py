"""The colours of assets/tokens.css: the contrast of every pair that meets on the page, by the formula of WCAG 2.2."""

import re

import pytest

from avatar.ui.fragments import ASSETS

STAGES = ("hear", "think", "speak")
GROUNDS = ("bg", "surface", "sunk")
TEXT = (
    [(text, ground) for text in ("text", "muted") for ground in (*GROUNDS, *(f"{stage}-bg" for stage in STAGES))]
    + [(colour, ground) for colour in (*STAGES, "fault") for ground in ("bg", "surface", f"{colour}-bg")]
    + [("on", stage) for stage in STAGES]
    + [("text", "fault-bg"), ("rest", "surface")]
)
BORDERS = [(line, ground) for line in ("line-strong", "speak") for ground in GROUNDS]  # of controls, and of the focus


def colours(theme: str) -> dict[str, str]:
    css = (ASSETS / "tokens.css").read_text(encoding="utf-8")
    blocks = [re.search(rf"^{re.escape(name)} {{(.*?)^}}", css, re.S | re.M) for name in (":root", ".dark")]
    light, dark = (dict(re.findall(r"--av-([\w-]+): (#[0-9a-f]{6});", block[1])) for block in blocks if block)
    return light | dark if theme == "dark" else light


def luminance(colour: str) -> float:
    """Relative, as WCAG defines it for sRGB."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_formula() -> None:
    assert round(contrast("#000000", "#ffffff"), 2) == 21 and round(contrast("#777777", "#ffffff"), 2) == 4.48


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_borders_stand_out(theme: str) -> None:
    shade = colours(theme)
    assert len(shade) >= 17
    least = {pair: round(contrast(shade[pair[0]], shade[pair[1]]), 2) for pair in TEXT}
    assert not {pair: ratio for pair, ratio in least.items() if ratio < 4.5}  # AA for text
    edges = {pair: round(contrast(shade[pair[0]], shade[pair[1]]), 2) for pair in BORDERS}
    assert not {pair: ratio for pair, ratio in edges.items() if ratio < 3}  # AA for what is no text
