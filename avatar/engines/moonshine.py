"""Speech to text with Moonshine tiny-en, on the CPU. English only; knows nothing of VAD or turns.

Its own VAD is switched off (`vad_threshold` 0), because splitting is what hurt it: over the English clips of the
speech set WER fell from 0.10 to 0.05 and the lines it invented in front ("You", "?", "You can also") were gone.
"""

import ctypes
import re
import threading
from collections.abc import Generator
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from avatar import weights
from avatar.engines.base import STT_RATE, Progress
from avatar.errors import EngineError
from avatar.events import Samples, Transcript
from avatar.settings import Settings

LANGUAGE = "en"
MIN_SAMPLES = STT_RATE // 2  # it raises below about 0.1 s and guesses below 0.5 s
TAIL_SAMPLES = STT_RATE // 5  # a word cut at the last sample is heard wrong (WER 0.13 -> 0.07 with 0.2 s behind it)
SEGMENT_SAMPLES = 20 * STT_RATE  # 21 s in one piece went well, 64 s turned into one repeated phrase
FRAME = STT_RATE // 50  # 20 ms, where a long utterance may be cut
SILENCE_RMS = 0.001  # -60 dBFS: no microphone has speech below it
INVENTED = {"", "you", "the"}  # all it says to zeros, hiss, tones, clicks and coughs
GUARD_SAMPLES = 8 * STT_RATE  # what `plausible` hears again; by 5 s of f5_ref_zh.wav alone it was taken for English
PACES = (0.93, 1.08)  # of the second and third hearing that `plausible` compares
AGREEMENT = 0.6
FOREIGN = re.compile(r"[^\W\d_\u0000-\u024f]")  # a letter outside Latin: it sometimes writes hanzi for Chinese
REPEATED = re.compile(r"\b(\w+(?: \w+){0,5})(?:[ ,.?!]+\1\b){3,}", re.IGNORECASE)


def load(settings: Settings, progress: Progress) -> "MoonshineSTT":
    """Load tiny-en from the installed wheel: about 0.2 s. Raises WeightsError, EngineError."""
    folder = weights.path("moonshine-tiny-en", settings.weights)
    from moonshine_voice import ModelArch
    from moonshine_voice.transcriber import Transcriber

    options = {"vad_threshold": "0", "return_audio_data": "false"}
    engine = MoonshineSTT(Transcriber(str(folder), ModelArch.TINY, options=options))
    for _ in engine.transcribe(np.full(STT_RATE, 0.01, np.float32), None):
        progress(1.0)  # the first call is slow: it is made here, not in the first turn
    return engine


class MoonshineSTT:
    """Thread-safe: calls take turns. Two at once in one transcriber give garbage (measured), and are not faster."""

    def __init__(self, transcriber: Any) -> None:
        self._transcriber = transcriber
        self._lock = threading.Lock()

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        """samples: float32 (n,) at STT_RATE, any length. Yields one cumulative transcript per 20 s, the last final.

        Silence, noise and values that are not finite give ''. `language` is not used: other languages come out as
        English nonsense.
        """
        pieces = split(samples) if usable(samples) else []
        said: list[str] = []
        for piece in pieces:
            with self._lock:
                said.append(self._words(piece))
            if piece is not pieces[-1]:
                yield Transcript(" ".join(said), final=False, language=LANGUAGE)
        text = " ".join(part for part in said if part)
        if re.sub(r"\W+", "", text).lower() in INVENTED:
            text = ""
        yield Transcript(text, final=True, language=LANGUAGE)

    def plausible(self, samples: Samples, text: str) -> bool:
        """Whether `text`, which `transcribe` made of `samples`, is what was said, and not another language.

        It is heard again a little slower and a little faster: English words stay, nonsense changes. Of 57 English
        pieces of 2-21 s (the speech set, the wheel's own recordings, eSpeak) one was refused, a sentence cut in two;
        of 32 in Chinese, German, French, Spanish, Italian, Japanese, Korean, Russian and Hindi (the speech set's two
        zh clips cut up, the rest eSpeak) none was accepted. Nothing is known of accents, and it says nothing on one
        or two words: those pass. Costs two or three transcriptions of at most 8 s.
        """
        if FOREIGN.search(text):
            return False
        words = normal(text)
        if len(words) < 3 or not usable(samples):
            return True
        piece = samples[:GUARD_SAMPLES]
        if len(piece) < len(samples):
            with self._lock:
                words = normal(self._words(piece))
        agreement = 0.0
        for pace in PACES:
            at = np.arange(0, len(piece) - 1, pace)
            with self._lock:
                again = normal(self._words(np.interp(at, np.arange(len(piece)), piece).astype(np.float32)))
            agreement += SequenceMatcher(None, words, again, autojunk=False).ratio() / len(PACES)
        return agreement >= AGREEMENT

    def close(self) -> None:
        with self._lock:
            self._transcriber.close()

    def _words(self, samples: Samples) -> str:
        """Call the C API with the array's own memory: the package copies sample by sample (51 ms for 11 s)."""
        from moonshine_voice.moonshine_api import TranscriptC

        padded = np.zeros(max(MIN_SAMPLES, len(samples) + TAIL_SAMPLES), np.float32)
        padded[: len(samples)] = samples
        out = ctypes.POINTER(TranscriptC)()
        pointer = padded.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        lib, handle = self._transcriber._lib, self._transcriber._handle
        if handle is None:
            raise EngineError("Speech recognition was closed.", stage="stt", engine="moonshine")
        error = lib.moonshine_transcribe_without_streaming(handle, pointer, len(padded), STT_RATE, 0, ctypes.byref(out))
        if error:
            raise EngineError(f"Speech recognition failed (error {error}).", stage="stt", engine="moonshine")
        lines = out.contents.lines[: out.contents.line_count]  # memory of the transcriber: read it under the lock
        return tidy(" ".join(ctypes.string_at(line.text).decode(errors="replace") for line in lines if line.text))


def normal(text: str) -> list[str]:
    """Words in small letters without punctuation, to compare two hearings."""
    return re.sub(r"[^a-z0-9' ]", " ", text.lower()).split()


def usable(samples: Samples) -> bool:
    """Whether there can be speech in it: not empty, finite, above -60 dBFS somewhere."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    if not len(frames) or not np.isfinite(samples).all():
        return False
    return float(np.sqrt(np.mean(np.square(frames), axis=1)).max()) > SILENCE_RMS


def split(samples: Samples) -> list[Samples]:
    """Cut into pieces of at most 20 s, each at the quietest 20 ms of its second half."""
    pieces = []
    while len(samples) > SEGMENT_SAMPLES:
        half = samples[SEGMENT_SAMPLES // 2 : SEGMENT_SAMPLES].reshape(-1, FRAME)
        quietest = int(np.argmin(np.convolve(np.mean(np.square(half), axis=1), np.ones(5), "same")))
        cut = SEGMENT_SAMPLES // 2 + quietest * FRAME + FRAME // 2
        pieces.append(samples[:cut])
        samples = samples[cut:]
    return [*pieces, samples]


def tidy(text: str) -> str:
    """Drop music signs and a phrase said four times or more in a row, which is how its decoder gets stuck."""
    text = re.sub(r"[^\w\s.,;:!?'\"%$€£&@#/()+=*-]+", "", text)
    return " ".join(REPEATED.sub(r"\1", text).split())
