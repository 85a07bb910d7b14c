"""The main campaign: real speech into the real socket in real time, and how fast and how well it is answered.

One session: every English clip is spoken and answered, then every pause inside a sentence is stretched. Several
sessions: every clip in each of them, each in its own rhythm or all stopping in the same instant.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avatar.bench.client import Client, joined, refusal_s
from avatar.bench.clips import FOLDER, RATE, Clip, load
from avatar.bench.readback import judged, moonshine, told
from avatar.bench.report import summary
from avatar.bench.served import BUSY, App, Watch, conditions, others_cores, serving
from avatar.bench.turns import Trial, Turn, ask, interject
from avatar.bench.words import word_error_rate

LENGTHS_S = (0.4, 0.7, 1.0)  # of stretched mid-sentence pauses
CLAUSE_LENGTH_S = 0.7  # of the pauses after clauses: one play a clip
GAP_S = 0.4  # between two turns of the only session
RHYTHM_S = (0.5, 3.0)  # between the turns of one of several
SEATS, REFUSALS = 5, 200
NOT_FOR_WORDS = "vosk.wav"  # digits of an 8 kHz telephone: outside the word error rate
LATE_S = 0.03  # microphone frames that the bench sent later than this make its own times doubtful


@dataclass(frozen=True, slots=True)
class Options:
    sessions: int = 1
    together: bool = False
    clips: Path = FOLDER
    quick: bool = False
    seed: int = 1


def run(options: Options) -> dict[str, Any]:
    """Blocks for minutes. The result as in the issue, with details beside it. Raises AvatarError."""
    clips, before = load(options.clips), others_cores()
    with serving() as app:
        ready_s = app.wait()
        print(f"app.py ready after {ready_s:.1f} s", flush=True)
        with Watch(app.process.pid) as watch:
            measured, turns = asyncio.run(_campaign(app, clips, options))
    measured |= _read_back(turns)  # when nobody is measured any more
    measured["detail"]["turns"] = [turn.told() for turn in turns]
    return {
        **measured,
        "rss_mib": watch.peak_mib,
        "sessions": options.sessions,
        "together": options.together,
        "conditions": {
            **conditions(),
            **watch.shares(),
            "others_cores_before": before,
            "ready_s": round(ready_s, 1),
            "patience_ms": app.patience_ms,
            "rss_at_end_mib": watch.rss_mib,
            "options": {**asdict(options), "clips": str(options.clips)},
        },
        "warnings": warnings(before, watch.shares()["others_cores"], measured["microphone_late_ms"]),
    }


def warnings(before: float, during: float, late_ms: float) -> list[str]:
    found = []
    if max(before, during) > BUSY:
        found.append(f"other processes took {before} cores before and {during} during the run: times are too long")
    if late_ms > LATE_S * 1000:
        found.append(f"the bench itself was late with its microphone by up to {late_ms:.0f} ms")
    return found


async def _campaign(app: App, clips: Sequence[Clip], options: Options) -> tuple[dict[str, Any], list[Turn]]:
    rng = random.Random(options.seed)
    spoken = sorted(clips, key=lambda clip: len(clip.samples))[:3] if options.quick else clips
    trials, clause_trials = list[Trial](), list[Trial]()
    async with seated(app, options.sessions) as clients:
        if options.sessions == 1:
            turns = await one_by_one(clients[0], spoken)
            trials, clause_trials = await stretched_pauses(clients[0], clips, options.quick)
        elif options.together:
            turns = await _in_unison(clients, spoken)
        else:
            alone = (_rhythm(c, spoken, n, random.Random(rng.random())) for n, c in enumerate(clients))
            turns = [turn for session in await asyncio.gather(*alone) for turn in session]
        full_ms, admitted = await _refusals(app, SEATS - len(clients), 20 if options.quick else REFUSALS)
        late_s = max(client.late_s for client in clients)
        wasted = _wasted(clients)
    measured = {
        **_answered(turns),
        **paused(trials, clause_trials),
        "wasted_tokens": wasted,
        "server_full_ms": summary(full_ms),
        "errors": sum(bool(turn.error) for turn in turns) + sum(bool(t.error) for t in trials) + admitted,
        "microphone_late_ms": round(late_s * 1000, 1),
        "skipped": ["f5_ref_zh.wav and cv_zero_shot.wav: the bundled speech recognition understands English only"],
        "detail": {"trials": [asdict(t) for t in [*trials, *clause_trials]]},
    }
    return measured, turns


async def answered(app: App, clips: Sequence[Clip], sessions: int, rng: random.Random) -> dict[str, Any]:
    """Every clip spoken and answered in so many sessions at once, each in its own rhythm."""
    async with seated(app, sessions) as clients:
        if sessions == 1:
            turns = await one_by_one(clients[0], clips)
        else:
            alone = (_rhythm(c, clips, n, random.Random(rng.random())) for n, c in enumerate(clients))
            turns = [turn for session in await asyncio.gather(*alone) for turn in session]
        late_s = max(client.late_s for client in clients)
    return {
        **outcome(turns),
        "early": sum(turn.early for turn in turns),
        "microphone_late_ms": round(late_s * 1000, 1),
        "detail": [turn.told() for turn in turns],
    }


def outcome(turns: Sequence[Turn]) -> dict[str, Any]:
    """What came of turns: times, words, errors."""
    return {**_answered(turns), "errors": sum(bool(turn.error) for turn in turns)}


@asynccontextmanager
async def seated(app: App, count: int) -> AsyncIterator[list[Client]]:
    """So many live sessions at once."""
    async with AsyncExitStack() as stack:
        clients = []
        for _ in range(count):
            token = await asyncio.to_thread(app.token)
            clients.append(await stack.enter_async_context(joined(app.url, token, patience_ms=app.patience_ms)))
        yield clients


async def one_by_one(client: Client, clips: Sequence[Clip]) -> list[Turn]:
    """Every clip spoken and answered, in one conversation."""
    turns = []
    for clip in clips:
        turns.append(_told(await ask(client, clip)))
        await asyncio.sleep(GAP_S)
    return turns


async def _rhythm(client: Client, clips: Sequence[Clip], session: int, rng: random.Random) -> list[Turn]:
    """All clips in an order and with gaps of this session's own."""
    turns = []
    for clip in rng.sample(list(clips), len(clips)):
        await asyncio.sleep(rng.uniform(*RHYTHM_S))
        turns.append(_told(await ask(client, clip, session)))
    return turns


