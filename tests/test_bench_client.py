"""The bench's client against a scripted server, and how its turns are timed."""

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from made_clips import clip, hush, speech
from websockets.asyncio.server import ServerConnection, serve

from avatar.bench.client import Answer, Refused, joined, refusal_s
from avatar.bench.clips import Pause
from avatar.bench.turns import ask, interject, sample_of_character


def answer(*clauses: tuple[str, int], samples: int, first_at: float = 10.0) -> Answer:
    made = Answer(1, 9.0, "words", clauses=list(clauses))
    for frame in range(samples // 2400):
        made.sound(b"\x00\x40" * 2400, first_at + 0.001 * frame)
    return made


def test_the_fiftieth_character_is_found_by_its_share_of_the_clause() -> None:
    spoken = answer(("a" * 39, 0), ("b" * 40, 24_000), samples=48_000)
    sample, extrapolated = sample_of_character(spoken, 50)
    assert not extrapolated
    assert sample == pytest.approx(24_000 + 24_000 * 10 / 40)  # the first clause, a quarter of the second
    assert spoken.received_at(sample) == pytest.approx(10.0 + 0.001 * 12)  # with the 13th frame


def test_a_short_reply_is_extended_at_its_own_pace() -> None:
    spoken = answer(("a" * 25, 0), samples=24_000)
    sample, extrapolated = sample_of_character(spoken, 50)
    assert extrapolated and sample == pytest.approx(48_000)
    assert spoken.received_at(sample) == pytest.approx(10.009 + 1.0)


def test_what_is_played_stops_at_gaps_and_at_a_flush() -> None:
    spoken = Answer(1, 9.0, "")
    spoken.sound(bytes(4800), 10.0)  # 100 ms of silence: heard from 10.08 to 10.18
    assert spoken.loud_at is None
    spoken.sound(b"\x00\x40" * 2400, 10.5)  # the player ran dry and waits for its buffer again
    assert spoken.loud_at == 10.5
    assert [spoken.played(t) for t in (10.0, 10.13, 10.4, 10.63, 11.0)] == [0, 0, 0, 3600, 4800]
    spoken.flushed_at = 10.63
    assert spoken.played(11.0) == 3600


class Script:
    """Answers each voice with `replies` in turn: a list of (seconds after the voice's end, messages)."""

    def __init__(self, *replies: list[tuple[float, list[dict[str, object] | bytes]]]) -> None:
        self.replies, self.got, self.full = list(replies), list[dict[str, object]](), False

    async def __call__(self, socket: ServerConnection) -> None:
        self.got.append(json.loads(await socket.recv()))
        if self.full:
            await socket.send(json.dumps({"t": "error", "code": "SERVER_FULL", "text": "All seats are taken."}))
            return
        await socket.send(json.dumps({"t": "ready"}))
        voiced, tasks = False, set[asyncio.Task[None]]()
        async for message in socket:
            if isinstance(message, str):
                self.got.append(json.loads(message))
                continue
            loud = np.abs(np.frombuffer(message, "<i2")).max() > 1000
            if voiced and not loud and self.replies:
                for delay, messages in self.replies.pop(0):
                    tasks.add(asyncio.create_task(self._later(socket, delay, messages)))
            voiced = loud

    async def _later(self, socket: ServerConnection, delay: float, messages: list[dict[str, object] | bytes]) -> None:
        await asyncio.sleep(delay)
        for message in messages:
            await socket.send(message if isinstance(message, bytes) else json.dumps(message))


@asynccontextmanager
async def scripted(script: Script) -> AsyncIterator[str]:
    async with serve(script, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


LOUD = b"\x00\x40" * 2400
CARD = {"t": "latency", "eot": 20, "stt": 30, "llm": 10, "tts": 5, "sure": True, "engines": {"llm": "Fake"}}


def said(turn: int, words: str) -> list[dict[str, object] | bytes]:
    """Everything a short reply consists of."""
    return [
        {"t": "heard", "final": words, "partial": ""},
        {"t": "turn", "turn": turn},
        {**CARD, "turn": turn},
        {"t": "clause", "turn": turn, "text": "Fifty characters are enough for anyone, or so it goes.", "at": 0},
        struct.pack("<I", turn) + LOUD,
        {"t": "end", "turn": turn, "samples": 2400},
        {"t": "saved", "turn": turn, "id": "x", "state": "done"},
    ]


SHORT = clip(hush(0.1), speech(0.2), hush(0.3))


async def test_a_turn_is_timed_from_the_last_voiced_sample_to_the_first_loud_frame() -> None:
    script = Script([(0.1, said(1, "one two three")), (0.1, [struct.pack("<I", 9) + LOUD])])
    async with scripted(script) as url, joined(url, "secret", patience_ms=900) as client:
        turn = await ask(client, SHORT)
    assert script.got[0] == {"t": "hello", "token": "secret", "patience_ms": 900}
    assert {"t": "played", "turn": 1, "samples": 2400} in script.got or turn.e2e_50_ms > 0
    assert script.got[-1] == {"t": "bye"}
    assert 90 < turn.voice_to_voice_ms < 3000  # 100 on a quiet machine
    assert turn.e2e_50_ms >= turn.voice_to_voice_ms
    assert (turn.heard, turn.sure, turn.early, turn.error) == ("one two three", True, 0, "")
    assert sum(turn.stages_ms.values()) == pytest.approx(turn.voice_to_voice_ms)


async def test_a_client_that_stays_for_hours_keeps_the_newest_answer_only() -> None:
    script = Script([(0.1, said(1, "one"))], [(0.1, said(2, "two"))])
    async with scripted(script) as url, joined(url, "secret") as client:
        client.forget()  # before any: nothing to keep
        for number, words in ((1, "one"), (2, "two")):
            turn = await ask(client, SHORT)
            client.forget()
            assert (turn.heard, turn.error, list(client.answers)) == (words, "", [number])


async def test_silence_is_an_error_and_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.bench.turns.ANSWER_S", 2.0)
    script = Script([(0.0, [{"t": "notice", "code": "NOTHING_HEARD", "text": "I heard no words."}])])
    async with scripted(script) as url, joined(url, "secret") as client:
        turn = await ask(client, SHORT)
        second = await ask(client, SHORT)
    assert (turn.voice_to_voice_ms, turn.error) == (math.inf, "NOTHING_HEARD")
    assert second.error == "no answer within 2 s"


async def test_a_quiet_frame_and_a_failed_turn_are_no_answer() -> None:
    quiet: list[dict[str, object] | bytes] = [{"t": "turn", "turn": 1}, struct.pack("<I", 1) + b"\x10\x00" * 2400]
    failed = [{"t": "error", "code": "ENGINE_FAILED", "text": ""}, {"t": "saved", "turn": 1, "state": "failed"}]
    async with scripted(Script([(0.0, quiet), (0.1, failed)])) as url, joined(url, "secret") as client:
        turn = await ask(client, SHORT)
    assert (turn.voice_to_voice_ms, turn.error) == (math.inf, "ENGINE_FAILED")


PAUSED = clip(speech(0.2), hush(0.2), speech(0.2), hush(0.3), pauses=(Pause(0.2, 0.4, "mid", "one two"),))


TOO_EARLY: list[dict[str, object] | bytes] = [
    {"t": "heard", "final": "one two", "partial": ""},
    {"t": "turn", "turn": 1},
    struct.pack("<I", 1) + LOUD,
]


BACK: list[dict[str, object] | bytes] = [{"t": "flush", "turn": 1}, {"t": "merged", "turn": 1}]


@pytest.fixture
def breathless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.bench.turns.BREATH_S", 0.0)


@pytest.mark.usefixtures("breathless")
@pytest.mark.parametrize(
    ("withdrawal", "words", "merged"),
    [(BACK, "one two three four", True), (BACK, "three four", False), ([], "one two three four", False)],
)
async def test_an_early_reply_counts_and_must_become_one_turn(
    withdrawal: list[dict[str, object] | bytes], words: str, merged: bool
) -> None:
    script = Script([(0.05, TOO_EARLY), (0.35, withdrawal)], [(0.1, said(2, words))])
    async with scripted(script) as url, joined(url, "secret") as client:
        trial = await interject(client, PAUSED, PAUSED.pauses, 0.4)
    assert (trial.early, trial.merged, trial.heard, trial.error) == (1, merged, words, "")
    assert 0 < trial.after_pause_ms[0] < 2000  # 150 on a quiet machine


@pytest.mark.usefixtures("breathless")
async def test_a_patient_server_is_not_early() -> None:
    async with scripted(Script([], [(0.1, said(1, "one two three four"))])) as url, joined(url, "secret") as client:
        trial = await interject(client, PAUSED, PAUSED.pauses, 0.4)
    assert (trial.early, trial.merged, trial.error) == (0, True, "")


async def test_a_server_that_hangs_up_ends_the_turn_at_once() -> None:
    class Gone(Script):
        async def _later(self, socket: ServerConnection, delay: float, messages: object) -> None:
            await socket.close()

    async with scripted(Gone([(0.0, [])])) as url:
        with pytest.raises(Refused, match="hung up"):
            async with joined(url, "secret") as client:
                assert (await ask(client, SHORT)).error == "the server hung up"


async def test_a_full_server_is_told_apart() -> None:
    script = Script()
    script.full = True
    async with scripted(script) as url:
        seconds, code = await refusal_s(url, "secret")
        with pytest.raises(Refused, match="All seats"):
            async with joined(url, "secret"):
                pass
    assert code == "SERVER_FULL"
    assert 0 < seconds < 2
