"""The Status tab: the ladder, seats, memory, and where the time of the turns goes.

It is drawn again when the tab is opened, after a button of the ladder, and every few seconds while it is shown.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
import pandas as pd  # Gradio brings it

from avatar.errors import AvatarError
from avatar.metrics import ram
from avatar.owners import OwnerOf
from avatar.ui.fragments import PARTS, figure, fragment, meter
from avatar.ui.handlers import QUICK, language_for, ticking
from avatar.ui.ladder import STAGES, LadderEvents, card, ladder
from avatar.ui.rating import score_list
from avatar.ui.strings import failure, say

if TYPE_CHECKING:
    from avatar.assistant import Assistant

# Plots are canvases, which read no CSS variables: one mid shade per stage that works on both themes.
SHADES: Final = {"eot": "#8d887c", "stt": "#169a7f", "llm": "#c98a12", "tts": "#6478e8"}
GOALS_MS: Final = {"p50": 500, "p95": 900}
REFRESH_S: Final = 4.0
GETTING_S: Final = 1.0  # between pictures while weights are being fetched
RECENT: Final = 30  # turns in the line plot

Memory = tuple[float, float]  # used, total, in GiB


def figures(seats: tuple[int, int], total: Mapping[str, float], memory: Memory, gpu: bool, language: str) -> str:
    """The large figures. seats: (taken, of); total: p50 and p95 of the time to the first sound, empty before a turn."""
    dots = "".join(f'<i class="{"on" if i < seats[0] else ""}"></i>' for i in range(seats[1]))
    shown = f'<span class="av-inline" aria-hidden="true"><span class="av-dots">{dots}</span></span>'
    parts = [figure(say("seats_used", language), str(seats[0]), say("of", language, of=seats[1]), shown)]
    for name in ("p50", "p95"):
        ms = round(total[name]) if name in total else None
        below = _verdict(ms, GOALS_MS[name], language)
        parts.append(figure(say(name, language), "–" if ms is None else f"{ms:,}", "" if ms is None else "ms", below))
    used, of = memory
    fraction = used / of if of else 0.0
    words = say("percent", language, pct=round(100 * fraction))
    title = say("memory_gpu" if gpu else "memory_cpu", language)
    parts.append(figure(title, f"{used:.1f}", say("of_gib", language, gib=f"{of:.0f}"), meter(fraction, words)))
    return f'<div class="av-figs">{"".join(parts)}</div>'


def _verdict(ms: int | None, goal: int, language: str) -> str:
    if ms is None:
        return f"<span>{say('no_turns', language)}</span>"
    if ms <= goal:
        return f'<span class="av-good">{say("goal", language, ms=goal)}</span>'
    return f'<span class="av-slow">{say("goal_over", language, ms=goal, by=f"{ms - goal:,}")}</span>'


def parts_plot(snapshot: Mapping[str, Mapping[str, float]], language: str) -> gr.BarPlot:
    """P50 and P95 of each part of the turn, stacked. The parts' P95 do not add up to the P95 of the whole."""
    names = {part: say(f"lat_{part}", language) for part in PARTS}
    rows = [
        (names[part], name.upper(), round(snapshot[part][name]))
        for part in PARTS
        if part in snapshot
        for name in ("p50", "p95")
    ]
    return gr.BarPlot(
        pd.DataFrame(rows, columns=["stage", "part", "ms"]),
        x="part",
        y="ms",
        color="stage",
        color_map={names[part]: SHADES[part] for part in PARTS},
        color_title=" ",
        title=say("where_time", language),
        x_title=" ",
        y_title="ms",
        sort=["P50", "P95"],
        visible=bool(rows),
    )


