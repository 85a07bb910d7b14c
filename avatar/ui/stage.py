"""The live stage: its markup, its script (assets/), and what it shows before Start."""

import json
from typing import TYPE_CHECKING, Any, Final

from avatar.ui.fragments import ASSETS
from avatar.ui.strings import hindrance

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.engines.slots import RungStatus

SCRIPTS: Final = (
    "live.js",
    "controls.js",
    "rating.js",
    "ring.js",
    "settings.js",
    "transport.js",
    "seats.js",
    "sound.js",
)
STAGE: Final = """<section class="av-stage" data-state="idle" aria-labelledby="av-state">
  <div class="av-who"><span class="av-demo"></span><span class="av-ai"></span></div>
  <div class="av-orb">
    <canvas width="228" height="228" aria-hidden="true"></canvas><span class="av-glyph" aria-hidden="true"></span>
  </div>
  <p class="av-state" id="av-state" role="status" aria-live="polite"></p>
  <p class="av-hint"></p><div class="av-caption"></div><div class="av-notice" role="alert" hidden></div>
  <div class="av-controls" role="group">
    <button class="av-btn av-side av-mute" hidden></button><button class="av-btn av-main"></button>
    <button class="av-btn av-side av-end" hidden></button>
  </div>
  <p class="av-keys"></p>
  <figure class="av-lat" role="group" hidden></figure>
  <div class="av-log av-sr" role="log" aria-live="polite"></div>
</section>"""


def stage_script(sources: tuple[str, ...] = SCRIPTS) -> str:
    """The body of js_on_load. The worklets travel inside it as text, because a Blob URL needs no further request."""
    worklets = (ASSETS / "worklets.js").read_text(encoding="utf-8")
    parts = [(ASSETS / name).read_text(encoding="utf-8") for name in sources]
    return "\n".join([f"const WORKLETS = {json.dumps(worklets)};", *parts])


def overview(assistant: "Assistant", language: str) -> dict[str, Any]:
    """What the stage shows before Start: seats, the engines that would answer, and whether they understand 中文."""
    rungs = assistant.pool.status()
    serving = {r.stage: r for r in rungs if r.serving}
    next_up = {r.stage: r for r in reversed(rungs) if r.state in ("warming", "cold") and not r.hq}
    engines = {}
    for stage in ("stt", "llm", "tts"):
        rung = serving.get(stage) or next_up.get(stage)
        engines[stage] = _engine(rung) if rung else None
    coming = next((r for r in rungs if r.state == "warming" and r.stage in serving and not r.serving), None)
    return {
        "seats": {"n": assistant.seats.count(), "of": assistant.settings.seats},
        "engines": engines,
        "coming": coming and {"name": coming.label, "pct": round(100 * (coming.fraction or 0))},
        "chinese": _chinese([r for r in rungs if r.stage == "stt"], language),
    }


def _engine(rung: "RungStatus") -> dict[str, Any]:
    pct = None if rung.fraction is None else round(100 * rung.fraction)
    return {
        "name": rung.label,
        "ready": rung.state == "ready",
        "pct": pct,
        "demo": rung.demo,
        "english_only": rung.languages == ("en",),
    }


def _chinese(ears: list["RungStatus"], language: str) -> dict[str, Any]:
    able = [r for r in ears if {"zh", "*"} & set(r.languages)]
    best = next(iter(able), None)
    get = None if best is None else {"name": best.label, "why": hindrance(best, language)}
    return {"ready": any(r.state == "ready" for r in able), "get": get}
