"""Pipecat on the engines of AVATAR's lowest rungs, by the yardstick of `bench talk`: the same clips in real time, the
same stopwatch, one session.

python -m avatar.bench.peer [--ears own|avatar] [--json FILE]    in an environment of its own: requirements-peer.txt

The pipeline runs in this process, so neither its microphone nor its sound has a socket to cross, as AVATAR's have.
Knows nothing of pipecat: `peer_pipecat.py` does.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, cast

from websockets.asyncio.client import ClientConnection

from avatar.bench import report, talk
from avatar.bench.client import Answer, Client
from avatar.bench.clips import FOLDER, Clip, load
from avatar.bench.served import Watch, conditions, others_cores
from avatar.bench.turns import Trial, Turn, ask
from avatar.errors import AvatarError

Ears = Literal["own", "avatar"]
WAITED_S = 1.0  # between the detector's end of speech and the turn's: Smart Turn did not believe it
MISSING = "pipecat is not installed here. It wants an environment of its own: see requirements-peer.txt."


class PeerError(AvatarError):
    code = "PEER"


class Pipe(Protocol):
    """What the bench does to a pipeline."""

    async def hear(self, pcm: bytes) -> None:
        """The next 20 ms of the microphone: int16 at 16 kHz."""
        ...

    async def interrupt(self) -> None:
        """Stop what is being said."""
        ...

    def forget(self) -> None:
        """Begin a new conversation."""
        ...


class Line:
    """A pipeline in this process, in the place of the socket of `Client`; and what it tells, as AVATAR's server would.

    One reply at a time: the first word of a user ends the last one in pipecat. Times are taken when a method is called.
    """

    def __init__(self, engines: dict[str, str], clock: Callable[[], float] = time.perf_counter) -> None:
        self.client = self.open()
        self.pipe: Pipe | None = None
        self.engines = engines
        self._clock = clock
        self._speaking: Answer | None = None
        self._turns = self._written = 0
        self._silence_s = self._stopped_at = self._heard_at = self._began_at = self._clause_at = 0.0

    def open(self) -> Client:
        """A client whose microphone begins now."""
        self.client = Client(cast(ClientConnection, self))
        return self.client

    # -- what the client sends ----------------------------------------------------------------------------------------
    async def send(self, message: bytes | str) -> None:
        assert self.pipe is not None
        if isinstance(message, bytes):
            await self.pipe.hear(message)
            return
        kind = json.loads(message)["t"]
        if kind == "interrupt":
            await self.pipe.interrupt()
        elif kind == "new":
            self.pipe.forget()  # what else the page reports, pipecat does not ask for

    # -- what the pipeline tells --------------------------------------------------------------------------------------
    def stopped(self, silence_s: float) -> None:
        """The voice detector found an end of speech, `silence_s` ago."""
        self._stopped_at, self._silence_s = self._clock(), silence_s

    def heard(self) -> None:
        """The words of what was said are there."""
        self._heard_at = self._clock()

    async def began(self, words: str) -> None:
        """The turn is over, and the language model is asked to answer `words`."""
        await self.cut()  # a reply without sound is over when the next begins
        self._began_at, self._clause_at, self._written = self._clock(), 0.0, 0
        self._turns += 1
        await self._tell("heard", final=words)
        await self._tell("turn")
        self._speaking = self.client.newest

    async def clause(self, text: str) -> None:
        """The voice begins to make `text`."""
        self._clause_at = self._clause_at or self._clock()
        await self._tell("clause", text=text, at=self._written)

    def made(self, samples: int) -> None:
        """So much of the clause is made, of what will be heard."""
        self._written += samples

    async def sound(self, pcm: bytes) -> None:
        """Heard from now on: int16 at REPLY_RATE."""
        now, answer = self._clock(), self._speaking
        if answer is None:
            return
        answer.sound(pcm, now)
        if answer.loud_at == now:
            await self._tell("latency", **self._parts_ms(now))
        self.client.wake()

    async def cut(self) -> None:
        """The reply, if there is one, was interrupted; one that nobody heard is as if it had not been."""
        if (answer := self._speaking) is not None:
            self._speaking = None
            await self._tell("flush")
            await (self._tell("saved", state="interrupted") if answer.received else self._tell("merged"))

    async def over(self) -> None:
        """All of the reply was heard."""
        if self._speaking is not None:
            samples, self._speaking = self._speaking.received, None
            await self._tell("end", samples=samples)
            await self._tell("saved", state="done")

    async def _tell(self, kind: str, **fields: Any) -> None:
        await self.client.take({"t": kind, "turn": self._turns, **fields}, self._clock())
        self.client.wake()

    def _parts_ms(self, now: float) -> dict[str, Any]:
        """The parts of `bench talk`. Smart Turn works beside the transcription: what it takes longer is end of turn."""
        ready_at = max(self._stopped_at, self._heard_at)
        decided_s = self._began_at - ready_at
        parts_s = {
            "eot": self._silence_s + decided_s,
            "stt": ready_at - self._stopped_at,
            "llm": self._clause_at - self._began_at,
            "tts": now - self._clause_at,
        }
        parts_ms = {name: 1000 * seconds for name, seconds in parts_s.items()}
        return {**parts_ms, "sure": decided_s < WAITED_S, "engines": self.engines}


@asynccontextmanager
async def talking(line: Line) -> AsyncIterator[Client]:
    """The line's client with its microphone open, until the block ends."""
    client = line.open()  # not before: the engines were still loading
    microphone = asyncio.create_task(client.speak())
    try:
        yield client
    finally:
        microphone.cancel()
        await asyncio.gather(microphone, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class Options:
    ears: Ears = "own"
    clips: Path = FOLDER
    quick: bool = False


def run(options: Options) -> dict[str, Any]:
    """Blocks for minutes. The result of `bench talk` as far as pipecat has what is measured. Raises AvatarError."""
    if find_spec("pipecat") is None:
        raise PeerError(MISSING)
    clips, before = load(options.clips), others_cores()
    with Watch(os.getpid()) as watch:
        measured, turns = asyncio.run(_campaign(clips, options))
    told = {"clips": str(options.clips), "pipecat": version("pipecat-ai")}
    measured["detail"]["turns"] = [turn.told() for turn in turns]
    return {
        **measured,
        "rss_mib": watch.peak_mib,
        "sessions": 1,
        "together": False,
        "conditions": {
            **conditions(),
            **watch.shares(),
            "others_cores_before": before,
            "options": {**asdict(options), **told},
        },
        "warnings": talk.warnings(before, watch.shares()["others_cores"], measured["microphone_late_ms"]),
    }


async def _campaign(clips: Sequence[Clip], options: Options) -> tuple[dict[str, Any], list[Turn]]:
    from avatar.bench.peer_pipecat import piped

    shortest = sorted(clips, key=lambda clip: len(clip.samples))
    async with piped(options.ears) as line, talking(line) as client:
        await ask(client, shortest[0])  # not measured: every model has run once
        await client.send("new")
        turns = await talk.one_by_one(client, shortest[:3] if options.quick else clips)
        trials, clause_trials = await talk.stretched_pauses(client, clips, options.quick)
    return measured(turns, trials, clause_trials, client.late_s), turns


def measured(turns: Sequence[Turn], trials: Sequence[Trial], clauses: Sequence[Trial], late_s: float) -> dict[str, Any]:
    """Of talk's numbers those that compare. Not `e2e_50_ms`, which is about how far ahead of what is heard sound is
    sent; not `merged`: pipecat keeps the pieces of a turn that it answered early as two messages."""
    found = talk.outcome(turns) | talk.paused(trials, clauses)
    return {
        **{name: value for name, value in found.items() if name not in ("e2e_50_ms", "merged")},
        "errors": found["errors"] + sum(bool(trial.error) for trial in trials),
        "microphone_late_ms": round(late_s * 1000, 1),
        "detail": {"trials": [asdict(trial) for trial in [*trials, *clauses]]},
    }


def table(result: dict[str, Any]) -> str:
    """Talk's, with what a comparison needs besides."""
    options = result["conditions"]["options"]
    lines = [
        f"pipecat {options['pipecat']}, default turn taking, ears: {options['ears']}",
        report.table(result, []).rstrip(),
        f"errors: {result['errors']} of {result['turns']} turns and {len(result['detail']['trials'])} trials",
        f"early replies in mid-sentence pauses: {result['early_replies']}",
        f"word error rate: {result['wer']}; memory {result['rss_mib']} MiB",
    ]
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench.peer", description=__doc__)
    parser.add_argument(
        "--ears",
        choices=("own", "avatar"),
        default="own",
        help="its own service for Moonshine and that library, or AVATAR's faster adapter of the same weights",
    )
    parser.add_argument("--clips", type=Path, default=FOLDER, help="folder with the clips, as for bench talk")
    parser.add_argument("--json", type=Path, help="write the result there")
    parser.add_argument("--quick", action="store_true", help="a minute instead of six: fewer clips and pauses")
    asked = parser.parse_args(argv)
    try:
        result = run(Options(asked.ears, asked.clips, asked.quick))
    except AvatarError as error:
        print(f"The bench stopped: {error.sentence}", file=sys.stderr)
        return 2
    print("\n" + table(result))
    if asked.json:
        report.write(result, [], asked.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
