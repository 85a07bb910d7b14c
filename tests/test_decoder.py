"""Decoding what people upload, in a child that may be hostile, hung or dead.

Mutated files: the full campaign is tests/campaigns/test_fuzz_audio.py.
"""

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from audio_files import GOOD, HOSTILE, RATE, SLOW, encode, mutated, pcm, pitch, wav

from avatar import audio_worker
from avatar.audio import Decoder, Limits
from avatar.errors import AudioError

UNREADABLE = "This file has no sound I can read. Try wav, mp3, m4a, ogg or a video."


@pytest.fixture(scope="module")
def decoder() -> Iterator[Decoder]:
    decoder = Decoder(Limits(wall_s=60))  # what it costs is counted in its own time: the machine may be busy
    yield decoder
    decoder.close()


def child(decoder: Decoder) -> psutil.Process:
    assert decoder._child is not None
    return psutil.Process(decoder._child.pid)


def cpu_s(decoder: Decoder) -> float:
    """Of its child, if it has one: not the clock's, for the machine may be busy."""
    times = child(decoder).cpu_times() if decoder._child is not None else None
    return times.user + times.system if times else 0.0


def peak_mib(process: psutil.Process) -> float:
    """VmHWM: unlike ru_maxrss it does not count what the parent held when it forked."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


# -- what people upload -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GOOD)
async def test_decodes(decoder: Decoder, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(GOOD[name]())
    samples = await decoder.decode(tmp_path / name)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert np.isfinite(samples).all() and np.abs(samples).max() <= 1
    assert len(samples) / RATE == pytest.approx(1, abs=0.05)  # AAC pads to whole frames of 1,024
    assert pitch(samples, RATE) == pytest.approx(440, abs=10)


async def test_truncated_webm_gives_what_is_there(decoder: Decoder, tmp_path: Path) -> None:
    data = encode("webm", "libopus", 4)
    (tmp_path / "a.webm").write_bytes(data[: len(data) // 2])
    assert 1 < len(await decoder.decode(tmp_path / "a.webm")) / RATE < 3


async def refused(decoder: Decoder, path: Path) -> AudioError:
    with pytest.raises(AudioError) as caught:
        await decoder.decode(path)
    return caught.value


async def refuses_cheaply(decoder: Decoder, path: Path, code: str) -> None:
    began_s = cpu_s(decoder)
    error = await refused(decoder, path)
    assert cpu_s(decoder) - began_s < 2
    assert error.code == code and error.sentence.count(".") >= 2  # what happened, and what to do
    assert peak_mib(child(decoder)) < 90  # 42 measured


linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc for the child's peak memory")


@linux
@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile(decoder: Decoder, tmp_path: Path, name: str) -> None:
    code, make = HOSTILE[name]
    (tmp_path / name).write_bytes(make())
    await refuses_cheaply(decoder, tmp_path / name, code)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
async def test_hostile_and_long(decoder: Decoder, tmp_path: Path, name: str) -> None:
    code, make = SLOW[name]
    (tmp_path / name).write_bytes(make())
    await refuses_cheaply(decoder, tmp_path / name, code)


async def test_missing_and_large_files_never_reach_the_child(tmp_path: Path) -> None:
    decoder = Decoder(Limits(max_bytes=1 << 20), command=("/nonexistent",))
    assert (await refused(decoder, tmp_path / "gone.wav")).sentence == UNREADABLE
    (tmp_path / "large.wav").write_bytes(bytes((1 << 20) + 1))
    error = await refused(decoder, tmp_path / "large.wav")
    assert error.code == "AUDIO_TOO_LARGE" and "1 MiB" in error.sentence
    decoder.close()


async def test_the_rate_of_the_result_can_be_chosen(tmp_path: Path) -> None:
    decoder = Decoder(Limits(sample_rate=24_000))
    (tmp_path / "a.wav").write_bytes(wav(pcm(1)))
    assert len(await decoder.decode(tmp_path / "a.wav")) == 24_000
    decoder.close()


# -- the child --------------------------------------------------------------------------------------------------------

FAKE = """
import json, sys, time, os
print('{"code": "READY"}', flush=True)
for line in sys.stdin:
    name = json.loads(line)["path"].rpartition("/")[2]
    if name == "hang": time.sleep(60)
    if name == "die": os._exit(1)
    if name == "babble": print("hello")
    if name == "boast": print('{"code": "", "bytes": 99999999999}')
    if name == "stop": print('{"code": "", "bytes": 100}'); sys.exit()
    sys.stdout.write(json.dumps({"code": "", "bytes": 2}) + "\\n" + "ab"); sys.stdout.flush()
