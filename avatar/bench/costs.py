"""What a turn costs the engines of this machine, measured one by one: traces of whole turns, not averages. The capacity
bench simulates with them.

python -m avatar.bench.costs OUT.json --turns TALK.json    a minute or two
"""

import argparse
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avatar.bench.clips import FOLDER, RATE, Clip, load
from avatar.bench.served import conditions, others_cores
from avatar.engines.base import LLM, OWN_VOICE, STT, SYSTEM_PROMPT, TTS, Begins, Message, Stage
from avatar.engines.catalog import STAGES, Rung, wants_card
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError
from avatar.gpu import Gpus
from avatar.planner import plan
from avatar.settings import Settings
from avatar.text import ClauseSplitter, speakable

LETTERS_PER_S = 12.5  # 50 characters last about 4 s (docs/benchmarks.md)
BESIDE = 3  # measurements of each stage beside each other one


@dataclass(frozen=True, slots=True)
class Trace:
    """One real turn. Times in ms, of an engine that has nothing else to do; `clauses`: ms of work, seconds of sound."""

    speech_s: float
    eot_ms: float  # from the clip's end to the decision that it is one; the front's, and patience
    rest_ms: float  # the way here and back
    stt_ms: float
    first_ms: float  # of the language model, to the end of its first clause
    llm_ms: float  # to the end of its answer
    clauses: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """`slowdown[a][b]`: how many times longer, less one, a call of `a` takes for each one of `b` beside it."""

    engines: dict[str, str]
    parallel: dict[str, int]
    slowdown: dict[str, dict[str, float]]
    traces: tuple[Trace, ...]
    conditions: dict[str, Any]

    @classmethod
    def read(cls, path: Path) -> "Costs":
        found = json.loads(path.read_text("utf-8"))
        traces = [Trace(**one | {"clauses": tuple(map(tuple, one["clauses"]))}) for one in found.pop("traces")]
        return cls(**found, traces=tuple(traces))

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", "utf-8")


def measure(settings: Settings, clips: Sequence[Clip], ends: Sequence[tuple[float, float]]) -> Costs:
    """Blocks. `ends`: end of turn and rest in ms, one for each clip or drawn from. Raises AvatarError."""
    before = others_cores()
    made = plan(Gpus(settings.vram_gib).memories(), wants_card(settings), settings.max_sessions)
    pool = EnginePool(settings, plan=made)
    try:
        rungs = {stage: _best(pool, stage) for stage in STAGES}
        engines: dict[str, Any] = {stage: _engine(pool, rung) for stage, rung in rungs.items()}
        rng = random.Random(1)
        traces = [
            _trace(engines, clip, *(ends[n] if len(ends) == len(clips) else rng.choice(ends)))
            for n, clip in enumerate(clips)
        ]
        calls: dict[str, Callable[[int], object]] = {  # of a seat: nobody waits for another's
            "stt": lambda seat: list(engines["stt"].transcribe(clips[0].samples, "en")),
            "llm": lambda seat: list(engines["llm"].reply(_asked(clips[0].row.text), seat)),
            "tts": lambda seat: list(engines["tts"].speak("It is a fine day to go for a walk.", OWN_VOICE, "en")),
        }
        slowdown = {str(one): {str(other): _beside(calls[one], calls[other]) for other in STAGES} for one in STAGES}
    finally:
        pool.close()
    return Costs(
        {stage: rung.label for stage, rung in rungs.items()},
        {stage: rung.parallel for stage, rung in rungs.items()},
        slowdown,
        tuple(traces),
        {**conditions(), "others_cores_before": before, "cards": len(made.cards)},
    )


def _best(pool: EnginePool, stage: Stage) -> Rung:
    rung = pool.choose(stage)
    usable = {status.name for status in pool.status() if status.stage == stage and status.state == "cold"}
    best = next((one for one in pool.rungs(stage) if one.name in usable and not one.hq), rung)
    pool.warm(best)
    return best


def _engine(pool: EnginePool, rung: Rung) -> Any:
    with pool.lease(rung) as engine:
        return engine


def _asked(words: str) -> list[Message]:
    return [Message("system", SYSTEM_PROMPT), Message("user", words)]