def turns_plot(totals_ms: Sequence[float], language: str) -> gr.LinePlot:
    """The last turns' time to the first sound, oldest first."""
    frame = pd.DataFrame({"turn": range(1, len(totals_ms) + 1), "ms": [round(x) for x in totals_ms]})
    return gr.LinePlot(
        frame,
        x="turn",
        y="ms",
        title=say("last_turns", language),
        x_title=say("turn", language),
        y_title="ms",
        x_lim=[1, RECENT],  # fewer would put fractions on the axis
        y_lim=[0, 1.05 * max([1000, *totals_ms])],
        visible=len(totals_ms) > 1,
    )


class StatusEvents:
    """What the tab shows, read anew each time. `gpu_memory`: GiB used and total, None without a GPU."""

    def __init__(self, assistant: "Assistant", owner_of: OwnerOf, gpu_memory: Callable[[], Memory | None]) -> None:
        self.assistant, self.owner_of, self.gpu_memory = assistant, owner_of, gpu_memory

    def status(self, request: gr.Request) -> tuple[Any, ...]:
        """-> figures, a ladder for each stage, what stands for the plots before a turn, plots, ratings, timer."""
        language, assistant = language_for(request), self.assistant
        rungs = assistant.pool.status()
        stages = assistant.metrics.snapshot().stages
        snapshot = {name: {"p50": stage.p50_ms, "p95": stage.p95_ms, "n": stage.n} for name, stage in stages.items()}
        recent = [turn.timings_ms["total"] for turn in assistant.metrics.recent(RECENT) if "total" in turn.timings_ms]
        gpu = self.gpu_memory()
        seats = assistant.seats.count(), assistant.settings.seats
        top = figures(seats, snapshot.get("total", {}), gpu or _host_gib(), gpu is not None, language)
        downloads = assistant.downloads
        ladders = [ladder(stage, [r for r in rungs if r.stage == stage], downloads, language) for stage in STAGES]
        getting = any(downloads.look(name).state == "getting" for r in rungs for name in r.lacks)
        pace = gr.Timer(GETTING_S if getting else REFRESH_S)
        empty = "" if recent else f'<p class="av-note">{say("plot_empty", language)}</p>'
        plots = parts_plot(snapshot if recent else {}, language), turns_plot(recent, language)
        return top, *ladders, empty, *plots, self._scores(request), pace

    def _scores(self, request: gr.Request) -> str:
        language = language_for(request)
        try:
            return score_list(self.assistant.store.ratings.scores(self.owner_of(request)), language)
        except AvatarError as exc:  # in its place: a toast would come with every picture
            return f'<p class="av-note">{html.escape(failure(exc, language))}</p>'


def _host_gib() -> Memory:
    used, total = ram()
    return used / 2**30, total / 2**30


def status_tab(
    assistant: "Assistant",
    owner_of: OwnerOf,
    tab: gr.Tab,
    others: Sequence[gr.Tab],
    gpu_memory: Callable[[], Memory | None],
) -> None:
    """Lay the tab out and connect it. The timer runs only while the tab is shown."""
    timer = gr.Timer(REFRESH_S, active=False)
    outputs: list[Any] = [fragment(elem_id="figures")]
    cards = []
    with gr.Row(equal_height=True):
        for _ in STAGES:
            with gr.Column(min_width=270, elem_classes="av-stretch"):
                cards.append(card())
    outputs += cards
    outputs.append(fragment())
    with gr.Row(equal_height=True):
        outputs.append(gr.BarPlot(height=240, min_width=320, visible=False, show_label=False))
        outputs.append(gr.LinePlot(height=240, min_width=320, visible=False, show_label=False))
    outputs += [fragment(), timer]
    read = StatusEvents(assistant, owner_of, gpu_memory).status
    gr.on([place.click for place in cards], LadderEvents(assistant, owner_of).act, None, None, **QUICK).then(
        read, None, outputs, **QUICK
    )
    tab.select(outputs=timer, **ticking(True))
    tab.select(read, None, outputs, **QUICK)
    timer.tick(read, None, outputs, **QUICK)
    for other in others:
        other.select(outputs=timer, **ticking(False))
