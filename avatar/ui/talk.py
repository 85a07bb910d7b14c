"""The Talk tab: the live stage, the conversation, the text box and the recording, and the settings in the sidebar.

Lays out and hands events on; what a turn is, `Assistant` knows. The stage's value {conversation, live} is written by
both sides (assets/transport.js), its `latency` by this one: it comes from a browser, so the assistant checks both ids
against the owner.
"""

import html
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.owners import OwnerOf
from avatar.ui.fragments import fragment, messages, replay
from avatar.ui.handlers import FOLLOW, QUICK, TURN, language_for, session_of, steps, text_of, warn
from avatar.ui.sidebar import FITS, Controls, usual
from avatar.ui.stage import STAGE, overview, stage_script
from avatar.ui.strings import STRINGS, T, failure
from avatar.wire import MAX_TEXT

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.single import Update

# A canvas reads no CSS variables: shades that work on both themes.
_WAVES: Final = gr.WaveformOptions(waveform_color="#8d887c", waveform_progress_color="#6478e8")


@dataclass(frozen=True, slots=True)
class TalkTab:
    """What other tabs hand a conversation to. `voices`: the event that reads the choices of voices again."""

    stage: gr.HTML
    chat: gr.Chatbot
    voices: dict[str, Any]


class TalkEvents:
    """The handlers of the tab. The owner comes from the request, never from the page."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def admit(self, stage: object, request: gr.Request) -> None:
        """Before a turn is queued: who cannot have a seat is told at once, and not after five others have ended."""
        if session_of(stage)[1]:  # spoken over the open socket, which has a seat; if it has ended, the turn will say so
            return
        try:
            self.assistant.admit(self.owner_of(request))
        except AvatarError as exc:
            sentence = html.escape(failure(exc, language_for(request)))
            raise gr.Error(sentence, title="", print_exception=False) from exc

    @steps
    async def follow(self, event: gr.EventData, request: gr.Request) -> AsyncGenerator[Any, None]:
        """Show the live conversation until the running turn ends; once, when none runs."""
        _, live = session_of(event._data)
        try:
            async for lines in self.assistant.follow(self.owner_of(request), live):
                yield messages(lines, language_for(request), again=True)
        except AvatarError as exc:
            if exc.code != "SESSION_ENDED":  # the session ended before this event was served: nothing to tell
                warn(exc, request)

    async def resume(self, event: gr.EventData, request: gr.Request) -> Any:
        """-> chat, as a page that was loaded again left it; or as it stands, if that was late."""
        conversation, _ = session_of(event._data)
        try:
            lines = await self.assistant.current(self.owner_of(request), conversation) if conversation else []
        except AvatarError as exc:
            if exc.code != "NOT_FOUND":  # deleted in another window
                warn(exc, request)
            return gr.skip()
        return messages(lines, language_for(request), again=True) if lines else gr.skip()

    @steps
    async def typed(
        self, text: str, stage: object, client_turn_id: str, language: str, rate_pct: float, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        """-> text box, accepted id, chat, stage, reply. The text stays until the turn has begun, and when it failed."""
        conversation, live = session_of(stage)
        owner, begun = self.owner_of(request), False
        text = text_of(text)[:MAX_TEXT]
        if not text.strip():
            return
        try:
            if live:
                await self.assistant.say(owner, live, text, client_turn_id)  # the reply comes over the socket
                yield "", client_turn_id, gr.skip(), gr.skip(), gr.skip()
                return
            async for update in self.assistant.answer(owner, conversation, text, client_turn_id, language, rate_pct):
                box = gr.skip() if begun else ""  # the user may be writing the next one by now
                yield box, client_turn_id, *self._shown(update, request)
                begun = True
        except AvatarError as exc:
            warn(exc, request)
            yield text, gr.skip(), gr.skip(), gr.skip(), gr.skip()

    @steps
    async def recorded(
        self, path: str | None, stage: object, client_turn_id: str, language: str, rate_pct: float, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        """-> recording, accepted id, chat, stage, reply. The recording stays when the turn failed."""
        if path is None:
            return
        owner, (conversation, _) = self.owner_of(request), session_of(stage)
        updates = self.assistant.answer(owner, conversation, Path(path), client_turn_id, language, rate_pct)
        try:
            async for update in updates:
                yield gr.skip(), client_turn_id, *self._shown(update, request)
            yield None, gr.skip(), gr.skip(), gr.skip(), gr.skip()
        except AvatarError as exc:
            warn(exc, request)

    @steps
    async def again(
        self, stage: object, language: str, rate_pct: float, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        """-> chat, stage, reply. Answer the last words once more."""
        conversation, live = session_of(stage)
        owner = self.owner_of(request)
        try:
            if live:
                await self.assistant.again(owner, live)
                return
            async for update in self.assistant.answer(owner, conversation, None, "", language, rate_pct):
                yield self._shown(update, request)
        except AvatarError as exc:
            warn(exc, request)

    def _shown(self, update: "Update", request: gr.Request) -> tuple[Any, Any, Any]:
        if update.notice:
            gr.Info(html.escape(failure(update.notice, language_for(request))), title="")
        audio = gr.skip() if update.audio is None else gr.Audio(update.audio, visible=True)
        chat = messages(update.lines, language_for(request), again=True)
        latency = {} if update.latency is None else {"latency": update.latency}
        return chat, {"conversation": update.conversation_id, "live": "", **latency}, audio

    def new(self) -> tuple[Any, Any]:
        """-> chat, reply. transport.js has told an open socket, and emptied the stage's value."""
        return [], gr.Audio(None, visible=False)

    def notice(self, event: gr.EventData) -> None:
        """A sentence that came over the socket, as a toast: it is seen on every tab."""
        words = event._data if isinstance(event._data, dict) else {}
        show = gr.Warning if words.get("kind") == "error" else gr.Info
        show(html.escape(text_of(words.get("text"))[:500]), title="")


