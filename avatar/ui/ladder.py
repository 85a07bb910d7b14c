"""The ladder on the Status tab: what each rung is doing, and the buttons that get its weights or try it again.

Buttons are part of the markup, because rungs come and go; one small script hands their clicks on as Gradio events.
"""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import gradio as gr

from avatar.errors import AvatarError, NotFound
from avatar.owners import OwnerOf
from avatar.ui.fragments import action, icon, rung
from avatar.ui.handlers import warn
from avatar.ui.strings import failure, hindrance, licence, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.engines.slots import RungStatus
    from avatar.weights.downloads import Download, Downloads

STAGES: Final[tuple[Literal["stt", "llm", "tts"], ...]] = ("stt", "llm", "tts")
COLOURS: Final = {"stt": "hear", "llm": "think", "tts": "speak"}

# The markup is replaced at every refresh: whoever was on a button by keyboard is put back on it.
_SCRIPT: Final = """
let held = '';
const button = target => target.closest && target.closest('button[data-act]');
element.addEventListener('click', event => {
  const pressed = button(event.target);
  if (pressed) trigger('click', { act: pressed.dataset.act, name: pressed.dataset.name });
});
element.addEventListener('focusin', event => { held = button(event.target)?.dataset.name || ''; });
element.addEventListener('focusout', event => { if (event.relatedTarget) held = ''; });
watch('value', () => {
  if (held && document.activeElement === document.body) {
    element.querySelector(`button[data-name="${CSS.escape(held)}"]`)?.focus({ preventScroll: true });
  }
});
"""


def megabytes(size: int) -> str:
    return f"{max(1, round(size / 1e6)):,}"


def rung_word(status: "RungStatus", language: str) -> str:
    if status.serving:
        return say("serving", language)
    if status.state == "warming" and status.fraction is None:
        return say("rung_warming_", language)
    return say(f"rung_{status.state}", language, pct=round(100 * (status.fraction or 0)))


def rung_note(status: "RungStatus", language: str) -> str:
    """What is worth knowing of a rung: why it cannot run, else its languages, cloning, memory and licence."""
    return hindrance(status, language) or _abilities(status, language)


def _abilities(status: "RungStatus", language: str) -> str:
    spoken = [say(f"lang_{tag}", language) if tag in ("en", "zh") else tag for tag in status.languages if tag != "*"]
    words = [say("many_languages", language, n="100+")] if "*" in status.languages else []
    words += spoken if len(spoken) <= 3 else [say("many_languages", language, n=len(spoken))]
    if status.voices:
        words.append(say("many_voices", language, n=len(status.voices)))
    if status.stage == "tts":
        words.append(say("clones" if status.clones else "no_cloning", language))
    if status.demo:
        words.append(say("demo_rung", language))
    if status.slower:
        words.append(say(f"slower_{status.stage}", language))
    return " · ".join([*words, f"{status.memory_mib:,} MiB", licence(status.licence, language)])


def row(status: "RungStatus", downloads: "Downloads", language: str) -> str:
    """One rung: where only weights are missing, their download; where it has failed, the way to try it now."""
    if status.lacks and downloads.mode != "never":
        return _obtainable(status, status.lacks[0], downloads.look(status.lacks[0]), language)
    note = rung_note(status, language)
    if status.lacks:
        note = say("get_never", language, how=downloads.by_hand(status.lacks[0]))
    again = action("retry", status.name, status.label, say("try_now", language)) if status.state == "failed" else ""
    word = rung_word(status, language)
    return rung(status.label, note, status.state, word, status.serving, status.fraction, again)


def _obtainable(status: "RungStatus", weight: str, download: "Download", language: str) -> str:
    here = {"done": megabytes(download.done), "size": megabytes(download.size)}
    if download.state == "getting":
        fraction = min(1.0, download.done / download.size)
        word = say("getting", language, pct=int(100 * fraction))
        button = action("cancel", weight, status.label, say("cancel", language))
        return rung(status.label, say("get_so_far", language, **here), "warming", word, False, fraction, button)
    left = megabytes(max(0, download.size - download.done))
    words = say("resume", language, mb=left) if download.done else say("get", language, mb=left)
    button = action("get", weight, status.label, words)
    note = _abilities(status, language)
    if download.state == "stopped":
        note = say("get_stopped", language, **here)
    if download.error is not None:
        note = failure(download.error, language)
    word = say("get_failed" if download.error else "get_missing", language)
    return rung(status.label, note, "failed" if download.error else "absent", word, False, None, button)


def ladder(stage: str, rungs: Sequence["RungStatus"], downloads: "Downloads", language: str) -> str:
    """One stage as a card: heading, then its rungs, best first."""
    colour = COLOURS[stage]
    rows = "".join(row(status, downloads, language) for status in rungs)
    return (
        f'<section class="av-card av-ladder" style="--k:var(--av-{colour});--k-bg:var(--av-{colour}-bg)">'
        f'<h3 class="av-stageh">{icon(stage)}{html.escape(say(f"lat_{stage}", language))}'
        f"<small>{html.escape(say(f'stage_{stage}', language))}</small></h3><ul>{rows}</ul></section>"
    )


def card() -> gr.HTML:
    """The place of one stage's ladder; its `click` event carries {act, name}."""
    return gr.HTML("", apply_default_css=False, js_on_load=_SCRIPT)


class LadderEvents:
    """What the buttons do. Only for the operator: a download fills the disk, and a load the memory, of everyone."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf) -> None:
        self.assistant, self.owner_of = assistant, owner_of

    def act(self, event: gr.EventData, request: gr.Request) -> None:
        """act and name come from a page: both are checked where they are used."""
        wanted: Any = event._data if isinstance(event._data, dict) else {}
        act, name = wanted.get("act"), str(wanted.get("name"))
        try:
            self._check_operator(request)
            if act == "get":
                self.assistant.downloads.start(name)
            elif act == "cancel":
                self.assistant.downloads.stop(name)
            elif act == "retry":
                self.assistant.pool.retry(name)
        except AvatarError as exc:
            warn(exc, request)

    def _check_operator(self, request: gr.Request) -> None:
        """Raises NotFound."""
        if self.owner_of(request) != self.assistant.settings.operator:
            raise NotFound("Only the operator of this AVATAR can do that.", code="NOT_OPERATOR")
