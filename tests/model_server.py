"""A stand-in for an OpenAI-compatible server on loopback, which answers as a test says and can fail in every way."""

import json
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-open-sesame"


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: Any


Answer = Callable[["Connection"], None]


class Connection(BaseHTTPRequestHandler):
    """One request; an Answer writes to it as it likes."""

    protocol_version = "HTTP/1.1"
    server: "ModelServer"

    def do_GET(self) -> None:
        self._take(None)
        self.server.models(self)

    def do_POST(self) -> None:
        self._take(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)  # the last is for whatever else comes

    def _take(self, body: Any) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append(Asked(self.command, self.path, headers, body))

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True

    def say(self, *deltas: object, finish: str | None = None) -> None:
        for delta in deltas:
            self.event({"choices": [{"index": 0, "delta": {"content": delta}, "finish_reason": None}]})
        if finish:
            self.event({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})

    def event(self, data: object) -> None:
        self.raw(f"data: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode())

    def raw(self, data: bytes) -> None:
        self.wfile.write(data)

    def hang(self) -> None:
        """Send nothing more until the client has gone or the server ends."""
        while not select.select([self.connection], [], [], 0.005)[0]:
            if self.server.ended.is_set():
                return
        self.server.gone.set()  # also when this thread comes so late that the server has ended since

    def reset(self) -> None:
        """End the connection without another word, as a process that dies does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def status(self, code: int, body: object, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in {"content-type": "application/json", "content-length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.raw(data)

    def log_message(self, *args: object) -> None:
        """Not to stderr."""

    def finish(self) -> None:
        try:
            super().finish()
        except OSError:  # the client left first
            self.server.gone.set()


@dataclass
class ModelServer(ThreadingHTTPServer):
    names: tuple[str, ...] = ("tiny",)
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.models: Answer = lambda connection: connection.status(200, {"data": [{"id": n} for n in self.names]})
        super().__init__(("127.0.0.1", 0), Connection)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/v1"

    @property
    def questions(self) -> list[Any]:
        return [asked.body for asked in self.asked if asked.method == "POST"]

    def handle_error(self, request: object, client_address: object) -> None:
        self.gone.set()  # a write failed: the client has left


def says(*deltas: object, finish: str | None = "stop", done: bool = True) -> Answer:
    def answer(connection: Connection) -> None:
        connection.begin()
        connection.say(*deltas, finish=finish)
        if done:
            connection.event("[DONE]")

    return answer


def begun(*deltas: str, then: Answer) -> Answer:
    def answer(connection: Connection) -> None:
        connection.begin()
        connection.say(*deltas)
        then(connection)

    return answer


def fails(code: int, message: str = "", **headers: str) -> Answer:
    return lambda connection: connection.status(code, {"error": {"message": message}}, **headers)


@contextmanager
def serving(*answers: Answer) -> Iterator[ModelServer]:
    server = ModelServer(answers=list(answers) or [says("Hello.")])
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
