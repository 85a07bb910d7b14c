"""Why did it answer or stop? The newest decisions about turns, below the conversation.

Read when it is opened and while it is open; nothing is asked while it is closed.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.turntaking.reasons import Reason
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK, language_for, session_of, ticking
from avatar.ui.strings import T, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant

REFRESH_S: Final = 2.0


def reason_list(reasons: Sequence[tuple[float, Reason]], language: str) -> str:
    """`reasons`, newest first, with their age in seconds."""
    if not reasons:
        return f'<p class="av-note">{html.escape(say("why_none", language))}</p>'
    rows = []
    for age_s, reason in reasons:
        what = say(f"why_{reason.what}", language, ms=f"{reason.ms:,}")
        why = say(f"rule_{reason.why.replace(' ', '_')}", language)
        texts = (what, f"{why}{_numbers(reason, language)}", say("why_ago", language, s=round(age_s)))
        what, why, ago = map(html.escape, texts)
        rows.append(f'<li class="{reason.what}"><b>{what}</b><span>{why}</span><em>{ago}</em></li>')
    return f'<ul class="av-why">{"".join(rows)}</ul>'


def _numbers(reason: Reason, language: str) -> str:
    if not reason.needed:
        return ""
    key = "why_echo" if reason.why == "echo" else "why_finished" if reason.needed <= 1 else "why_unfinished"
    numbers = {"p": round(100 * reason.probability), "needed": round(100 * reason.needed)}
    return f" · {say(key, language, **numbers)}"


class WhyEvents:
    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    async def reasons(self, stage: object, request: gr.Request) -> str:
        """-> list. Not in a thread: the live session belongs to the event loop."""
        _, live = session_of(stage)
        try:
            found = self.assistant.reasons(self.owner_of(request), live)
        except AvatarError:  # no session is open, or not one of this owner: there is nothing to tell
            found = []
        return reason_list(found, language_for(request))


def why_panel(assistant: "Assistant", owner_of: OwnerOf, stage: gr.HTML) -> None:
    with gr.Accordion(T("why"), open=False, elem_id="why") as panel:
        shown = fragment()
    timer = gr.Timer(REFRESH_S, active=False)
    on = WhyEvents(assistant, owner_of)
    panel.expand(outputs=timer, **ticking(True))
    panel.expand(on.reasons, stage, shown, **QUICK)
    panel.collapse(outputs=timer, **ticking(False))
    timer.tick(on.reasons, stage, shown, **QUICK)
