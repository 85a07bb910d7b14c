"""The `remote` engine against a server that fails in every way."""

import logging
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from model_server import KEY, Answer, Connection, ModelServer, begun, fails, says, serving

from avatar.engines import remote
from avatar.engines.base import SYSTEM_PROMPT, Message
from avatar.engines.catalog import CATALOG
from avatar.engines.llamacpp import tokens
from avatar.engines.pool import EnginePool
from avatar.engines.remote import Patience, RemoteLLM
from avatar.errors import EngineError, EngineTimeout
from avatar.settings import Settings

HELLO = [Message("system", "Be brief."), Message("user", "Tell me a secret.")]
SHORT = Patience(models=5.0, load=5.0, first=0.06, next=5.0)
NOWHERE = "http://127.0.0.1:9/v1"  # the discard port: nobody listens


@contextmanager
def connected(server: ModelServer, patience: Patience | None = None, model: str = "tiny") -> Iterator[RemoteLLM]:
    from avatar.engines.remote_client import Client

    engine = RemoteLLM(Client(server.url, KEY), model, patience)
    try:
        yield engine
    finally:
        engine.close()


def asked(*answers: Answer, patience: Patience | None = None) -> tuple[list[str], EngineError | None, ModelServer]:
    """What comes of one question: the deltas, then the error; and the server, to look at what it was asked."""
    deltas: list[str] = []
    with serving(*answers) as server, connected(server, patience) as engine:
        try:
            for delta in engine.reply(HELLO, 0):
                deltas.append(delta)
        except EngineError as error:
            assert error.sentence.startswith(server.host) and KEY not in error.sentence and "secret" not in str(error)
            assert (error.stage, error.engine) == ("llm", "remote")
            return deltas, error, server
    return deltas, None, server


# -- what is asked ----------------------------------------------------------------------------------------------------
def test_deltas_arrive_as_they_come_and_the_question_is_what_it_should_be() -> None:
    deltas, error, server = asked(says("", "Hel", None, "lo.", " Bye."))
    assert (deltas, error) == (["Hel", "lo.", " Bye."], None)
    (question,) = server.questions
    assert question == {
        "model": "tiny",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tell me a secret."}],
        "max_tokens": remote.MAX_TOKENS,
        "stream": True,
    }


def test_only_the_key_identifies_us(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    for name in ("API_KEY", "ADMIN_KEY", "ORG_ID", "PROJECT_ID"):
        monkeypatch.setenv(f"OPENAI_{name}", "theirs")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Theirs: theirs\nAuthorization: theirs")
    monkeypatch.setenv("OPENAI_BASE_URL", NOWHERE)
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, NOWHERE)
    with serving() as server:
        for key in (KEY, ""):
            remote.load(replace(settings, llm_url=server.url, llm_key=key), lambda _: None).close()
        keys = [request.headers.pop("authorization", None) for request in server.asked]
        assert keys == [f"Bearer {KEY}"] * 2 + [None] * 2
        for request in server.asked:
            assert set(request.headers) <= {
                *("host", "accept", "accept-encoding", "connection", "content-type", "content-length", "user-agent")
            }
            assert "theirs" not in str(request.headers)


def test_nothing_of_words_or_key_is_logged(caplog: pytest.LogCaptureFixture, settings: Settings, quick: None) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(says("Hello."), fails(500, f"no {KEY} secret"), says("A secret.")) as server:
        engine = remote.load(replace(settings, llm_url=server.url, llm_key=KEY), lambda _: None)
        assert list(engine.reply(HELLO, 0)) == ["A secret."]
        engine.close()
    assert "serves 'tiny'" in caplog.text
    assert "secret" not in caplog.text and KEY not in caplog.text
    assert KEY not in repr(Settings(llm_key=KEY))


