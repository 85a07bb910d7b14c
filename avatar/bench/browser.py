"""What a person at the page hears: the real app, a real Chromium, a recorded voice as its microphone.

`python -m avatar.bench.browser [--runs N] [--json FILE] [--picture FILE]` needs requirements-dev.txt and a Chromium on
PATH. Times are taken inside the page: the voice when its frame leaves for the server, the reply when the player's
worklet renders its first sample.
"""

import argparse
import json
import shutil
import tempfile
import wave
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

from avatar.audio import pcm16, resample
from avatar.bench.clips import load
from avatar.bench.served import conditions, serving
from avatar.errors import AvatarError
from avatar.events import Samples

RATE = 48_000  # Hz of Chromium's fake microphone file
LEAD_S = 2.0  # the microphone runs before anyone speaks
WAIT_S = 2.2  # from the end of the question to the interruption: the reply is under way, and seldom over
REST_S = 12.0
LOUD = 0.02  # RMS of a 20 ms frame that is voice; the room tone of the clips lies below 0.005
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
# Notes when each microphone frame leaves, and how loud it is.
WATCH = """
window.micFrames = [];
const send = WebSocket.prototype.send;
WebSocket.prototype.send = function (data) {
  if (typeof data !== 'string') {
    const pcm = new Int16Array(data.buffer ?? data);
    let sum = 0;
    for (const v of pcm) sum += v * v;
    window.micFrames.push([performance.now(), Math.sqrt(sum / pcm.length) / 32768]);
  }
  return send.call(this, data);
};
"""
BARS_MS = {"first_sound_ms": 600.0, "duck_ms": 150.0, "silence_ms": 700.0}
TRIES = 4  # visits for one result


class BrowserMissing(AvatarError):
    code = "NO_BROWSER"


class Missed(AvatarError):
    """The reply was over, or taken back, before the interruption was judged: nothing was left to silence."""

    code = "REPLY_OVER"


def chromium() -> str:
    """The browser on PATH. Raises BrowserMissing."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise BrowserMissing("There is no Chromium on PATH. Install it (Debian: apt-get install chromium).")
    return found


def microphone(question: Samples, interruption: Samples, path: Path) -> None:
    """Write what the fake microphone plays, once: silence, the question, WAIT_S, the interruption, silence."""

    def silence(seconds: float) -> Samples:
        return np.zeros(round(seconds * RATE), np.float32)

    spoken = [resample(clip * np.float32(0.3 / np.abs(clip).max()), 16_000, RATE) for clip in (question, interruption)]
    sound = np.concatenate([silence(LEAD_S), spoken[0], silence(WAIT_S), spoken[1], silence(REST_S)])
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", ""))
        file.writeframes(pcm16(sound))


def converse(url: str, sound: Path, look: Callable[[Page], None] = lambda page: None) -> dict[str, float]:
    """One visit: press Start, ask, interrupt the reply. Returns the times of BARS_MS; `look` is called as it speaks."""
    with sync_playwright() as playwright:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={sound}%noloop"]
        browser = playwright.chromium.launch(executable_path=chromium(), headless=True, args=flags)
        try:
            context = browser.new_context(viewport={"width": 1280, "height": 800}, permissions=["microphone"])
            page = context.new_page()
            page.add_init_script(WATCH)
            page.goto(url)
            page.wait_for_function("window.avatarUI?.engines", timeout=60_000)
            page.click(".av-main")
            page.wait_for_function("avatarUI.log.some(e => e[0] === 'first')", timeout=60_000)
            look(page)
            page.wait_for_function("avatarUI.log.some(e => ['silent', 'done'].includes(e[0]))", timeout=30_000)
            return times(page.evaluate("avatarUI.log"), page.evaluate("micFrames"))
        finally:
            browser.close()


def times(marks: list[list[Any]], frames: list[list[float]]) -> dict[str, float]:
    """From the page's marks and microphone frames, both in its performance.now() milliseconds. Raises Missed."""
    first = next(at for what, at, _ in marks if what == "first")
    loud = [at for at, level in frames if level > LOUD]
    question_end = max(at for at in loud if at < first)
    onset = min((at for at in loud if at > first), default=None)
    if onset is None or any(what == "done" for what, _, _ in marks):
        raise Missed("The reply was over before it was spoken to.")
    ducked = next((at for what, at, on in marks if what == "ducked" and on and at > onset), None)
    silent = next((at for what, at, _ in marks if what == "silent" and at > onset), None)
    if ducked is None or silent is None:
        raise Missed("The reply was withdrawn before it was spoken to.")
    return {"first_sound_ms": first - question_end, "duck_ms": ducked - onset, "silence_ms": silent - onset}


def measure(runs: int, look: Callable[[Page], None] = lambda page: None) -> dict[str, Any]:
    """Start the app and visit it `runs` times."""
    by_name = {clip.row.file: clip.samples for clip in load()}
    with tempfile.TemporaryDirectory() as folder, serving() as app:
        app.wait()
        sound = Path(folder) / "microphone.wav"
        microphone(by_name["un_bear.mp3"], by_name["jfk.flac"], sound)
        visits = [_visited(f"http://127.0.0.1:{app.port}/", sound, look) for _ in range(runs)]
    return {**{name: [round(visit[name], 1) for visit in visits] for name in BARS_MS}, "conditions": conditions()}


def picture(page: Page, path: Path) -> None:
    """Save what is seen once the latency card of the turn is drawn, and some of its reply."""
    page.wait_for_selector(".av-lat dl", timeout=10_000)
    page.screenshot(path=path)


def _visited(url: str, sound: Path, look: Callable[[Page], None]) -> dict[str, float]:
    for _ in range(TRIES - 1):
        with suppress(Missed):
            return converse(url, sound, look)
    return converse(url, sound, look)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m avatar.bench.browser", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path, help="save the page as it speaks, as a PNG: docs/talk.png is made so")
    options = parser.parse_args()
    result = measure(options.runs, lambda page: picture(page, options.picture) if options.picture else None)
    for name, bar in BARS_MS.items():
        print(f"{name:16} median {median(result[name]):6.0f}  max {max(result[name]):6.0f}  bar {bar:.0f}")
    print(result["conditions"])
    if options.json:
        options.json.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
