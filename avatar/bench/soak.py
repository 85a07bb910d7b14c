"""Does it last? The brief's load for as long as you like: several sessions, each speaking every 10 s, real engines.

Counts errors, and watches what must not grow: memory, threads, descriptors, files, and the time to the first sound.
"""

import asyncio
import math
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from avatar.bench.client import Client, Refused
from avatar.bench.clips import FOLDER, RATE, Clip, load
from avatar.bench.report import Bar, summary
from avatar.bench.served import App, Watch, conditions, others_cores, serving
from avatar.bench.talk import seated, warnings
from avatar.bench.turns import Turn, ask
from avatar.metrics import percentile

EVERY_S = 10.0  # between two questions of a session, from start to start; a longer reply delays the next
LOOK_S = 5.0
LONGEST_S = 4.0  # of a clip, so that question and reply fit the rhythm
CONVERSATION = 30  # turns until a session begins a new conversation, as people do
WARM_UP = 0.2  # of the run: caches fill, threads start; growth is judged after it
LEAST_TURNS = 60  # after the warm-up, for a drift to be worth a word: its P95 rests on 3 turns a third


@dataclass(frozen=True, slots=True)
class Options:
    sessions: int = 5
    minutes: float = 120.0
    clips: Path = FOLDER
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Look:
    """The app with its helper processes at one moment."""

    at_s: float
    turns: int
    rss_mib: float
    threads: int
    descriptors: int
    cache_mib: float  # what lies in its data folder and Gradio's temporary one


@dataclass(slots=True)
class Course:
    """What has happened so far."""

    began: float
    turns: list[tuple[float, Turn]] = field(default_factory=list)  # second of the run, what came of it
    looks: list[Look] = field(default_factory=list)
    hang_ups: int = 0


def run(options: Options) -> dict[str, Any]:
    """Blocks for `minutes` and a little. Raises AvatarError."""
    clips, before = load(options.clips), others_cores()
    # a clip with a pause may be answered before its end, which `talk` measures and is no failure
    short = [clip for clip in clips if len(clip.samples) <= LONGEST_S * RATE and not clip.pauses]
    with serving() as app:
        print(f"app.py ready after {app.wait():.1f} s", flush=True)
        with Watch(app.process.pid) as watch:
            course = asyncio.run(_soak(app, short, options))
    shares = watch.shares()
    return {
        **figures(course, options.minutes * 60),
        "sessions": options.sessions,
        "minutes": options.minutes,
        "rss_mib": watch.peak_mib,
        "conditions": {**conditions(), **shares, "others_cores_before": before},
        "warnings": warnings(before, shares["others_cores"], 0.0),
    }


async def _soak(app: App, clips: Sequence[Clip], options: Options) -> Course:
    course = Course(time.perf_counter())
    until = course.began + options.minutes * 60
    rng = random.Random(options.seed)
    watching = asyncio.create_task(_watch(app, course))
    talking = (_talker(app, clips, n, random.Random(rng.random()), course, until) for n in range(options.sessions))
    try:
        await asyncio.gather(*talking)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return course


async def _talker(
    app: App, clips: Sequence[Clip], session: int, rng: random.Random, course: Course, until: float
) -> None:
    """One session. A connection that is lost is an error, and is opened again, as a page would."""
    await asyncio.sleep(EVERY_S * session / 5)  # not all in step
    while time.perf_counter() < until:
        try:
            async with seated(app, 1) as (client,):
                await _converse(client, clips, session, rng, course, until)
        except (Refused, OSError):
            course.hang_ups += 1
            await asyncio.sleep(1.0)


async def _converse(
    client: Client, clips: Sequence[Clip], session: int, rng: random.Random, course: Course, until: float
) -> None:
    spoken = 0
    while (began := time.perf_counter()) < until and not client.closed:
        turn = await ask(client, rng.choice(clips), session)
        turn.sound = None  # two hours of replies are a gigabyte
        client.forget()
        course.turns.append((time.perf_counter() - course.began, turn))
        if turn.error:
            print(f"  {course.turns[-1][0]:6.0f} s session {session}: {turn.file}: {turn.error}", flush=True)
        spoken += 1
        if spoken % CONVERSATION == 0:
            await client.send("new")
        await asyncio.sleep(max(0.0, began + EVERY_S - time.perf_counter()))


async def _watch(app: App, course: Course) -> None:
    while True:
        look = await asyncio.to_thread(_look, app, time.perf_counter() - course.began, len(course.turns))
        course.looks.append(look)
        if len(course.looks) % 60 == 1:
            print(
                f"  {look.at_s:6.0f} s: {look.turns} turns, {look.rss_mib:.0f} MiB, {look.threads} threads", flush=True
            )
        await asyncio.sleep(LOOK_S)


