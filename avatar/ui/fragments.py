"""Read-only pieces of markup: chat messages with their one line below, icons, ladder rungs, figures.

Pure functions of text. Every name and every word that comes from outside is escaped here.
"""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from avatar.ui.strings import say

if TYPE_CHECKING:
    from avatar.chat import ChatLine

ASSETS = Path(__file__).resolve().parents[2] / "assets"
PARTS = ("eot", "stt", "llm", "tts")  # of a turn's time, in order
FULL_SCALE_MS = 1500  # of every latency bar, so that bars compare

_PATHS = {
    "ready": '<circle cx="12" cy="12" r="9" fill="currentColor" stroke="none"/>'
    '<path d="M8 12.5l2.7 2.7L16 9.5" stroke="var(--av-surface)" stroke-width="2.2"/>',
    "cold": '<circle cx="12" cy="12" r="8.5"/><path d="M12 7.5v5l3 2"/>',
    "warming": '<circle cx="12" cy="12" r="8.5" stroke-dasharray="4 3.4"/>',
    "absent": '<circle cx="12" cy="12" r="8.5"/>',
    "failed": '<path d="M12 3.5L22 20H2z"/><path d="M12 10v4.5M12 17.2v.2"/>',
    "stt": '<path d="M4 10v4M8 7v10M12 4v16M16 7v10M20 10v4"/>',
    "llm": '<circle cx="6" cy="12" r="1.6"/><circle cx="12" cy="12" r="1.6"/><circle cx="18" cy="12" r="1.6"/>',
    "tts": '<path d="M4 10v4h4l5 4V6l-5 4z"/><path d="M16.5 9a4 4 0 0 1 0 6M19 6.5a8 8 0 0 1 0 11"/>',
    "mark": '<circle cx="12" cy="12" r="4.2" fill="currentColor" stroke="none"/><path d="M12 2.5v2.2M12 19.3v2.2M2.5 '
    '12h2.2M19.3 12h2.2M5.3 5.3l1.6 1.6M17.1 17.1l1.6 1.6M5.3 18.7l1.6-1.6M17.1 6.9l1.6-1.6"/>',
}
_PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")
_TURN_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")


def icon(name: str, css_class: str = "") -> str:
    return (
        f'<svg class="{css_class}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" '
        f'stroke-linecap="round" stroke-linejoin="round" aria-hidden="true">{_PATHS[name]}</svg>'
    )


def fragment(markup: str = "", **options: object) -> gr.HTML:
    """Read-only markup: no script, no Gradio prose styles."""
    return gr.HTML(markup, apply_default_css=False, js_on_load=None, **options)  # type: ignore[arg-type]


def plain(text: str) -> str:
    """Markdown source that shows `text` as it is. Every ASCII punctuation mark becomes a character reference, which
    Markdown never takes for markup: an image, a link or HTML in what somebody said stays words and loads nothing."""
    return inert(trimmed(text))


def trimmed(text: str) -> str:
    """Lines without space around them, which Markdown would take for code."""
    return "\n".join(line.strip() for line in text.strip().splitlines())


def inert(text: str) -> str:
    return _PUNCTUATION.sub(lambda m: f"&#{ord(m[0])};", text)


def messages(lines: "Sequence[ChatLine]", language: str, again: bool = False) -> list[dict[str, str]]:
    """The conversation for gr.Chatbot: the words, and below them the links, the bar and the tag. `again` offers to
    answer the last words once more. Gradio's own copy button would copy the markup of `plain` and of the line below."""
    last = lines[-1] if again and lines else None
    return [
        {"role": x.role, "content": plain(x.text) + _below(x, language, x is last) + rating(x, language, x is last)}
        for x in lines
    ]


def _below(line: "ChatLine", language: str, again: bool) -> str:
    side = "reply" if line.role == "assistant" else "user"
    parts = []
    if line.turn_id is not None and _TURN_ID.fullmatch(line.turn_id):
        take = "hq" if line.hq else side
        words = html.escape(say(f"play_{take}", language, n=line.number))
        parts.append(f'<a href="#play-{line.turn_id}-{take}"><span class="av-sr">{words}</span></a>')
        if line.hq:
            parts.append(f'<span class="av-tag">{html.escape(say("hq_tag", language))}</span>')
    if side == "reply" and line.over:
        if line.text:
            parts.append(_link("copy", say("copy_reply", language, n=line.number)))
        if again:
            parts.append(_link("again", say("again", language)))
    if side == "reply" and line.timings_ms:
        parts.append(_bar(line.timings_ms))
    if line.interrupted_s is not None:
        tag = html.escape(say("interrupted_after", language, s=f"{line.interrupted_s:.1f}"))
        parts.append(f'<span class="av-tag">{tag}</span>')
    return f'\n\n<span class="av-line">{"".join(parts)}</span>' if parts else ""


