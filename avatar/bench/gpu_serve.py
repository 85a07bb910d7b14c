"""app.py for the bench on a card: the same, but for ears whose weights are random, and with notes of the voice.

Whisper of full size then hears 25 tokens of nonsense. It takes its real time and memory; the words, by which the end of
a turn is judged, come from Moonshine, which runs beside it on the CPU: a transcript is there when both are done.
"""

import json
import os
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import app
from avatar.engines.base import STT, Engine, Progress
from avatar.engines.catalog import Rung
from avatar.engines.f5 import F5TTS
from avatar.engines.moonshine import load as load_words
from avatar.engines.pool import import_and_load
from avatar.events import Samples, Transcript
from avatar.settings import Settings

WORDS = "BENCH_WORDS"  # in the environment: moonshine
NOTES = "BENCH_NOTES"  # in the environment: a file to which every call of F5-TTS's solver adds a line


class Beside:
    """Both hear; the words are the second's."""

    def __init__(self, timed: STT, words: STT) -> None:
        self._timed, self._words = timed, words
        self._threads = ThreadPoolExecutor(8, "words")

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        heard = self._threads.submit(lambda: list(self._words.transcribe(samples, language)))
        for _ in self._timed.transcribe(samples, language or "en"):
            continue
        yield heard.result()[-1]

    def plausible(self, samples: Samples, text: str) -> bool:
        return True

    def close(self) -> None:
        self._threads.shutdown(wait=False)
        self._timed.close()
        self._words.close()


class Noted:
    """F5-TTS's solver, each call noted: milliseconds, steps, frames, and which attempt it was."""

    def __init__(self, solver: Any, file: Path) -> None:
        self._solver, self._file = solver, file

    def mel(self, samples: Any) -> Any:
        return self._solver.mel(samples)

    def speak(self, reference: Any, text: Any, frames: int, steps: int, seed: int, before: Any) -> Any:
        started = time.perf_counter()
        sound = self._solver.speak(reference, text, frames, steps, seed, before)
        taken = round((time.perf_counter() - started) * 1000, 1)
        with self._file.open("a") as notes:
            print(json.dumps({"ms": taken, "steps": steps, "frames": frames, "seed": seed}), file=notes)
        return sound


def load(rung: Rung, settings: Settings, progress: Progress) -> Engine:
    engine = import_and_load(rung, settings, progress)
    if rung.name == "whisper" and os.environ.get(WORDS) == "moonshine":
        return Beside(engine, load_words(settings, progress))  # type: ignore[arg-type]
    if isinstance(engine, F5TTS) and (notes := os.environ.get(NOTES)):
        engine._solver = Noted(engine._solver, Path(notes))
    return engine


if __name__ == "__main__":
    sys.exit(app.main(loader=load))
