from collections.abc import Generator

import numpy as np
import pytest

from avatar.engines.tempo import paced
from avatar.events import AudioChunk

RATE = 24_000


def hum(seconds: float, hertz: float = 220, frame: int = 1920) -> Generator[AudioChunk, None, None]:
    wave = 0.3 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)
    for i in range(0, len(wave), frame):
        yield AudioChunk(wave[i : i + frame], RATE)


@pytest.mark.parametrize("rate", [0.6, 0.8, 1.25, 1.6])
def test_it_is_faster_or_slower_at_the_same_pitch_and_level(rate: float) -> None:
    chunks = list(paced(hum(3.0), rate))
    assert {chunk.sample_rate for chunk in chunks} == {RATE} and len(chunks) > 5
    samples = np.concatenate([chunk.samples for chunk in chunks])
    assert samples.dtype == np.float32 and np.abs(samples).max() <= 1
    assert len(samples) / RATE == pytest.approx(3.0 / rate, rel=0.03)
    middle = samples[RATE // 4 : RATE // 4 + RATE]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    assert np.argmax(spectrum) == pytest.approx(220, abs=2)  # Hz, of one second
    assert np.sqrt(np.mean(middle**2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)


def test_the_first_sound_does_not_wait_for_the_last() -> None:
    given = 0

    def counted() -> Generator[AudioChunk, None, None]:
        nonlocal given
        for chunk in hum(3.0):
            given += 1
            yield chunk

    next(paced(counted(), 1.25))
    assert given <= 2  # of 38 chunks of 80 ms


def test_closing_it_ends_the_engine_and_nothing_comes_of_nothing() -> None:
    ended = []

    def endless() -> Generator[AudioChunk, None, None]:
        try:
            while True:
                yield AudioChunk(np.zeros(1920, np.float32), RATE)
        finally:
            ended.append(True)

    chunks = paced(endless(), 0.8)
    next(chunks)
    chunks.close()
    assert ended == [True]
    assert list(paced(hum(0.0), 1.5)) == []
