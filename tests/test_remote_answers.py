"""The `remote` engine's answers from a server that fails in every way, and those that are closed."""

import threading
import time
from dataclasses import replace

import pytest
from model_server import Answer, Connection, begun, fails, says, serving
from remotes import HELLO, SHORT, asked, connected

from avatar.engines import remote
from avatar.engines.remote import Patience
from avatar.errors import EngineError, EngineTimeout
from avatar.settings import Settings


def test_thoughts_are_not_spoken() -> None:
    deltas, _, _ = asked(says("<th", "ink>They want ", "a secret.</thi", "nk>\n\n", "No."))
    assert deltas == ["No."]
    deltas, _, _ = asked(
        lambda c: (c.begin(), c.event({"choices": [{"delta": {"reasoning_content": "Hm"}}]}), says("No.")(c))
    )
    assert deltas == ["No."]


def test_a_model_whose_template_opens_the_thought_is_known_after_load(settings: Settings) -> None:
    thinks = says("They greet me.", "</think>", "Hello.")
    with serving(thinks) as server:
        engine = remote.load(replace(settings, llm_url=server.url), lambda _: None)
        assert list(engine.reply(HELLO, 0)) == ["Hello."]
        engine.close()


def test_a_long_answer_ends_with_its_sentence_and_the_server_may_stop() -> None:
    def endless(connection: Connection) -> None:
        connection.begin()
        while True:
            connection.say("This is one of many sentences. ")

    with serving(endless) as server, connected(server) as engine:
        text = "".join(engine.reply(HELLO, 0))
        assert server.gone.wait(5)
    assert text.endswith("sentences.") and 140 < len(text) < 200


@pytest.mark.parametrize("first", [fails(429), fails(503), fails(500), Connection.reset])
def test_it_is_tried_again_before_the_first_token(first: Answer, quick: None) -> None:
    deltas, error, server = asked(first, first, says("Here."))
    assert (deltas, error) == (["Here."], None) and len(server.questions) == 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (fails(429, retry_after="3600"), "is too busy (429)."),
        (fails(500), "failed (500)."),
        (Connection.reset, "cannot be reached ("),
        (begun(then=lambda c: None), "broke off its answer."),
    ],
)
def test_it_is_given_up_after_three_attempts(answer: Answer, words: str, quick: None) -> None:
    started = time.monotonic()
    deltas, error, server = asked(answer)
    assert not deltas and error and words in error.sentence and error.lost
    assert len(server.questions) == 3 and time.monotonic() - started < 10  # whatever Retry-After says


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_question_that_is_refused_says_nothing_against_the_engine(code: int) -> None:
    deltas, error, server = asked(fails(code, "the secret is too long"))
    assert not deltas and error and f"refused the question ({code})" in error.sentence and not error.lost
    assert len(server.questions) == 1


@pytest.mark.parametrize("end", [Connection.reset, lambda c: None, lambda c: c.event({"error": {"message": "secret"}})])
def test_half_an_answer_is_not_asked_for_again(end: Answer) -> None:
    deltas, error, server = asked(begun("One", " two", then=end))
    assert deltas == ["One", " two"] and error and error.lost
    assert "broke off" in error.sentence or "failed while it answered" in error.sentence
    assert len(server.questions) == 1


@pytest.mark.parametrize(
    "garbage",
    [
        b"data: {no json}\n\n",
        b"data: \xff\xfe\n\n",
        b'data: {"choices": 7}\n\n',
        b'data: {"choices": [{"delta": 1}]}\n\n',
    ]
    + [b"data: []\n\n", b'data: "x"\n\n', b'data: {"choices": [{"delta": {"content": {"a": 1}}}]}\n\n'],
)
def test_garbage_is_an_error_in_words(garbage: bytes) -> None:
    deltas, error, _ = asked(begun(then=lambda c: c.raw(garbage)))
    assert not deltas and error and "does not speak the OpenAI protocol" in error.sentence


def test_what_no_database_takes_is_replaced() -> None:
    deltas, error, _ = asked(begun("a\ud83d", then=lambda c: c.say(finish="stop")))
    assert (deltas, error) == (["a?"], None)