@pytest.mark.parametrize("url", ["http://{}", "http://{}/", "http://{}/v1", "http://{}/v1/"])
def test_the_usual_path_may_be_left_out(url: str, settings: Settings) -> None:
    with serving() as server:
        remote.load(replace(settings, llm_url=url.format(server.host)), lambda _: None).close()
        assert [request.path for request in server.asked] == ["/v1/models", "/v1/chat/completions"]


def test_the_history_fits_what_ollama_remembers() -> None:
    history = [HELLO[0], *[Message(role, "word " * 90) for _ in range(60) for role in ("user", "assistant")], HELLO[1]]
    with serving(says("Yes.")) as server, connected(server) as engine:
        list(engine.reply(history, 0))
        sent = server.questions[0]["messages"]
    assert sent[0]["content"] == "Be brief." and sent[-1]["content"] == "Tell me a secret."
    assert sum(tokens(Message(**message)) for message in sent) <= remote.PROMPT_TOKENS and len(sent) > 8


# -- load -------------------------------------------------------------------------------------------------------------
def test_load_chooses_the_first_model_and_has_it_answer(settings: Settings) -> None:
    seen: list[float] = []
    with serving() as server:
        server.names = ("first", "second")
        remote.load(replace(settings, llm_url=server.url), seen.append).close()
        assert seen == [0.1, 1.0]
        assert [q["model"] for q in server.questions] == ["first"]
        assert server.questions[0]["messages"][0]["content"] == SYSTEM_PROMPT
        remote.load(replace(settings, llm_url=server.url, llm_model="third"), seen.append).close()
        assert server.questions[-1]["model"] == "third"


def test_a_server_without_a_list_needs_the_name(settings: Settings) -> None:
    with serving() as server:
        server.models = fails(404)
        with pytest.raises(EngineError, match="lists no model.*AVATAR_LLM_MODEL"):
            remote.load(replace(settings, llm_url=server.url), lambda _: None)
        remote.load(replace(settings, llm_url=server.url, llm_model="mine"), lambda _: None).close()


@pytest.mark.parametrize(
    ("listing", "answer", "words"),
    [
        (fails(401, f"bad key {KEY}"), says("x"), "refuses the key. Check AVATAR_LLM_KEY"),
        (fails(307, location="http://127.0.0.1:9/"), says("x"), "points elsewhere.*final address"),
        (fails(500), says("x"), "failed .500."),
        (lambda c: c.status(200, b"<html>", content_type="text/html"), says("x"), "does not speak the OpenAI protocol"),
        (lambda c: c.status(200, b"{not json"), says("x"), "does not speak the OpenAI protocol"),
        (lambda c: c.status(200, {"data": 5}), says("x"), "does not speak the OpenAI protocol"),
        (lambda c: c.hang(), says("x"), "nothing to say for 0.1 s"),
        (None, fails(404), "does not know this model"),
        (None, lambda c: c.hang(), "nothing to say for 0.1 s"),
    ],
)
def test_load_says_what_to_do(
    listing: Answer | None, answer: Answer, words: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurried = replace(Patience(), **{"models" if listing else "load": 0.1})
    monkeypatch.setattr(remote, "Patience", lambda: hurried)
    with serving(answer) as server:
        server.models = listing or server.models
        with pytest.raises(EngineError, match=words) as failure:
            remote.load(replace(settings, llm_url=server.url, llm_key=KEY), lambda _: None)
        assert failure.value.sentence.startswith(server.host) and KEY not in failure.value.sentence
        assert failure.value.lost
    assert not [thread for thread in threading.enumerate() if thread.name == "remote"]


def test_no_server_is_said_within_two_seconds(settings: Settings) -> None:
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"127.0.0.1:9 cannot be reached \(ConnectionRefusedError\). Is the server"):
        remote.load(replace(settings, llm_url=NOWHERE), lambda _: None)
    assert time.monotonic() - started < 2