def _look(app: App, at_s: float, turns: int) -> Look:
    main = psutil.Process(app.process.pid)
    rss = threads = descriptors = 0
    for process in (main, *main.children(recursive=True)):
        try:
            rss, threads = rss + process.memory_info().rss, threads + process.num_threads()
            descriptors += process.num_fds()
        except psutil.NoSuchProcess:  # a helper that ended since it was listed
            continue
    size = sum(_size(file) for file in app.data.parent.rglob("*") if file != app.log)
    return Look(round(at_s, 1), turns, rss / 2**20, threads, descriptors, size / 2**20)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size if file.is_file() else 0
    except FileNotFoundError:  # deleted since it was listed
        return 0


def figures(course: Course, length_s: float) -> dict[str, Any]:
    """The figures of a run. Growth and drift are of the time after the warm-up, None when that holds too little."""
    warm = [look for look in course.looks if look.at_s >= WARM_UP * length_s]
    later = [turn.voice_to_voice_ms for at, turn in course.turns if at >= WARM_UP * length_s]
    errors = sum(bool(turn.error) for _, turn in course.turns) + course.hang_ups
    return {
        "turns": len(course.turns),
        "turns_per_minute": round(60 * len(course.turns) / length_s, 1),
        "errors": errors,
        "error_rate": round(errors / max(1, len(course.turns) + course.hang_ups), 4),
        "voice_to_voice_ms": summary([turn.voice_to_voice_ms for _, turn in course.turns]),
        "rss_mib_per_100_turns": _slope([(look.turns, look.rss_mib) for look in warm]),
        "p95_drift": _drift(later),
        "threads": _ends(warm, "threads"),
        "descriptors": _ends(warm, "descriptors"),
        "cache_mib": _ends(warm, "cache_mib"),
        "engines": course.turns[-1][1].engines if course.turns else {},
        "detail": {"looks": [asdict(look) for look in course.looks]},
    }


def _slope(points: Sequence[tuple[float, float]]) -> float | None:
    """Least squares, of y per 100 of x."""
    x, y = np.array([p[0] for p in points], float), np.array([p[1] for p in points], float)
    if len(points) < 3 or np.ptp(x) < LEAST_TURNS:
        return None
    return round(float(np.polyfit(x, y, 1)[0]) * 100, 3)


def _drift(times_ms: Sequence[float]) -> float | None:
    """P95 of the last third over that of the first, less one; a lost turn is infinite."""
    third = len(times_ms) // 3
    if len(times_ms) < LEAST_TURNS:
        return None
    first, last = percentile(times_ms[:third], 95), percentile(times_ms[-third:], 95)
    return math.inf if math.isinf(last) else round(last / first - 1, 3)


def _ends(looks: Sequence[Look], name: str) -> dict[str, float]:
    """The means of the first and last five looks, and the largest."""
    values = [getattr(look, name) for look in looks]
    if not values:
        return {}
    first, last = values[:5], values[-5:]
    return {
        "first": round(sum(first) / len(first), 1),
        "last": round(sum(last) / len(last), 1),
        "max": round(max(values), 1),
    }


def bars(result: dict[str, Any]) -> list[Bar]:
    """Of issue 7, "Soak"."""
    return [
        Bar("error rate", result["error_rate"], 0.01, ""),
        Bar("memory growth per 100 turns", result["rss_mib_per_100_turns"], 1.0, "MiB"),
        Bar("drift of the P95, last third over first", result["p95_drift"], 0.20, ""),
    ]


def table(result: dict[str, Any], judged: Sequence[Bar]) -> str:
    where, times = result["conditions"], result["voice_to_voice_ms"]
    grown = (
        f"{name} {ends['first']:g} -> {ends['last']:g} (max {ends['max']:g})"
        for name in ("threads", "descriptors", "cache_mib")
        if (ends := result[name])
    )
    lines = [
        f"{where['cpu']}, {where['cores']} cores, commit {where['commit']}, {where['date']}",
        f"cores in use: app {where['app_cores']}, others {where['others_cores']}; load average {where['load_average']}",
        *(f"WARNING: {warning}" for warning in result["warnings"]),
        f"{result['sessions']} sessions, {result['minutes']:g} min: {result['turns']} turns "
        f"({result['turns_per_minute']} a minute), {result['errors']} errors",
        f"voice to voice ms: P50 {times.get('p50')}, P95 {times.get('p95')}, max {times.get('max')}",
        f"memory at most {result['rss_mib']} MiB; after the warm-up: {', '.join(grown)}",
    ]
    return "\n".join([*lines, "", *map(str, judged)])
