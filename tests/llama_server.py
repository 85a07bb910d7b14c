"""A real llama.cpp server with the bundled SmolLM2, in a process that can be killed. Run: PORT KEY (0: a free port).

Prints its address when it answers, and ends with its stdin.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
