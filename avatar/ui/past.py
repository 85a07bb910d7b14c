"""What the History tab shows of a search and of old turns, as markup. Pure functions; all words are escaped here."""

import html
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from avatar.engines.base import OWN
from avatar.finding import Phrase, marks
from avatar.profiles import PROFILE
from avatar.ui.fragments import PARTS, inert, messages, plain, trimmed
from avatar.ui.strings import say

if TYPE_CHECKING:
    from avatar.chat import ChatLine
    from avatar.store import ConversationRow, Hit, TurnRow

BEFORE, SNIPPET = 24, 110  # characters of a snippet in front of the first hit, and at most


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
    """When, and how long."""
    turns = say("turns_1" if row.turns == 1 else "turns_n", language, n=row.turns)
    fork = f" · {say('forked', language, n=row.forked_at)}" if row.forked_at else ""
    return f"{when(row.created_at, language, now)} · {turns}{fork}"


def heard_in(voice: str, names: Mapping[str, str], language: str) -> str:
    """The voice of a turn, as text. `names` of profiles that are there, by what turns keep of them."""
    if voice.startswith(PROFILE):
        return names.get(voice) or say("heard_gone", language)
    return say("heard_own", language) if voice == OWN else voice


def marked(text: str, wanted: Sequence[Phrase]) -> str:
    """HTML: the text with what is wanted marked."""
    parts, at = [], 0
    for start, end in marks(text, wanted):
        parts += [html.escape(text[at:start]), "<mark>", html.escape(text[start:end]), "</mark>"]
        at = end
    return "".join([*parts, html.escape(text[at:])])


def marked_plain(text: str, wanted: Sequence[Phrase]) -> str:
    """Markdown that shows the text as it is (see fragments.plain), with what is wanted marked."""
    text, parts, at = trimmed(text), [], 0
    for start, end in marks(text, wanted):
        parts += [inert(text[at:start]), "<mark>", inert(text[start:end]), "</mark>"]
        at = end
    return "".join([*parts, inert(text[at:])])


def snippet(hit: "Hit", wanted: Sequence[Phrase]) -> str:
    """HTML: the words around the first hit; "" when no words were asked for."""
    if not wanted:
        return ""
    for said in (hit.user_text, hit.reply_text):
        text = " ".join(said.split())
        if spans := marks(text, wanted):
            start = max(0, spans[0][0] - BEFORE)
            end = min(len(text), start + SNIPPET)
            cut = marked(text[start:end], wanted)
            return f"<small>{'…' if start else ''}{cut}{'…' if end < len(text) else ''}</small>"
    return ""


def found_list(
    rows: "Sequence[tuple[ConversationRow, Hit | None]]",
    chosen: str,
    wanted: Sequence[Phrase],
    language: str,
    now: datetime,
) -> str:
    """The conversations as buttons; assets/history.js hands on which one was pressed."""
    items = []
    for row, hit in rows:
        current = ' aria-current="true"' if row.id == chosen else ""
        number = "" if hit is None or not wanted else f' data-turn="{hit.number}"'
        title = marked(row.title or say("untitled", language), wanted)
        below = "" if hit is None else snippet(hit, wanted)
        items.append(
            f'<li><button type="button" data-conversation="{html.escape(row.id)}"{number}{current}>'
            f"<b>{title}</b><span>{html.escape(described(row, language, now))}</span>{below}</button></li>"
        )
    return f'<ul class="av-found" aria-label="{html.escape(say("conversations", language))}">{"".join(items)}</ul>'


def past_messages(
    lines: "Sequence[ChatLine]",
    rows: "Mapping[int, TurnRow]",
    wanted: Sequence[Phrase],
    language: str,
    names: Mapping[str, str] = {},  # noqa: B006  # read only
) -> list[dict[str, str]]:
    """The messages of an opened conversation: those of Talk, with hits marked, and below each turn what it took, who
    served it in which voice, and the way to fork there. `rows` by number; `names`: see heard_in."""
    last = {line.number: line for line in lines}
    shown = []
    for line, message in zip(lines, messages(lines, language), strict=True):
        content = marked_plain(line.text, wanted) + message["content"].removeprefix(plain(line.text))
        row = rows.get(line.number)
        if row is not None and line is last[line.number]:
            content += _facts(row, language, names)
        shown.append({"role": message["role"], "content": content})
    return shown


_NAMES: Final = {"eot": "lat_eot", "stt": "lat_stt", "llm": "lat_llm", "tts": "lat_tts"}


def _facts(row: "TurnRow", language: str, names: Mapping[str, str]) -> str:
    facts = []
    for part in PARTS:
        engine, ms = row.engines.get(part, ""), row.timings_ms.get(part)
        if engine or ms:
            took = "" if ms is None else f"{round(ms):,} ms"
            served = " ".join(word for word in (engine, took) if word)
            facts.append(say("fact", language, name=say(_NAMES[part], language), value=served))
    if row.voice != OWN:
        facts.append(
            say("fact", language, name=say("fact_voice", language), value=heard_in(row.voice, names, language))
        )
    facts.append(say(f"state_{row.state}", language))
    fork = html.escape(say("fork_here", language, n=row.number))
    link = f'<a class="av-fork" href="#fork-{row.id}" title="{fork}"><span class="av-sr">{fork}</span></a>'
    return f'\n\n<span class="av-line av-facts">{link}<span>{html.escape(" · ".join(facts))}</span></span>'
