"""Numbers into a result: percentiles, the bars of the issue, JSON and a table."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.metrics import percentile

Summary = dict[str, float]  # n, p50, p95, p99, max


@dataclass(frozen=True, slots=True)
class Bar:
    """`value` must not exceed `limit` (or fall short of it, with `least`); None was not measured in this run."""

    name: str
    value: float | None
    limit: float
    unit: str = "ms"
    least: bool = False

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.least else self.value <= self.limit

    def __str__(self) -> str:
        sign, verdict = ("≥" if self.least else "≤"), {True: "met", False: "MISSED", None: "not measured"}[self.met]
        limit = f"{sign} {self.limit:g} {self.unit}".rstrip()
        return f"{self.name:42s} {_number(self.value):>9s}   {limit:12s} {verdict}"


def summary(values: Sequence[float]) -> Summary:
    """Nearest-rank percentiles, rounded to a tenth; {} for no values. A lost turn is infinite, and stays so."""
    if not values:
        return {}
    ranks = {f"p{percent}": percentile(values, percent) for percent in (50, 95, 99)}
    return {"n": len(values), **{name: round(value, 1) for name, value in (*ranks.items(), ("max", max(values)))}}


def bars(result: dict[str, Any]) -> list[Bar]:
    """The bars of the issue for this kind of run: one session, several, or several that stop together."""

    def at(name: str, rank: str) -> float | None:
        value = (result.get(name) or {}).get(rank)
        return None if value is None else float(value)

    reply, back = "voice_to_voice_ms", result.get("readback") or {}
    common = [
        Bar("errors", result["errors"], 0, ""),
        Bar("SERVER_FULL, p99", at("server_full_ms", "p99"), 250),
        Bar("memory of the app", result["rss_mib"], 1536, "MiB"),
        Bar("50 characters of reply received as sound, P95", at("e2e_50_ms", "p95"), 3500),
        Bar("clipped samples in replies", back.get("clipped"), 0, ""),
        Bar("gaps over 80 ms between clauses", back.get("gaps"), 0, ""),
    ]
    if result["sessions"] > 1 and result["together"]:
        return [Bar("voice to voice, all stop at once, P95", at(reply, "p95"), 2500), *common]
    if result["sessions"] > 1:
        return [
            Bar("voice to voice, P50", at(reply, "p50"), 800),
            Bar("voice to voice, P95", at(reply, "p95"), 1500),
            *common,
        ]
    return [
        Bar("voice to voice, P50", at(reply, "p50"), 450),
        Bar("voice to voice of sure turns, P95", at("sure_ms", "p95"), 700),
        Bar("early replies in mid-sentence pauses", result["early_replies"], 0.10, ""),
        Bar("early replies that became one turn", result["merged"], 1.0, "", least=True),
        Bar("word error rate", result["wer"], 0.16, ""),
        *common,
    ]


def table(result: dict[str, Any], judged: Sequence[Bar]) -> str:
    """What a person wants to read: the conditions, the times, the bars."""
    where, lines = result["conditions"], []
    lines.append(f"{where['cpu']}, {where['cores']} cores, commit {where['commit']}, {where['date']}")
    lines.append(
        f"cores in use: app {where['app_cores']}, bench {where['bench_cores']}, others {where['others_cores']} "
        f"({where['others_cores_before']} before the start); load average {where['load_average']}"
    )
    lines += [f"WARNING: {warning}" for warning in result["warnings"]]
    lines.append("engines: " + ", ".join(f"{stage} {name}" for stage, name in result["engines"].items()))
    lines.append(f"\n{'ms':24s} {'n':>5s} {'P50':>8s} {'P95':>8s} {'max':>8s}")
    named = [(name.removesuffix("_ms").replace("_", " "), result.get(name)) for name in _TIMES]
    named += [(f"  {name}", times) for name, times in (result.get("stages_ms") or {}).items()]
    for name, times in named:
        if times:
            numbers = " ".join(f"{_number(times[rank]):>8s}" for rank in ("p50", "p95", "max"))
            lines.append(f"{name:24s} {times['n']:5d} {numbers}")
    lines += [
        _pauses(kind, row) for kind in ("mid", "clause") for row in result.get(f"{kind}_pauses", ()) if row["pauses"]
    ]
    if wasted := result.get("wasted_tokens"):
        lines.append(f"written in vain: {wasted['total']} tokens in {wasted['replies']} replies")
    if "gaps" in result:
        lines.append(f"gaps over 80 ms inside replies: {result['gaps']}, the longest {result['gap_max_ms']:.0f} ms")
    if (back := result.get("readback")) and back["words"]:
        level = back["level_dbfs"]
        lines.append(
            f"replies read back: {back['replies']}, {back['accuracy']:.0%} of {back['words']} words heard as written; "
            f"level {level['p50']:.0f} dBFS, {back['least_dbfs']:.0f} to {level['max']:.0f}; "
            f"{back['between']} places between clauses, too long by {back['gap_max_ms']:.0f} ms at most"
        )
    return "\n".join([*lines, "", *(str(bar) for bar in judged)])


def _pauses(kind: str, row: dict[str, Any]) -> str:
    early = f"{row['early']} of {row['pauses']} answered early"
    return f"{kind} pauses of {row['length_s']} s: {early}, {row['withdrawn_unheard']} replies withdrawn unheard"


_TIMES = ("voice_to_voice_ms", "sure_ms", "waited_ms", "e2e_50_ms", "server_full_ms", "duck_ms", "flush_ms")


def write(result: dict[str, Any], judged: Sequence[Bar], path: Path) -> None:
    """The result and its bars as strict JSON: what is infinite (a lost turn) becomes null."""
    shown = {**result, "bars": [{"name": b.name, "value": b.value, "limit": b.limit, "met": b.met} for b in judged]}
    path.write_text(json.dumps(_finite(shown), indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    if not math.isfinite(value):
        return "lost"
    return f"{value:.0f}" if abs(value) >= 10 or value == int(value) else f"{value:.2f}"
