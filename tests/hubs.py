"""A model hub on the loopback that can be slow, cut, silent, short, wrong, gated or deaf to ranges."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from avatar.weights import HubFile, HubFiles, Weight

REVISION = "c0ffee" * 6 + "cafe"


@dataclass
class Hub:
    """`contents` by path. `manners` are for the next answers to GET, one each; then it behaves.

    cut N: the connection ends after N bytes; stall N: silence after them; short N: they are all, and are said to be;
    an int: that status; deaf: no ranges; wrong: other bytes; longer: more bytes; shifted: another piece than asked for.
    """

    contents: dict[str, bytes]
    manners: list[str | int] = field(default_factory=list)
    head: int = 200  # status of every HEAD
    digests: bool = True  # whether it says what a file should be
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    address: str = ""
    go_on: threading.Event = field(default_factory=threading.Event)  # ends every silence

    def gets(self) -> list[str]:
        return [span for method, _, span in self.asked if method == "GET"]


def weight(name: str, hub: Hub, *, known: bool = True) -> Weight:
    """A row of the table for everything the hub has; without `known`, sizes are estimates and digests the hub's."""
    rows = []
    for path, content in hub.contents.items():
        sha256 = hashlib.sha256(content).hexdigest() if known else ""
        rows.append(HubFile(path, len(content) if known else 7, sha256))
    return Weight(name, HubFiles("org/repo", REVISION, tuple(rows)), "MIT", "a test")


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None: ...

        def handle(self) -> None:
            with suppress(ConnectionError):  # the client has had enough
                super().handle()

        def _content(self) -> bytes | None:
            self.span = self.headers.get("Range", "")
            hub.asked.append((self.command, self.path, self.span))
            prefix = f"/org/repo/resolve/{REVISION}/"
            return hub.contents.get(self.path.removeprefix(prefix).removeprefix("/moved/"))

        def _answer(self, status: int, length: int, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()

        def do_HEAD(self) -> None:
            content = self._content()
            if hub.head != 200 or content is None:
                self._answer(404 if hub.head == 200 else hub.head, 0)
            elif not hub.digests:
                self._answer(200, len(content), ETag='"3f2a"')
            elif self.path.startswith("/org/repo"):  # as the real one: first to another address of its own
                self._answer(307, 0, Location="/moved/" + self.path.partition(REVISION + "/")[2])
            elif self.path.endswith(".bin"):  # then large files to the storage, saying what they should be
                sha256 = hashlib.sha256(content).hexdigest()
                size = str(len(content))
                self._answer(302, 0, Location="http://0.0.0.0/", X_Linked_Etag=f'"{sha256}"', X_Linked_Size=size)
            else:
                blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
                self._answer(200, len(content), ETag=f'W/"{blob}"')

        def do_GET(self) -> None:
            content, manner = self._content(), hub.manners.pop(0) if hub.manners else ""
            if isinstance(manner, int) or content is None:
                self._answer(manner if isinstance(manner, int) else 404, 0)
                return
            what, _, number = manner.partition(" ")
            at = 0 if what == "deaf" else int(self.span.removeprefix("bytes=").rstrip("-") or 0)
            if at and at >= len(content):
                self._answer(416, 0)
                return
            body = content[at:]
            if what == "wrong":
                body = bytes(len(body))
            if what == "longer":
                body += b"more"
            sent = body[: int(number)] if number else body
            headers = {"Content_Range": f"bytes {at + (what == 'shifted')}-/{len(content)}"} if at else {}
            self._answer(206 if at else 200, len(sent) if what == "short" else len(body), **headers)
            self.wfile.write(sent)
            self.wfile.flush()
            if what == "stall":
                hub.go_on.wait(60)
            self.close_connection = what in ("cut", "stall")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    hub.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        hub.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()
