"""F5-TTS without its weights: what it makes of a voice, and keeps. The solver is a fake that knows its reference."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from avatar.engines.base import Voice
from avatar.engines.f5 import F5TTS, HOP, RATE
from avatar.engines.f5_worker import Worker
from avatar.errors import EngineError
from avatar.events import AudioChunk

pytestmark = [pytest.mark.slow, pytest.mark.voice]  # torch: 2 s of a core to import


class Solver:
    """Says a tone. Its mel frames are the reference's level, so that they can be told apart."""

    def __init__(self) -> None:
        self.made, self.spoken = 0, list[float]()

    def mel(self, samples: Any) -> Any:
        import torch

        self.made += 1
        return torch.full((1, len(samples) // HOP, 100), float(samples.abs().max()), dtype=torch.float16)

    def speak(self, reference: Any, text: Any, frames: int, steps: int, seed: int, before: Any) -> Any:
        import torch

        self.spoken.append(float(reference[0, 0, 0]))
        return torch.from_numpy(np.sin(np.arange(frames * HOP) / 9).astype(np.float32) * np.float32(0.3))


def engine(solver: Solver) -> F5TTS:
    return F5TTS(solver, lambda text: [0] * len(text), Worker(), {}, (7, 16))


def voice(cache: Path | None, profile_id: str = "a1", words: str = "What was said there.") -> Voice:
    rng = np.random.default_rng(3)
    sound = (np.sin(np.arange(4 * RATE) / 30) * 0.2 + rng.normal(0, 0.01, 4 * RATE)).astype(np.float32)
    return Voice("Ann", profile_id, AudioChunk(sound, RATE), words, "en", consent="x", cache=cache)


def said(tts: F5TTS, of: Voice) -> float:
    """How many seconds; one clause."""
    return sum(chunk.duration_s for chunk in tts.speak("The kettle is on.", of, "en"))


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    (made := tmp_path / "voices" / "a1" / "cache").mkdir(parents=True)
    return made


def test_a_reference_is_made_once_kept_on_disk_and_dropped_with_its_profile(cache: Path) -> None:
    first, second = Solver(), Solver()
    ann, tts = voice(cache), engine(first)
    assert said(tts, ann) > 0.5 and said(tts, ann) > 0.5 and first.made == 1
    (file,) = cache.iterdir()
    assert file.suffix == ".npz"
    assert said(engine(second), ann) > 0.5  # the next process reads it
    assert second.made == 0 and second.spoken[0] == pytest.approx(first.spoken[0])
    said(tts, voice(cache, words="Other words."))
    assert first.made == 2
    tts.forget("a1")
    for file in cache.iterdir():
        file.unlink()
    cache.rmdir()
    said(tts, ann)
    assert first.made == 3 and not cache.exists()  # nothing of it comes back


def test_a_voice_whose_words_are_far_too_few_is_not_said_letter_by_letter(cache: Path) -> None:
    """Whoever wrote them: all callers take turns on the card, and each letter would be a clause."""
    solver = Solver()
    sound = (np.sin(np.arange(11 * RATE) / 30) * 0.2).astype(np.float32)
    hasty = Voice("Ann", "a1", AudioChunk(sound, RATE), "Hi.", "en", consent="x", cache=cache)
    said_s = sum(chunk.duration_s for chunk in engine(solver).speak("The kettle is on the stove. " * 4, hasty, "en"))
    assert said_s > 1 and len(solver.spoken) <= 12


def test_a_file_that_is_damaged_or_foreign_is_made_again(cache: Path) -> None:
    said(engine(Solver()), voice(cache))
    (file,) = cache.iterdir()
    for damage in (b"", b"PK", file.read_bytes()[:-400]):
        file.write_bytes(damage)
        said(engine(again := Solver()), voice(cache))
        assert again.made == 1
    np.savez(file, mel=np.full((1, 9, 100), np.nan, np.float32), text=np.zeros(2, np.uint8))
    said(engine(again := Solver()), voice(cache))
    assert again.made == 1


def test_who_asks_one_that_was_closed_is_told_and_does_not_wait(cache: Path) -> None:
    tts, told = engine(Solver()), list[EngineError]()
    tts.close()

    def ask() -> None:
        try:
            said(tts, voice(cache))
        except EngineError as error:
            told.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(5)
    assert not asking.is_alive() and [str(error) for error in told] == ["F5-TTS was closed."]


def test_the_card_is_a_first_clauses_own_and_no_later_ones(cache: Path) -> None:
    solver, inside = Solver(), list[int]()

    @contextmanager
    def alone() -> Generator[None, None, None]:
        before = len(solver.spoken)
        yield
        inside.append(len(solver.spoken) - before)

    tts = F5TTS(solver, lambda text: [0] * len(text), Worker(), {}, (7, 16), alone)
    list(tts.begin("The kettle is on.", voice(cache), "en"))
    assert inside == [1]
    assert said(tts, voice(cache)) > 0.5
    assert inside == [1]


def test_a_first_clause_is_made_in_the_middle_of_a_later_one(cache: Path) -> None:
    started, go_on, order = threading.Event(), threading.Event(), list[str]()

    class Slow(Solver):
        def speak(self, reference: Any, text: Any, frames: int, steps: int, seed: int, before: Any) -> Any:
            if before is not None:
                started.set()
                assert go_on.wait(5)
                while (job := before()) is not None:
                    job()
            order.append("first" if before is None else "later")
            return super().speak(reference, text, frames, steps, seed, before)

    tts = F5TTS(Slow(), lambda text: [0] * len(text), worker := Worker(), {}, (7, 16))
    later = threading.Thread(target=said, args=(tts, voice(cache)), daemon=True)
    later.start()
    assert started.wait(5)
    first = threading.Thread(target=lambda: list(tts.begin("The kettle.", voice(cache), "en")), daemon=True)
    first.start()
    while not worker._urgent:
        first.join(0.001)
    go_on.set()
    for thread in (first, later):
        thread.join(5)
    assert order == ["first", "later"]


def test_a_first_clause_for_which_the_card_had_no_room_in_between_is_made_afterwards() -> None:
    worker, said = Worker(), list[str]()
    started, go_on = threading.Event(), threading.Event()

    def full() -> None:
        started.set()
        assert go_on.wait(5) and worker.before() is not None
        raise MemoryError

    def later() -> None:
        with pytest.raises(MemoryError):
            worker(full)

    threads = [threading.Thread(target=later, daemon=True)]
    threads[0].start()
    assert started.wait(5)
    threads.append(threading.Thread(target=worker, args=(lambda: said.append("first"), True), daemon=True))
    threads[1].start()
    while not worker._urgent:
        threads[1].join(0.001)
    go_on.set()
    for thread in threads:
        thread.join(5)
    worker.close()
    assert said == ["first"]
