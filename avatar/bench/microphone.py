"""A microphone that never stops: room tone, and speech laid over it at a known time. Knows no socket and no clock.

Positions are samples at 16 kHz since the microphone opened; who sends the frames knows when that was.
"""

from collections.abc import Callable

import numpy as np

from avatar.audio import pcm16
from avatar.bench.clips import FADE, RATE
from avatar.events import Samples

FRAME = RATE // 50  # 20 ms, as the page sends them


class Microphone:
    """`echo(position, n)`, if set, gives what the loudspeaker adds to the next n samples."""

    def __init__(self) -> None:
        self.position = 0
        self.echo: Callable[[int, int], Samples] | None = None
        self._tone: Samples = np.zeros(FRAME, np.float32)
        self._playing: list[tuple[int, Samples]] = []

    def room(self, tone: Samples) -> None:
        """What is heard between the clips from now on, repeated for ever."""
        self._tone = tone

    def play(self, samples: Samples, at: int = 0) -> int:
        """Speak `samples` from position `at`, or from the next frame if that is later. Returns its first position."""
        start = max(at, self.position)
        self._playing.append((start, samples))
        return start

    def frame(self) -> bytes:
        """The next 20 ms as int16."""
        begin, self.position = self.position, self.position + FRAME
        # not np.take(mode="wrap"): it subtracts the length again and again, which after an hour took most of a core
        sound = self._tone[np.arange(begin, self.position) % len(self._tone)].astype(np.float32)
        for start, samples in self._playing:
            inside = np.arange(begin, self.position) - start
            here = (inside >= 0) & (inside < len(samples))
            at = inside[here]
            # the clip replaces the room, it brings its own; 10 ms of both at either end, so that nothing clicks
            weight = np.clip(np.minimum(at + 1, len(samples) - at) / FADE, 0, 1).astype(np.float32)
            sound[here] = sound[here] * (1 - weight) + samples[at] * weight
        self._playing = [(start, s) for start, s in self._playing if start + len(s) > self.position]
        if self.echo is not None:
            sound += self.echo(begin, FRAME)
        return pcm16(sound)
