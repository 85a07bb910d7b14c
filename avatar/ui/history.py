"""The History tab: find a conversation, open it, hear it again, go on with it or from any of its turns, rename, delete.

Lays out and hands events on. Ids come from the page, so every call carries the owner; what is not yours is not there.
"""

import html
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.finding import MAX_QUERY, phrases
from avatar.owners import OwnerOf
from avatar.store import MAX_TITLE
from avatar.ui.fork import fork_panel
from avatar.ui.found import found_column, profile_names, search_bar
from avatar.ui.fragments import fragment, messages, replay
from avatar.ui.handlers import QUICK, language_for, pressed, session_of, text_of, warn
from avatar.ui.past import described, past_messages
from avatar.ui.storage import storage_panel
from avatar.ui.strings import T, say
from avatar.ui.talk import TalkTab, chatbot

if TYPE_CHECKING:
    from avatar.assistant import Assistant

TURNS: Final = 20  # of an opened conversation, more with every "Show earlier turns": a chatbot draws all it is given
# In one column the opened conversation lies below the list, where nobody sees that it opened.
_TO_OPENED: Final = """() => requestAnimationFrame(() => {
  const title = document.querySelector('h2.av-title');
  if (title?.getBoundingClientRect().top > innerHeight / 2) title.scrollIntoView();
})"""


