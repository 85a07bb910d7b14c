"""The `remote` engine before the stand-in for a server, and what comes of one question. Not a test itself."""

from collections.abc import Iterator
from contextlib import contextmanager

from model_server import KEY, Answer, ModelServer, serving

from avatar.engines.base import Message
from avatar.engines.remote import Patience, RemoteLLM
from avatar.errors import EngineError

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
