"""Text to speech with eSpeak NG, 100+ languages, no cloning: of a profile it takes the pitch. It runs in a helper
process (espeak_worker.py).

One process per engine, one clause at a time, killed when a clause takes too long and started again for the next one.
Knows nothing of eSpeak's library: only pipes.
"""

import json
import re
import struct
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from avatar.engines.base import OWN, Abilities, Progress, Voice
from avatar.errors import EngineError, EngineLoadError, EngineTimeout
from avatar.events import AudioChunk, Samples
from avatar.settings import Settings

OUT_RATE = 24_000  # Hz, what the page plays
MAX_CHARS = 2_000  # of one clause; more is cut
DEADLINE_S = 10.0  # 2,000 characters took 60 ms
START_S = 20.0  # a Python start; 55 ms when the machine is quiet
MAX_ANSWER = 64 << 20  # bytes; 2,000 characters were 2.3 MB
CHUNK_S = 0.5
WORDS_PER_MINUTE = 165  # a little under eSpeak's own 175, where more words were misheard
VARIANT = "+f3"  # Moonshine misheard 8 % of the words of 8 sentences, 16 % in eSpeak's own voice, 6-42 % in 12 others
# Of 29 variants the six that Moonshine misheard least in 8 other sentences: 12-19 % of 85 words, f3 25 % (2026-11-25).
VOICES = ("f2", "f5", "m1", "m6", "max", "rob")  # what a user can choose besides VARIANT
LOW_VARIANT = ""  # its own voice is a man's
LOW_HZ = 150.0  # profiles below it are spoken by LOW_VARIANT
MIDDLE_HZ = {VARIANT: 205.0, LOW_VARIANT: 100.0}  # median at the middle pitch; English, 2026-11-25, by pitch.py
MIDDLE = 50  # eSpeak's own pitch
# eSpeak's pitch -> median relative to the middle one; English, German and Chinese agree within 8 %
PITCHES, FACTORS = (0, 10, 25, 50, 75, 99), (0.68, 0.73, 0.81, 1.0, 1.28, 1.65)
ENGLISH = "en-us"
LEAD_S, TAIL_S = 0.010, 0.120  # silence kept before and after a sentence
COMMA_S, HINGE_S = 0.060, 0.040  # after a part of one, and after words that go on in the next clause
SENTENCE_END = re.compile("[.!?。！？…][\"'”’)」』）]*$")
QUIET = 10 ** (-45 / 20)  # -45 dBFS, the level at which the bench hears a reply begin

SCRIPTS = (  # which writing means which voice; the first that occurs wins, so kana goes before hanzi
    (re.compile("[\u3040-\u30ff]"), "ja"),
    (re.compile("[\uac00-\ud7af\u1100-\u11ff]"), "ko"),
    (re.compile("[\u3400-\u4dbf\u4e00-\u9fff]"), "cmn"),
    (re.compile("[\u0400-\u04ff]"), "ru"),
    (re.compile("[\u0370-\u03ff]"), "el"),
    (re.compile("[\u0600-\u06ff]"), "ar"),
    (re.compile("[\u0590-\u05ff]"), "he"),
    (re.compile("[\u0900-\u097f]"), "hi"),
)
ALIASES = {"zh": "cmn", "zh-hk": "yue", "zh-yue": "yue", "en": ENGLISH, "fr": "fr-fr", "no": "nb"}
WORKER = (sys.executable, "-P", str(Path(__file__).with_name("espeak_worker.py")))  # -P: its folder is no import path


def load(settings: Settings, progress: Progress) -> "EspeakTTS":
    """Start the helper process: about 0.06 s. Raises EngineLoadError."""
    engine = EspeakTTS()
    engine.languages()
    progress(1.0)
    return engine


