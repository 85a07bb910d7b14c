"""How words are said: the part of the settings where a user adds, changes and deletes "say X as Y".

Lays out and hands events on; the list is read when it is opened.
"""

from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.store.sayings import MAX_CHARS
from avatar.ui.handlers import QUICK, language_for, warn
from avatar.ui.strings import T, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant

UNCHANGED: Final = (gr.skip(), gr.skip(), gr.skip(), gr.skip())


class SayingsEvents:
    """The handlers. They block on the database, so none is a coroutine: Gradio runs them in threads."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def taught(self, request: gr.Request) -> tuple[Any, Any]:
        """-> list, delete button."""
        try:
            sayings = self.assistant.store.sayings.of(self.owner_of(request))
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        language = language_for(request)
        rows = [(say("saying_row", language, written=w, spoken=s), w) for w, s in sayings.items()]
        return gr.Radio(rows, value=None, visible=bool(rows)), gr.Button(visible=False)

    def choose(self, written: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> written, spoken, delete button: what is chosen can be changed, or put back after it was deleted."""
        try:
            sayings = self.assistant.store.sayings.of(self.owner_of(request))
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        if written not in sayings:
            return gr.skip(), gr.skip(), gr.Button(visible=False)
        return written, sayings[written], gr.Button(visible=True)

    def teach(self, written: str, spoken: str, request: gr.Request) -> tuple[Any, Any, Any, Any]:
        """-> written, spoken, list, delete button. What was refused stays in its boxes."""
        try:
            self.assistant.say_as(self.owner_of(request), written or "", spoken or "")
        except AvatarError as exc:
            warn(exc, request)
            return UNCHANGED
        return "", "", *self.taught(request)

    def forget(self, written: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> list, delete button."""
        try:
            self.assistant.unsay(self.owner_of(request), written or "")
        except AvatarError as exc:
            warn(exc, request)
        return self.taught(request)


def sayings_panel(assistant: "Assistant", owner_of: OwnerOf) -> None:
    with gr.Accordion(T("sayings"), open=False, elem_id="sayings") as panel:
        written = gr.Textbox(label=T("saying_written"), info=T("saying_why"), lines=1, max_length=MAX_CHARS)
        spoken = gr.Textbox(label=T("saying_spoken"), lines=1, max_length=MAX_CHARS)
        add = gr.Button(T("saying_add"), size="sm")
        chosen = gr.Radio([], label=T("saying_list"), visible=False, interactive=True, elem_classes="av-list")
        delete = gr.Button(T("delete"), size="sm", variant="stop", visible=False)
    on = SayingsEvents(assistant, owner_of)
    panel.expand(on.taught, None, [chosen, delete], **QUICK)
    chosen.input(on.choose, chosen, [written, spoken, delete], **QUICK)
    saving: dict[str, Any] = {"fn": on.teach, "inputs": [written, spoken], "outputs": [written, spoken, chosen, delete]}
    add.click(**saving, **QUICK)
    spoken.submit(**saving, **QUICK)
    delete.click(on.forget, chosen, [chosen, delete], **QUICK)
