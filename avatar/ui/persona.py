"""Who it is in this conversation: a few sentences for the model, below the conversation on the Talk tab.

Lays out and hands events on; the text is read when the panel is opened and when another conversation is.
"""

import html
from typing import TYPE_CHECKING, Any

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.store import MAX_PERSONA
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK, language_for, session_of, warn
from avatar.ui.strings import T, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant


class PersonaEvents:
    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def persona(self, stage: object, shown: str, request: gr.Request) -> tuple[Any, Any]:
        """-> text, the conversation that it is shown for. Blocks. What is being written when a conversation begins
        stays: it is meant for that one."""
        conversation, _ = session_of(stage)
        if conversation == shown:
            return gr.skip(), gr.skip()
        try:
            text = self.assistant.store.persona(self.owner_of(request), conversation)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        return text if text or shown else gr.skip(), conversation

    async def keep_persona(self, text: str, stage: object, request: gr.Request) -> Any:
        """-> stage."""
        conversation, live = session_of(stage)
        try:
            kept = await self.assistant.wishes.set_persona(self.owner_of(request), conversation, live, text or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()
        gr.Info(html.escape(say("persona_saved", language_for(request))), title="")
        return gr.skip() if live else {"conversation": kept, "live": ""}


def persona_panel(assistant: "Assistant", owner_of: OwnerOf, stage: gr.HTML) -> None:
    with gr.Accordion(T("persona"), open=False, elem_id="persona") as panel:
        fragment('<p class="av-note" data-t="persona_why"></p>')
        text = gr.Textbox(label=T("persona_l"), lines=3, max_lines=6, max_length=MAX_PERSONA)
        save = gr.Button(T("persona_save"), size="sm")
        shown = gr.State("")
    on = PersonaEvents(assistant, owner_of)
    gr.on([panel.expand, stage.change], on.persona, [stage, shown], [text, shown], **QUICK)
    save.click(on.keep_persona, [text, stage], stage, **QUICK)