def rating(line: "ChatLine", language: str, newest: bool) -> str:
    """Ten links to rate the sound of a reply that was heard; folded up unless it is the newest. The chosen one takes
    itself back. Gradio's sanitizer leaves no aria-*, so names are words for screen readers."""
    turn = line.turn_id or ""
    if line.role != "assistant" or not line.over or not _TURN_ID.fullmatch(turn):
        return ""
    whose = f'<span class="av-sr">{html.escape(say("rate_one", language, n=line.number))} </span>'
    links = []
    for n in range(1, 11):
        chosen = n == line.rating
        marks = "on" if chosen else "to" if n < (line.rating or 0) else ""
        title = html.escape(say("rate_undo" if chosen else "rate_what", language, n=n))
        links.append(f'<a class="{marks}" href="#rate-{turn}-{0 if chosen else n}" title="{title}">{whose}{n}</a>')
    words = say("rated", language, n=line.rating) if line.rating else say("rate_it", language)
    summary = f"<summary>{html.escape(words)}</summary>"
    return f'\n\n<details class="av-rate"{" open" if newest else ""}>{summary}<span>{"".join(links)}</span></details>'


def _link(act: str, words: str) -> str:
    name = html.escape(words)
    return f'<a class="av-{act}" href="#{act}" title="{name}"><span class="av-sr">{name}</span></a>'


def _bar(timings_ms: Mapping[str, float]) -> str:
    widths = [(k, timings_ms[k]) for k in PARTS if k in timings_ms]
    bars = "".join(f'<i class="av-{k}" style="width:{100 * ms / FULL_SCALE_MS:.1f}%"></i>' for k, ms in widths)
    total = sum(round(ms) for _, ms in widths)  # as the card on the stage adds them
    return f'<span class="av-mini" aria-hidden="true">{bars}</span><span>{total:,} ms</span>'


def replay() -> str:
    """The one player that play links of its tab fill; live.js finds it by class."""
    return '<figure class="av-replay" hidden><figcaption></figcaption><audio controls preload="none"></audio></figure>'


def head() -> str:
    """Of the document: what is there before any part of the page."""
    style, script = ((ASSETS / name).read_text(encoding="utf-8") for name in ("outside.css", "first.js"))
    return f"<style>{style}</style><script>{script}</script>"


def header() -> str:
    return (
        f'<header class="av-head">{icon("mark", "av-mark")}<b>AVATAR</b>'
        '<span class="av-seats" role="status" aria-live="polite"></span></header>'
    )


def rung(label: str, note: str, state: str, word: str, serving: bool, fraction: float | None, button: str = "") -> str:
    """One rung of the ladder; `state` is one of RungStatus.state, `fraction` 0..1 while it warms, `button` markup."""
    name = html.escape(label)
    bar = ""
    if state == "warming" and fraction is not None:
        pct = round(100 * fraction)
        bar = (
            f'<div class="av-prog" role="progressbar" aria-valuenow="{pct}" aria-valuemin="0" aria-valuemax="100" '
            f'aria-label="{name}"><i style="width:{pct}%"></i></div>'
        )
    on = " on" if serving else ""
    return (
        f'<li class="av-rung {state}{on}">{icon(state)}<b>{name}</b><em>{html.escape(word)}</em>'
        f"<small>{html.escape(note)}</small>{bar}{button}</li>"
    )


def action(act: str, name: str, label: str, words: str) -> str:
    """A button of a rung. Its accessible name says whose it is: "Get, 148 MB" stands there more than once."""
    data = f'data-act="{html.escape(act)}" data-name="{html.escape(name)}"'
    whose = html.escape(f"{words}: {label}")
    return f'<button type="button" class="av-do" {data} aria-label="{whose}">{html.escape(words)}</button>'


def figure(title: str, value: str, unit: str, below: str = "") -> str:
    """One of the large figures; `below` is markup, the rest is text."""
    return (
        f'<div class="av-fig"><span>{html.escape(title)}</span>'
        f"<b>{html.escape(value)} <small>{html.escape(unit)}</small></b>{below}</div>"
    )


def meter(fraction: float, words: str) -> str:
    """A filled bar with the mark at 90 %, above which no new session is let in."""
    pct = round(100 * min(1.0, max(0.0, fraction)))
    return (
        f'<div class="av-meter" role="img" aria-label="{html.escape(words)}">'
        f'<i style="width:{pct}%"></i><u style="left:90%"></u></div>'
    )
