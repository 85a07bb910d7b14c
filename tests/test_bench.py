"""The bench's arithmetic, its microphone, its client against a scripted server, and (slow) itself against the app."""

import asyncio
import json
import math
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from avatar.bench import report
from avatar.bench.__main__ import main
from avatar.bench.client import Answer, Refused, joined, refusal_s
from avatar.bench.clips import FOLDER, RATE, Clip, ClipsError, Pause, Row, load, measure, tone, voiced_span, with_pauses
from avatar.bench.microphone import FRAME, Microphone
from avatar.bench.served import Watch, conditions
from avatar.bench.turns import ask, interject, sample_of_character
from avatar.bench.words import contains, normalised, word_error_rate

RNG = np.random.default_rng(3)


def speech(seconds: float, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 300 * np.arange(round(seconds * RATE)) / RATE)).astype(np.float32)


def hush(seconds: float) -> np.ndarray:
    return (0.0005 * RNG.standard_normal(round(seconds * RATE))).astype(np.float32)


def clip(*parts: np.ndarray, text: str = "one two three four", pauses: tuple[Pause, ...] = ()) -> Clip:
    samples = np.concatenate(parts)
    first, last = voiced_span(samples)
    row = Row("made.wav", "en", text, "made here", first, last)
    return Clip(row, samples, tone(samples), pauses)


# -- clips ------------------------------------------------------------------------------------------------------------
def test_the_voice_ends_where_the_energy_does() -> None:
    first, last = voiced_span(np.concatenate([hush(0.5), speech(1), hush(0.7)]))
    assert first == pytest.approx(0.5, abs=0.02)
    assert last == pytest.approx(1.5, abs=0.02)


def test_a_loud_floor_is_not_voice() -> None:
    samples = np.concatenate([hush(0.5), speech(1), hush(0.7)])
    samples += (0.01 * RNG.standard_normal(len(samples))).astype(np.float32)  # 26 dB below the voice
    assert voiced_span(samples) == pytest.approx((0.5, 1.5), abs=0.02)


def test_the_tone_is_the_quiet_part_and_repeats_without_a_seam() -> None:
    quiet = tone(np.concatenate([speech(1), hush(0.3), speech(1)]))
    assert np.abs(np.tile(quiet, 5)).max() < 0.01


@pytest.mark.parametrize("length_s", [0.1, 0.4, 1.0])
def test_a_pause_gets_its_length_and_the_rest_stays(length_s: float) -> None:
    pauses = (Pause(1.0, 1.3, "mid", "one two"), Pause(2.3, 2.5, "mid", "three"))
    original = clip(speech(1), hush(0.3), speech(1), hush(0.2), speech(1), hush(0.5), pauses=pauses)
    stretched = with_pauses(original, pauses, length_s)
    grown = 2 * length_s - 0.5
    assert len(stretched.samples) == pytest.approx(len(original.samples) + grown * RATE, abs=2)
    assert stretched.row.last_voiced_s == pytest.approx(original.row.last_voiced_s + grown)
    assert voiced_span(stretched.samples)[1] == pytest.approx(stretched.row.last_voiced_s, abs=0.02)
    np.testing.assert_array_equal(stretched.samples[:RATE], original.samples[:RATE])
    silent = stretched.samples[round(1.03 * RATE) : round((0.97 + length_s) * RATE)]
    assert len(silent) == 0 or np.abs(silent).max() < 0.01


def test_the_bundled_clips_end_where_their_manifest_says() -> None:
    written = json.loads((Path(report.__file__).parent / "clips.json").read_text(encoding="utf-8"))
    assert measure(FOLDER) == written
    assert len(load()) == 14
    assert {pause.kind for clip in load() for pause in clip.pauses} == {"mid", "clause"}


def test_clips_that_are_not_there_are_named(tmp_path: Path) -> None:
    (tmp_path / "clips.json").write_text('[{"file": "mine.wav", "language": "en", "text": "a", "source": "b"}]')
    with pytest.raises(ClipsError, match=r"mine\.wav"):
        load(tmp_path)
    (tmp_path / "clips.json").write_text('[{"name": "mine.wav"}]')
    with pytest.raises(ClipsError, match="not a list of clips"):
        load(tmp_path)


# -- words ------------------------------------------------------------------------------------------------------------
def test_words_are_compared_without_case_hyphens_and_figures() -> None:
    assert normalised("Text-to-speech, in 21 DAYS! 007") == [
        *("text", "to", "speech", "in", "twenty", "one", "days"),
        *("zero", "zero", "seven"),
    ]
    assert word_error_rate([("Hello world", "hello, world!"), ("a cat", "the cat sat")]) == 2 / 4
    assert word_error_rate([("Hello world", "")]) == 1.0
    assert word_error_rate([]) == 0.0


def test_contains_forgives_half() -> None:
    assert contains("and so my fellow american ask not", "And so my fellow Americans")
    assert not contains("what your country can do", "And so my fellow Americans")