async def _in_unison(clients: Sequence[Client], clips: Sequence[Clip]) -> list[Turn]:
    """The same clip in all sessions, its last voiced sample in the same instant: the worst that five can do."""
    turns = []
    for clip in clips:
        start = time.perf_counter() + 2 * GAP_S
        every = [ask(client, clip, n, client.position_at(start)) for n, client in enumerate(clients)]
        turns += [_told(turn) for turn in await asyncio.gather(*every)]
    return turns


async def stretched_pauses(client: Client, clips: Sequence[Clip], quick: bool) -> tuple[list[Trial], list[Trial]]:
    """Each mid-sentence pause alone at each length; the clause pauses of a clip all in one play."""
    mid = [(clip, (pause,), s) for clip in clips for pause in clip.pauses if pause.kind == "mid" for s in LENGTHS_S]
    clause = [
        (clip, pauses, CLAUSE_LENGTH_S)
        for clip in clips
        if (pauses := tuple(pause for pause in clip.pauses if pause.kind == "clause"))
    ]
    if quick:
        mid, clause = [case for case in mid if len(case[0].samples) < 4 * RATE and case[2] == 0.7][:2], []
    found = []
    for case in (*mid, *clause):
        trial = await interject(client, *case)
        found.append(trial)
        verdict = trial.error or f"{trial.early} early, {trial.elsewhere} in other pauses"
        verdict += "" if trial.merged else ", NOT merged"
        print(f"  {trial.file:32s} {' / '.join(trial.before)[:40]:40s} {trial.length_s} s: {verdict}", flush=True)
    return found[: len(mid)], found[len(mid) :]