def _trace(engines: dict[str, Any], clip: Clip, eot_ms: float, rest_ms: float) -> Trace:
    stt: STT = engines["stt"]
    llm: LLM = engines["llm"]
    tts: TTS = engines["tts"]
    started = time.perf_counter()
    list(stt.transcribe(clip.samples, "en"))
    stt_ms = _since(started)
    llm.prefill(_asked(clip.row.text), 0)  # as while the user still speaks
    clauses, first_ms, splitter = list[str](), 0.0, ClauseSplitter()
    started = time.perf_counter()
    for delta in llm.reply(_asked(clip.row.text), 0):
        clauses += filter(None, map(speakable, splitter.push(delta)))
        first_ms = first_ms or (_since(started) if clauses else 0.0)
    llm_ms = _since(started)
    clauses += filter(None, map(speakable, splitter.flush()))
    spoken = []
    for number, clause in enumerate(clauses):
        speak = tts.begin if number == 0 and isinstance(tts, Begins) else tts.speak
        started = time.perf_counter()
        sound = [chunk.duration_s for chunk in speak(clause, OWN_VOICE, "en")]
        spoken.append((round(_since(started), 2), round(sum(sound), 3)))
    print(f"  {clip.row.file:32s} stt {stt_ms:.0f} llm {first_ms or llm_ms:.0f}/{llm_ms:.0f} tts {spoken}", flush=True)
    speech_s = round(clip.last_voiced / RATE, 2)
    return Trace(speech_s, eot_ms, round(rest_ms, 2), stt_ms, first_ms or llm_ms, llm_ms, tuple(spoken))


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _beside(call: Callable[[int], object], other: Callable[[int], object]) -> float:
    """The slowdown of `call` while `other` is called over and over."""
    alone = _median_s(call)
    with _going_on(other):
        beside = _median_s(call)
    return round(max(0.0, beside / alone - 1), 3)


def _median_s(call: Callable[[int], object]) -> float:
    times = []
    for _ in range(BESIDE):
        started = time.perf_counter()
        call(1)
        times.append(time.perf_counter() - started)
    return sorted(times)[BESIDE // 2]


@contextmanager
def _going_on(call: Callable[[int], object]) -> Iterator[None]:
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            call(2)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def ends_of(talk: dict[str, Any]) -> list[tuple[float, float]]:
    """End of turn and rest of the answered turns of a talk bench."""
    turns = talk["detail"]["turns"] if isinstance(talk["detail"], dict) else talk["detail"]
    return [(turn["stages_ms"]["eot"], turn["stages_ms"]["rest"]) for turn in turns if not turn["error"]]


def of_turns(found: dict[str, Any], conditions: dict[str, Any]) -> Costs:
    """Costs out of the turns of a bench of few speakers on a card, where engines cannot be measured alone: stages as
    they were in the app, so with some waiting in them. Assumed, not measured: later clauses cost and last in proportion
    to their letters; on one card, ears and voices take twice as long beside each other, and a model of vLLM's kind
    2 % longer for each further answer (4.3 to 4.6 ms a token for five, docs/benchmarks.md).
    """
    traces = []
    for turn in (turn for turn in found["detail"] if not turn["error"]):
        stages, splitter = turn["stages_ms"], ClauseSplitter()
        clauses = list(filter(None, map(speakable, [*splitter.push(turn["reply"]), *splitter.flush()])))
        letters = [len(clause) for clause in clauses] or [1]
        spoken = tuple((stages["tts"] * n / letters[0], n / LETTERS_PER_S) for n in letters)
        llm_ms = stages["llm"] * sum(letters) / letters[0]
        speech_s = len(turn["said"]) / LETTERS_PER_S
        traces.append(Trace(speech_s, stages["eot"], stages["rest"], stages["stt"], stages["llm"], llm_ms, spoken))
    slowdown = {one: {other: 0.02 if "llm" in (one, other) else 1.0 for other in STAGES} for one in STAGES}
    return Costs(found["engines"], {"stt": 1, "llm": 64, "tts": 1}, slowdown, tuple(traces), conditions)  # type: ignore[arg-type]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench.costs", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--turns", type=Path, help="a result of the talk bench, one speaker")
    parser.add_argument("--cards", type=Path, help="instead of measuring: a result of gpu_cards, its five speakers")
    options = parser.parse_args(argv)
    if options.cards is not None:
        result = json.loads(options.cards.read_text("utf-8"))
        found = next(value for name, value in result.items() if name.startswith("cards_") and isinstance(value, dict))
        of_turns(found["sessions_5"], result["machine"]).write(options.out)
        return 0
    if options.turns is None:
        parser.error("--turns or --cards says where the ends of turns come from")
    try:
        ends = ends_of(json.loads(options.turns.read_text("utf-8")))
        measure(Settings.from_env(), load(FOLDER), ends).write(options.out)
    except AvatarError as error:
        print(f"The bench stopped: {error.sentence}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
