"""The `remote` rung in the ladder: stepped down from and back to, and against a real llama.cpp server."""

import logging
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import httpx
import pytest
from fakes import FakeLLM, FakeTTS
from llama_server import Gate, LlamaServer, llama_server
from model_server import KEY, Connection, begun, fails, says, serving

from avatar import weights
from avatar.engines import remote
from avatar.engines.base import SYSTEM_PROMPT, Message
from avatar.engines.catalog import CATALOG, Rung
from avatar.engines.loading import RETRY_S
from avatar.engines.pool import EnginePool
from avatar.engines.remote import Patience
from avatar.errors import EngineError, EngineLoadError, EngineTimeout
from avatar.events import Event, Failure, Notice, Serving, TurnDone
from avatar.pipeline import Pipeline
from avatar.settings import Settings

HELLO = [Message("user", "Hello")]
NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: nobody listens


def pooled(settings: Settings, url: str, clock: Callable[[], float]) -> EnginePool:
    """The real rows of the language models; the one below `remote` is a fake."""
    rows = [row for row in CATALOG if row.name in ("remote", "llamacpp", "espeak")]
    fakes = {"llamacpp": FakeLLM("I am small."), "espeak": FakeTTS()}

    def load(row: Rung, settings: Settings, progress: Callable[[float], None]) -> object:
        return remote.load(settings, progress) if row.name == "remote" else fakes[row.name]

    own = [replace(row, weights=()) for row in rows]
    return EnginePool(replace(settings, llm_url=url), own, load, clock)  # type: ignore[arg-type]


async def turn(pool: EnginePool, words: str = "Hello") -> tuple[str, list[str], list[Notice]]:
    """The reply, who served it, and what the user was told."""
    events: list[Event] = [event async for event in Pipeline(pool).turn(words)]
    assert isinstance(events[-1], TurnDone), events[-1]
    llms = [event.engine for event in events if isinstance(event, Serving) and event.stage == "llm"]
    return events[-1].reply_text, llms, [event for event in events if isinstance(event, Notice)]


async def test_a_server_that_dies_is_stepped_down_from_and_comes_back(settings: Settings, quick: None) -> None:
    now = [100.0]
    with serving(says("I am large.")) as server:
        pool = pooled(settings, server.url, lambda: now[0])
        best = pool.below(pool.choose("llm"))
        assert best.name == "remote"
        pool.warm(best)
        assert await turn(pool) == ("I am large.", ["Model server"], [])
        server.answers[:] = [Connection.reset]
        reply, llms, notices = await turn(pool)
        assert (reply, llms) == ("I am small.", ["Model server", "SmolLM2 135M"])
        (notice,) = notices
        assert notice.code == "STEPPED_DOWN" and server.host in notice.sentence
        assert notice.sentence.endswith("SmolLM2 135M takes over until it is back.")
        assert await turn(pool) == ("I am small.", ["SmolLM2 135M"], [])
        server.answers[:] = [says("I am back.")]
        now[0] += RETRY_S
        pool.warm(best)
        assert await turn(pool) == ("I am back.", ["Model server"], [])
        pool.close()


async def test_a_silent_server_is_stepped_down_from(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "Patience", lambda: Patience(first=0.06))
    with serving(says("Hi."), Connection.hang) as server:
        pool = pooled(settings, server.url, time.monotonic)
        pool.warm(pool.below(pool.choose("llm")))
        reply, _, (notice,) = await turn(pool)
        assert reply == "I am small." and "nothing to say for 0.06 s" in notice.sentence
        pool.close()


async def test_a_refused_question_fails_its_turn_only(settings: Settings) -> None:
    with serving(says("Hi."), fails(400), says("Fine.")) as server:
        pool = pooled(settings, server.url, time.monotonic)
        pool.warm(pool.below(pool.choose("llm")))
        events = [event async for event in Pipeline(pool).turn("Hello")]
        assert isinstance(events[-1], Failure) and "refused the question (400)" in events[-1].sentence
        assert await turn(pool) == ("Fine.", ["Model server"], [])
        pool.close()


async def test_a_server_that_dies_in_its_answer_serves_no_next_turn(settings: Settings) -> None:
    with serving(says("Hi."), begun("I am ", then=Connection.reset)) as server:
        pool = pooled(settings, server.url, time.monotonic)
        pool.warm(pool.below(pool.choose("llm")))
        events = [event async for event in Pipeline(pool).turn("Hello")]
        assert isinstance(events[-1], Failure) and "broke off its answer" in events[-1].sentence
        assert await turn(pool) == ("I am small.", ["SmolLM2 135M"], [])
        pool.close()


@pytest.mark.parametrize("listing", [True, False])
def test_what_a_server_says_is_not_logged(listing: bool, caplog: pytest.LogCaptureFixture, settings: Settings) -> None:
    caplog.set_level(logging.DEBUG)
    refuses = fails(401, f"no {KEY} secret")
    with serving(refuses) as server:
        server.models = refuses if listing else server.models
        pool = pooled(settings, server.url, time.monotonic)
        with pytest.raises(EngineLoadError, match="refuses the key"):
            pool.warm(pool.below(pool.choose("llm")))
        pool.close()
    assert "loading remote failed" in caplog.text
    assert "secret" not in caplog.text and KEY not in caplog.text


