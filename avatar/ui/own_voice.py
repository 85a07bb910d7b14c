""" "Answer in my voice", below the conversation: learn the user's voice from what they said in it, or forget it.

Opt-in: nothing is learnt before the box is ticked and the button pressed. Lays out and hands events on.
"""

import asyncio
import html
from typing import TYPE_CHECKING, Any

import gradio as gr

from avatar.errors import AvatarError, ConsentError
from avatar.owners import OwnerOf
from avatar.ui.fragments import fragment
from avatar.ui.handlers import QUICK, language_for, session_of, warn
from avatar.ui.strings import T, say
from avatar.ui.talk import TalkTab
from avatar.ui.voices import WORK
from avatar.voice_choice import DEFAULT

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.studio import Studio


class OwnVoiceEvents:
    """Those that block Gradio runs in threads."""

    def __init__(self, assistant: "Assistant", studio: "Studio", owner_of: OwnerOf) -> None:
        self.assistant, self.studio, self.owner_of = assistant, studio, owner_of

    def has_own(self, request: gr.Request) -> Any:
        """-> forget."""
        try:
            return gr.Button(visible=bool(self.studio.own_voices(self.owner_of(request))))
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()

    async def learn_own(self, agreed: bool, stage: object, request: gr.Request) -> tuple[Any, Any]:
        """-> agreement, forget. This conversation speaks in it, whatever voice was chosen for it before."""
        owner, (conversation, live) = self.owner_of(request), session_of(stage)
        try:
            if agreed is not True:
                raise ConsentError("Tick the box first: it says that the voice is yours.", code="OWN_AGREE")
            await asyncio.to_thread(self.studio.learn_own, owner, conversation)
            await self.assistant.wishes.set_voice(owner, conversation, live, DEFAULT)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), await asyncio.to_thread(self.has_own, request)
        gr.Info(html.escape(say("own_made", language_for(request))), title="")
        return False, gr.Button(visible=True)

    def forget_own(self, request: gr.Request) -> Any:
        """-> forget."""
        try:
            self.studio.forget_own(self.owner_of(request))
        except AvatarError as exc:
            warn(exc, request)
            return self.has_own(request)
        gr.Info(html.escape(say("own_forgotten", language_for(request))), title="")
        return gr.Button(visible=False)


def own_voice_panel(assistant: "Assistant", studio: "Studio", owner_of: OwnerOf, talk: TalkTab) -> None:
    with gr.Accordion(T("own"), open=False, elem_id="own-voice") as panel:
        fragment('<p class="av-note" data-t="own_why"></p>')
        agree = gr.Checkbox(label=T("own_agree"))
        with gr.Row(elem_classes="av-actions"):
            learn = gr.Button(T("own_make"), size="sm", min_width=120)
            forget = gr.Button(T("own_forget"), size="sm", variant="stop", min_width=120, visible=False)
    on = OwnVoiceEvents(assistant, studio, owner_of)
    panel.expand(on.has_own, None, forget, **QUICK)
    learn.click(on.learn_own, [agree, talk.stage], [agree, forget], **WORK).then(**talk.voices)
    forget.click(on.forget_own, None, forget, **QUICK).then(**talk.voices)
