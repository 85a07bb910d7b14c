"""The History tab: conversations from the database; open, hear again, go on, rename, delete.

Lays out and hands events on. Ids come from the page, so every call carries the owner; what is not yours is not there.
"""

import html
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.ui.fragments import fragment, messages, replay
from avatar.ui.handlers import QUICK, OwnerOf, language_for, session_of, warn
from avatar.ui.strings import T, say
from avatar.ui.talk import TalkTab, chatbot

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.store import ConversationRow

PAGE: Final = 30  # conversations more with every "Show older"
MAX_TITLE: Final = 80  # characters; the store cuts there too


def when(created_at: str, language: str, now: datetime) -> str:
    """A short date for the list. created_at: ISO 8601 with a zone; shown in the zone of `now`."""
    moment = datetime.fromisoformat(created_at).astimezone(now.tzinfo)
    time = f"{moment:%H:%M}"
    if moment.date() == now.date():
        return say("today", language, time=time)
    if moment.date() == now.date() - timedelta(days=1):
        return say("yesterday", language, time=time)
    return f"{moment:%Y-%m-%d}"


def described(row: "ConversationRow", language: str, now: datetime) -> str:
    """One choice of the list: when, what about, how long."""
    turns = say("turns_1" if row.turns == 1 else "turns_n", language, n=row.turns)
    return f"{when(row.created_at, language, now)} · {row.title or say('untitled', language)} · {turns}"


class HistoryEvents:
    """The handlers of the tab. They block on the database, so none is a coroutine: Gradio runs them in threads."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf, now: Callable[[], datetime]) -> None:
        self.assistant, self.owner_of, self.now = assistant, owner_of, now

    def listed(self, limit: int, chosen: str | None, request: gr.Request) -> tuple[Any, Any, Any]:
        """-> list, note, older. The one that is open stays open."""
        language = language_for(request)
        try:
            rows = self.assistant.store.conversations(self.owner_of(request), limit + 1)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        choices = [(described(row, language, self.now()), row.id) for row in rows[:limit]]
        kept = chosen if chosen in [value for _, value in choices] else None
        note = "" if kept else say("pick" if choices else "no_history", language)
        older = gr.Button(visible=len(rows) > limit)
        return gr.Radio(choices, value=kept, visible=bool(choices)), f'<p class="av-note">{note}</p>', older

    def opened(self, chosen: str | None, request: gr.Request) -> tuple[Any, ...]:
        """-> right column, heading, past, note, rename box, delete row."""
        closed: tuple[Any, ...] = gr.Column(visible=False), "", [], gr.skip(), *self._shut()
        if not chosen:
            return closed
        language, owner = language_for(request), self.owner_of(request)
        try:
            row = self.assistant.store.conversation(owner, chosen)
            lines = self.assistant.lines(owner, chosen)
        except AvatarError as exc:
            warn(exc, request)
            return closed
        title, date = html.escape(row.title or say("untitled", language)), when(row.created_at, language, self.now())
        heading = f'<h2 class="av-title">{title}</h2><p class="av-sub">{date}</p>'
        return gr.Column(visible=True), heading, messages(lines, language), "", *self._shut()

    def _shut(self) -> tuple[Any, Any]:
        return gr.Textbox(visible=False), gr.Column(visible=False)

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

    def ask_name(self, chosen: str | None, request: gr.Request) -> Any:
        """-> rename box, holding the title."""
        try:
            row = self.assistant.store.conversation(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()
        return gr.Textbox(row.title, visible=True)

    def rename(self, chosen: str | None, title: str, request: gr.Request) -> None:
        try:
            if title.strip():
                self.assistant.store.rename(self.owner_of(request), chosen or "", title)
        except AvatarError as exc:
            warn(exc, request)

    def ask_delete(self, chosen: str | None, request: gr.Request) -> tuple[Any, Any]:
        """-> delete row, its question."""
        language = language_for(request)
        try:
            row = self.assistant.store.conversation(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        title = html.escape(row.title or say("untitled", language))
        return gr.Column(visible=True), f'<p class="av-ask" role="alert">{say("delete_ask", language, title=title)}</p>'

    def delete(self, chosen: str | None, stage: object, request: gr.Request) -> tuple[Any, Any]:
        """-> stage, chat: emptied when they show what is deleted."""
        conversation, live = session_of(stage)
        try:
            self.assistant.store.delete_conversation(self.owner_of(request), chosen or "")
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip()
        gr.Info(say("deleted", language_for(request)), title="")
        if conversation != chosen:
            return gr.skip(), gr.skip()
        return {"conversation": "", "live": live}, []


def history_tab(
    assistant: "Assistant",
    owner_of: OwnerOf,
    tab: gr.Tab,
    tabs: gr.Tabs,
    talk: TalkTab,
    now: Callable[[], datetime] = lambda: datetime.now().astimezone(),
) -> None:
    """Lay the tab out and connect it; the list is read when the tab is opened."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=9, min_width=320):
            limit = gr.State(PAGE)
            chosen = gr.Radio([], label=T("conversations"), visible=False, interactive=True, elem_classes="av-list")
            note = fragment()
            older = gr.Button(T("older"), size="sm", visible=False)
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
            past = chatbot("past", 430)
            fragment(replay())

    on = HistoryEvents(assistant, owner_of, now)
    listing: dict[str, Any] = {"fn": on.listed, "inputs": [limit, chosen], "outputs": [chosen, note, older], **QUICK}
    opening: dict[str, Any] = {
        "fn": on.opened,
        "inputs": chosen,
        "outputs": [right, heading, past, note, title, asked],
        **QUICK,
    }
    tab.select(**listing)
    older.click(lambda shown: shown + PAGE, limit, limit, **QUICK).then(**listing)
    chosen.input(**opening)
    go_on.click(on.go_on, [chosen, talk.stage], [tabs, talk.chat, talk.stage], **QUICK)
    rename.click(on.ask_name, chosen, title, **QUICK)
    title.submit(on.rename, [chosen, title], None, **QUICK).then(**listing).then(**opening)
    delete.click(on.ask_delete, chosen, [asked, question], **QUICK)
    no.click(lambda: gr.Column(visible=False), None, asked, **QUICK)
    yes.click(on.delete, [chosen, talk.stage], [talk.stage, talk.chat], **QUICK).then(**listing).then(**opening)
