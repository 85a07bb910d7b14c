"""One table of faults through the whole of a turn: each ends in a typed error or an answer within its budget, the seat
and the leases come back, and the next turn works. Memory and hangs in depth: test_faults.py."""

import asyncio
import sqlite3
import time

import numpy as np
import pytest
from assistants import door, make_assistant, put_away
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble

from avatar.audio import wav_bytes
from avatar.engines.calls import Timeouts
from avatar.errors import AvatarError, StorageError
from avatar.sessions import Seats

DAY_S = 86_400
BUDGET_S = 8.0  # of the typed error, on a busy machine: a stage has 0.2 s here, and a fake hangs for 10 s


class Broken(Trouble):
    """Raises `error` at the first item of the first call, once."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error: BaseException | None = error

    def start(self) -> None:
        self.calls += 1

    def item(self, number: int) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error


ENGINES = {"stt": FakeSTT, "llm": FakeLLM, "tts": FakeTTS}
FAULTS = {
    "raises": lambda: Broken(RuntimeError("secret words of the user")),
    "dies": lambda: Broken(EOFError("the worker's pipe is closed")),
    "loses its device": lambda: Broken(OSError(5, "Input/output error")),
    "hangs": lambda: Trouble(hang_at=0),
}


async def one_turn(assistant, asked, name):
    return [update async for update in assistant.answer("local", "", asked, name, "auto")]


@pytest.fixture
def sound(tmp_path):
    path = tmp_path / "asked.wav"
    path.write_bytes(wav_bytes(np.full(16_000, 0.1, np.float32), 16_000))
    return path


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("stage", ENGINES)
async def test_an_engines_fault_costs_one_turn(settings, make_pool, sound, stage, fault, caplog):
    trouble = FAULTS[fault]()
    assistant = make_assistant(settings, make_pool, **{stage: ENGINES[stage](trouble=trouble)})
    assistant._single._pipeline._timeouts = Timeouts(**({stage: 0.2} if fault == "hangs" else {}))
    began = time.monotonic()
    try:
        with pytest.raises(AvatarError) as told:
            await one_turn(assistant, sound, "first")
        assert told.value.code == ("ENGINE_TIMEOUT" if fault == "hangs" else "ENGINE_FAILED")
        assert time.monotonic() - began < BUDGET_S and "secret" not in told.value.sentence + caplog.text
        assert assistant.seats.count() == 0
        assert not any(assistant.pool.busy(rung) for rung in assistant.pool.rungs(stage))
        trouble.hang_at, assistant._single._pipeline._timeouts = None, Timeouts()
        for rung in assistant.pool.rungs(stage):
            assistant.pool.retry(rung.name)  # what the pool does by itself after a while: test_pool.py
        updates = await one_turn(assistant, sound, "second")
        assert updates[-1].audio is not None and assistant.seats.count() == 0
    finally:
        trouble.hang.set()
        put_away(assistant)


@pytest.mark.parametrize("stage", ENGINES)
async def test_an_engine_that_runs_out_of_memory_with_none_below_it(settings, make_pool, sound, stage):
    """Without its voice it answers in text. With others below, and in the middle of an item: test_faults.py."""
    assistant = make_assistant(settings, make_pool, **{stage: ENGINES[stage](trouble=Broken(MemoryError()))})
    began = time.monotonic()
    try:
        try:
            first = await one_turn(assistant, sound, "first")
            assert stage == "tts" and first[-1].lines[-1].text
        except AvatarError as error:
            assert stage != "tts" and error.code == "ENGINE_OUT_OF_MEMORY"
        assert time.monotonic() - began < BUDGET_S and assistant.seats.count() == 0
        assert not any(assistant.pool.busy(rung) for rung in assistant.pool.rungs(stage))
        for rung in assistant.pool.rungs(stage):
            assistant.pool.retry(rung.name)
        assert (await one_turn(assistant, sound, "second"))[-1].audio is not None
    finally:
        put_away(assistant)


def _sqlite(name: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(name)
    error.sqlite_errorcode = code
    return error


DISK = {
    "STORAGE_FULL": lambda: _sqlite("database or disk is full", sqlite3.SQLITE_FULL),
    "STORAGE_READONLY": lambda: _sqlite("attempt to write a readonly database", sqlite3.SQLITE_READONLY),
    "DB_BUSY": lambda: _sqlite("database is locked", sqlite3.SQLITE_BUSY),
    "DB_CORRUPT": lambda: _sqlite("database disk image is malformed", sqlite3.SQLITE_CORRUPT),
    "STORAGE_FAILED": lambda: OSError(5, "Input/output error"),
}


@pytest.mark.parametrize("code", DISK)
async def test_a_disk_that_refuses_the_turn_is_said_and_the_answer_is_given(settings, make_pool, monkeypatch, code):
    """The disks themselves, full, read-only, locked, damaged: test_store_faults.py."""
    assistant = make_assistant(settings, make_pool)
    add = assistant.store.add_turn

    def refuse(*_: object) -> None:
        with assistant.store._db.typed_errors():
            raise DISK[code]()

    try:
        monkeypatch.setattr(assistant.store, "add_turn", refuse)
        updates = await one_turn(assistant, "hello", "first")
        assert updates[-1].audio is not None and updates[-1].notice.code == code
        assert assistant.seats.count() == 0
        monkeypatch.setattr(assistant.store, "add_turn", add)
        updates = await one_turn(assistant, "hello", "second")
        assert updates[-1].notice is None
        assert [turn.client_turn_id for turn in assistant.store.turns("local", updates[-1].conversation_id)] == [
            "second"
        ]
    finally:
        put_away(assistant)


async def test_a_disk_that_cannot_be_read_is_said_before_a_seat_is_taken(settings, make_pool, monkeypatch):
    assistant = make_assistant(settings, make_pool)
    try:
        with monkeypatch.context() as broken:

            def refuse(*_: object) -> None:
                raise StorageError("The database is damaged.", code="DB_CORRUPT")

            broken.setattr(assistant.store, "turns", refuse)
            broken.setattr(assistant.store, "persona", refuse)
            with pytest.raises(StorageError):
                await one_turn(assistant, "hello", "first")
            assert assistant.seats.count() == 0
        assert (await one_turn(assistant, "hello", "second"))[-1].audio is not None
    finally:
        put_away(assistant)


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S])
async def test_a_clock_that_jumps_ends_no_seat_and_orders_no_turn(settings, make_pool, monkeypatch, jump_s):
    assistant = make_assistant(settings, make_pool)
    try:
        async with door(assistant) as here, here.page() as page:
            for number, text in enumerate(("one", "two", "three")):
                await page.send("say", text=text, client_turn_id=text)
                turn = await page.until("turn")
                end = await page.until("end")
                await page.send("played", turn=turn["turn"], samples=end["samples"])
                await page.until("saved")
                now = time.time()
                monkeypatch.setattr("time.time", lambda now=now, number=number: now + jump_s * (number + 1))
            assert assistant.seats.count() == 1 and assistant.seats.idle() == []
            conversation = page.seen[0]["conversation"]
            stored = assistant.store.turns("local", conversation)
            assert [(turn.number, turn.user_text) for turn in stored] == [(1, "one"), (2, "two"), (3, "three")]
            assert not {"idle", "error"} & {message["t"] for message in page.seen}
    finally:
        put_away(assistant)


def test_seats_and_tokens_run_on_a_clock_that_nobody_sets(monkeypatch):
    seats = Seats(1, 240, 300)
    seats.admit("local", "a")
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert seats.idle() == []


async def test_who_vanishes_from_a_turn_without_a_socket_leaves_no_seat_and_finds_it_stored(settings, make_pool):
    trouble = Trouble(hang_at=3)
    assistant = make_assistant(settings, make_pool, llm=FakeLLM(trouble=trouble))
    try:
        turn = assistant.answer("local", "", "hello", "first", "auto")
        async for update in turn:
            if update.lines and update.lines[-1].text:
                break
        assert assistant.seats.count() == 1
        await turn.aclose()
        assert assistant.seats.count() == 0
        (stored,) = assistant.store.turns("local", update.conversation_id)
        assert (stored.state, stored.user_text) == ("interrupted", "hello")
        trouble.hang_at = None
        trouble.hang.set()
        assert [u async for u in assistant.answer("local", update.conversation_id, "again", "second", "auto")]
        replayed = [u async for u in assistant.answer("local", update.conversation_id, "again", "second", "auto")]
        assert len(replayed) == 1 and len(assistant.store.turns("local", update.conversation_id)) == 2
    finally:
        trouble.hang.set()
        put_away(assistant)


@pytest.mark.slow
async def test_ten_in_a_hundred_turns_fail_and_the_others_do_not_notice(settings, make_pool):
    """Five talk at once; every tenth call of the model fails."""
    calls = range(10, 60, 10)
    mind = FakeLLM(trouble=Trouble(fail_on=tuple(calls)))
    assistant = make_assistant(settings, make_pool, llm=mind)
    ended: list[str] = []

    async def talk(who: int) -> None:
        for number in range(10):
            try:
                await one_turn(assistant, "hello", f"{who}-{number}")
                ended.append("answered")
            except AvatarError as error:
                ended.append(error.code)
                for rung in assistant.pool.rungs("llm"):
                    assistant.pool.retry(rung.name)
                await asyncio.sleep(0.02)  # for it to be loaded again, as whoever presses "Try now" looks first

    try:
        await asyncio.gather(*(talk(who) for who in range(5)))
        # in line for the engine that failed: "has just failed"
        assert len(ended) == 50 and set(ended) <= {"answered", "ENGINE_FAILED", "ENGINE_NOT_LOADED", "NO_ENGINE"}
        assert ended.count("answered") >= 30 and assistant.seats.count() == 0
        assert not assistant.pool.busy(assistant.pool.rungs("llm")[0])
        mind.trouble.fail_on = ()  # who found no engine made no call: the next one may be a tenth
        assert (await one_turn(assistant, "hello", "last"))[-1].audio is not None
    finally:
        put_away(assistant)
