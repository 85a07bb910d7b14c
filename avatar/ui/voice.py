"""The voice row below the stage: the voice of this conversation, fast or HQ.

Lays out and hands events on. The choices are read when the page is opened, when another conversation is, when the box
is, and on the way back from other tabs: voices come with their engines, and go.
"""

from typing import TYPE_CHECKING, Any

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.profiles import PROFILE
from avatar.ui.found import profile_names
from avatar.ui.handlers import QUICK, language_for, session_of, warn
from avatar.ui.quality import quality_choice, quality_note
from avatar.ui.strings import T, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant


def voice_choices(assistant: "Assistant", owner: str, kept: str, language: str) -> list[tuple[str, str]]:
    """Blocks. What a conversation of `owner` that speaks in `kept` can choose, as sentence and choice. Raises
    AvatarError."""
    choices = assistant.voices.of(owner)
    default = assistant.voices.default_name(owner)
    own = say("voice_yours", language, name=default) if default else say("voice_default", language)
    rows = [(own, "")]
    rows += [(say("voice_one", language, name=c.name, engine=c.engine), c.value) for c in choices]
    if kept not in [value for _, value in rows]:  # it stays chosen, and says so when it is to speak
        rows.append((_missing(kept, profile_names(assistant, owner), language), kept))
    return rows


def _missing(kept: str, names: dict[str, str], language: str) -> str:
    if kept.startswith(PROFILE) and kept not in names:
        return say("voice_deleted", language)
    return say("voice_gone", language, name=names.get(kept, kept))


class ReplyVoiceEvents:
    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def voices(self, stage: object, request: gr.Request) -> Any:
        """-> voice. Blocks."""
        return self._listed(session_of(stage)[0], request)

    def voice_opened(self, event: gr.EventData, request: gr.Request) -> Any:
        """-> voice, of the conversation that a page was loaded with. Blocks."""
        return self._listed(session_of(event._data)[0], request)

    def _listed(self, conversation: str, request: gr.Request) -> Any:
        owner, language = self.owner_of(request), language_for(request)
        try:
            kept = self.assistant.store.voice(owner, conversation)
            rows = voice_choices(self.assistant, owner, kept, language)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()
        return gr.Dropdown(rows, value=kept)

    async def choose_voice(self, choice: str | None, stage: object, request: gr.Request) -> Any:
        """-> stage."""
        conversation, live = session_of(stage)
        try:
            kept = await self.assistant.wishes.set_voice(self.owner_of(request), conversation, live, choice or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()
        return gr.skip() if live else {"conversation": kept, "live": ""}


def voice_row(assistant: "Assistant", owner_of: OwnerOf, stage: gr.HTML) -> dict[str, Any]:
    """The voice, and fast or HQ. Returns the event that reads the choices again."""
    with gr.Row(elem_classes="av-voice"):
        voice = gr.Dropdown(
            [(T("voice_default"), "")],
            value="",
            label=T("voice"),
            show_label=False,
            filterable=False,
            min_width=150,
            elem_id="voice",
        )
        switch = quality_choice(assistant)
    quality_note(assistant, owner_of, stage, switch)
    on = ReplyVoiceEvents(assistant, owner_of)
    listed: dict[str, Any] = {"fn": on.voices, "inputs": stage, "outputs": voice, **QUICK}
    gr.on([stage.change, voice.focus], **listed)
    stage.resume(on.voice_opened, None, voice, **QUICK)
    voice.input(on.choose_voice, [voice, stage], stage, **QUICK).then(**listed)
    return listed
