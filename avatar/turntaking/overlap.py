"""A voice over the reply, looked at again and again until it is judged: what the looks found, and when one is due.

Knows no recogniser, no playback and no listener. Times are milliseconds since the voice began.
"""

from avatar.events import Samples
from avatar.turntaking.bargein import LOOKS_MS, Judgement, Sensitivity, judge
from avatar.turntaking.echo import likeness
from avatar.wire import REPLY_RATE

LOOK_AGAIN_MS = 200  # after the last of LOOKS_MS, while the voice goes on


class Overlap:
    """One voice over a reply, from its onset to its judgement. `due_ms`: of voice at which to look next."""

    def __init__(self) -> None:
        self.due_ms: float = LOOKS_MS[0]
        self.echo = 0.0  # likeness to the reply, mean of the newest look and the one before
        self._newest: float | None = None
        self._began = ""  # the words of the first look

    def compare(self, heard: Samples, in_air: Samples) -> None:
        """Look at its sound. heard: float32 (n,) at 16 kHz, all of the voice so far; in_air: float32 (m,) at
        REPLY_RATE, what may have left the loudspeaker meanwhile. Takes 1-3 ms."""
        before, self._newest = self._newest, likeness(heard, in_air, REPLY_RATE)
        self.echo = self._newest if before is None else (before + self._newest) / 2

    def judge(self, words: str, *, voiced_ms: int, over: bool, sensitivity: Sensitivity) -> Judgement:
        """By its words so far and the last `compare`. `over`: it has fallen silent, and this look is the last."""
        self._began = self._began or words
        return judge(words, voiced_ms=voiced_ms, over=over, echo=self.echo, began=self._began, sensitivity=sensitivity)

    def look_later(self, since_onset_ms: float) -> None:
        """Nothing is certain yet: `due_ms` is the next of LOOKS_MS, or LOOK_AGAIN_MS from now."""
        later = [look for look in LOOKS_MS if look > since_onset_ms]
        self.due_ms = later[0] if later else since_onset_ms + LOOK_AGAIN_MS
