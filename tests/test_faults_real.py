"""Faults with nothing made up: real disks, real workers and real weights that are cut short, under whole turns.

As in test_faults_turns.py: an answer or a typed error within its budget, the seat and the leases come back, and the
next turn works.
"""

import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import assistants
import pytest
from assistants import make_assistant, put_away
from stores import fill
from test_durability import own_disk
from test_faults_turns import one_turn

from avatar import weights
from avatar.assistant import Assistant
from avatar.engines import llamacpp
from avatar.engines.espeak import EspeakTTS
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError, StorageError
from avatar.settings import Settings
from avatar.store import Store

BUDGET_S = 8.0  # on a busy machine; a hung eSpeak is given up after 10


@contextmanager
def within_budget(assistant: Assistant) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < BUDGET_S
    assert assistant.seats.count() == 0
    assert not any(assistant.pool.busy(rung) for stage in ("stt", "llm", "tts") for rung in assistant.pool.rungs(stage))


async def refused(assistant: Assistant, name: str) -> str:
    """A turn that is answered and not kept: the code of what is said of that."""
    with within_budget(assistant):
        updates = await one_turn(assistant, "hello", name)
    assert updates[-1].audio is not None and updates[-1].notice is not None
    return updates[-1].notice.code


async def kept(assistant: Assistant, name: str) -> None:
    with within_budget(assistant):
        updates = await one_turn(assistant, "hello", name)
    assert updates[-1].audio is not None and updates[-1].notice is None
    stored = assistant.store.turns("local", updates[-1].conversation_id)
    assert [turn.client_turn_id for turn in stored] == [name]


# -- disks ------------------------------------------------------------------------------------------------------------


@contextmanager
def keeping(data: Path, make_pool: Callable[..., EnginePool]) -> Iterator[Assistant]:
    assistant = make_assistant(Settings(data=data, weights=data), make_pool)
    try:
        yield assistant
    finally:
        put_away(assistant)


async def test_a_disk_that_is_full(make_pool, tiny_disk):
    with keeping(tiny_disk / "data", make_pool) as assistant:
        await kept(assistant, "first")
        ballast = fill(tiny_disk)
        told = [await refused(assistant, f"full {n}") for n in range(3)]
        assert set(told) == {"STORAGE_FULL"}
        ballast.unlink()
        await kept(assistant, "last")


async def test_a_disk_that_becomes_read_only(make_pool, tmp_path):
    with own_disk(tmp_path / "disk") as read_only, keeping(tmp_path / "disk" / "data", make_pool) as assistant:
        await kept(assistant, "first")
        read_only(True)
        assert await refused(assistant, "second") == "STORAGE_READONLY"
        read_only(False)
        await kept(assistant, "third")


async def test_a_disk_that_is_taken_away(make_pool, tmp_path):
    with keeping(tmp_path / "data", make_pool) as assistant:
        await kept(assistant, "first")
        (tmp_path / "data").rename(tmp_path / "elsewhere")
        with within_budget(assistant), pytest.raises(StorageError):  # what was said before cannot be read either
            await one_turn(assistant, "hello", "second")
        (tmp_path / "elsewhere").rename(tmp_path / "data")
        await kept(assistant, "third")


async def test_a_database_that_another_program_holds(make_pool, tmp_path, monkeypatch):
    monkeypatch.setattr(assistants, "Store", partial(Store, busy_timeout_s=0.2))
    with keeping(tmp_path, make_pool) as assistant:
        other = sqlite3.connect(tmp_path / "avatar.db", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        assert await refused(assistant, "first") == "DB_BUSY"
        other.execute("ROLLBACK")
        other.close()
        await kept(assistant, "second")


# -- worker processes -------------------------------------------------------------------------------------------------


async def test_a_voice_whose_process_is_killed_in_a_reply(settings, make_pool):
    voice = EspeakTTS()
    voice.languages()
    assistant = make_assistant(settings, make_pool, tts=voice)
    try:
        with within_budget(assistant):
            killed, told = 0, None
            try:
                async for update in assistant.answer("local", "", "hello", "first", "auto"):
                    if not killed and any(line.text for line in update.lines or ()):
                        os.kill(killed := voice._process.pid, signal.SIGKILL)
            except AvatarError as error:
                told = error
        assert killed and (told is None or told.code == "ENGINE_FAILED")
        for rung in assistant.pool.rungs("tts"):
            assistant.pool.retry(rung.name)
        await kept(assistant, "second")
        assert voice._process.pid != killed
    finally:
        put_away(assistant)
        voice.close()


@pytest.mark.parametrize("stopped", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_decoder_whose_process_is_gone_or_hangs(settings, make_pool, tmp_path, stopped):
    assistant = make_assistant(settings, make_pool)
    decoder = assistant._single._decoder
    patient = decoder.limits
    sound = tmp_path / "asked.flac"
    shutil.copy(Path(__file__).parent / "data" / "speech" / "jfk.flac", sound)
    try:
        await one_turn(assistant, sound, "first")
        os.kill(decoder._child.pid, stopped)
        decoder.limits = replace(patient, wall_s=1.0)
        with within_budget(assistant):
            try:
                await one_turn(assistant, sound, "second")
            except AvatarError as error:
                assert error.code in ("AUDIO_UNREADABLE", "AUDIO_TIMEOUT")
        decoder.limits = patient
        with within_budget(assistant):
            assert (await one_turn(assistant, sound, "third"))[-1].audio is not None
    finally:
        put_away(assistant)


# -- weights ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("size", [None, 0, 1000, 1 << 20, -1])
async def test_a_model_that_is_missing_or_cut_short(settings, make_pool, tmp_path, size):
    """Cut to so many bytes; None: it is gone since the start; -1: the last byte is."""
    whole = weights.fastest("smollm2-135m", Settings.from_env({}).weights)
    gguf = tmp_path / "model.gguf"
    if size is not None:
        gguf.write_bytes(whole.read_bytes()[:size])
    own = replace(settings, gguf=gguf)
    assistant = make_assistant(settings, make_pool, llm=lambda: llamacpp.load(own, lambda _: None))
    try:
        with within_budget(assistant), pytest.raises(AvatarError) as told:
            await one_turn(assistant, "hello", "first")
        assert told.value.code == "ENGINE_NOT_LOADED" and str(tmp_path) not in told.value.sentence
        shutil.copy(whole, gguf)
        assistant.pool.retry("llm")
        assert (await one_turn(assistant, "hello", "second"))[-1].audio is not None
    finally:
        put_away(assistant)
