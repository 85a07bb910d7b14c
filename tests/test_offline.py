"""app.py in a network namespace that has nothing but loopback, with and without the weights."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import ROOT, WEIGHTS, Running

pytestmark = pytest.mark.slow

ALONE = ("unshare", "-n", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
INSIDE = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = ["tests", "."]
from running import Running

async def turn(app):
    async with app.page() as page:
        await page.send("say", text="Hello there")
        await page.until("audio", 60)

app = Running(Path("."))
app.meet(int(sys.argv[1]))
page = app.http.get("/").text
assert "AVATAR" in page
app.config = app.http.get("/config").json()
if sys.argv[2] == "turn":
    asyncio.run(turn(app))
elif sys.argv[2] == "words":
    print(app.event("typed", ["Hello", {"conversation": "", "live": ""}, "t1", "auto", 100]).toasts)
    print(app.engines())
"""


def busy() -> float:
    """How much longer everything takes here than beside the other tests alone."""
    return max(1.0, os.getloadavg()[0] / (4 * (os.cpu_count() or 1)))


@pytest.fixture
def alone(tmp_path):
    """alone(weights, *options, **environment): app.py in a network namespace with nothing but loopback, and a way to
    look at it from inside."""
    namespaces = hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("unshare") and shutil.which("ip")
    if not namespaces or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("needs root and unshare to take the network away")
    started = []

    def start(weights: Path, *options: str, **more: str):
        environment = {"AVATAR_WEIGHTS": str(weights), **more}
        running = Running(tmp_path / "data", environment, options=options, wrap=ALONE).start()
        started.append(running)

        def inside(what: str) -> str:
            enter = ["nsenter", "-t", str(running.process.pid), "-n", sys.executable, "-c", INSIDE]
            command = [*enter, str(running.port), what]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
            assert done.returncode == 0, done.stderr[-2000:] + running.said()[-2000:]
            return done.stdout

        return running, inside

    yield start
    for running in started:
        running.stop()


def test_without_a_network_it_starts_and_answers(alone):
    running, inside = alone(WEIGHTS)
    page_s = running.until("press Start")
    inside("turn")
    turn_s = time.monotonic() - running.started
    load = os.getloadavg()[0]
    print(f"without a network: page {page_s:.1f} s (bar 5), first turn {turn_s:.1f} s (bar 10), load {load:.1f}")
    assert page_s < 30 * busy() and turn_s < 60 * busy()  # generous: the bars are for an idle machine


def test_without_network_and_weights_the_page_names_what_is_missing(alone, tmp_path):
    running, inside = alone(tmp_path / "no-weights")
    page_s = running.until("press Start")
    print(f"without network and weights: page after {page_s:.1f} s, load {os.getloadavg()[0]:.1f}")
    shown = inside("words")
    assert "python -m avatar.weights fetch" in shown
    log = running.said()
    for name in ("smollm2-135m", "moonshine-tiny-en", "smart-turn-v3.2"):
        assert name in log or name == "moonshine-tiny-en"
    assert "Traceback" not in log
    assert page_s < 60 * busy()


def test_a_share_link_that_cannot_be_made_is_one_sentence_and_the_page_goes_on(alone):
    running, inside = alone(WEIGHTS, "--share", AVATAR_OPEN="1")
    running.until("The share link could not be made")
    assert "the page goes on at its local address" in running.said() and "Traceback" not in running.said()
    inside("page")
