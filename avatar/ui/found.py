"""Search in History: the words, the filters and the list of conversations that fit. Knows nothing of an opened one."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import gradio as gr

from avatar.errors import AvatarError
from avatar.finding import MAX_QUERY, phrases
from avatar.owners import OwnerOf
from avatar.profiles import PROFILE
from avatar.store import Wanted
from avatar.ui.fragments import ASSETS, fragment
from avatar.ui.handlers import QUICK, language_for, warn
from avatar.ui.past import found_list, heard_in
from avatar.ui.strings import T, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.store import ConversationRow, Hit

PAGE: Final = 30  # conversations more with every "Show older"
ANY: Final = ""  # voice: no filter; turns keep names and ids, which are never empty
DAYS: Final = {"any": None, "day": 1, "week": 7, "month": 30}  # a filter -> calendar days, today included


def since(span: str, now: datetime) -> str:
    """The first moment of the last so many calendar days of the zone of `now`, as turns have it; "" for any time."""
    days = DAYS.get(span)
    if days is None:
        return ""
    first = now.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    return first.astimezone(UTC).isoformat(timespec="milliseconds")


def profile_names(assistant: "Assistant", owner: str) -> dict[str, str]:
    """Blocks. Of the owner's voices, and of those that come with the product, by what a turn keeps of them."""
    return {} if assistant.studio is None else {PROFILE + p.id: p.name for p in assistant.studio.voices.of(owner)}


class FoundEvents:
    """The handlers of the list. They block on the database, so none is a coroutine: Gradio runs them in threads."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf, now: Callable[[], datetime]) -> None:
        self.assistant, self.owner_of, self.now = assistant, owner_of, now

    def listed(
        self, words: str, span: str, state: str, voice: str | None, limit: int, chosen: str, request: gr.Request
    ) -> tuple[Any, Any, Any]:
        """-> list, note, older. The one that is open stays marked."""
        language = language_for(request)
        interrupted = "interrupted" if state == "interrupted" else None
        wanted = Wanted(
            words=(words or "")[:MAX_QUERY],
            since=since(span, self.now()),
            state=interrupted,  # type: ignore[arg-type]
            voice=voice or None,
        )
        try:
            rows = self._rows(self.owner_of(request), wanted, limit + 1)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip(), gr.skip(), gr.skip()
        note = self._note(wanted, len(rows), limit, language)
        shown = found_list(rows[:limit], chosen, phrases(wanted.words), language, self.now()) if rows else ""
        return shown, f'<p class="av-note" role="status">{note}</p>', gr.Button(visible=len(rows) > limit)

    def voices_heard(self, voice: str | None, request: gr.Request) -> Any:
        """-> the filter of voices: those that something was spoken in, and the one that is chosen."""
        owner, language = self.owner_of(request), language_for(request)
        try:
            heard = self.assistant.store.search.voices(owner)
            names = profile_names(self.assistant, owner)
        except AvatarError as exc:
            warn(exc, request)
            return gr.skip()
        rows = [(say("heard_any", language), ANY), *((heard_in(one, names, language), one) for one in heard)]
        return gr.Dropdown(rows, value=voice if voice in heard else ANY)

    def _rows(self, owner: str, wanted: Wanted, limit: int) -> "list[tuple[ConversationRow, Hit | None]]":
        store = self.assistant.store
        if wanted == Wanted():
            return [(row, None) for row in store.conversations(owner, limit)]
        hits = store.search.find(owner, wanted, limit)
        rows = store.conversations_of(owner, [hit.conversation for hit in hits])
        return [(rows[hit.conversation], hit) for hit in hits if hit.conversation in rows]

    def _note(self, wanted: Wanted, found: int, limit: int, language: str) -> str:
        if found > limit:
            return say("found_more", language, n=limit)
        if found:
            return say("found_1" if found == 1 else "found_n", language, n=found)
        if wanted.words.strip():
            return say("found_none", language)
        return say("no_history" if wanted == Wanted() else "found_none_so", language)


@dataclass(frozen=True, slots=True)
class SearchBar:
    words: gr.Textbox
    span: gr.Dropdown
    state: gr.Dropdown
    voice: gr.Dropdown


@dataclass(frozen=True, slots=True)
class FoundList:
    """`place` tells which conversation was pressed (`choose`), and where one shall fork (`fork`); `listing` is an event
    that reads the list again."""

    place: gr.HTML
    listing: dict[str, Any]


def search_bar() -> SearchBar:
    with gr.Row(elem_classes="av-card av-search"):
        words = gr.Textbox(
            label=T("search"),
            placeholder=T("search"),
            show_label=False,
            max_length=MAX_QUERY,
            lines=1,
            scale=6,
            min_width=240,
            elem_id="search",
        )
        spans = [(T(f"span_{name}"), name) for name in DAYS]
        which = [(T("turns_all"), "all"), (T("turns_cut"), "interrupted")]
        filters: dict[str, Any] = {"show_label": False, "scale": 2, "min_width": 146, "filterable": False}
        span = gr.Dropdown(spans, value="any", label=T("span"), **filters)
        state = gr.Dropdown(which, value="all", label=T("turns_which"), **filters)
        voice = gr.Dropdown([(T("heard_any"), ANY)], value=ANY, label=T("heard_in"), elem_id="heard-in", **filters)
    return SearchBar(words, span, state, voice)


def found_column(
    assistant: "Assistant",
    owner_of: OwnerOf,
    tab: gr.Tab,
    bar: SearchBar,
    chosen: gr.Textbox,
    now: Callable[[], datetime],
) -> FoundList:
    """Lay out the list and connect it; it is read when the tab is opened, and while somebody types."""
    limit = gr.State(PAGE)
    note = fragment()
    place = gr.HTML("", apply_default_css=False, js_on_load=(ASSETS / "history.js").read_text(encoding="utf-8"))
    older = gr.Button(T("older"), size="sm", visible=False)
    on = FoundEvents(assistant, owner_of, now)
    inputs, outputs = [bar.words, bar.span, bar.state, bar.voice, limit, chosen], [place, note, older]
    listing: dict[str, Any] = {"fn": on.listed, "inputs": inputs, "outputs": outputs, **QUICK}
    tab.select(on.voices_heard, bar.voice, bar.voice, **QUICK).then(**listing)
    asked = [bar.words.change, bar.span.change, bar.state.change, bar.voice.input]
    gr.on(asked, lambda: PAGE, None, limit, trigger_mode="always_last", **QUICK).then(**listing)
    older.click(lambda shown: shown + PAGE, limit, limit, **QUICK).then(**listing)
    return FoundList(place, listing)
