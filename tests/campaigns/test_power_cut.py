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
from contextlib import ExitStack, closing, suppress
from functools import partial

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


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@pytest.fixture
def machine() -> Iterator[tuple[Address, Callable[[], None]]]:
    """A process with a network of its own: where its replica listens, and what pulls its cable."""
    name = f"av{os.getpid() % 1_000_000}"
    here, there = f"{name}-a", f"{name}-b"
    with ExitStack() as stack:
        ip("netns", "add", name)
        stack.callback(ip, "netns", "del", name)
        ip("link", "add", here, "type", "veth", "peer", "name", there, "netns", name)
        stack.callback(ip, "link", "del", here)  # what was open keeps the namespace for a while, and that the cable
        ip("addr", "add", f"{HERE}/30", "dev", here)
        ip("link", "set", here, "up")
        ip("-n", name, "addr", "add", f"{THERE}/30", "dev", there)
        ip("-n", name, "link", "set", there, "up")
        command = ["ip", "netns", "exec", name, sys.executable, "-c", MACHINE]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        stack.callback(process.communicate)
        stack.callback(process.kill)
        assert process.stdout is not None
        address = Address.parsed(process.stdout.readline())
        deadline = time.monotonic() + 20
        while not reached(address):  # it takes a while until the cable is known to be in
            assert time.monotonic() < deadline
        yield address, partial(ip, "-n", name, "link", "set", there, "down")


def reached(address: Address) -> bool:
    with suppress(OSError):
        Lane(address).close()
        return True
    return False


def test_it_is_noticed_in_the_middle_of_an_answer(machine: tuple[Address, Callable[[], None]]) -> None:
    (address, pull), noticed_at = machine, {}

    def wait(what: str, come: Callable[[], object]) -> None:
        with pytest.raises(OSError):
            come()
        noticed_at[what] = time.monotonic()

    with closing(Lane(address)) as lane, socket.create_connection((THERE, PROXY), 2.0) as proxy:
        lane.send(pack({"do": "think"}))
        notice_death(proxy)
        proxy.settimeout(60.0)
        ways = {"by lane": lambda: next(lane.frames(60.0, 60.0)), "at a proxy": lambda: proxy.recv(1)}
        threads = [threading.Thread(target=wait, args=way) for way in ways.items()]
        for thread in threads:
            thread.start()
        time.sleep(1.4)
        pull()
        pulled_at = time.monotonic()
        for thread in threads:
            thread.join()
    took_s = {what: round(at - pulled_at, 2) for what, at in noticed_at.items()}
    print(f"  noticed after {took_s} s", flush=True)
    assert max(took_s.values()) < NOTICED_S
