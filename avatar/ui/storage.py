"""Below the list in History: what is kept, what would go by age and size, everything as one archive, and erasing it.

Nothing is deleted unasked: what would go is shown first, and only what was shown goes.
"""

import html
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK, language_for, warn
from avatar.ui.strings import STRINGS, T, counted, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.store import Kept

LISTED: Final = 50  # titles of what would go; the rest is counted
MB: Final = 1e6
MOST_DAYS: Final = 36_500  # a century: nothing is older, and no calendar ends before


class StorageEvents:
    """They block on the database: Gradio runs them in threads."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def weighed(self, request: gr.Request) -> str:
        """-> what is kept."""
        language = language_for(request)
        try:
            kept = self.assistant.store.keeping.all(self.owner_of(request))
        except AvatarError as exc:
            warn(exc, request)
            return ""
        words = counted("kept_now", language, len(kept), mb=f"{sum(one.size for one in kept) / MB:,.1f}")
        link = f'<a href="avatar/export/all" download>{html.escape(say("export_all", language))}</a>' if kept else ""
        return f'<p class="av-note">{html.escape(words)} {link}</p>'

    def planned(self, days: float | None, gib: float | None, request: gr.Request) -> tuple[Any, dict[str, int], Any]:
        """-> what would go, the ids of that with their turns, the button that lets it go."""
        # JSON from a page can carry infinities and NaN, which max() passes over only as its second argument
        limits = min(max(0.0, days or 0.0), MOST_DAYS), max(0.0, gib or 0.0) * 2**30
        return self._shown(
            lambda owner, used: self.assistant.store.keeping.plan(owner, *limits, time.time(), used), request
        )

    def planned_all(self, request: gr.Request) -> tuple[Any, dict[str, int], Any]:
        """-> the same, of all conversations."""
        return self._shown(lambda owner, used: self._others(owner, used), request)

    def _shown(
        self, plan: "Callable[[str, set[str]], list[Kept]]", request: gr.Request
    ) -> tuple[Any, dict[str, int], Any]:
        owner = self.owner_of(request)
        try:
            going = plan(owner, self.assistant.in_use(owner))
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), {}, gr.Button(visible=False)
        shown = _going(going, language_for(request))
        return shown, {one.id: one.turns for one in going}, gr.Button(visible=bool(going))

    def clear(self, shown: object, request: gr.Request) -> tuple[Any, ...]:
        """-> what would go, ids, button. Of what was shown, what is as it was: a conversation may have gone on."""
        owner = self.owner_of(request)
        seen = shown if isinstance(shown, dict) else {}
        try:
            kept = self._others(owner, self.assistant.in_use(owner))
            still = [one.id for one in kept if seen.get(one.id) == one.turns]
            gone = self.assistant.store.delete_conversations(owner, still)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), {}, gr.Button(visible=False)
        gr.Info(counted("cleared", language_for(request), gone), title="")
        return "", {}, gr.Button(visible=False)

    def _others(self, owner: str, in_use: set[str]) -> "list[Kept]":
        return [one for one in self.assistant.store.keeping.all(owner) if one.id not in in_use]

    def erase(self, typed: str, request: gr.Request) -> Any:
        """-> the box. Only when the word was typed that the label asks for, in either language."""
        if (typed or "").strip().upper() not in {table["erase_word"].upper() for table in STRINGS.values()}:
            gr.Warning(say("erase_not", language_for(request)), title="")
            return gr.skip()
        try:
            self.assistant.erase(self.owner_of(request))
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()
        gr.Info(say("erased", language_for(request)), title="")
        return ""


def _going(going: "Sequence[Kept]", language: str) -> str:
    if not going:
        return f'<p class="av-note" role="status">{html.escape(say("going_none", language))}</p>'
    size = f"{sum(one.size for one in going) / MB:,.1f}"
    head = html.escape(counted("going", language, len(going), mb=size))
    titles = [html.escape(f"{one.last_at[:10]} · {one.title or say('untitled', language)}") for one in going[:LISTED]]
    more = f"<li>+ {len(going) - LISTED}</li>" if len(going) > LISTED else ""
    items = "".join(f"<li>{title}</li>" for title in titles) + more
    return f'<p class="av-ask" role="alert">{head}</p><ul class="av-going">{items}</ul>'


def storage_panel(assistant: "Assistant", owner_of: OwnerOf, tab: gr.Tab, listing: dict[str, Any]) -> None:
    """Lay it out and connect it; `listing` reads the list above again."""
    on, settings = StorageEvents(assistant, owner_of), assistant.settings
    with gr.Accordion(T("storage"), open=False):
        kept = fragment()
        with gr.Row():
            days = gr.Number(settings.keep_days, label=T("keep_days"), minimum=0, min_width=120)
            gib = gr.Number(settings.keep_gib, label=T("keep_gib"), minimum=0, min_width=120)
        with gr.Row(elem_classes="av-actions"):
            look = gr.Button(T("going_show"), size="sm", min_width=120)
            every = gr.Button(T("going_all"), size="sm", min_width=120)
        going, shown = fragment(), gr.State({})
        clear = gr.Button(T("going_yes"), size="sm", variant="stop", visible=False)
        word = gr.Textbox(label=T("erase_l"), lines=1, max_length=20, submit_btn=True, elem_id="erase")
    weighing: dict[str, Any] = {"fn": on.weighed, "inputs": None, "outputs": kept, **QUICK}
    tab.select(**weighing)
    look.click(on.planned, [days, gib], [going, shown, clear], **QUICK)
    every.click(on.planned_all, None, [going, shown, clear], **QUICK)
    clear.click(on.clear, shown, [going, shown, clear], **QUICK).then(**listing).then(**weighing)
    word.submit(on.erase, word, word, **QUICK).then(**listing).then(**weighing)
