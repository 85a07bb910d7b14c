"""llama.cpp's adapter: the bridge from callback to generator around a fake server, and the real SmolLM2."""

import sys
import threading
import time
import urllib.error
from collections.abc import Iterator
from http.client import BadStatusLine
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import pytest

from avatar import replica, weights
from avatar.engines import llamacpp, prompt
from avatar.engines.answer import ENOUGH
from avatar.engines.base import Message
from avatar.engines.calls import Timeouts
from avatar.engines.llamacpp import EXAMPLES, LlamaCppLLM, _Pushed
from avatar.errors import EngineError, EngineTimeout
from avatar.settings import Settings

HELLO = [Message("system", "Be brief."), Message("user", "Hello")]


class FakeServer:
    """Pushes the chunks, `delay_s` before each; stops like the real one, only when the callback returns True."""

    def __init__(self, *chunks: Any, delay_s: float = 0.0) -> None:
        self.chunks, self.delay_s, self.requests = chunks, delay_s, []
        self.pushed, self.ended = 0, threading.Event()
        self.listening_address = ""

    def handle_chat_completions(self, prompt: dict[str, Any], callback: llamacpp.Callback) -> None:
        self.requests.append(prompt)
        for chunk in self.chunks:
            time.sleep(self.delay_s)
            if isinstance(chunk, Exception):
                raise chunk
            self.pushed += 1
            if callback(chunk if isinstance(chunk, dict) else {"choices": [{"delta": {"content": chunk}}]}):
                break
        self.ended.set()


def test_deltas_arrive_in_order_and_on_one_line() -> None:
    server = FakeServer({"choices": [{"delta": {"role": "assistant", "content": None}}]}, "Hel", "lo.\n\n", "You", {})
    assert list(LlamaCppLLM(server, 5).reply(HELLO, 0)) == ["Hel", "lo. ", "You"]