"""


def fake(**limits: float) -> Decoder:
    return Decoder(Limits(**limits), command=(sys.executable, "-c", FAKE))  # type: ignore[arg-type]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for name in ("good", "hang", "die", "babble", "boast", "stop"):
        (tmp_path / name).touch()
    return tmp_path


async def test_a_hung_decode_is_killed_and_does_not_poison_the_next(files: Path) -> None:
    decoder = fake(wall_s=0.5)
    assert len(await decoder.decode(files / "good")) == 1
    hung = child(decoder)
    began = time.perf_counter()
    error, *others = await asyncio.gather(
        refused(decoder, files / "hang"), *(decoder.decode(files / "good") for _ in range(3))
    )
    assert time.perf_counter() - began < 20  # its hang is 60 s long
    assert error.code == "AUDIO_TIMEOUT" and [len(samples) for samples in others] == [1, 1, 1]
    assert not hung.is_running()
    decoder.close()


@pytest.mark.parametrize("name", ["die", "babble", "boast", "stop"])
async def test_a_child_that_fails_is_replaced(files: Path, name: str) -> None:
    decoder = fake()
    assert (await refused(decoder, files / name)).sentence == UNREADABLE
    assert len(await decoder.decode(files / "good")) == 1
    decoder.close()


async def test_a_child_killed_while_idle_costs_nobody_a_file(files: Path) -> None:
    decoder = fake()
    await decoder.decode(files / "good")
    process = child(decoder)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222 - it is dead in a moment
    assert len(await decoder.decode(files / "good")) == 1
    decoder.close()


async def test_the_child_is_reused_and_then_renewed(files: Path) -> None:
    decoder = fake(max_decodes=2)
    pids = []
    for _ in range(5):
        await decoder.decode(files / "good")
        pids.append(decoder._child and decoder._child.pid)
    assert pids[1] is pids[3] is None and len({pids[0], pids[2], pids[4]}) == 3
    decoder.close()


async def test_first_come_first_served_and_a_full_queue_says_so(files: Path) -> None:
    decoder = fake(max_waiting=4)
    done: list[int] = []

    async def one(number: int) -> None:
        await decoder.decode(files / "good")
        done.append(number)

    results = await asyncio.gather(*(one(number) for number in range(6)), return_exceptions=True)
    assert done == [0, 1, 2, 3]
    assert [getattr(error, "code", None) for error in results] == [None] * 4 + ["AUDIO_BUSY"] * 2
    assert len(await decoder.decode(files / "good")) == 1
    decoder.close()


async def test_cancelling_gives_up_the_place(files: Path) -> None:
    decoder = fake(wall_s=0.5)
    hung = asyncio.create_task(refused(decoder, files / "hang"))
    waiting = asyncio.create_task(decoder.decode(files / "hang"))
    await asyncio.sleep(0.1)
    waiting.cancel()
    assert len(await decoder.decode(files / "good")) == 1
    assert (await hung).code == "AUDIO_TIMEOUT"
    decoder.close()


@linux
async def test_the_child_has_limits_no_secrets_and_no_files(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVATAR_AUTH", "user:secret")
    secret = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(secret, True)
    fresh = Decoder()
    (tmp_path / "a.wav").write_bytes(wav(pcm(1)))
    await fresh.decode(tmp_path / "a.wav")
    process = child(fresh)
    assert process.rlimit(psutil.RLIMIT_AS)[0] == 512 << 20
    assert 0 < process.rlimit(psutil.RLIMIT_CPU)[0] <= 8
    assert process.rlimit(psutil.RLIMIT_FSIZE)[0] == 0
    assert "AVATAR_AUTH" not in process.environ()
    folder = f"/proc/{process.pid}/fd"
    assert str(tmp_path) not in {os.readlink(f"{folder}/{link}") for link in os.listdir(folder)}
    fresh.close()
    assert not process.is_running()
    os.close(secret)


@linux
async def test_memory_is_bounded_by_the_limit(tmp_path: Path) -> None:
    """With next to no room the child cannot decode; it says so or dies, and the user gets the sentence."""
    decoder = Decoder(Limits(memory_mib=64))
    (tmp_path / "a.flac").write_bytes(encode("flac", "flac", 2, rate=192_000, layout="7.1"))
    assert (await refused(decoder, tmp_path / "a.flac")).sentence == UNREADABLE
    decoder.close()


def test_the_child_ends_with_its_server() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "avatar.audio_worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b'{"code": "READY"}\n'
    process.communicate(timeout=5)
    assert process.returncode == 0


@pytest.mark.parametrize("name", ["a.webm", "video.mp4", "streamed.wav"])
def test_worker_decodes_in_process(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(GOOD[name]())
    request = {"path": str(tmp_path / name), "max_s": 60, "min_s": 0.1, "sample_rate": RATE}
    limits = {"min_rate": 8000, "max_rate": 192_000, "max_channels": 8}
    code, data = audio_worker.answer({**request, **limits})
    assert code == "" and len(data) / 2 / RATE == pytest.approx(1, abs=0.05)
    assert audio_worker.answer({**request, **limits, "max_s": 0.5})[0] == "AUDIO_TOO_LONG"
    assert audio_worker.answer({**request, **limits, "min_s": 2})[0] == "AUDIO_TOO_SHORT"
    assert audio_worker.answer({**request, **limits, "max_rate": 8_000})[0] == "AUDIO_UNREADABLE"
    assert audio_worker.answer({**request, **limits, "path": "/dev/null"})[0] == "AUDIO_UNREADABLE"


async def fuzz(count: int, seed: int, folder: Path) -> dict[str, float]:
    """Decode mutated files; returns how many had which answer, the slowest and the child's peak memory."""
    rng = random.Random(seed)
    seeds = [GOOD[name]() for name in ("pcm16.wav", "a.flac", "a.mp3", "a.ogg", "a.webm", "a.m4a", "video.mp4")]
    decoder, answers, slowest_s, peak = Decoder(), dict[str, float](), 0.0, 0.0
    for _ in range(count):
        (folder / "a").write_bytes(mutated(rng.choice(seeds), rng))
        began = time.perf_counter()
        try:
            samples = await decoder.decode(folder / "a")
            assert np.isfinite(samples).all() and 0.1 <= len(samples) / RATE <= 60
            answer = "decoded"
        except AudioError as error:
            answer = error.code
        slowest_s = max(slowest_s, time.perf_counter() - began)
        answers[answer] = answers.get(answer, 0) + 1
        if decoder._child is not None:
            peak = max(peak, peak_mib(child(decoder)))
    decoder.close()
    return answers | {"slowest_s": slowest_s, "peak_mib": peak}


@pytest.mark.slow
@linux
async def test_fuzz(tmp_path: Path) -> None:
    result = await fuzz(200, 1, tmp_path)
    assert result["decoded"] > 20 and result["AUDIO_UNREADABLE"] > 5  # the mutations neither miss nor overwhelm
    assert "AUDIO_TIMEOUT" not in result and result["slowest_s"] < 2 and result["peak_mib"] < 150
