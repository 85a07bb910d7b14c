"""A voice over the reply, looked at again and again until it is judged: what the looks found, and when one is due. And
what is heard when the reply has just ended: its own last sounds, or somebody?

Knows no recogniser, no playback and no listener. Times are milliseconds since the voice began.
"""

from collections.abc import Callable

import numpy as np

from avatar.events import Samples
from avatar.turntaking.bargein import ECHO_LIKENESS, LOOKS_MS, Judgement, Sensitivity, judge
from avatar.turntaking.echo import likeness
from avatar.wire import MIC_RATE, REPLY_RATE

LOOK_AGAIN_MS = 200  # after the last of LOOKS_MS, while the voice goes on
# Samples in which a reply that has been played is still heard: Bluetooth holds it back so long.
RINGS = MIC_RATE * 3 // 10


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


class Air:
    """What of a reply the microphone may hear: while it is on its way, and until its end has died away in the room.
    Positions are samples of the microphone."""

    def __init__(self) -> None:
        self._in_air: Callable[[], Samples] | None = None
        self._ending: Samples | None = None  # the last second of a reply that is over
        self._until = 0  # it may be heard

    def reply(self, in_air: Callable[[], Samples]) -> None:
        """One begins. `in_air`: its audio now, at REPLY_RATE."""
        self._in_air, self._ending = in_air, None

    def over(self, position: int) -> None:
        """It is over on the page. What is heard, or begins before it has died away, is its echo, or somebody who has
        waited for its end."""
        if self._in_air is not None:
            self._ending, self._until = self._in_air(), position + RINGS
        self._in_air = None

    def no_echo(self) -> None:
        """What is heard is somebody, whatever it sounds like."""
        self._ending = None

    def onset(self, at: int) -> Overlap | None:
        """A voice begins: over a reply, or not."""
        if at > self._until:
            self._ending = None
        return None if self._in_air is None else Overlap()

    def sound(self) -> Samples:
        """Of the reply that is on its way: float32 (m,) at REPLY_RATE."""
        return np.zeros(0, np.float32) if self._in_air is None else self._in_air()

    def echoes(self, voice: Samples) -> bool:
        """Whether a voice since the reply was over is only its echo. voice: float32 (n,) at 16 kHz, up to its last
        voiced sample. Takes 3 ms, and nothing at other times."""
        return self._ending is not None and likeness(voice, self._ending, REPLY_RATE) >= ECHO_LIKENESS