async def _refusals(app: App, empty: int, attempts: int) -> tuple[list[float], int]:
    """How long it takes to be told that all seats are taken, with the token's request in it; and wrong answers."""
    times, wrong = [], 0
    async with seated(app, max(0, empty)):
        for _ in range(attempts):
            started = time.perf_counter()
            token = await asyncio.to_thread(app.token)
            asking_s = time.perf_counter() - started
            seconds, code = await refusal_s(app.url, token)
            times.append((asking_s + seconds) * 1000)
            wrong += code != "SERVER_FULL"
    return times, wrong


def _told(turn: Turn) -> Turn:
    outcome = turn.error or f"{turn.voice_to_voice_ms:5.0f} ms {'sure' if turn.sure else 'waited'}"
    print(f"  session {turn.session}: {turn.file:32s} {outcome}", flush=True)
    return turn


def _answered(turns: Sequence[Turn]) -> dict[str, Any]:
    """The part of the result that comes from the turns; a lost turn is infinite and belongs to neither kind."""
    good = [turn for turn in turns if not turn.error]
    stages = {name for turn in good for name in turn.stages_ms}
    words = [(t.said, t.heard) for t in turns if t.file != NOT_FOR_WORDS]
    engines = Counter((stage, name) for turn in good for stage, name in turn.engines.items())
    return {
        "voice_to_voice_ms": summary([turn.voice_to_voice_ms for turn in turns]),
        "sure_ms": summary([turn.voice_to_voice_ms for turn in good if turn.sure]),
        "waited_ms": summary([turn.voice_to_voice_ms for turn in good if not turn.sure]),
        "stages_ms": {
            name: summary([turn.stages_ms[name] for turn in good])
            for name in ("eot", "stt", "llm", "tts", "rest")
            if name in stages
        },
        "wer": round(word_error_rate(words), 4),
        "e2e_50_ms": summary([turn.e2e_50_ms for turn in turns])
        | {"extrapolated": sum(turn.extrapolated for turn in good)},
        "gaps": sum(len(turn.gaps_ms) for turn in good),
        "gap_max_ms": max((gap for turn in good for gap in turn.gaps_ms), default=0.0),
        "turns": len(turns),
        "engines": {stage: name for (stage, name), _ in reversed(engines.most_common())},
    }


def _read_back(turns: Sequence[Turn]) -> dict[str, Any]:
    hear = moonshine()
    for turn in turns:
        if turn.sound is not None:
            turn.readback = judged(turn.sound, hear)
    return {"readback": told([turn.readback for turn in turns if turn.readback is not None])}


def _wasted(clients: Sequence[Client]) -> dict[str, Any]:
    """What the language model wrote in vain: guesses at a turn's end that the user went on after, or said otherwise."""
    told = [[a.latency["wasted"] for a in client.answers.values() if a.latency] for client in clients]
    total, replies = sum(max(each, default=0) for each in told), sum(map(len, told))
    return {"total": total, "replies": replies, "per_reply": round(total / replies, 1) if replies else None}


def paused(trials: Sequence[Trial], clauses: Sequence[Trial]) -> dict[str, Any]:
    """The fraction of mid-sentence pauses answered before the end, and of those the fraction that became one turn.

    `early_anywhere` counts the clip's other, unstretched pauses too: jfk.flac has two of more than a second.
    """
    early = [trial for trial in trials if trial.early]
    anywhere = [trial for trial in trials if trial.early or trial.elsewhere]
    return {
        "early_replies": round(len(early) / len(trials), 4) if trials else None,
        "early_anywhere": round(len(anywhere) / len(trials), 4) if trials else None,
        "merged": round(sum(trial.merged for trial in anywhere) / len(anywhere), 4) if anywhere else None,
        "mid_pauses": [_of_length([t for t in trials if t.length_s == length], length) for length in LENGTHS_S],
        "clause_pauses": [_of_length(clauses, CLAUSE_LENGTH_S)],
    }


def _of_length(trials: Sequence[Trial], length_s: float) -> dict[str, Any]:
    return {
        "length_s": length_s,
        "pauses": sum(len(trial.before) for trial in trials),
        "early": sum(bool(trial.early) if len(trial.before) == 1 else trial.early for trial in trials),
        "withdrawn_unheard": sum(trial.withdrawn for trial in trials),
        "elsewhere": sum(trial.elsewhere for trial in trials),
        "merged": all(trial.merged for trial in trials),
    }
