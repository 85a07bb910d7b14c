"""A Ray cluster of several nodes on this machine, for benches and campaigns: raylets of their own, one proxy.

python -m avatar.bench.nodes ADDRESS    answers one JSON line for each on standard input: see `drive`
"""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from avatar.bench.served import OURS, ROOT
from avatar.errors import AvatarError

START_S, DEPLOY_S = 90.0, 240.0
STORE_BYTES = 128 << 20  # of shared memory a node
PORTS = 2_000  # of workers, a node


class ClusterError(AvatarError):
    code = "BENCH_CLUSTER"


class Nodes:
    """From enter to exit; the first node is the head, and has the proxy. Needs requirements-cluster.txt."""

    def __init__(self, cpus: int, environment: Mapping[str, str] = os.environ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)
        self._cpus = cpus
        self._environment = {name: value for name, value in environment.items() if name not in OURS} | {
            "PYTHONPATH": str(ROOT),
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DISABLE_IMPORT_WARNING": "1",
            "RAY_SERVE_LOG_TO_STDERR": "0",
            "RAY_AUTH_MODE": "disabled",  # with a token of the user's (~/.ray) a second node cannot join
            "RAY_worker_niceness": "0",  # Ray's own is 15: whatever else the machine does would come first
        }
        self.port, self.http_port = _free(), _free()
        self.nodes: list[subprocess.Popen[bytes]] = []
        self._driver: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self.add()
        with (Path(self._folder.name) / "driver.log").open("wb") as log:
            self._driver = subprocess.Popen(
                [sys.executable, "-m", "avatar.bench.nodes", f"127.0.0.1:{self.port}"],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._driver is not None:
            self._driver.kill()
            self._driver.communicate()  # closes its pipes too
        for number in reversed(range(len(self.nodes))):  # asked to, a node takes a minute to end
            self.kill(number)
        self._folder.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def add(self) -> int:
        """Blocks. Start a node; returns its number."""
        number = len(self.nodes)
        first = 20_000 + number * PORTS
        where = ("--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self._folder.name}/r")
        command = [
            str(Path(sys.executable).with_name("ray")),
            "start",
            *(where if not number else (f"--address=127.0.0.1:{self.port}",)),
            "--block",
            "--disable-usage-stats",
            "--node-ip-address=127.0.0.1",
            f"--num-cpus={self._cpus}",
            f"--object-store-memory={STORE_BYTES}",
            f"--min-worker-port={first}",
            f"--max-worker-port={first + PORTS - 1}",
            "--dashboard-agent-listen-port=0",
        ]
        log = Path(self._folder.name) / f"node{number}.log"
        with log.open("wb") as output:
            # a session of its own: a node that is killed takes its raylet and workers along
            node = subprocess.Popen(
                command, cwd=ROOT, env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        self.nodes.append(node)
        deadline = time.monotonic() + START_S
        while b"--block" not in log.read_bytes():
            if node.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"A Ray node did not start:\n{log.read_text(errors='replace')[-1500:]}")
            time.sleep(0.2)
        return number

    def kill(self, number: int) -> None:
        """At once and all of it; the system closes what it had open."""
        node = self.nodes[number]
        if node.poll() is None:
            for pid in _family(node.pid):
                with suppress(ProcessLookupError):  # with its raylet a worker ends by itself
                    os.kill(pid, signal.SIGKILL)
            node.wait()

    def freeze(self, number: int) -> None:
        """At once and all of it, and nothing is closed, as when a machine loses its power. It is to be killed later."""
        for pid in _family(self.nodes[number].pid):
            os.kill(pid, signal.SIGSTOP)

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Blocks until every replica that must be there is."""
        self._ask("deploy", config={**config, "http_options": {"host": "127.0.0.1", "port": self.http_port}})

    def replicas(self, stage: str = "") -> list[dict[str, Any]]:
        """Blocks. Those that serve: stage, pid, node."""
        found: list[dict[str, Any]] = self._ask("replicas")
        return [one for one in found if one["state"] == "RUNNING" and stage in ("", one["stage"])]

    def _ask(self, what: str, **more: Any) -> Any:
        driver = self._driver
        assert driver is not None and driver.stdin is not None and driver.stdout is not None
        driver.stdin.write(json.dumps({"do": what, **more}) + "\n")
        driver.stdin.flush()
        answer = json.loads(driver.stdout.readline() or '{"error": "the driver has ended"}')
        if "error" in answer:
            log = (Path(self._folder.name) / "driver.log").read_text(errors="replace")
            raise ClusterError(f"{answer['error']}\n{log[-1500:]}")
        return answer["value"]


def _family(pid: int) -> list[int]:
    """A process and all that it started, and they."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended
            child, _, rest = stat.read_text().partition(" (")
            children.setdefault(int(rest.rpartition(") ")[2].split()[1]), []).append(int(child))
    family = [pid]
    for one in family:  # which grows
        family += children.get(one, [])
    return family


def _free() -> int:
    """Below those that the system gives to connections: a node opens many before it listens."""
    for port in random.sample(range(6_400, 9_900), 100):
        with socket.socket() as free, suppress(OSError):
            free.bind(("127.0.0.1", port))
            return port
    raise ClusterError("No port is free.")


def drive(address: str) -> None:
    """The part that is a process of Ray's: deploy, replicas."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # Ray writes what it likes to standard output
    import ray
    from ray.serve._private.api import _get_global_client, serve_start
    from ray.serve.schema import ServeDeploySchema

    ray.init(address=address, namespace="serve", log_to_driver=False, configure_logging=False)
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            value: Any = None
            if asked["do"] == "deploy":
                config = ServeDeploySchema.model_validate(asked["config"])
                http = config.http_options.model_dump(exclude_unset=True)
                serve_start(http_options=http, proxy_location=config.proxy_location).deploy_apps(config)
                _until_running(_get_global_client, time.monotonic() + DEPLOY_S)
            else:
                details = _get_global_client().get_serve_details()
                value = [
                    {
                        "stage": name,
                        "pid": replica.get("pid"),
                        "node": replica.get("node_id"),
                        "state": replica["state"],
                    }
                    for name, app in details["applications"].items()
                    for deployment in app["deployments"].values()
                    for replica in deployment["replicas"]
                ]
            answer = {"value": value}
        except Exception as exc:  # noqa: BLE001 - whatever Ray raises is told to who asked
            answer = {"error": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), file=answers, flush=True)


def _until_running(client: Any, deadline: float) -> None:
    """Blocks. Ray Serve's own wait is a minute, too short for a busy machine. Raises TimeoutError."""
    while True:
        states = {app["status"] for app in client().get_serve_details()["applications"].values()}
        if states == {"RUNNING"}:
            return
        if time.monotonic() > deadline or "DEPLOY_FAILED" in states:
            raise TimeoutError(f"the applications are {states}")
        time.sleep(0.5)


if __name__ == "__main__":
    drive(sys.argv[1])