class EspeakTTS:
    """Thread-safe: clauses take turns."""

    abilities = Abilities(languages=("*",), voices=VOICES, pitch=True, paces=True)

    def __init__(self, worker: Sequence[str] = WORKER, deadline_s: float = DEADLINE_S, start_s: float = START_S):
        self._worker, self._deadline_s, self._start_s = worker, deadline_s, start_s
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._rate = 0
        self._languages: tuple[str, ...] = ()

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Yields OUT_RATE audio in chunks of 0.5 s, starting within 10 ms of the first sound; nothing for no sound.

        `text` is untrusted: control characters are dropped, markup is read out. Raises EngineTimeout, EngineError;
        the next call starts a fresh process.
        """
        if voice.cloned and voice.pitch_hz is None:
            sentence = f"eSpeak NG cannot speak in the voice {voice.name}: it has no pitch. Choose another voice."
            raise EngineError(sentence, stage="tts", engine="espeak", code="NO_CLONING")
        if not voice.cloned and voice.name not in (OWN, *VOICES):
            sentence = f"eSpeak NG has no voice {voice.name}, but: {', '.join(VOICES)}. Choose another one."
            raise EngineError(sentence, stage="tts", engine="espeak", code="NO_VOICE")
        import soxr

        words = "".join(c if c.isprintable() else " " for c in text[:MAX_CHARS]).strip()
        if not words:
            return
        goes_on = words[-1].isalnum()  # the first words of a sentence: with a full stop's melody they would end it
        pcm = self._synthesize(words + "," * goes_on, voice_for(words, language, self.languages()), voice)
        samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32768.0
        tail_s = HINGE_S if goes_on else TAIL_S if SENTENCE_END.search(words) else COMMA_S
        trimmed = trim(soxr.resample(samples, self._rate, OUT_RATE), OUT_RATE, tail_s)
        step = int(CHUNK_S * OUT_RATE)
        for start in range(0, len(trimmed), step):
            yield AudioChunk(trimmed[start : start + step], OUT_RATE)

    def languages(self) -> tuple[str, ...]:
        """eSpeak's language tags, 140 of them. Starts the helper process unless it runs."""
        with self._lock:
            self._start()
            return self._languages

    def close(self) -> None:
        self._kill(self._process)

    def forget(self, profile_id: str) -> None:
        """Nothing is kept of a profile."""

    def _synthesize(self, text: str, language: str, voice: Voice) -> bytes:
        variant, pitch = pitched(voice.pitch_hz)
        if not voice.cloned and voice.name != OWN:
            variant = f"+{voice.name}"
        rate = round(WORDS_PER_MINUTE * voice.rate)
        request = json.dumps({"text": text, "voice": language + variant, "rate": rate, "pitch": pitch}).encode()
        with self._lock:
            process = self._start()
            kind, payload = self._ask(process, struct.pack("<I", len(request)) + request, self._deadline_s)
        if kind == b"E":
            raise EngineError(payload.decode(errors="replace")[:200], stage="tts", engine="espeak")
        return payload

    def _start(self) -> subprocess.Popen[bytes]:
        """Return the running process, started when there is none. The caller holds the lock."""
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._kill(self._process)
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(self._worker, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            kind, payload = self._ask(self._process, b"", self._start_s)
            ready = json.loads(payload)
            self._rate, self._languages = int(ready["sample_rate"]), tuple(ready["languages"])
        except (OSError, EngineError, ValueError, KeyError) as exc:
            self._kill(self._process)
            raise EngineLoadError("The eSpeak voice could not be started.", stage="tts", engine="espeak") from exc
        return self._process

    def _ask(self, process: subprocess.Popen[bytes], request: bytes, deadline_s: float) -> tuple[bytes, bytes]:
        """Send, and read one answer. A timer kills the process at the deadline, which ends the read."""
        assert process.stdin and process.stdout
        late = threading.Event()

        def kill() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(deadline_s, kill)
        timer.daemon = True
        timer.start()
        try:
            process.stdin.write(request)
            process.stdin.flush()
            return _read_answer(process.stdout)
        except (OSError, ValueError) as exc:
            self._kill(process)
            if late.is_set():
                sentence = f"The voice did not answer within {deadline_s:g} s and was restarted."
                raise EngineTimeout(sentence, stage="tts", engine="espeak") from exc
            raise EngineError("The voice stopped and was restarted.", stage="tts", engine="espeak") from exc
        finally:
            timer.cancel()

    def _kill(self, process: subprocess.Popen[bytes] | None) -> None:
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                _close(stream)


def voice_for(text: str, language: str | None, available: Sequence[str]) -> str:
    """The eSpeak voice for a BCP 47 tag, or for the text's writing. Text no voice of the tag can read wins over it."""
    script = next((voice for pattern, voice in SCRIPTS if pattern.search(text)), None)
    if language is None:
        return script or ENGLISH
    tag = language.lower()
    if script == "cmn" and tag.partition("-")[0] in ("zh", "yue", "ja"):
        script = None  # hanzi say nothing about which of these
    elif script == "ru" or script == "ar":
        script = None  # Ukrainian, Bulgarian, Persian: the tag knows better
    if script and tag.partition("-")[0] in ("en", "de", "fr", "es", "it", "pt"):
        return script
    for candidate in (tag, ALIASES.get(tag, ""), tag.partition("-")[0], ALIASES.get(tag.partition("-")[0], "")):
        if candidate in available:
            return candidate
    return script or ENGLISH


def pitched(pitch_hz: float | None) -> tuple[str, int]:
    """The variant and eSpeak's pitch whose median is `pitch_hz`, as near as it goes: 68 to 338 Hz."""
    if pitch_hz is None:
        return VARIANT, MIDDLE
    variant = LOW_VARIANT if pitch_hz < LOW_HZ else VARIANT
    return variant, round(float(np.interp(pitch_hz / MIDDLE_HZ[variant], FACTORS, PITCHES)))


def trim(samples: Samples, sample_rate: int, tail_s: float = TAIL_S) -> Samples:
    """Cut silence (below -45 dBFS) to 10 ms in front and `tail_s` behind; all of it when there is nothing else."""
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    if not len(loud):
        return samples[:0]
    start = max(0, int(loud[0]) - int(LEAD_S * sample_rate))
    return samples[start : int(loud[-1]) + int(tail_s * sample_rate)]


def _read_answer(stream: IO[bytes]) -> tuple[bytes, bytes]:
    head = stream.read(5)
    if len(head) < 5:
        raise ValueError("the process ended")
    kind, size = head[:1], struct.unpack("<I", head[1:])[0]
    if kind not in (b"R", b"A", b"E") or size > MAX_ANSWER:
        raise ValueError("not an answer")
    if len(payload := stream.read(size)) < size:
        raise ValueError("the process ended")
    return kind, payload


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except OSError:
        return  # bytes for a process that is gone
