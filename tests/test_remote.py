"""The `remote` engine: what it asks, what its loading says, what it reads ahead."""

import logging
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from model_server import KEY, Answer, Connection, fails, says, serving
from remotes import HELLO, NOWHERE, SHORT, asked, connected

from avatar.engines import remote
from avatar.engines.base import SYSTEM_PROMPT, Message
from avatar.engines.catalog import CATALOG
from avatar.engines.pool import EnginePool
from avatar.engines.prompt import tokens
from avatar.engines.remote import Patience, RemoteLLM
from avatar.errors import EngineError, EngineTimeout
from avatar.settings import Settings


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
    if "0.1 s" in words:  # the others are given their time, however busy the machine is
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


def test_a_server_here_reads_ahead_and_answers_after_it() -> None:
    order: list[int] = []
    go = threading.Event()

    def read(connection: Connection) -> None:
        go.wait(10)
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
        reading.join(5)
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
