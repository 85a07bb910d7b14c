"""The talk bench through a Ray cluster of two nodes on this machine, against the engines in the app's own process.

Both apps and the cluster run all the time. One speaker asks them in turn, clip by clip, so that what else the machine
does meets both; several speakers talk to one app and then to the other. Needs requirements-cluster.txt.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from avatar.bench.clips import FOLDER, Clip, load
from avatar.bench.nodes import Nodes
from avatar.bench.report import Bar, summary
from avatar.bench.served import OURS, App, conditions, others_cores
from avatar.bench.talk import GAP_S, answered, outcome, seated
from avatar.bench.turns import Turn, ask
from avatar.cluster import config
from avatar.engines.cluster_client import ClusterClient
from avatar.engines.frames import pack
from avatar.errors import AvatarError
from avatar.planner import NO_CARD
from avatar.settings import Settings

ADDED_MS = 25.0  # the bar: what a cluster may add to the median turn of one speaker
CPUS = 4  # a node's, as Ray counts: two nodes hold two replicas of each engine on a machine of two cores
ASKS = 200
RAY = {"AVATAR_STT": "ray", "AVATAR_LLM": "ray", "AVATAR_TTS": "ray"}


def deployed(replicas: int) -> dict[str, Any]:
    """Of each stage so many replicas, each on a node of its own, and one proxy: nodes here share their address."""
    made = config(Settings.from_env(), NO_CARD, "127.0.0.1", 0, replicas)
    made["proxy_location"] = "HeadOnly"
    for application in made["applications"]:
        (deployment,) = application["deployments"]
        deployment["autoscaling_config"]["min_replicas"] = replicas
        deployment["max_replicas_per_node"] = 1
    return made


def run(sessions: Sequence[int], clips: Sequence[Clip]) -> dict[str, Any]:
    """Blocks for minutes. Raises AvatarError."""
    before = others_cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="avatar-bench-")))
        seats = {"AVATAR_MAX_SESSIONS": str(max(5, *sessions))}
        nodes = stack.enter_context(Nodes(CPUS, {**os.environ, **seats}))
        nodes.add()
        nodes.deploy(deployed(2))
        apps = {}
        for name, more in (("in_process", {}), ("cluster", {**RAY, "AVATAR_RAY_URL": nodes.url})):
            kept = {key: value for key, value in os.environ.items() if key not in OURS}
            apps[name] = App(folder / name, {**kept, **seats, "TMPDIR": str(folder), **more}).start()
            stack.callback(apps[name].stop)
        for app in apps.values():
            app.wait()
        until_served(apps["cluster"])
        print("both apps and the cluster are ready", flush=True)
        result: dict[str, Any] = {"hop_ms": _hops(nodes.url), "replicas": len(nodes.replicas())}
        for count in sessions:
            result[f"sessions_{count}"] = asyncio.run(_compared(apps, clips, count))
    return {**result, "conditions": {**conditions(), "others_cores_before": before}}


def until_served(app: App, within_s: float = 60) -> None:
    """Blocks until the cluster's rungs serve all stages of `app`. Raises AvatarError."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if all(engine and engine["name"] == "Ray cluster" for engine in app.engines().values()):
            return
        time.sleep(0.2)
    raise AvatarError(f"The cluster does not serve: {app.engines()}")


def _hops(url: str) -> dict[str, dict[str, float]]:
    """What it takes to ask a replica for nothing: the way there and back, with a front's lane and without."""
    client, proxy, nothing = ClusterClient(url), http.client.HTTPConnection(urlsplit(url).netloc), {"do": "abilities"}

    def by_lane() -> None:
        for _ in client.ask("tts", nothing):
            continue

    def through_proxy() -> None:
        proxy.request("POST", "/tts", pack(nothing))
        proxy.getresponse().read()

    found = {}
    by_lane()  # the first question goes through the proxy, too
    for way in (by_lane, through_proxy):
        times = []
        for _ in range(ASKS):
            time.sleep(0.01)
            started = time.perf_counter()
            way()
            times.append((time.perf_counter() - started) * 1000)
        found[way.__name__] = summary(times)
    client.close()
    proxy.close()
    return found


