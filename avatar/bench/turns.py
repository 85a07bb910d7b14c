"""One question to a live session, and what is measured of its answer. Pure but for the waiting."""

import asyncio
import math
import time
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any

from avatar.bench.client import Answer, Client
from avatar.bench.clips import RATE, Clip, Pause, with_pauses
from avatar.bench.readback import Readback, Sound
from avatar.bench.words import contains, normalised

ANSWER_S = 10.0  # without a reply by then the turn is lost, and counts as infinitely late
REPLY_S = 90.0  # a reply that is not over by then never will be
LEAD_S = 0.2  # of the clip's own room before it
BREATH_S = 0.3  # after an answer that was cut short
ONSET_S = 0.2  # a voice that goes on is known this late, so a reply begun until then belongs to the pause before it
CHARACTERS = 50  # of the reply that the brief's KPI is about


@dataclass(slots=True)
class Turn:
    """One clip spoken and answered; `voice_to_voice_ms` is infinite when it was not, and `error` says why."""

    file: str
    session: int
    said: str
    heard: str = ""
    reply: str = ""
    voice_to_voice_ms: float = math.inf
    e2e_50_ms: float = math.inf
    extrapolated: bool = False  # the reply had fewer than 50 characters: its own pace was extended to 50
    sure: bool = False
    stages_ms: dict[str, float] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    early: int = 0  # replies that sounded before the clip's end
    gaps_ms: list[float] = field(default_factory=list)  # silences over 80 ms inside the reply: the voice was waited for
    error: str = ""
    sound: Sound | None = field(default=None, repr=False)  # of the reply
    readback: Readback | None = None  # of the sound, once the campaign is over

    def told(self) -> dict[str, Any]:
        """Without the sound."""
        return {name: value for name, value in asdict(replace(self, sound=None)).items() if name != "sound"}


@dataclass(slots=True)
class Trial:
    """A clip with stretched pauses: was it answered before its end, and did all of it become one turn?"""

    file: str
    before: list[str]
    length_s: float
    early: int = 0  # replies that sounded before the clip's end, and were begun in one of the stretched pauses
    elsewhere: int = 0  # those begun in a pause that is as it was spoken
    withdrawn: int = 0  # replies taken back before they sounded
    merged: bool = True  # every early reply was withdrawn, and the final turn holds the words of all pieces
    after_pause_ms: list[float] = field(default_factory=list)  # first sound of early replies since the (first) pause
    heard: str = ""
    error: str = ""


async def ask(client: Client, clip: Clip, session: int = 0, at: int = 0) -> Turn:
    """Speak `clip` (from microphone position `at` on), listen to the whole answer, and wait until it is stored."""
    before, asked_at = _last(client), time.perf_counter()
    said_at = _speak(client, clip, at)
    turn = Turn(clip.row.file, session, clip.row.text)
    answer = await _answer(client, before, said_at)
    while answer is not None and not await _listen(client, answer):
        answer = await _answer(client, before, time.perf_counter())  # withdrawn after the clip's end: another follows
    turn.early = len(_early(client, before, said_at))
    if answer is None or answer.error or answer.loud_at is None:
        turn.error = _why(client, before, asked_at, answer)
    elif not answer.clauses or not answer.latency.get("engines", {}).get("llm"):
        turn.error = "the reply did not come from the LLM"
    else:
        _measure(turn, answer, said_at)
    await stop(client)
    return turn


async def stop(client: Client) -> None:
    """End what is still being said, and wait until it is stored."""
    if (newest := client.newest) is not None and not _over(newest):
        await client.send("interrupt")
        await client.until(lambda: _over(newest), time.perf_counter() + ANSWER_S)


async def interject(client: Client, clip: Clip, pauses: tuple[Pause, ...], length_s: float) -> Trial:
    """Speak `clip` with `pauses` made `length_s` long; the answer to all of it is cut short as soon as it sounds."""
    await client.send("new")  # a memory of replies that were cut short would change the next ones
    before, asked_at = _last(client), time.perf_counter()
    stretched = with_pauses(clip, pauses, length_s)
    said_at = _speak(client, stretched)
    trial = Trial(clip.row.file, [pause.before for pause in pauses], length_s)
    answer = await _answer(client, before, said_at)
    early = _early(client, before, said_at)
    begun_at = said_at - stretched.last_voiced / RATE
    inside = [a for a in early if any(_began_in(a, begun_at + start, length_s) for start in _starts(pauses, length_s))]
    trial.early, trial.elsewhere = len(inside), len(early) - len(inside)
    first = begun_at + pauses[0].start_s
    trial.after_pause_ms = [round((a.first_at - first) * 1000) for a in early if a.first_at is not None]
    trial.withdrawn = sum(a.merged and a.first_at is None for a in client.since(before))
    if answer is None or answer.error:
        trial.error, trial.merged = _why(client, before, asked_at, answer), False
    else:
        trial.heard = answer.words
        trial.merged = all(a.merged for a in early) and _holds(answer.words, clip.row.text, trial.before)
    await stop(client)
    await asyncio.sleep(BREATH_S)
    return trial


