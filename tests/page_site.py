"""The page opened in a real Chromium, as the tests in tests/browser drive it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from page_fakes import FakeAssistant
from page_rows import tone
from page_server import FakeSocket
from playwright.sync_api import Page

IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.browser,
    # Gradio's queue statistics use an option that pandas 3 deprecates; as an error it ends every event
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]


@dataclass
class Site:
    """The page opened in one browser context."""

    page: Page
    assistant: FakeAssistant
    socket: FakeSocket
    foreign: list[str]
    errors: list[str]

    def start(self) -> None:
        self.page.click(".av-main")
        self.wait("avatarUI.state === 'listening'")

    def wait(self, condition: str, timeout_s: float = 15) -> None:
        self.page.wait_for_function(condition, timeout=1000 * timeout_s)

    def until(self, condition: Callable[[], object], timeout_s: float = 10) -> None:
        for _ in range(int(timeout_s / 0.05)):
            if condition():
                return
            self.page.wait_for_timeout(50)
        raise AssertionError("it did not happen in time")

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

    def tab(self, number: int) -> None:
        self.page.locator("button[role=tab]").nth(number).click()


Open = Callable[..., Site]