async def _compared(apps: dict[str, App], clips: Sequence[Clip], sessions: int) -> dict[str, Any]:
    if sessions > 1:
        # the same clips at the same times to both
        found = {name: await answered(app, clips, sessions, random.Random(1)) for name, app in apps.items()}
    else:
        found = await _by_turns(apps, clips)
    p50s = {name: found[name]["voice_to_voice_ms"]["p50"] for name in apps}
    return {**found, "added_p50_ms": round(p50s["cluster"] - p50s["in_process"], 1)}


async def _by_turns(apps: dict[str, App], clips: Sequence[Clip]) -> dict[str, Any]:
    """Each clip to both, the first asked being the other one every time, in a conversation of its own."""
    turns: dict[str, list[Turn]] = {name: [] for name in apps}
    async with seated(apps["in_process"], 1) as here, seated(apps["cluster"], 1) as there:
        clients = {"in_process": here[0], "cluster": there[0]}
        for number, clip in enumerate(clips):
            for name in sorted(apps, reverse=bool(number % 2)):
                await clients[name].send("new")
                await asyncio.sleep(GAP_S)
                turn = await ask(clients[name], clip)
                turns[name].append(turn)
                print(f"  {name:10s} {turn.file:32s} {turn.error or round(turn.voice_to_voice_ms)}", flush=True)
    pairs = zip(turns["in_process"], turns["cluster"], strict=True)
    added = [there.voice_to_voice_ms - here.voice_to_voice_ms for here, there in pairs if not here.error + there.error]
    return {name: outcome(turns[name]) | {"detail": [t.told() for t in turns[name]]} for name in apps} | {
        "added_by_pair_ms": summary(added)
    }


def bars(result: dict[str, Any]) -> list[Bar]:
    one = result.get("sessions_1", {})
    errors = [
        found[name]["errors"]
        for key, found in result.items()
        if key.startswith("sessions_")
        for name in ("in_process", "cluster")
    ]
    return [
        Bar("a cluster adds to one speaker's turn, P50", one.get("added_p50_ms"), ADDED_MS),
        Bar("errors", sum(errors), 0, ""),
    ]


def table(result: dict[str, Any], judged: Sequence[Bar]) -> str:
    where = result["conditions"]
    lines = [
        f"{where['cpu']}, {where['cores']} cores, commit {where['commit']}, {where['date']}, "
        f"others {where['others_cores_before']} cores before the start",
        *(f"asking a replica for nothing, {way}: {times}" for way, times in result["hop_ms"].items()),
    ]
    for key, found in result.items():
        if key.startswith("sessions_"):
            lines += [f"{key}: {name} {found[name]['voice_to_voice_ms']}" for name in ("in_process", "cluster")]
            lines += [f"  {name} {found[name]['stages_ms']}" for name in ("in_process", "cluster")]
            lines.append(f"  added to the median: {found['added_p50_ms']} ms; pairs {found.get('added_by_pair_ms')}")
    return "\n".join([*lines, "", *map(str, judged)])


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench cluster", description=__doc__)
    parser.add_argument("--sessions", default="1", help="how many talk, one run each, with commas: 1,5,20")
    parser.add_argument("--clips", type=int, default=0, help="only so many, the shortest; 0: all")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--strict", action="store_true", help="exit with 1 when a bar is missed")
    options = parser.parse_args(argv)
    every = sorted(load(FOLDER), key=lambda clip: len(clip.samples))
    try:
        result = run([int(count) for count in options.sessions.split(",")], every[: options.clips or None])
    except AvatarError as error:
        print(f"The bench stopped: {error.sentence}", file=sys.stderr)
        return 2
    judged = bars(result)
    print("\n" + table(result, judged))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return int(options.strict and any(bar.met is False for bar in judged))