def _speak(client: Client, clip: Clip, at: int = 0) -> float:
    """Returns the time of the clip's last voiced sample."""
    client.microphone.room(clip.tone)
    start = client.microphone.play(clip.samples, max(at, client.microphone.position + round(LEAD_S * RATE)))
    return client.time_of(start + clip.last_voiced)


async def _answer(client: Client, before: int, said_at: float) -> Answer | None:
    """The first answer after turn `before` that sounds (or fails) after `said_at` and is not taken back."""

    def found() -> Answer | None:
        for answer in client.since(before):
            after = answer.loud_at is not None and answer.loud_at >= said_at
            if answer.flushed_at is None and (after or answer.error):
                return answer
        return None

    await client.until(lambda: found() is not None, said_at + ANSWER_S)
    return found()


def _early(client: Client, before: int, said_at: float) -> list[Answer]:
    return [a for a in client.since(before) if a.first_at is not None and a.first_at < said_at]


def _starts(pauses: tuple[Pause, ...], length_s: float) -> list[float]:
    """Where the pauses begin once those before them have been stretched, in seconds of the clip."""
    grown, starts = 0.0, []
    for pause in pauses:
        starts.append(pause.start_s + grown)
        grown += length_s - (pause.end_s - pause.start_s)
    return starts


def _began_in(answer: Answer, pause_at: float, length_s: float) -> bool:
    return pause_at <= answer.began_at < pause_at + length_s + ONSET_S


async def _listen(client: Client, answer: Answer) -> bool:
    """Hear the answer out; False when the server took it back."""
    await client.until(lambda: _over(answer) or answer.flushed_at is not None, time.perf_counter() + REPLY_S)
    return answer.flushed_at is None


def _over(answer: Answer) -> bool:
    return bool(answer.saved or answer.merged)


def _last(client: Client) -> int:
    return client.newest.turn if client.newest is not None else 0


def _why(client: Client, before: int, since: float, answer: Answer | None) -> str:
    """In words, what became of a turn that was not answered."""
    if client.closed:
        return "the server hung up"
    if answer is not None:
        return answer.error
    told = [code for at, code in sorted(client.notices + client.errors) if at >= since]
    if any(not a.merged for a in client.since(before)):
        told.append("answered before the end, and not after it")
    return "; ".join(told) or f"no answer within {ANSWER_S:.0f} s"


def _holds(heard: str, text: str, before: list[str]) -> bool:
    """Whether `heard` has the words of every piece into which the pauses after `before` cut `text`."""
    words = normalised(text)
    cuts = sorted({0, len(words), *(_end_of(normalised(piece), words) for piece in before)})
    return all(contains(heard, " ".join(words[a:b])) for a, b in pairwise(cuts))


def _end_of(piece: list[str], words: list[str]) -> int:
    """The number of words up to the end of `piece`, where it first stands in `words`."""
    n = len(piece)
    return next((i + n for i in range(len(words) - n + 1) if words[i : i + n] == piece), len(words))


def _measure(turn: Turn, answer: Answer, said_at: float) -> None:
    loud_at = answer.loud_at or math.inf
    turn.heard, turn.reply = answer.words, answer.text
    turn.voice_to_voice_ms = (loud_at - said_at) * 1000
    turn.sure = bool(answer.latency["sure"])
    turn.engines = dict(answer.latency["engines"])
    turn.stages_ms = {part: float(answer.latency[part]) for part in ("eot", "stt", "llm", "tts")}
    # what the server cannot know: its voice detector's end against the clip's own, frames, the way here
    turn.gaps_ms = answer.gaps_ms()
    turn.sound = Sound(bytes(answer.pcm), tuple(answer.clauses), answer.waits())
    turn.stages_ms["rest"] = turn.voice_to_voice_ms - sum(turn.stages_ms.values())
    sample, turn.extrapolated = sample_of_character(answer, CHARACTERS)
    turn.e2e_50_ms = (answer.received_at(sample) - said_at) * 1000


def sample_of_character(answer: Answer, characters: int) -> tuple[float, bool]:
    """The sample at which that character of the reply ends; within a clause by its share of characters.

    A shorter reply is extended at its own pace: then True comes with it.
    """
    ends = [at for _, at in answer.clauses[1:]] + [answer.received]
    so_far = 0
    for (text, begin), end in zip(answer.clauses, ends, strict=True):
        if so_far + len(text) >= characters:
            share = (characters - so_far) / len(text)
            return begin + share * (end - begin), False
        so_far += len(text) + 1  # the space before the next clause
    return answer.received * characters / max(1, so_far - 1), True