# -- numbers ----------------------------------------------------------------------------------------------------------
def test_a_lost_turn_is_infinite_and_null_in_json(tmp_path: Path) -> None:
    times = report.summary([100.0, 200.0, math.inf])
    assert times == {"n": 3, "p50": 200.0, "p95": math.inf, "p99": math.inf, "max": math.inf}
    report.write({"voice_to_voice_ms": times}, [report.Bar("P95", math.inf, 900)], tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["voice_to_voice_ms"]["max"] is None
    assert written["bars"] == [{"name": "P95", "value": None, "limit": 900, "met": False}]


@pytest.mark.parametrize(
    ("bar", "met"),
    [
        (report.Bar("a", 600.0, 600), True),
        (report.Bar("a", 600.1, 600), False),
        (report.Bar("a", 0.9, 1.0, least=True), False),
        (report.Bar("a", None, 1.0), None),
    ],
)
def test_bars(bar: report.Bar, met: bool | None) -> None:
    assert bar.met is met


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


# -- microphone -------------------------------------------------------------------------------------------------------
def test_the_microphone_never_stops_and_speaks_on_time() -> None:
    microphone = Microphone()
    microphone.room(np.full(1000, 0.01, np.float32))
    start = microphone.play(np.full(RATE // 2, 0.5, np.float32), at=RATE // 10 + 7)
    frames = [np.frombuffer(microphone.frame(), "<i2") for _ in range(50)]
    heard = np.concatenate(frames) / 32768
    assert {len(frame) for frame in frames} == {FRAME}
    assert start == RATE // 10 + 7
    assert heard[:start].max() < 0.011
    assert heard[start + 200 : start + RATE // 2 - 200].min() > 0.49
    assert heard[start + RATE // 2 :].max() < 0.011


def test_late_speech_begins_with_the_next_frame_and_echo_is_added() -> None:
    microphone = Microphone()
    microphone.frame()
    assert microphone.play(np.zeros(10, np.float32), at=3) == FRAME
    microphone.echo = lambda position, n: np.full(n, position / RATE, np.float32)
    assert np.frombuffer(microphone.frame(), "<i2")[-1] == round(FRAME / RATE * 32768)


# -- client, against a scripted server --------------------------------------------------------------------------------
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
    assert 90 < turn.voice_to_voice_ms < 250
    assert turn.e2e_50_ms >= turn.voice_to_voice_ms
    assert (turn.heard, turn.sure, turn.early, turn.error) == ("one two three", True, 0, "")
    assert sum(turn.stages_ms.values()) == pytest.approx(turn.voice_to_voice_ms)


async def test_silence_is_an_error_and_infinite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.bench.turns.ANSWER_S", 0.2)
    script = Script([(0.0, [{"t": "notice", "code": "NOTHING_HEARD", "text": "I heard no words."}])])
    async with scripted(script) as url, joined(url, "secret") as client:
        turn = await ask(client, SHORT)
        second = await ask(client, SHORT)
    assert (turn.voice_to_voice_ms, turn.error) == (math.inf, "NOTHING_HEARD")
    assert second.error == "no answer within 0 s"


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
    assert 0 < trial.after_pause_ms[0] < 300


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


# -- the whole --------------------------------------------------------------------------------------------------------
def result(**more: object) -> dict[str, object]:
    times = report.summary([400.0, 500.0])
    found = {
        "voice_to_voice_ms": times,
        "sure_ms": times,
        "stages_ms": {"eot": times},
        "early_replies": 0.5,
        "merged": 1.0,
        "wer": 0.1,
        "errors": 0,
        "rss_mib": 900,
        "sessions": 1,
        "together": False,
        "engines": {"llm": "Fake"},
        "conditions": {"app_cores": 1, "bench_cores": 0, "others_cores": 0, "others_cores_before": 0, "load_average": 1}
        | conditions(),
        "warnings": ["others were busy"],
        "mid_pauses": [{"length_s": 0.4, "pauses": 2, "early": 1, "withdrawn_unheard": 0, "merged": True}],
    }
    return found | more


def test_the_table_says_which_bars_are_met_and_under_which_conditions() -> None:
    judged = report.bars(result())
    missed = [bar.name for bar in judged if bar.met is False]
    assert missed == ["early replies in mid-sentence pauses"]
    text = report.table(result(), judged)
    assert "WARNING: others were busy" in text
    assert "mid pauses of 0.4 s: 1 of 2 answered early" in text
    assert text.count("MISSED") == 1


@pytest.mark.parametrize(("together", "limits"), [(False, [800, 1500]), (True, [2500])])
def test_five_sessions_have_bars_of_their_own(together: bool, limits: list[int]) -> None:
    judged = report.bars(result(sessions=5, together=together))
    assert [bar.limit for bar in judged if bar.name.startswith("voice")] == limits


def test_one_session_cannot_stop_together(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["talk", "--together"])
    assert "--together needs" in capsys.readouterr().err


def test_clips_that_are_missing_end_the_bench_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["talk", "--clips", str(tmp_path)]) == 2
    assert "lacks jfk.flac" in capsys.readouterr().err


def test_what_the_app_and_others_take_is_told_apart() -> None:
    burn = [sys.executable, "-c", "import time\nend = time.monotonic() + 1.5\nwhile time.monotonic() < end: pass"]
    with subprocess.Popen(burn) as process:
        with Watch(process.pid) as watch:
            time.sleep(0.8)
        process.kill()
    shares = watch.shares()
    assert shares["app_cores"] > 0.05  # others may want the cores too
    assert shares["bench_cores"] < shares["app_cores"]
    assert watch.peak_mib >= 1


@pytest.mark.slow
def test_the_real_app_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three clips, two pauses and a full house: that they are answered, not how fast (other tests run beside it)."""
    assert main(["talk", "--quick", "--json", str(tmp_path / "out.json")]) == 0
    out = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert (out["turns"], out["sessions"]) == (3, 1)
    assert out["errors"] == 0
    assert out["wer"] < 0.4
    assert out["voice_to_voice_ms"]["n"] == 3
    assert out["voice_to_voice_ms"]["max"] is not None
    assert set(out["engines"]) == {"eot", "stt", "llm", "tts"}
    assert out["mid_pauses"][1]["pauses"] == 2
    assert out["server_full_ms"]["n"] == 20
    assert 100 < out["rss_mib"] < 1536
    assert "voice to voice, P50" in capsys.readouterr().out