def talk_tab(
    assistant: "Assistant", owner_of: OwnerOf, settings: Controls, below: Callable[[gr.HTML], dict[str, Any]]
) -> TalkTab:
    """Lay the tab out and connect it. `below` lays out what stands below the stage: `voice_row`."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=11, min_width=340, elem_classes="av-hears"):
            stage = _live_stage(assistant, owner_of)
            voices = below(stage)
        with gr.Column(scale=12, min_width=340, elem_classes="av-said"):
            chat = chatbot("chat", 548)
            text = _text_box()
            reply = _reply_player()
            fragment(replay())
            with gr.Row(elem_classes="av-below"):
                with gr.Accordion(T("record"), open=False, elem_id="record"):
                    recording = _recorder()
                new = gr.Button(T("new"), size="sm", scale=0, min_width=150, elem_id="new")
            turn_id = gr.Textbox(visible=False)

    on, spoken = TalkEvents(assistant, owner_of), [settings.language, settings.rate_pct]
    stage.turn(on.follow, None, chat, **FOLLOW)
    stage.resume(on.resume, None, chat, **QUICK)
    how = "async stage => [stage, ...(await window.avatarStage).spoken()]"
    stage.again(on.admit, stage, None, **QUICK).success(
        on.again, [stage, *spoken], [chat, stage, reply], js=how, **TURN
    )
    stage.notice(on.notice, None, None, **QUICK, trigger_mode="multiple")  # one that follows soon is not dropped
    # A resend of what was not accepted keeps its id, so that it cannot become two turns. The stage's value may be of a
    # connection that was lost since.
    named = """async (x, stage, accepted) => {
        const ui = await window.avatarStage;
        return [x, ui.value(), ui.turnId(x, accepted), ...ui.spoken()];
    }"""
    outputs = [chat, stage, reply]
    text.submit(on.admit, stage, None, **QUICK).success(
        on.typed, [text, stage, turn_id, *spoken], [text, turn_id, *outputs], js=named, **TURN
    )
    gr.on([recording.stop_recording, recording.upload], on.admit, stage, None, **QUICK).success(
        on.recorded, [recording, stage, turn_id, *spoken], [recording, turn_id, *outputs], js=named, **TURN
    )
    begin = "async () => { (await window.avatarStage).fresh(); return []; }"
    new.click(on.new, None, [chat, reply], js=begin, queue=False, api_visibility="private", show_progress="hidden")
    return TalkTab(stage, chat, voices)


def _live_stage(assistant: "Assistant", owner_of: OwnerOf) -> gr.HTML:
    """Its value is {conversation, live}; `token` opens its socket, `look` tells what it shows before Start."""

    def token(_: object, request: gr.Request) -> dict[str, str]:
        try:
            return {"token": assistant.issue_token(owner_of(request))}
        except AvatarError as exc:
            return {"code": exc.code, "text": failure(exc, language_for(request))}

    def look(_: object, request: gr.Request) -> dict[str, Any]:
        return overview(assistant, language_for(request))

    return gr.HTML(
        {"conversation": "", "live": ""},
        html_template=STAGE,
        js_on_load=stage_script(),
        server_functions=[token, look],
        strings=STRINGS,
        settings={"fits": FITS, "usual": usual(assistant.settings.patience_ms)},
        apply_default_css=False,
        elem_id="live",
    )


def _text_box() -> gr.Textbox:
    return gr.Textbox(
        placeholder=T("type"),
        label=T("type"),
        show_label=False,
        submit_btn=True,
        lines=1,
        max_length=MAX_TEXT,
        elem_id="type",
    )


def _reply_player() -> gr.Audio:
    """Of a turn without a socket: there is no other way to its sound."""
    return gr.Audio(
        label=T("reply_audio"),
        autoplay=True,
        interactive=False,
        visible=False,
        elem_id="reply",
        buttons=[],
        waveform_options=_WAVES,
    )


def _recorder() -> gr.Audio:
    return gr.Audio(
        sources=["microphone", "upload"],
        type="filepath",
        label=T("record_l"),
        buttons=[],
        waveform_options=_WAVES,
    )


def chatbot(elem_id: str, height: int) -> gr.Chatbot:
    """Bubbles without buttons; messages are made by `fragments.messages`, which leaves nothing for Markdown to load."""
    return gr.Chatbot(
        elem_id=elem_id,
        height=height,
        label=T("chat"),
        show_label=False,
        buttons=[],
        feedback_options=None,
        layout="bubble",
        placeholder=T("empty"),  # type: ignore[arg-type]  # Gradio translates it, though its annotation does not say so
        latex_delimiters=[],
        group_consecutive_messages=False,
        autoscroll=elem_id == "chat",
    )