def test_a_server_that_is_not_there_is_shown_with_what_to_do(settings: Settings) -> None:
    pool = pooled(settings, NOWHERE, time.monotonic)
    with pytest.raises(EngineLoadError, match="Model server: 127.0.0.1:9 cannot be reached"):
        pool.warm(pool.below(pool.choose("llm")))
    assert pool.status()[0].state == "failed" and "AVATAR_LLM_URL" in pool.status()[0].sentence
    pool.close()


# -- a real llama.cpp server -------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def llama() -> Iterator[LlamaServer]:
    weights.fetch("smollm2-135m", Settings.from_env().weights)
    with llama_server(KEY) as server:
        yield server


@pytest.fixture
def real(llama: LlamaServer) -> Settings:
    return replace(Settings.from_env({}), llm_url=llama.url, llm_key=KEY)


def busy_slots(llama: LlamaServer) -> int:
    headers = {"authorization": f"Bearer {KEY}"}
    return sum(slot["is_processing"] for slot in httpx.get(f"{llama.url}/slots", headers=headers, timeout=60).json())


@pytest.mark.slow
def test_real_server_answers_and_is_read_ahead_to(real: Settings) -> None:
    engine = remote.load(real, lambda _: None)
    question = [Message("system", SYSTEM_PROMPT), Message("user", "Where is the Eiffel Tower?")]
    engine.prefill(question, 0)
    deltas = list(engine.reply(question, 0))
    assert len(deltas) > 3 and "Paris" in "".join(deltas)
    engine.close()


@pytest.mark.slow
def test_real_server_stops_when_the_answer_is_closed(real: Settings, llama: LlamaServer) -> None:
    engine = remote.load(real, lambda _: None)
    for seat in range(4):  # more than it has slots
        answer = engine.reply([Message("user", "Tell me a long story about a king.")], seat)
        next(answer)
        assert busy_slots(llama) == 1
        answer.close()
        deadline = time.monotonic() + 5  # the story takes longer
        while busy_slots(llama) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert busy_slots(llama) == 0
    engine.close()


@pytest.mark.slow
def test_real_server_is_tried_again_where_the_connection_is_reset(real: Settings, llama: LlamaServer) -> None:
    gate = Gate(llama.port)
    engine = remote.load(replace(real, llm_url=gate.url), lambda _: None)
    for resets in (1, 2):
        gate.drop(resets)
        assert "".join(engine.reply(HELLO, 0)) and gate.resets == 0
    gate.drop(9)
    with pytest.raises(EngineError, match="cannot be reached"):
        list(engine.reply(HELLO, 0))
    engine.close()
    gate.close()


@pytest.mark.slow
def test_real_server_that_hangs_is_waited_for_so_long_and_answers_when_it_goes_on(real: Settings) -> None:
    with llama_server(KEY) as server:
        engine = remote.load(replace(real, llm_url=server.url), lambda _: None)
        engine._patience = Patience(first=0.5, next=0.5)
        server.process.send_signal(signal.SIGSTOP)
        started = time.monotonic()
        with pytest.raises(EngineTimeout, match=r"nothing to say for 0\.5 s"):
            list(engine.reply(HELLO, 0))
        assert time.monotonic() - started < 8  # the ordinary wait is 12 s
        server.process.send_signal(signal.SIGCONT)
        engine._patience = Patience()
        assert "".join(engine.reply(HELLO, 0))
        engine.close()


@pytest.mark.slow
def test_real_server_refuses_a_wrong_key_and_an_endless_question(
    real: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(EngineError, match="refuses the key"):
        remote.load(replace(real, llm_key="wrong"), lambda _: None)
    engine = remote.load(real, lambda _: None)
    monkeypatch.setattr(remote, "PROMPT_TOKENS", 100_000)
    with pytest.raises(EngineError, match=r"refused the question \(400\)") as failure:
        list(engine.reply([Message("user", "seven " * 5_000)], 0))
    assert not failure.value.lost
    engine.close()


@pytest.mark.slow
async def test_real_server_dies_in_a_conversation_and_comes_back(real: Settings) -> None:
    now = [100.0]
    rows = [row for row in CATALOG if row.name in ("remote", "llamacpp", "espeak")]
    with llama_server(KEY) as server:
        pool = EnginePool(replace(real, llm_url=server.url), rows, clock=lambda: now[0])
        best = next(row for row in rows if row.name == "remote")
        pool.warm(best)
        reply, llms, notices = await turn(pool, "Where is the Eiffel Tower?")
        assert "Paris" in reply and llms == ["Model server"] and notices == []
        server.kill()
        reply, llms, notices = await turn(pool, "What is the capital of Italy?")
        assert reply and llms == ["Model server", "SmolLM2 135M"]
        assert [notice.code for notice in notices] == ["STEPPED_DOWN"] and "cannot be reached" in notices[0].sentence
        with pytest.raises(EngineLoadError, match="cannot be reached"):
            pool.warm(best)
        with llama_server(KEY, server.port) as again:
            assert again.url == server.url
            assert (await turn(pool))[1] == ["SmolLM2 135M"]
            now[0] += 2 * RETRY_S
            pool.warm(best)
            reply, llms, notices = await turn(pool, "Where is the Eiffel Tower?")
            assert "Paris" in reply and llms == ["Model server"] and notices == []
            pool.close()
