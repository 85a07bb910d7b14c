"""The page opened in a real Chromium, as the tests in tests/browser drive it."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from page_fakes import FakeAssistant
from page_rows import tone
from page_server import FakeSocket
from playwright.sync_api import Page, Request
from playwright.sync_api import TimeoutError as Late

IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.browser,
    # Gradio's queue statistics use an option that pandas 3 deprecates; as an error it ends every event
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]
PATIENCE_S = 60  # with what must come: on a busy machine a page alone took 15 s


@dataclass
class Site:
    """The page opened in one browser context."""

    page: Page
    assistant: FakeAssistant
    socket: FakeSocket
    busy: Callable[[], bool]  # whether the server has something to do for a page
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    asking: set[Request] = field(default_factory=set)  # questions to Gradio that are not answered yet

    def __post_init__(self) -> None:
        asked = re.compile("/gradio_api/(?!heartbeat|queue/data)")  # the end of what lasts is not always told
        self.page.on("request", lambda r: self.asking.add(r) if asked.search(r.url) else None)
        for over in ("requestfinished", "requestfailed"):
            self.page.on(over, lambda r: self.asking.discard(r))  # type: ignore[call-overload]

    def start(self) -> None:
        self.page.click(".av-main")
        self.wait("avatarUI.state === 'listening'")

    def wait(self, condition: str) -> None:
        try:
            self.page.wait_for_function(condition)
        except Late as error:
            been = self.page.evaluate("window.avatarUI?.log.slice(-20)")
            raise AssertionError(f"{condition} did not come in time: {been} {self.errors}") from error

    def until(self, condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
        late = time.monotonic() + patience_s
        while time.monotonic() < late:
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not happen in time")

    def answered(self) -> None:
        """Blocks until the page has every answer of Gradio that it waits for, and asks nothing more. Not while Status
        or the decisions are shown, which go on asking."""
        still, late = 0, time.monotonic() + PATIENCE_S
        while still < 3:
            self.page.evaluate("new Promise(done => setTimeout(done, 100))")  # the page's own time: it had its turn
            still = 0 if self.asking or self.busy() else still + 1
            assert time.monotonic() < late, [request.url for request in self.asking]

    def settings(self) -> None:
        """Open the settings, or close them; blocks until they have slid there."""
        self.page.locator(".sidebar .toggle-button").click()
        self.slid()

    def slid(self) -> None:
        self.wait("!document.getAnimations().some(moving => moving instanceof CSSTransition)")

    def marks(self, what: str) -> list[float]:
        return [at for name, at, _ in self.page.evaluate("avatarUI.log") if name == what]

    def speak(self, turn: int, seconds: float) -> int:
        """One reply of so many seconds, sent at once. Returns its samples."""
        samples = tone(seconds)
        self.socket.send("turn", turn=turn)
        self.socket.send("state", state="speaking", patience_ms=900)
        self.socket.send("clause", turn=turn, text="Three minutes for a big pot.", at=0)
        self.socket.audio(turn, samples)
        return len(samples)

    def heard(self) -> list[bytes]:
        """The next five seconds of the microphone. A busy page sends late what it has, but neither double nor half."""
        first, began = len(self.socket.frames), time.monotonic()
        self.until(lambda: len(self.socket.frames) >= first + 250)
        assert 3.5 < time.monotonic() - began < 9
        return self.socket.frames[first:]

    def tab(self, number: int) -> None:
        self.page.locator("button[role=tab]").nth(number).click()


Open = Callable[..., Site]
