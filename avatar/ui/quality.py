"""Fast or HQ, for this conversation: the switch, and what HQ is doing or needs.

Lays out and hands events on; the choice is read when another conversation is opened, and HQ is watched while it loads.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError, NotFound
from avatar.owners import OwnerOf
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK, language_for, session_of, warn
from avatar.ui.strings import T, hindrance, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.engines.slots import RungStatus
    from avatar.store import Quality

WATCH_S: Final = 1.0  # between two looks at an HQ voice that loads
QUALITIES: Final[tuple["Quality", ...]] = ("fast", "hq")


def hq_note(rungs: Sequence["RungStatus"], language: str) -> tuple[str, bool]:
    """What the HQ voice is doing, or needs, as a sentence; and whether that will change soon."""
    best = next((rung for rung in rungs if rung.hq), None)
    if best is None:
        return say("hq_none", language), False
    if best.state in ("absent", "failed"):
        return say("hq_needs", language, name=best.label, why=hindrance(best, language)), False
    if best.state == "warming" and best.fraction is not None:
        return say("hq_warming", language, name=best.label, pct=round(100 * best.fraction)), True
    key = {"ready": "hq_ready", "warming": "hq_warming_", "cold": "hq_cold"}[best.state]
    return say(key, language, name=best.label), best.state != "ready"


def hq_possible(rungs: Sequence["RungStatus"]) -> bool:
    """Whether this machine could have an HQ voice: it is installed and has room, or only its weights are missing."""
    return any(rung.hq and (rung.state != "absent" or rung.lacks) for rung in rungs)


class QualityEvents:
    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def quality(self, stage: object, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> switch, note, timer. Blocks. What this conversation is set to."""
        conversation, _ = session_of(stage)
        try:
            quality = self.assistant.store.quality(self.owner_of(request), conversation)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        return quality, *self.hq(quality, request)

    async def choose_quality(self, quality: object, stage: object, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> stage, note, timer. The choice comes from a page: it is checked here."""
        conversation, live = session_of(stage)
        try:
            if (wanted := next((known for known in QUALITIES if known == quality), None)) is None:
                raise NotFound("There is no such voice quality.")
            kept = await self.assistant.wishes.set_quality(self.owner_of(request), conversation, live, wanted)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        return (gr.skip() if live else {"conversation": kept, "live": ""}), *self.hq(wanted, request)

    def hq(self, quality: str, request: gr.Request) -> tuple[str, Any]:
        """-> note, timer."""
        if quality != "hq":
            return "", gr.Timer(active=False)
        sentence, soon = hq_note(self.assistant.pool.status(), language_for(request))
        return f'<p class="av-note" role="status">{html.escape(sentence)}</p>', gr.Timer(active=soon)


def quality_choice(assistant: "Assistant") -> gr.Radio:
    """Hidden where no HQ voice can be: Status tells what its engine needs."""
    return gr.Radio(
        [(T(f"quality_{quality}"), quality) for quality in QUALITIES],
        value="fast",
        label=T("quality"),
        show_label=False,
        min_width=150,
        elem_classes="av-seg",
        elem_id="quality",
        visible=hq_possible(assistant.pool.status()),
    )


def quality_note(assistant: "Assistant", owner_of: OwnerOf, stage: gr.HTML, switch: gr.Radio) -> None:
    """Lay out what HQ is doing or needs, and connect the switch."""
    note = fragment()
    timer = gr.Timer(WATCH_S, active=False)
    on = QualityEvents(assistant, owner_of)
    stage.change(on.quality, stage, [switch, note, timer], **QUICK)
    switch.input(on.choose_quality, [switch, stage], [stage, note, timer], **QUICK)
    timer.tick(on.hq, switch, [note, timer], **QUICK)
