"""A machine that loses its power while a front waits for it: a network namespace whose cable is pulled. Needs root and
iproute2.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from avatar.bench.served import ROOT
from avatar.engines.frames import pack
from avatar.engines.lane import Address, Lane, notice_death

pytestmark = [
    pytest.mark.campaign,
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root and ip"),
]
HERE, THERE, PROXY = "198.18.77.1", "198.18.77.2", 7777  # RFC 2544's network for tests
NOTICED_S = 2.5
MACHINE = f"""
import socket, time
from avatar.engines.lane_server import LaneServer

def answer(head, blob):
    time.sleep(60)
    yield b""

proxy = socket.create_server(("{THERE}", {PROXY}))
print(LaneServer("{THERE}", answer).address, flush=True)
kept = proxy.accept()
time.sleep(600)
"""


class Machine:
    """A process with a network of its own. `lane` is where its replica listens."""

    def __init__(self, name: str) -> None:
        self.name, self._cable = name, f"{name}-b"
        command = ["ip", "netns", "exec", name, sys.executable, "-c", MACHINE]
        ip("netns", "add", name)
        ip("link", "add", f"{name}-a", "type", "veth", "peer", "name", self._cable, "netns", name)
        ip("addr", "add", f"{HERE}/30", "dev", f"{name}-a")
        ip("link", "set", f"{name}-a", "up")
        ip("-n", name, "addr", "add", f"{THERE}/30", "dev", self._cable)
        ip("-n", name, "link", "set", self._cable, "up")
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.lane = Address.parsed(self._process.stdout.readline())
        self.pulled_at = 0.0

    def pull(self) -> None:
        ip("-n", self.name, "link", "set", self._cable, "down")
        self.pulled_at = time.monotonic()

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        ip("netns", "del", self.name)  # and the cable with it


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with closing(Machine(f"av{os.getpid() % 1_000_000}")) as machine:
        yield machine


def test_it_is_noticed_in_the_middle_of_an_answer(machine: Machine) -> None:
    noticed_at = {}

    def wait(what: str, come: Callable[[], object]) -> None:
        with pytest.raises(OSError):
            come()
        noticed_at[what] = time.monotonic()

    with closing(Lane(machine.lane)) as lane, socket.create_connection((THERE, PROXY), 2.0) as proxy:
        lane.send(pack({"do": "think"}))
        notice_death(proxy)
        proxy.settimeout(60.0)
        ways = {"by lane": lambda: next(lane.frames(60.0, 60.0)), "at a proxy": lambda: proxy.recv(1)}
        threads = [threading.Thread(target=wait, args=way) for way in ways.items()]
        for thread in threads:
            thread.start()
        time.sleep(1.4)
        machine.pull()
        for thread in threads:
            thread.join()
    took_s = {what: round(at - machine.pulled_at, 2) for what, at in noticed_at.items()}
    print(f"  noticed after {took_s} s", flush=True)
    assert max(took_s.values()) < NOTICED_S
