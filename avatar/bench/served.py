"""The real app.py as a process of its own, the way a user starts it, and what it and the others take of the machine."""

import http.client
import json
import os
import platform
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import psutil

from avatar.errors import AvatarError

ROOT = Path(__file__).parents[2]
START_S = 180.0  # pages after 3 to 7 s and engines soon after; on a fresh machine the weights are fetched first
STOP_S = 60.0  # after 10 s for replies to be heard it took 6 s on two cores at a load of 28 (2026-11-26)
LOOK_S = 0.5
BUSY = 0.1  # of a core, taken by other processes: worth a warning
OURS = tuple(  # never the user's, here
    f"AVATAR_{name}" for name in ("DATA", "HOST", "PORT", "SHARE", "AUTH", "OPEN", "ALLOWED_HOSTS", "HTTPS")
)


class ServedError(AvatarError):
    code = "BENCH_APP"


def free_port() -> int:
    """Of the loopback. Not one that bind() would choose: until somebody listens there, seconds later, the system gives
    such ports to whoever connects to anything."""
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port


class App:
    """app.py with its data in `data` and its log beside it, on a free loopback port from `start` to `stop`."""

    def __init__(
        self,
        data: Path,
        environment: Mapping[str, str],
        options: Sequence[str] = (),
        wrap: Sequence[str] = (),
        program: Sequence[str] = (str(ROOT / "app.py"),),
    ) -> None:
        """`environment` is all it gets, but for AVATAR_DATA; `wrap` is a command that starts another: unshare -n."""
        self.data, self.log = data, data.parent / f"{data.name}.log"
        self._environment = {**environment, "AVATAR_DATA": str(data), "PYTHONUNBUFFERED": "1"}
        self._options, self._wrap, self._program = options, wrap, program
        self.port, self.config = 0, dict[str, Any]()  # Gradio's description of the page, once it is there

    def start(self, port: int = 0) -> Self:
        """On that port, or a free one."""
        self.port = port or free_port()
        self.started = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*self._wrap, sys.executable, *self._program, "--port", str(self.port), *self._options],
                cwd=ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return self

    def stop(self) -> bool:
        """Blocks. End it as Ctrl-C or a service manager does; False when it had to be killed."""
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return False
        return True

    @property
    def url(self) -> str:
        """Of its socket."""
        return f"ws://127.0.0.1:{self.port}/avatar/ws"

    @property
    def patience_ms(self) -> int:
        """What the page would ask for."""
        return int(self._stage()["props"]["props"]["settings"]["usual"]["patience_ms"])

    def token(self) -> str:
        """Blocks. What a page asks for before it opens its socket."""
        return str(self.ask("token")["token"])

    def engines(self) -> dict[str, Any]:
        """Blocks. What the page shows before Start: stage -> {"name", "ready", ...}, or None without any rung."""
        return dict(self.ask("look")["engines"])

    def ask(self, function: str) -> dict[str, Any]:
        """Blocks. A server function of the stage: token or look."""
        body = {"data": {}, "component_id": self._stage()["id"], "fn_name": function, "session_hash": "bench"}
        return self.request("POST", "/gradio_api/component_server", json.dumps(body))

    def request(self, method: str, path: str, body: str | None = None) -> dict[str, Any]:
        """Blocks. Raises OSError, or ValueError for what is not JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return answer

    def wait(self, longest_s: float = START_S) -> float:
        """Blocks until the page is there and every stage's engine is ready; returns the seconds since the start."""
        while (since_s := time.monotonic() - self.started) < longest_s:
            self.check()
            try:
                if "components" not in self.config:  # the page is not built
                    self.config = self.request("GET", "/config")
                elif all(engine and engine["ready"] for engine in self.engines().values()):
                    return since_s
            except (OSError, ValueError):  # not listening yet
                pass
            time.sleep(0.1)
        raise ServedError(f"app.py was not ready in {longest_s:.0f} s:\n{self._tail()}")

    def check(self) -> None:
        """Raises ServedError when it has ended."""
        if self.process.poll() is not None:
            raise ServedError(f"app.py ended with code {self.process.returncode}:\n{self._tail()}")

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def _stage(self) -> dict[str, Any]:
        """The page's component that has the server functions."""
        components: list[dict[str, Any]] = self.config["components"]
        return next(c for c in components if c["props"].get("elem_id") == "live")

    def _tail(self) -> str:
        return "\n".join(self.said().splitlines()[-15:])


@contextmanager
def serving() -> Iterator[App]:
    """app.py with an empty data folder; the weights and other AVATAR_* are the user's."""
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    with tempfile.TemporaryDirectory(prefix="avatar-bench-", ignore_cleanup_errors=True) as folder:
        app = App(Path(folder) / "data", {**environment, "TMPDIR": folder}).start()
        try:
            yield app
        finally:
            app.stop()


class Watch:
    """Samples memory and CPU from start to stop: of the app with its children, of the bench, of everyone else.

    `pid` may be the bench's own, where what it measures runs inside it: then all of it is the app.
    """

    def __init__(self, pid: int) -> None:
        self._app, self._me = psutil.Process(pid), psutil.Process()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._cpu: dict[int, float] = {}  # seconds by process of the app, the ended ones too
        self._rss, self._peak = 0, 0
        self._loads: list[float] = []

    def __enter__(self) -> "Watch":
        self._look()
        self._began, self._cpu_began = time.monotonic(), (_busy_s(), sum(self._cpu.values()), self._bench_s())
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()
        self._ended, self._cpu_ended = time.monotonic(), (_busy_s(), sum(self._cpu.values()), self._bench_s())

    def _run(self) -> None:
        while not self._stop.wait(LOOK_S):
            self._look()

    def _look(self) -> None:
        rss = 0
        for process in self._tree():
            try:
                rss += process.memory_info().rss
                self._cpu[process.pid] = _own_s(process)
            except psutil.NoSuchProcess:  # ended since it was listed
                continue
        self._rss, self._peak = rss, max(self._peak, rss)
        self._loads.append(os.getloadavg()[0])

    def _tree(self) -> list[psutil.Process]:
        try:
            return [self._app, *self._app.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def _bench_s(self) -> float:
        return 0.0 if self._me == self._app else _own_s(self._me)

    @property
    def rss_mib(self) -> int:
        return self._rss >> 20

    @property
    def peak_mib(self) -> int:
        return self._peak >> 20

    def shares(self) -> dict[str, float]:
        """Cores taken on average by the app, by the bench and by all others, and the load average."""
        wall = self._ended - self._began
        busy, app, bench = (b - a for a, b in zip(self._cpu_began, self._cpu_ended, strict=True))
        return {
            "app_cores": round(app / wall, 2),
            "bench_cores": round(bench / wall, 2),
            "others_cores": round(max(0.0, busy - app - bench) / wall, 2),
            "load_average": round(sum(self._loads) / len(self._loads), 2),
        }


def others_cores(seconds: float = 2.0) -> float:
    """Blocks. The cores that are busy now, before anything of ours runs."""
    before = _busy_s()
    time.sleep(seconds)
    return round((_busy_s() - before) / seconds, 2)


def _busy_s() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.system + getattr(times, "nice", 0.0))


def _own_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def conditions() -> dict[str, Any]:
    """The machine, the program and the settings a result holds for."""
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "commit": _commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "settings": {k: v for k, v in sorted(os.environ.items()) if k.startswith("AVATAR_") and k not in OURS},
    }


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _commit() -> str:
    try:
        run = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
        return subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