def test_a_server_that_does_not_accept_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    from avatar.engines.remote_client import Client

    monkeypatch.setattr("avatar.engines.remote_client.CONNECT_S", 0.05)
    monkeypatch.setattr("avatar.engines.remote_client.RETRIES_S", (5.0,))
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.create_connection(full.getsockname()):
        engine = RemoteLLM(Client("http://{}:{}/v1".format(*full.getsockname()), KEY), "tiny")
        started = time.monotonic()
        with pytest.raises(EngineTimeout, match="did not accept a connection within 0.05 s") as failure:
            next(engine.reply(HELLO, 0))
        assert failure.value.lost and time.monotonic() - started < 2
        engine.close()


def test_it_exists_only_with_its_setting(settings: Settings) -> None:
    rows = {row.name: row for row in EnginePool(settings, CATALOG).status()}
    assert rows["remote"].state == "absent" and "AVATAR_LLM_URL is empty" in rows["remote"].sentence
    set_up = EnginePool(replace(settings, llm_url=NOWHERE), CATALOG).status()
    assert next(row.state for row in set_up if row.name == "remote") == "cold"


def test_importing_the_adapter_costs_nothing() -> None:
    code = "import sys, avatar.engines.remote; print('openai' in sys.modules, 'httpx2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


# -- what comes back --------------------------------------------------------------------------------------------------
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
        assert server.gone.wait(1)
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
    assert len(server.questions) == 3 and time.monotonic() - started < 1  # whatever Retry-After says


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
        assert server.gone.wait(1)
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
    assert len(server.questions) <= 1 and (server.gone.wait(1) or not server.questions)  # none: a very busy machine


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
    assert server.gone.wait(1) and len(server.questions) == 1


def test_the_end_is_the_models_not_the_connections() -> None:
    def lingers(connection: Connection) -> None:
        says("All.", done=False)(connection)
        connection.hang()

    deltas, error, server = asked(lingers)
    assert (deltas, error) == (["All."], None)
    assert server.gone.wait(1)


# -- cancelling -------------------------------------------------------------------------------------------------------
def test_closing_closes_the_connection_at_once() -> None:
    with serving(begun("One", then=Connection.hang)) as server, connected(server) as engine:
        answer = engine.reply(HELLO, 0)
        assert next(answer) == "One" and not server.gone.is_set()
        started = time.monotonic()
        answer.close()
        assert time.monotonic() - started < 0.1
        assert server.gone.wait(1)


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
        waiter.join(1)
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
        begun("One", then=lambda c: (go.wait(1), c.say(" two.", finish="stop")))(connection)

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
        closing.join(1)
        assert not closing.is_alive()
        engine.close()  # twice is harmless


# -- reading ahead ----------------------------------------------------------------------------------------------------
def test_a_server_here_reads_ahead_and_answers_after_it() -> None:
    order: list[int] = []
    go = threading.Event()

    def read(connection: Connection) -> None:
        go.wait(1)
        order.append(1)
        says("x", finish="length")(connection)

    def answer(connection: Connection) -> None:
        order.append(2)
        says("Yes.")(connection)

    with serving(read, answer) as server, connected(server) as engine:
        reading = threading.Thread(target=engine.prefill, args=(HELLO, 0))
        reading.start()
        while not server.questions:
            time.sleep(0.001)
        threading.Timer(0.02, go.set).start()
        assert list(engine.reply(HELLO, 0)) == ["Yes."]
        reading.join(1)
        assert order == [1, 2]
        assert [q["max_tokens"] for q in server.questions] == [1, remote.MAX_TOKENS]
        assert server.questions[0]["messages"] == server.questions[1]["messages"]


def test_nothing_is_sent_ahead_to_other_machines() -> None:
    class Elsewhere:
        host = "models.example.org"

        async def models(self) -> list[str]:
            raise AssertionError

        async def answer(self, *_: object) -> None:
            raise AssertionError

        async def close(self) -> None:
            """Nothing is open."""

    engine = RemoteLLM(Elsewhere(), "tiny", SHORT)
    engine.prefill(HELLO, 0)
    engine.close()
