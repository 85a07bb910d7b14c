"""A real llama.cpp server with the bundled SmolLM2, in a process that can be killed. Run: PORT KEY (0: a free port).

Prints its address when it answers, and ends with its stdin.
"""

import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from avatar import weights
from avatar.settings import Settings


@dataclass
class LlamaServer:
    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def llama_server(key: str, port: int = 0) -> Iterator[LlamaServer]:
    command = [sys.executable, __file__, str(port), key]
    pipe, env = subprocess.PIPE, os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, env=env)
    assert process.stdin and process.stdout
    try:
        yield LlamaServer(process, process.stdout.readline().strip())
    finally:
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()


class Gate:
    """A port in front of a server that can reset the connections it has, and the next ones."""

    def __init__(self, port: int) -> None:
        self._to, self.resets, self._open = port, 0, list[socket.socket]()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def drop(self, resets: int) -> None:
        self.resets = resets
        for connection in self._open:
            _reset(connection)
        self._open.clear()

    def close(self) -> None:
        self._listener.close()
        self.drop(0)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.resets:
                    self.resets -= 1
                    _reset(client)
                    continue
                server = socket.create_connection(("127.0.0.1", self._to))
                self._open += [client, server]
                for one, other in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=(one, other), daemon=True).start()


def _reset(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)  # wakes who reads from it
    connection.close()


def _pump(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)
        other.shutdown(socket.SHUT_WR)


def serve(port: int, key: str) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(weights.path("smollm2-135m", Settings.from_env().weights))
    params.port, params.api_keys = port, [key]
    params.n_ctx, params.n_parallel = 2 * 2048, 2
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.sampling.temp = 0.0  # the same answer every time
    params.verbosity = -1
    params.endpoint_slots = True
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2])
