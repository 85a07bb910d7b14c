"""The bench of a peer: its line against a pipeline made here, and (where pipecat is installed) itself."""

import asyncio
import json
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from avatar.bench import peer, report
from avatar.bench.clips import RATE, Clip, Pause, Row, tone
from avatar.bench.peer import Line, talking
from avatar.bench.turns import Trial, Turn, ask, interject

ENGINES = {"stt": "ears", "llm": "model", "tts": "voice", "eot": "turns"}
LOUD = b"\x00\x40" * 960  # 40 ms
WORDS = ("one two", "three four")


def tones(*seconds: float) -> np.ndarray:
    """A voice, silence, a voice, ... of those lengths."""
    parts = [(0.3, 0.0003)[i % 2] * np.sin(0.1 * np.arange(round(s * RATE))) for i, s in enumerate(seconds)]
    return np.concatenate(parts).astype(np.float32)


class Eager:
    """A pipeline that takes every silence of 60 ms for the end of a turn, and is cut off by the next voice."""

    def __init__(self, line: Line) -> None:
        self._line, self._voice, self._quiet_s, self._pieces = line, False, 0.0, 0
        self._task: asyncio.Task[None] | None = None

    async def hear(self, pcm: bytes) -> None:
        if np.abs(np.frombuffer(pcm, "<i2")).max() > 1000:
            if not self._voice:
                self._voice, self._pieces = True, self._pieces + 1
                await self._line.cut()
            self._quiet_s = 0.0
        elif self._voice:
            self._quiet_s += 0.02
            if self._quiet_s > 0.05:
                self._voice = False
                self._task = asyncio.create_task(self._reply(" ".join(WORDS[: self._pieces])))

    async def _reply(self, words: str) -> None:
        self._line.stopped(0.06)
        await asyncio.sleep(0.03)
        self._line.heard()
        await self._line.began(words)
        await asyncio.sleep(0.02)
        await self._line.clause("An answer.")
        self._line.made(1920)
        await self._line.sound(bytes(len(LOUD)))
        await asyncio.sleep(0.04)
        await self._line.sound(LOUD)
        await asyncio.sleep(0.04)
        await self._line.over()

    async def interrupt(self) -> None:
        await self._line.cut()

    def forget(self) -> None:
        self._pieces = 0


def line() -> Line:
    made = Line(ENGINES)
    made.pipe = Eager(made)
    return made


def clip(*seconds: float, pauses: tuple[Pause, ...] = ()) -> Clip:
    samples = tones(*seconds)
    row = Row("made.wav", "en", " ".join(WORDS), "made here", 0.0, sum(seconds[:-1]))
    return Clip(row, samples, tone(samples), pauses)


async def test_a_turn_is_timed_as_the_bench_of_the_app_times_it() -> None:
    async with talking(line()) as client:
        turn = await ask(client, clip(0.2, 0.3))
    assert (turn.error, turn.heard, turn.reply, turn.sure, turn.early) == ("", WORDS[0], "An answer.", True, 0)
    assert 140 < turn.voice_to_voice_ms < 3000  # 60 of silence, 90 until the first loud sample, 20 of a frame
    assert sum(turn.stages_ms.values()) == pytest.approx(turn.voice_to_voice_ms)
    assert turn.engines == ENGINES


async def test_the_microphone_does_not_run_while_the_engines_are_loaded() -> None:
    made = line()
    loaded_at = time.perf_counter()
    async with talking(made) as client:
        assert client.time_of(0) >= loaded_at


async def test_an_early_reply_counts_and_the_last_one_answers_all_of_it() -> None:
    paused = clip(0.2, 0.1, 0.2, 0.3, pauses=(Pause(0.2, 0.3, "mid", WORDS[0]),))
    async with talking(line()) as client:
        trial = await interject(client, paused, paused.pauses, 1.5)
    assert (trial.early, trial.elsewhere, trial.error, trial.heard) == (1, 0, "", " ".join(WORDS))


@pytest.mark.parametrize(("sounded", "saved", "merged"), [(True, "interrupted", False), (False, "", True)])
async def test_nothing_is_heard_of_a_reply_that_was_cut(sounded: bool, saved: str, merged: bool) -> None:
    made = line()
    await made.began("one")
    if sounded:
        await made.sound(LOUD)
    await made.cut()
    await made.sound(LOUD)
    await made.over()
    (answer,) = made.client.answers.values()
    assert (answer.saved, answer.merged, answer.received) == (saved, merged, 960 * sounded)
    assert answer.flushed_at is not None


@pytest.mark.parametrize(
    ("heard_s", "began_s", "eot", "stt", "sure"),
    [
        (0.15, 0.15, 200, 150, True),  # the transcript was the last to come
        (0.05, 0.11, 260, 50, True),  # Smart Turn was
        (0.15, 3.0, 3050, 150, False),  # Smart Turn said no
        (None, 3.0, 3200, 0, False),  # and nothing was heard in what came last
    ],
)
async def test_parts(heard_s: float | None, began_s: float, eot: float, stt: float, sure: bool) -> None:
    now = 0.0
    made = Line(ENGINES, lambda: now)
    made.stopped(0.2)
    if heard_s is not None:
        now = heard_s
        made.heard()
    now = began_s
    await made.began("one")
    now += 0.09
    await made.clause("Two.")
    now += 0.01
    await made.sound(LOUD)
    (answer,) = made.client.answers.values()
    parts = [round(answer.latency[name]) for name in ("eot", "stt", "llm", "tts")]
    assert (parts, answer.latency["sure"]) == ([eot, stt, 90, 10], sure)


def test_the_result_has_what_compares_and_a_table(tmp_path: Path) -> None:
    turn = Turn("a.wav", 0, "one two", "one two", "Yes.", 650.0, 4000.0, sure=True, stages_ms={"eot": 210.0})
    trials = [Trial("a.wav", ["one"], 0.7, early=1, merged=False), Trial("a.wav", ["one"], 1.0, error="no answer")]
    found = peer.measured([turn], trials, [], 0.004)
    assert (found["early_replies"], found["errors"], found["voice_to_voice_ms"]["p50"]) == (0.5, 1, 650.0)
    assert not {"merged", "e2e_50_ms"} & set(found)
    where = dict.fromkeys(("cpu", "cores", "commit", "date", "app_cores", "bench_cores", "others_cores"), 1)
    where |= {"others_cores_before": 0, "load_average": 1, "options": {"pipecat": "1.14.0", "ears": "own"}}
    result = {**found, "conditions": where, "warnings": [], "rss_mib": 700}
    assert re.search(r"voice to voice +1 +650 +650 +650", peer.table(result))
    report.write(result, [], tmp_path / "peer.json")
    assert json.loads((tmp_path / "peer.json").read_text())["detail"]["trials"][1]["error"] == "no answer"


def test_without_pipecat_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("avatar.bench.peer.find_spec", lambda name: None)
    assert peer.main([]) == 2
    assert "requirements-peer.txt" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pipecat") is None, reason="pipecat is not installed: see requirements-peer.txt")
def test_pipecat_answers(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "avatar.bench.peer", "--quick", "--json", str(tmp_path / "peer.json")]
    subprocess.run(command, check=True, timeout=180)
    result = json.loads((tmp_path / "peer.json").read_text())
    assert (result["turns"], result["errors"]) == (3, 0)
    assert result["voice_to_voice_ms"]["p50"] > 0
