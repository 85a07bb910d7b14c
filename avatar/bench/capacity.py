"""How many may talk at once: seats per machine, and machines and fronts for 10^2 to 10^6 people, by simulation.

From traces of whole turns that costs.py has measured on one machine (docs/capacity/). What breaks first, and what this
leaves out: docs/scale.md.
"""

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatar.bench.costs import Costs
from avatar.bench.queueing import simulate
from avatar.metrics import percentile

PEOPLE = (10**2, 10**3, 10**4, 10**5, 10**6)
POOLS = (1, 2, 4, 8)  # machines that one simulation has; more of them change little
MOST = 64  # seats of a machine beyond which nobody looks, and of a front (settings.py)
FRONT_USED = 0.6  # of the cores of a front: above, its timers are late


@dataclass(frozen=True, slots=True)
class Load:
    talkers: int
    machines: int
    p50_ms: float
    p95_ms: float
    gaps: float  # replies with a gap, of all


def loaded(costs: Costs, talkers: int, machines: int) -> Load:
    heard = simulate(costs, talkers, machines)
    times = heard.first_ms or [math.inf]
    return Load(talkers, machines, percentile(times, 50), percentile(times, 95), heard.gaps / len(times))


def seats(costs: Costs, machines: int, p95_ms: float) -> tuple[int, list[Load]]:
    """The most who may talk to a pool of so many machines, each first sound within `p95_ms` 19 times of 20; and what
    was simulated on the way."""
    tried: dict[int, Load] = {}

    def good(talkers: int) -> bool:
        tried[talkers] = loaded(costs, talkers, machines)
        return tried[talkers].p95_ms <= p95_ms

    low, high = 0, machines
    while high <= MOST * machines and good(high):
        low, high = high, high * 2
    high = min(high, MOST * machines + 1)
    while high - low > max(1, low // 16):
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low, [tried[talkers] for talkers in sorted(tried)]


def fleet(per_machine: dict[int, float], people: int, front_cores: float, cores: int) -> dict[str, int]:
    """Machines and fronts for so many who talk at once. `front_cores`: of one talker; `cores`: of a front's machine."""
    best = max((pool for pool in per_machine if pool <= max(1, people)), default=1)
    each = max(per_machine[pool] for pool in per_machine if pool <= best)
    per_front = min(MOST, math.floor(FRONT_USED * cores / front_cores + 1e-9)) if front_cores else MOST
    return {
        "people": people,
        "machines": math.ceil(people / each) if each else -1,
        "fronts": math.ceil(people / max(1, per_front)),
    }


def plot(path: Path, curves: dict[int, Sequence[Load]], fleets: Sequence[dict[str, int]], p95_ms: float) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for machines, curve in curves.items():
        points = [load for load in curve if load.p95_ms < 4 * p95_ms]
        left.plot(
            [load.talkers / machines for load in points],
            [load.p95_ms for load in points],
            marker="o",
            label=f"{machines} machine{'s' * (machines > 1)}",
        )
    left.axhline(p95_ms, color="grey", linestyle="--")
    left.set(xlabel="people who talk, per machine", ylabel="first sound, P95, ms")
    left.legend()
    people = [one["people"] for one in fleets]
    for what in ("machines", "fronts"):
        right.loglog(people, [max(1, one[what]) for one in fleets], marker="o", label=what)
    right.set(xlabel="people who talk at once", ylabel="how many are needed")
    right.legend()
    figure.savefig(path, dpi=110)


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench capacity", description=__doc__)
    parser.add_argument("costs", type=Path, help="a file that avatar.bench.costs has written")
    parser.add_argument("--p95", type=float, default=1500.0, metavar="MS", help="voice to voice, 19 times of 20")
    parser.add_argument("--front-cores", type=float, default=0.05, help="of a core, that a talker costs a front")
    parser.add_argument("--cores", type=int, default=2, help="of the machine of a front")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, help="write a picture there")
    options = parser.parse_args(argv)
    costs = Costs.read(options.costs)
    per_machine, curves = dict[int, float](), dict[int, Sequence[Load]]()
    for machines in POOLS:
        most, curves[machines] = seats(costs, machines, options.p95)
        per_machine[machines] = most / machines
        there = next((load for load in curves[machines] if load.talkers == most), None)
        known = f"P50 {there.p50_ms:.0f}, P95 {there.p95_ms:.0f} ms, gaps in {there.gaps:.1%}" if there else ""
        print(f"{machines} machine(s): {most} seats, {per_machine[machines]:.1f} each  {known}", flush=True)
    fleets = [fleet(per_machine, people, options.front_cores, options.cores) for people in PEOPLE]
    for one in fleets:
        enough = f"{one['machines']:,}" if one["machines"] > 0 else "no number of"  # one is too slow for anybody
        print(f"{one['people']:>9,} talk: {enough:>9} machines, {one['fronts']:>7,} fronts")
    if options.json:
        found: dict[str, Any] = {"p95_ms": options.p95, "per_machine": per_machine, "fleets": fleets}
        options.json.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if options.plot:
        plot(options.plot, curves, fleets, options.p95)
    return 0
