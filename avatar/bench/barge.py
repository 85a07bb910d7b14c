"""Interruptions: how soon a voice over the reply lowers it and stops it, and what must not stop it.

Measured at the socket; what the browser adds to it, tests/test_browser_real.py measures.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from avatar.bench.client import Answer, Client
from avatar.bench.clips import RATE, Clip, load
from avatar.bench.noises import make, room
from avatar.bench.report import Bar, summary
from avatar.bench.served import Watch, conditions, others_cores, serving
from avatar.bench.talk import Options, seated, warnings
from avatar.bench.turns import stop
from avatar.errors import AvatarError
from avatar.events import Samples
from avatar.wire import REPLY_RATE

INTERRUPTIONS = 12
SETTLED_S = (1.0, 2.0)  # after the reply's first sound a voice sets in
PATIENCE_S = 3.0  # for the flush; and after a noise, for what it might set off
AIR_S = 0.12  # from a sample's turn in the player until the microphone has it: output and input latency, one metre
ECHO_DB = -20.0
NOISES = ("click", "click", "typing", "knock", "knock", "cough", "cough", "cough", "cough", "throat") + ("mhm",) * 5
ECHOES = 5
SUBJECTS = ("a ship", "the moon", "an old clock", "two dogs", "a garden", "the sea", "a train", "a mountain village")


@dataclass(slots=True)
class Interruption:
    file: str
    duck_ms: float | None = None  # from the voice's onset by its own energy
    flush_ms: float | None = None
    answered: bool = False


@dataclass(slots=True)
class Noise:
    kind: str
    interrupted: bool = False
    ducked: bool = False
    turn: bool = False  # it was taken for an utterance and answered


def run(options: Options) -> dict[str, Any]:
    """Blocks for about four minutes. Raises AvatarError."""
    clips, before = load(options.clips), others_cores()
    with serving() as app:
        app.wait()
        with Watch(app.process.pid) as watch:
            found, noise = asyncio.run(_campaign(app, clips, options))
    ducks = [i.duck_ms for i in found if i.duck_ms is not None]
    flushes = [i.flush_ms for i in found if i.flush_ms is not None]
    return {
        "duck_ms": summary(ducks),
        "flush_ms": summary(flushes),
        "interruptions": len(found),
        "not_ducked": len(found) - len(ducks),
        "not_stopped": len(found) - len(flushes),
        "noises": len(noise),
        "false_interruptions": sum(n.interrupted for n in noise),
        "false_ducks": sum(n.ducked for n in noise),
        "false_turns": sum(n.turn for n in noise),
        "engines": {},
        "conditions": {**conditions(), **watch.shares(), "others_cores_before": before},
        "warnings": warnings(before, watch.shares()["others_cores"], 0.0),
        "detail": {"interruptions": [asdict(i) for i in found], "noises": [asdict(n) for n in noise]},
    }


def bars(result: dict[str, Any]) -> list[Bar]:
    return [
        Bar("voice to duck at the socket, P95", result["duck_ms"].get("p95"), 150),
        Bar("voice to flush at the socket, P95", result["flush_ms"].get("p95"), 700),
        Bar("interruptions that did not stop the reply", result["not_stopped"], 0, ""),
        Bar("interruptions by noises and its own voice", result["false_interruptions"], 0, ""),
    ]


async def _campaign(app: Any, clips: list[Clip], options: Options) -> tuple[list[Interruption], list[Noise]]:
    rng = random.Random(options.seed)
    count, kinds, echoes = (3, NOISES[::4], 1) if options.quick else (INTERRUPTIONS, NOISES, ECHOES)
    async with seated(app, 1) as (client,):
        found = [await _interrupt(client, clips[n % len(clips)], rng) for n in range(count)]
        noise = [await _noise(client, kind, seed, rng) for seed, kind in enumerate(kinds)]
        noise += [await _echo(client, rng) for _ in range(echoes)]
    return found, noise


async def _reply(client: Client, rng: random.Random) -> Answer:
    """Have a story told; returns when it has sounded for a while."""
    before = client.newest.turn if client.newest else 0
    await client.send("new")
    await client.send("say", text=f"Tell me a long story about {rng.choice(SUBJECTS)}.")
    sounds: Callable[[], bool] = lambda: any(a.loud_at for a in client.since(before))  # noqa: E731
    if not await client.until(sounds, time.perf_counter() + 10.0):
        raise AvatarError("The typed turn was not answered.", code="BENCH_APP")
    await asyncio.sleep(rng.uniform(*SETTLED_S))
    return client.since(before)[-1]


async def _quiet(client: Client) -> None:
    """Stop whatever is being said, and wait a moment."""
    await stop(client)
    await asyncio.sleep(0.3)


async def _interrupt(client: Client, clip: Clip, rng: random.Random) -> Interruption:
    reply, found = await _reply(client, rng), Interruption(clip.row.file)
    client.microphone.room(clip.tone)
    position = client.microphone.play(clip.samples)
    onset, over = (client.time_of(position + n) for n in (clip.first_voiced, clip.last_voiced))
    if reply.due_at < onset + 0.7 and reply.samples is not None:  # it would have ended by itself
        await client.until(lambda: False, over + PATIENCE_S)
        await _quiet(client)
        return await _interrupt(client, clip, rng)
    await client.until(lambda: reply.flushed_at is not None, onset + PATIENCE_S)
    ducked = next((at for at, on in client.ducks if on and at > onset - 0.1), None)
    found.duck_ms = None if ducked is None else round((ducked - onset) * 1000, 1)
    found.flush_ms = None if reply.flushed_at is None else round((reply.flushed_at - onset) * 1000, 1)
    answered: Callable[[], bool] = lambda: any(a.loud_at and a.loud_at > over for a in client.since(reply.turn))  # noqa: E731
    found.answered = await client.until(answered, over + PATIENCE_S)
    print(f"  {found.file:32s} duck {found.duck_ms} ms, flush {found.flush_ms} ms", flush=True)
    await _quiet(client)
    return found


async def _noise(client: Client, kind: str, seed: int, rng: random.Random) -> Noise:
    client.microphone.room(room(1.0, seed))
    reply, sound = await _reply(client, rng), make(kind, seed)
    began = time.perf_counter()
    client.microphone.play(sound)
    return await _watched(client, kind, reply, began, began + len(sound) / RATE + 1.0)


async def _echo(client: Client, rng: random.Random) -> Noise:
    client.microphone.room(room(1.0))
    client.microphone.echo = _loudspeaker(client)
    began = time.perf_counter()
    reply = await _reply(client, rng)
    noise = await _watched(client, "own voice", reply, began, began + 10.0)
    client.microphone.echo = None
    return noise


async def _watched(client: Client, kind: str, reply: Answer, began: float, until: float) -> Noise:
    """See what the noise sets off, until then or until the reply is over."""
    await client.until(lambda: reply.flushed_at is not None or bool(reply.saved), until)
    noise = Noise(kind, reply.flushed_at is not None, any(on and at > began for at, on in client.ducks))
    if reply.saved:  # over by itself: does the end of the noise become a question?
        await client.until(lambda: False, time.perf_counter() + PATIENCE_S / 2)
    noise.turn = bool(client.since(reply.turn))
    print(f"  {kind:12s} {'INTERRUPTED' if noise.interrupted else 'ducked' if noise.ducked else 'ignored'}", flush=True)
    await _quiet(client)
    return noise


def _loudspeaker(client: Client) -> Callable[[int, int], Samples]:
    """The reply as the microphone hears it back: 20 dB quieter and AIR_S later. The page's duck would lower it more."""
    gain = 10 ** (ECHO_DB / 20) / 32768

    def sound(position: int, n: int) -> Samples:
        answer = client.newest
        if answer is None or answer.first_at is None:
            return np.zeros(n, np.float32)
        begin, end = (answer.played(client.time_of(p) - AIR_S) for p in (position, position + n))
        piece = np.frombuffer(answer.pcm[2 * begin : 2 * end], "<i2")
        if len(piece) < n:  # the player is silent or has just begun
            return np.zeros(n, np.float32)
        at = np.arange(n) * (REPLY_RATE / RATE)
        echo: Samples = (gain * np.interp(at, np.arange(len(piece)), piece)).astype(np.float32)
        return echo

    return sound
