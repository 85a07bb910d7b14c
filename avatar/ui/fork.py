"""Where a conversation forks, in History: up to which turn, and in which voice and quality the new one goes on.

Lays out and hands events on. Ids come from the page, so every call carries the owner.
"""

import html
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError, NotFound
from avatar.owners import OwnerOf
from avatar.ui.fragments import fragment, messages
from avatar.ui.handlers import QUICK, language_for, pressed, session_of, warn
from avatar.ui.quality import QUALITIES, hq_possible
from avatar.ui.strings import T, counted
from avatar.ui.voice import voice_choices

if TYPE_CHECKING:
    from avatar.assistant import Assistant


# The link that was pressed lies in a conversation that scrolls by itself: the question may be out of sight.
_TO_IT: Final = """() => requestAnimationFrame(() => {
  const card = document.querySelector('#forking');
  card?.scrollIntoView({ block: 'nearest' });
  card?.querySelector('button')?.focus({ preventScroll: true });
})"""


class ForkEvents:
    """They block on the database: Gradio runs them in threads."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def ask_fork(self, event: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """-> fork row, its question, the turn, voice and quality, as the old conversation has them."""
        owner, language, store = self.owner_of(request), language_for(request), self.assistant.store
        try:
            turn = store.turn(owner, str(pressed(event).get("turn", ""))[:64])
            voice, quality = store.voice(owner, turn.conversation), store.quality(owner, turn.conversation)
            voices = voice_choices(self.assistant, owner, voice, language)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), "", gr.skip(), gr.skip()
        words = html.escape(counted("fork_ask", language, turn.number))
        ask = f'<p class="av-ask" role="alert">{words}</p>'
        return gr.Column(visible=True), ask, turn.id, gr.Dropdown(voices, value=voice), quality

    def fork(
        self, turn: str, voice: str | None, quality: object, stage: object, request: gr.Request
    ) -> tuple[Any, Any, Any, Any]:
        """-> chosen, tabs, chat, stage. Goes on in Talk, with what was said up to that turn."""
        owner = self.owner_of(request)
        try:
            if (wanted := next((known for known in QUALITIES if known == quality), None)) is None:
                raise NotFound("There is no such voice quality.")
            chosen = self.assistant.fork(owner, turn, voice or "", wanted)
            lines = self.assistant.lines(owner, chosen)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip(), gr.skip()
        value = {"conversation": chosen, "live": session_of(stage)[1]}
        return chosen, gr.Tabs(selected="talk"), messages(lines, language_for(request), again=True), value


def fork_panel(
    assistant: "Assistant",
    owner_of: OwnerOf,
    place: gr.HTML,
    chosen: gr.Textbox,
    tabs: gr.Tabs,
    talk: tuple[gr.HTML, gr.Chatbot],
    opening: dict[str, Any],
    panel: gr.Column,
) -> None:
    """Fill `panel`, hidden until `place` tells a turn; `talk`: its stage and chat; `opening` shows what is chosen."""
    stage, chat = talk
    turn = gr.Textbox(visible=False)
    with panel:
        where = fragment()
        with gr.Row():
            voice = gr.Dropdown([], label=T("fork_voice"), filterable=False, min_width=200, elem_id="fork-voice")
            quality = gr.Radio(
                [(T(f"quality_{quality}"), quality) for quality in QUALITIES],
                value="fast",
                label=T("fork_quality"),
                min_width=140,
                visible=hq_possible(assistant.pool.status()),
                elem_id="fork-quality",
            )
        with gr.Row(elem_classes="av-actions"):
            fork = gr.Button(T("fork_yes"), size="sm", variant="primary", min_width=90)
            stay = gr.Button(T("fork_no"), size="sm", min_width=90)
    on = ForkEvents(assistant, owner_of)
    place.fork(on.ask_fork, None, [panel, where, turn, voice, quality], **QUICK).then(None, None, None, js=_TO_IT)
    stay.click(lambda: gr.Column(visible=False), None, panel, **QUICK)
    begun: dict[str, Any] = {"fn": on.fork, "inputs": [turn, voice, quality, stage], **QUICK}
    fork.click(**begun, outputs=[chosen, tabs, chat, stage]).then(**opening)