def test_a_seat_keeps_its_slot_and_examples_stand_after_the_system_message() -> None:
    server = FakeServer("a")
    engine = LlamaCppLLM(server, 3, EXAMPLES)
    for seat in (0, 2, 4):
        list(engine.reply(HELLO, seat))
    assert [request["id_slot"] for request in server.requests] == [0, 2, 1]
    roles = [message["role"] for message in server.requests[0]["messages"]]
    assert roles == ["system", *["user", "assistant"] * (len(EXAMPLES) // 2), "user"]


def test_closing_stops_the_server_within_a_token() -> None:
    server = FakeServer(*["word "] * 10_000, delay_s=0.001)
    answer = LlamaCppLLM(server, 1).reply(HELLO, 0)
    next(answer)
    time.sleep(0.1)  # the queue is full by now, and the server's thread waits in it
    started = time.monotonic()
    answer.close()
    assert time.monotonic() - started < 1  # of the 10 s that its words take
    assert server.ended.wait(5)
    assert server.pushed <= llamacpp.QUEUE_ITEMS + 4


def test_an_error_dict_and_an_exception_are_raised() -> None:
    full = {"error": {"code": 400, "message": "request exceeds the available context size"}}
    with pytest.raises(EngineError, match="available context size") as failure:
        list(LlamaCppLLM(FakeServer(full), 1).reply(HELLO, 0))
    assert (failure.value.stage, failure.value.engine) == ("llm", "llamacpp")
    answer = LlamaCppLLM(FakeServer("a", RuntimeError("out of memory")), 1).reply(HELLO, 0)
    assert next(answer) == "a"
    with pytest.raises(EngineError, match="out of memory"):
        next(answer)


def test_a_silent_server_times_out() -> None:
    server = FakeServer("late", delay_s=0.3)
    with pytest.raises(EngineTimeout, match="said nothing for 0.05 s"):
        list(LlamaCppLLM(server, 1, stall_s=0.05).reply(HELLO, 0))
    assert server.ended.wait(5)


def test_a_long_answer_ends_with_its_sentence() -> None:
    sentence = [" This", " is", " a", " sentence", " of", " some", " length", "."]
    text = "".join(LlamaCppLLM(FakeServer(*sentence * 20), 1).reply(HELLO, 0))
    assert text.rstrip().endswith(".") and ENOUGH < len(text) < ENOUGH + 80


def test_a_long_answer_in_chinese_ends_with_its_sentence() -> None:
    text = "".join(LlamaCppLLM(FakeServer(*"今天的天氣很好，我們去公園走走吧。" * 20), 1).reply(HELLO, 0))
    assert text.endswith("。") and ENOUGH < 3 * len(text) < ENOUGH + 60


@pytest.mark.parametrize("trouble", [urllib.error.URLError("refused"), BadStatusLine("?"), TimeoutError()])
def test_a_model_whose_state_cannot_be_copied_serves_all_the_same(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise trouble

    server = FakeServer("Hi.")
    server.listening_address = "http://127.0.0.1:1"
    library = SimpleNamespace(CommonParams=MagicMock, Server=lambda params: server)
    monkeypatch.setitem(sys.modules, "xllamacpp", library)
    monkeypatch.setattr(llamacpp._direct, "open", refuse)
    monkeypatch.setattr(llamacpp.atexit, "register", lambda function: function)
    engine = llamacpp.load(Settings(gguf=Path(__file__)), lambda fraction: None)
    assert "".join(engine.reply(HELLO, 1)) == "Hi."
    engine.close()


def test_close_ends_what_runs_and_refuses_what_comes() -> None:
    server = FakeServer(*["word "] * 10_000, delay_s=0.001)
    engine = LlamaCppLLM(server, 1)
    answer = engine.reply(HELLO, 0)
    next(answer)
    engine.close()
    assert server.ended.is_set()
    with pytest.raises(EngineError, match="closed"):
        next(engine.reply(HELLO, 0))


def test_who_waits_for_a_token_is_told_at_once_that_the_model_was_closed() -> None:
    waiting, go_on = threading.Event(), threading.Event()

    class Hanging:
        def handle_chat_completions(self, prompt: dict[str, Any], callback: llamacpp.Callback) -> None:
            waiting.set()
            go_on.wait(20)

    engine = LlamaCppLLM(Hanging(), 1)
    told: list[EngineError] = []

    def read() -> None:
        try:
            list(engine.reply(HELLO, 0))
        except EngineError as error:
            told.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    assert waiting.wait(20)
    engine.close()
    reader.join(10)  # and not STALL_S
    go_on.set()
    assert [(error.sentence, error.lost) for error in told] == [("The language model was closed.", True)]


def test_who_asks_gives_a_hanging_engine_up_before_it_excuses_itself() -> None:
    assert max(Timeouts().llm, replica.ITEM_S + 5) < llamacpp.STALL_S  # Ray asks for its health each 5 s


def test_close_ends_both_of_two_who_began_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LlamaCppLLM(FakeServer(*["word "] * 10_000, delay_s=0.001), 3)
    answers = [engine.reply(HELLO, seat) for seat in range(3)]
    third = threading.Thread(target=next, args=(answers[2],))
    running = _Pushed.running.fget

    def meanwhile(call: _Pushed) -> bool:
        """While the second looks who runs, the third begins, unless it has to wait."""
        if third.ident is None:
            third.start()
            third.join(0.2)
        return bool(running(call))  # type: ignore[misc]

    monkeypatch.setattr(_Pushed, "running", property(meanwhile))
    next(answers[0])
    next(answers[1])
    third.join(20)
    engine.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "llamacpp"]


def test_only_the_smallest_model_is_stopped_when_it_goes_in_circles() -> None:
    said = ("I hope you are well.", " I hope you are happy.", " I hope", *[" so"] * 500)
    server = FakeServer(*said, delay_s=0.001)
    assert "".join(LlamaCppLLM(server, 1, EXAMPLES).reply(HELLO, 0)) == "I hope you are well."
    assert server.ended.wait(5) and server.pushed < 100
    larger = "".join(LlamaCppLLM(FakeServer(*said[:3]), 1).reply(HELLO, 0))
    assert larger == "I hope you are well. I hope you are happy. I hope"


@pytest.fixture(scope="module")
def engine() -> Iterator[LlamaCppLLM]:
    settings = Settings.from_env()
    weights.fetch("smollm2-135m", settings.weights)
    seen: list[float] = []
    loaded = llamacpp.load(settings, seen.append)
    assert seen == sorted(seen) and seen[-1] == 1.0
    yield loaded
    loaded.close()


@pytest.mark.slow
def test_real_answer_streams_and_names_the_capital(engine: LlamaCppLLM) -> None:
    deltas = list(
        engine.reply([Message("system", llamacpp.SYSTEM_PROMPT), Message("user", "What is the capital of France?")], 0)
    )
    assert len(deltas) > 3
    assert "Paris" in "".join(deltas)


@pytest.mark.slow
def test_every_real_slot_has_read_the_beginning(engine: LlamaCppLLM) -> None:
    def seconds(system: str, seat: int) -> float:
        started = time.process_time()  # not the clock's: the machine may be busy
        engine.prefill([Message("system", system), Message("user", "Who are you?")], seat)
        return time.process_time() - started

    known = [seconds(llamacpp.SYSTEM_PROMPT, seat) for seat in (3, 4)]
    unknown = [seconds(f"{seat}. {llamacpp.SYSTEM_PROMPT}", seat) for seat in (3, 4)]
    assert max(known) < min(unknown) / 3


@pytest.mark.slow
def test_real_answer_is_cancelled_and_the_slot_serves_again(engine: LlamaCppLLM) -> None:
    for _ in range(3):
        answer = engine.reply([Message("user", "Tell me a long story about a king.")], 1)
        next(answer)
        started = time.monotonic()
        answer.close()
        assert time.monotonic() - started < 1  # the story takes longer
    assert "".join(engine.reply(HELLO, 1))


@pytest.mark.slow
def test_real_context_overflow_is_an_error_not_silence(engine: LlamaCppLLM, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt, "tokens", lambda message: 1)  # an estimate that is far too low
    with pytest.raises(EngineError, match="context size"):
        list(engine.reply([Message("user", "seven " * 3000)], 2))
