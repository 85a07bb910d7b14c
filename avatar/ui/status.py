"""The Status tab: the ladder, seats, memory, and where the time of the turns goes.

Only reads; it is drawn again when the tab is opened and every few seconds while it is shown.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal

import gradio as gr
import pandas as pd  # Gradio brings it

from avatar.metrics import ram
from avatar.ui.fragments import PARTS, figure, fragment, icon, meter, rung
from avatar.ui.strings import say
from avatar.ui.talk import QUICK, language_for

if TYPE_CHECKING:
    from avatar.assistant import Assistant
    from avatar.engines.pool import RungStatus

STAGES: Final[tuple[Literal["stt", "llm", "tts"], ...]] = ("stt", "llm", "tts")
COLOURS: Final = {"stt": "hear", "llm": "think", "tts": "speak"}
# Plots are canvases, which read no CSS variables: one mid shade per stage that works on both themes.
SHADES: Final = {"eot": "#8d887c", "stt": "#169a7f", "llm": "#c98a12", "tts": "#6478e8"}
GOALS_MS: Final = {"p50": 500, "p95": 900}
REFRESH_S: Final = 4.0
RECENT: Final = 30  # turns in the line plot

Memory = tuple[float, float]  # used, total, in GiB


def rung_word(status: "RungStatus", language: str) -> str:
    if status.serving:
        return say("serving", language)
    if status.state == "warming" and status.fraction is None:
        return say("rung_warming_", language)
    return say(f"rung_{status.state}", language, pct=round(100 * (status.fraction or 0)))


def rung_note(status: "RungStatus", language: str) -> str:
    """What is worth knowing of a rung: why it cannot run, else its languages, cloning, memory and licence."""
    if status.state in ("failed", "absent") and status.sentence:
        return status.sentence
    spoken = [say(f"lang_{tag}", language) if tag in ("en", "zh") else tag for tag in status.languages if tag != "*"]
    words = [say("many_languages", language, n="100+")] if "*" in status.languages else []
    words += spoken if len(spoken) <= 3 else [say("many_languages", language, n=len(spoken))]
    if status.voices:
        words.append(say("many_voices", language, n=len(status.voices)))
    if status.stage == "tts":
        words.append(say("clones" if status.clones else "no_cloning", language))
    if status.demo:
        words.append(say("demo_rung", language))
    return " · ".join([*words, f"{status.memory_mib:,} MiB", status.licence])


def ladder(stage: str, rungs: Sequence["RungStatus"], language: str) -> str:
    """One stage as a card: heading, then its rungs, best first."""
    colour = COLOURS[stage]
    rows = "".join(
        rung(r.label, rung_note(r, language), r.state, rung_word(r, language), r.serving, r.fraction) for r in rungs
    )
    return (
        f'<section class="av-card av-ladder" style="--k:var(--av-{colour});--k-bg:var(--av-{colour}-bg)">'
        f'<h3 class="av-stageh">{icon(stage)}{html.escape(say(f"lat_{stage}", language))}'
        f"<small>{html.escape(say(f'stage_{stage}', language))}</small></h3><ul>{rows}</ul></section>"
    )


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
        x_lim=[1, max(10, len(totals_ms))],  # fewer would put fractions on the axis
        y_lim=[0, max([1000, *totals_ms])],
        visible=len(totals_ms) > 1,
    )


def status_tab(
    assistant: "Assistant", tab: gr.Tab, others: Sequence[gr.Tab], gpu_memory: Callable[[], Memory | None]
) -> None:
    """Lay the tab out and connect it. The timer runs only while the tab is shown."""

    def host_gib() -> Memory:
        used, total = ram()
        return used / 2**30, total / 2**30

    def read(request: gr.Request) -> tuple[Any, ...]:
        language = language_for(request)
        rungs = assistant.pool.status()
        stages = assistant.metrics.snapshot().stages
        snapshot = {name: {"p50": stage.p50_ms, "p95": stage.p95_ms, "n": stage.n} for name, stage in stages.items()}
        recent = [turn.timings_ms["total"] for turn in assistant.metrics.recent(RECENT) if "total" in turn.timings_ms]
        gpu = gpu_memory()
        seats = assistant.seats.count(), assistant.settings.max_sessions
        top = figures(seats, snapshot.get("total", {}), gpu or host_gib(), gpu is not None, language)
        ladders = [ladder(stage, [r for r in rungs if r.stage == stage], language) for stage in STAGES]
        empty = "" if recent else f'<p class="av-note">{say("plot_empty", language)}</p>'
        return top, *ladders, empty, parts_plot(snapshot if recent else {}, language), turns_plot(recent, language)

    timer = gr.Timer(REFRESH_S, active=False)
    outputs: list[Any] = [fragment(elem_id="figures")]
    with gr.Row(equal_height=True):
        for _ in STAGES:
            with gr.Column(min_width=270, elem_classes="av-stretch"):
                outputs.append(fragment())
    outputs.append(fragment())
    with gr.Row(equal_height=True):
        outputs.append(gr.BarPlot(height=240, min_width=320, visible=False, show_label=False))
        outputs.append(gr.LinePlot(height=240, min_width=320, visible=False, show_label=False))
    tab.select(read, None, outputs, **QUICK).then(lambda: gr.Timer(active=True), None, timer, **QUICK)
    timer.tick(read, None, outputs, **QUICK)
    for other in others:
        other.select(lambda: gr.Timer(active=False), None, timer, **QUICK)
