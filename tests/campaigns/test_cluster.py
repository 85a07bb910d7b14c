"""A cluster of two Ray nodes on this machine under one front: a replica is killed in the middle of a turn, a node is
killed, one stands still with its connections open, replicas come and go with the load, the whole cluster is lost and
comes back. Needs requirements-cluster.txt.
"""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from running import Running

from avatar.bench.cluster import CPUS, RAY, deployed, until_served
from avatar.bench.nodes import Nodes
from avatar.engines.base import Message
from avatar.engines.clustered import ClusterLLM, load_llm
from avatar.errors import EngineError
from avatar.settings import Settings

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(find_spec("ray") is None, reason="needs pip install -r requirements-cluster.txt"),
]


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with Nodes(CPUS) as nodes:
        nodes.add()
        yield nodes


@pytest.fixture(scope="module")
def front(nodes: Nodes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    nodes.deploy(deployed(2))
    assert len({one["node"] for one in nodes.replicas("llm")}) == 2, "a replica on each node"
    data = tmp_path_factory.mktemp("front") / "data"
    front = Running(data, {**RAY, "AVATAR_RAY_URL": nodes.url}).start()
    try:
        front.wait()
        until_served(front)
        yield front
    finally:
        front.stop()


def until(done: Callable[[], bool], within_s: float) -> float:
    """Blocks. The seconds that it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < within_s
        time.sleep(0.5)
    return time.monotonic() - began


async def turn(front: Running, number: int, meanwhile: Callable[[], object] = lambda: None, at: str = "turn") -> str:
    """How a typed turn ends: done, or a failure's code. `meanwhile` is done when the message `at` has come."""
    async with front.page() as page:
        await page.send("say", text="Tell me of the sea and of ships.", client_turn_id=f"t{number}")
        await page.until(at, 20)
        await asyncio.to_thread(meanwhile)
        end = await page.until("saved", 60)
        told = [f"{m['code']}: {m['text']}" for m in page.seen if m["t"] in ("error", "notice")]
        print(f"  turn {number}: {end['state']} {told}", flush=True)
        return str(end["state"])


def kill(pids: set[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


async def test_replicas_that_are_killed_cost_a_turn_at_most(nodes: Nodes, front: Running) -> None:
    for number, stage in enumerate(("llm", "tts", "stt")):
        old = {one["pid"] for one in nodes.replicas(stage)}

        def replaced(stage: str = stage, old: set[int] = old) -> bool:
            now = {one["pid"] for one in nodes.replicas(stage)}
            return len(now) == len(old) and not now & old

        state = await turn(front, 2 * number, lambda old=old: kill(old))
        assert state in ("done", "failed"), "ended, one way or the other"
        assert await turn(front, 2 * number + 1) == "done", "the next works, on the local rung if it must"
        print(f"  {stage}: {len(old)} killed, as many fresh ones after {until(replaced, 120):.0f} s", flush=True)
        until_served(front, 200)


async def test_a_node_that_dies_costs_a_turn_at_most(nodes: Nodes, front: Running) -> None:
    state = await turn(front, 20, lambda: nodes.kill(1), at="turn")
    assert state in ("done", "failed")
    assert await turn(front, 21) == "done"
    alive = {one["node"] for one in nodes.replicas()}
    print(f"  {len(nodes.replicas())} replicas on {len(alive)} node(s)", flush=True)


async def test_a_node_that_stands_still_is_noticed(nodes: Nodes, front: Running) -> None:
    """As when a machine loses its power: nothing is closed, and nothing is answered any more."""
    number = 1 if nodes.nodes[1].poll() is None else nodes.add()  # killed, where the other tests came before
    until(lambda: len({one["node"] for one in nodes.replicas("llm")}) == 2, 120)
    llm = load_llm(Settings(ray_url=nodes.url), lambda _: None)
    here, over = one_on_each(llm), asyncio.Event()
    talks = [asyncio.create_task(asyncio.to_thread(silences, llm, seat, over)) for seat in here]
    await asyncio.sleep(3)
    state = await turn(front, 25, lambda: nodes.freeze(number))
    await asyncio.sleep(3)
    over.set()
    longest = [await talk for talk in talks]
    print(f"  the longest silences of two conversations: {longest} s", flush=True)
    assert state in ("done", "failed") and await turn(front, 26) == "done"
    assert 1.5 < max(longest) < 5, "2.5 s to notice it, and what another replica takes to its first word"
    llm.close()
    nodes.kill(number)


def one_on_each(llm: ClusterLLM) -> list[int]:
    """Blocks. Two seats, each with a lane to another replica."""
    found: dict[object, int] = {}
    for seat in range(30):
        list(llm.reply((Message("system", "Be brief."), Message("user", "Hello.")), seat))
        until(lambda seat=seat: any(name.endswith(f":{seat}") for _, name in llm._client._lanes._known), 5)
        for (_, name), addresses in llm._client._lanes._known.items():
            if name.endswith(f":{seat}"):
                found.setdefault(addresses[0], seat)
        if len(found) == 2:
            return list(found.values())
    raise AssertionError("one replica has them all")


def silences(llm: ClusterLLM, seat: int, over: asyncio.Event) -> float:
    """Blocks until it is `over`. A conversation that asks all the time: the longest time in which nothing came."""
    longest, at = 0.0, time.monotonic()

    def came() -> float:
        nonlocal longest, at
        now = time.monotonic()
        silence, at = now - at, now
        longest = max(longest, silence)
        return silence

    while not over.is_set():
        try:
            for _ in llm.reply((Message("system", "Be brief."), Message("user", f"Tell me of number {seat}.")), seat):
                came()
        except EngineError as error:
            print(f"  seat {seat}, after {came():.2f} s: {error.sentence}", flush=True)
    return round(longest, 2)


def test_replicas_follow_the_load_up_and_down(nodes: Nodes) -> None:
    made = deployed(2)
    for application in made["applications"]:
        (deployment,) = application["deployments"]
        del deployment["max_replicas_per_node"]
        scaling = deployment["autoscaling_config"]
        scaling |= {"min_replicas": 1, "max_replicas": 2, "target_ongoing_requests": 1}
        scaling |= {"upscale_delay_s": 2, "downscale_delay_s": 5, "look_back_period_s": 3, "metrics_interval_s": 1}
    nodes.deploy(made)
    until(lambda: len(nodes.replicas("llm")) == 1, 120)
    stop = time.monotonic() + 90
    grown = asyncio.run(_load(nodes, stop))
    shrunk = until(lambda: len(nodes.replicas("llm")) == 1, 180)
    print(f"  two replicas after {grown:.0f} s of load, one again {shrunk:.0f} s after it", flush=True)


async def _load(nodes: Nodes, stop: float) -> float:
    """Four conversations that ask all the time, until there are two replicas. Returns the seconds that took."""
    llm, began = load_llm(Settings(ray_url=nodes.url), lambda _: None), time.monotonic()
    grown = asyncio.Event()

    def ask(seat: int) -> None:
        while not grown.is_set():
            with suppress(EngineError):  # one replica for all may be too slow: that is what the second is for
                list(llm.reply((Message("system", "Be brief."), Message("user", f"Tell me of number {seat}.")), seat))

    async def look() -> None:
        try:
            while len(await asyncio.to_thread(nodes.replicas, "llm")) < 2:
                assert time.monotonic() < stop
                await asyncio.sleep(0.5)
        finally:
            grown.set()

    await asyncio.gather(look(), *(asyncio.to_thread(ask, seat) for seat in range(4)))
    llm.close()
    return time.monotonic() - began


async def test_a_lost_cluster_is_stepped_down_from(nodes: Nodes, front: Running, tmp_path: Path) -> None:
    state = await turn(front, 30, lambda: nodes.kill(0), at="turn")
    assert state in ("done", "failed")
    assert await turn(front, 31) == "done"
    engines = {stage: engine["name"] for stage, engine in front.engines().items()}
    print(f"  without a cluster: {engines}", flush=True)
    assert "Ray cluster" not in (engines["llm"], engines["tts"])