def test_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("avatar.engines.remote_client.MAX_BYTES", 100_000)
    sent = 0

    def endless(connection: Connection) -> None:
        nonlocal sent
        connection.begin()
        connection.raw(b"data: ")
        while True:
            connection.raw(b"x" * 10_000)
            sent += 10_000

    with serving(endless) as server, connected(server) as engine:
        with pytest.raises(EngineError, match="does not speak"):
            next(engine.reply(HELLO, 0))
        assert server.gone.wait(5)
    assert sent < 20 << 20  # what fits into the kernel's buffers


def dribble(connection: Connection) -> None:
    """What keeps a read timeout from ever firing."""
    connection.begin()
    while True:
        time.sleep(0.01)
        connection.raw(b": still thinking\n\n")


@pytest.mark.parametrize("answer", [Connection.hang, begun(then=Connection.hang), dribble])
def test_the_first_word_is_waited_for_so_long_and_no_longer(answer: Answer) -> None:
    started = time.monotonic()
    deltas, error, server = asked(answer, patience=SHORT)
    assert isinstance(error, EngineTimeout) and error.lost and "nothing to say for 0.06 s" in error.sentence
    assert not deltas and 0.06 <= time.monotonic() - started < 5  # the ordinary wait is 12 s
    assert len(server.questions) <= 1 and (server.gone.wait(5) or not server.questions)  # none: a very busy machine


def test_thoughts_do_not_put_the_deadline_off() -> None:
    def think(connection: Connection) -> None:
        connection.begin()
        connection.say("<think>")
        while True:
            time.sleep(0.01)
            connection.say("hm ")

    deltas, error, _ = asked(think, patience=SHORT)
    assert not deltas and isinstance(error, EngineTimeout)


def test_a_stream_that_stalls_is_ended() -> None:
    deltas, error, server = asked(begun("One", then=Connection.hang), patience=Patience(next=0.06))
    assert deltas == ["One"] and isinstance(error, EngineTimeout) and "for 0.06 s" in error.sentence
    assert server.gone.wait(5) and len(server.questions) == 1


def test_the_end_is_the_models_not_the_connections() -> None:
    def lingers(connection: Connection) -> None:
        says("All.", done=False)(connection)
        connection.hang()

    deltas, error, server = asked(lingers)
    assert (deltas, error) == (["All."], None)
    assert server.gone.wait(5)


def test_closing_closes_the_connection_at_once() -> None:
    with serving(begun("One", then=Connection.hang)) as server, connected(server) as engine:
        answer = engine.reply(HELLO, 0)
        assert next(answer) == "One" and not server.gone.is_set()
        started = time.monotonic()
        answer.close()
        assert time.monotonic() - started < 2  # the ordinary wait is 12 s
        assert server.gone.wait(5)


def test_a_seats_next_question_ends_the_one_that_still_waits() -> None:
    with serving(Connection.hang, says("Second."), Connection.hang) as server, connected(server) as engine:
        ended: list[EngineError] = []

        def wait() -> None:
            try:
                next(engine.reply(HELLO, 0))
            except EngineError as error:
                ended.append(error)

        waiter = threading.Thread(target=wait)
        waiter.start()
        while not server.questions:
            time.sleep(0.001)
        assert list(engine.reply(HELLO, 0)) == ["Second."]
        waiter.join(5)
        assert len(ended) == 1 and not ended[0].lost and server.gone.is_set()


def test_seats_do_not_wait_for_each_other() -> None:
    with serving(begun("One", then=Connection.hang), says("Two.")) as server, connected(server) as engine:
        first = engine.reply(HELLO, 0)
        assert next(first) == "One"
        assert list(engine.reply(HELLO, 1)) == ["Two."]
        assert not server.gone.is_set()
        first.close()


def test_closing_the_engine_lets_answers_end_and_refuses_new_ones() -> None:
    go = threading.Event()

    def slow(connection: Connection) -> None:
        begun("One", then=lambda c: (go.wait(10), c.say(" two.", finish="stop")))(connection)

    with serving(slow) as server, connected(server) as engine:
        answer = engine.reply(HELLO, 0)
        assert next(answer) == "One"
        closing = threading.Thread(target=engine.close)
        closing.start()
        with pytest.raises(EngineError, match="was disconnected"):
            while True:  # until close has begun
                next(engine.reply(HELLO, 1))
        go.set()
        assert list(answer) == [" two."]
        closing.join(5)
        assert not closing.is_alive()
        engine.close()  # twice is harmless