class HistoryEvents:
    """The handlers of an opened conversation. Those that block on the database Gradio runs in threads."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf, now: Callable[[], datetime]) -> None:
        self.assistant, self.owner_of, self.now = assistant, owner_of, now

    def picked(self, event: gr.EventData) -> tuple[str, int]:
        """-> chosen, how many turns to show: from a little before the one that was found; 0 for the last ones."""
        data = pressed(event)
        turn = data.get("turn")
        return text_of(data.get("conversation"))[:64], -turn if isinstance(turn, int) and turn > 0 else TURNS

    def opened(self, chosen: str | None, shown: int, words: str, request: gr.Request) -> tuple[Any, ...]:
        """-> right column, heading, past, rename box, delete row, fork row, earlier, shown. `shown`: how many of the
        last turns; below 0, the number of the turn that must be among them."""
        language, owner = language_for(request), self.owner_of(request)
        shut = gr.Textbox(visible=False), gr.Column(visible=False), gr.Column(visible=False)
        closed: tuple[Any, ...] = gr.Column(visible=False), "", [], *shut, gr.Button(visible=False), TURNS
        if not chosen:
            return closed
        try:
            row = self.assistant.store.conversation(owner, chosen)
            shown = max(TURNS, row.turns + shown + 4) if shown < 0 else shown
            turns = {turn.number: turn for turn in self.assistant.store.turns(owner, chosen, shown)}
            lines = self.assistant.lines(owner, chosen, shown)
            names = profile_names(self.assistant, owner)
        except AvatarError as exc:
            warn(exc, request)
            return closed
        wanted = phrases((words or "")[:MAX_QUERY])
        title = html.escape(row.title or say("untitled", language))
        about = html.escape(described(row, language, self.now()))
        export = f'<a href="avatar/export/{html.escape(row.id)}" download>{html.escape(say("export", language))}</a>'
        heading = f'<h2 class="av-title">{title}</h2><p class="av-sub">{about} · {export}</p>'
        past = past_messages(lines, turns, wanted, language, names)
        return gr.Column(visible=True), heading, past, *shut, gr.Button(visible=row.turns > shown), shown

    def open_picked(self, words: str, request: gr.Request, event: gr.EventData) -> tuple[Any, ...]:
        """-> chosen, and what `opened` gives. In one call: a second one would cost as much again."""
        chosen, shown = self.picked(event)
        return chosen, *self.opened(chosen, shown, words, request)

    def go_on(self, chosen: str | None, stage: object, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> tabs, chat, stage. transport.js reopens an open socket with this conversation."""
        owner = self.owner_of(request)
        try:
            lines = self.assistant.lines(owner, chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        value = {"conversation": chosen, "live": session_of(stage)[1]}
        return gr.Tabs(selected="talk"), messages(lines, language_for(request), again=True), value

    def ask_name(self, chosen: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> rename box, holding the title; delete row, closed."""
        try:
            row = self.assistant.store.conversation(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        return gr.Textbox(row.title, visible=True), gr.Column(visible=False)

    def rename(self, chosen: str | None, title: str, request: gr.Request) -> None:
        try:
            if (title or "").strip():
                self.assistant.store.rename(self.owner_of(request), chosen or "", title)
        except AvatarError as exc:
            warn(exc, request)

    def ask_delete(self, chosen: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> delete row, its question; rename box, closed."""
        language = language_for(request)
        try:
            row = self.assistant.store.conversation(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        title = html.escape(row.title or say("untitled", language))
        question = f'<p class="av-ask" role="alert">{say("delete_ask", language, title=title)}</p>'
        return gr.Column(visible=True), question, gr.Textbox(visible=False)

    async def delete(self, chosen: str | None, stage: object, request: gr.Request) -> tuple[Any, Any]:
        """-> stage, chat: emptied when they show what is deleted. A live one is told over its socket how it goes on."""
        conversation, live = session_of(stage)
        try:
            told = await self.assistant.delete(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        if live not in told:
            gr.Info(say("deleted", language_for(request)), title="")
        if conversation != chosen:
            return gr.skip(), gr.skip()
        return gr.skip() if live else {"conversation": "", "live": ""}, []


def history_tab(
    assistant: "Assistant",
    owner_of: OwnerOf,
    tab: gr.Tab,
    tabs: gr.Tabs,
    talk: TalkTab,
    now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
) -> dict[str, Any]:
    """Lay the tab out and connect it. Returns the event that shows the opened conversation again."""
    chosen, shown = gr.Textbox(visible=False), gr.State(TURNS)
    bar = search_bar()
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320):
            found = found_column(assistant, owner_of, tab, bar, chosen, now)
            storage_panel(assistant, owner_of, tab, found.listing)
        with gr.Column(scale=12, min_width=340, visible=False) as right:
            heading = fragment()
            with gr.Row(elem_classes="av-actions"):
                go_on = gr.Button(T("continue"), variant="primary", size="sm", min_width=90)
                rename = gr.Button(T("rename"), size="sm", min_width=90)
                delete = gr.Button(T("delete"), size="sm", variant="stop", min_width=90)
            title = gr.Textbox(
                label=T("rename_l"), visible=False, submit_btn=True, lines=1, max_length=MAX_TITLE, elem_id="title"
            )
            with gr.Column(visible=False, elem_classes="av-card") as asked:
                question = fragment()
                with gr.Row(elem_classes="av-actions"):
                    yes = gr.Button(T("delete_yes"), size="sm", variant="stop", min_width=90)
                    no = gr.Button(T("delete_no"), size="sm", min_width=90)
            forking = gr.Column(visible=False, elem_classes="av-card", elem_id="forking")
            earlier = gr.Button(T("earlier"), size="sm", visible=False)
            past = chatbot("past", 430)
            fragment(replay())

    on = HistoryEvents(assistant, owner_of, now)
    opening: dict[str, Any] = {
        "fn": on.opened,
        "inputs": [chosen, shown, bar.words],
        "outputs": [right, heading, past, title, asked, forking, earlier, shown],
        **QUICK,
    }
    picked = found.place.choose(on.open_picked, bar.words, [chosen, *opening["outputs"]], **QUICK)
    picked.then(None, None, None, js=_TO_OPENED)
    earlier.click(lambda turns: turns + 2 * TURNS, shown, shown, **QUICK).then(**opening)
    go_on.click(on.go_on, [chosen, talk.stage], [tabs, talk.chat, talk.stage], **QUICK)
    fork_panel(assistant, owner_of, found.place, chosen, tabs, (talk.stage, talk.chat), opening, forking)
    rename.click(on.ask_name, chosen, [title, asked], **QUICK)
    title.submit(on.rename, [chosen, title], None, **QUICK).then(**found.listing).then(**opening)
    delete.click(on.ask_delete, chosen, [asked, question, title], **QUICK)
    no.click(lambda: gr.Column(visible=False), None, asked, **QUICK)
    yes.click(on.delete, [chosen, talk.stage], [talk.stage, talk.chat], **QUICK).then(
        lambda: "", None, chosen, **QUICK
    ).then(**found.listing).then(**opening)
    return opening
