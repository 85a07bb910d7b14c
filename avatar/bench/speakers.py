"""How well the speaker encoder tells our clips apart: `python -m avatar.bench.speakers [FOLDER]`.

Same voice: each clip cut at each of its pauses, if both sides hold enough speech. Different voices: all pairs of
clips, but those that may be one speaker. Same recording: each clip against itself cut, coded or with noise. Also how
far random sentences to read aloud are apart in words. The table in docs/voices.md is what this prints.
"""

import asyncio
import random
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from avatar import clip, speaker, weights
from avatar.audio import pcm16, resample
from avatar.bench.clips import FOLDER
from avatar.bench.starters import RATE, decode
from avatar.consent import MAX_WORDS_WRONG, check
from avatar.events import Samples
from avatar.readaloud import sentence
from avatar.settings import Settings
from avatar.speaker import NEAR_DUPLICATE, SAME, Embedding, SpeakerEncoder, similarity
from avatar.turntaking.voice import Silero
from avatar.voiced import Heard, listen

ENOUGH_S = 1.0  # of speech on each side of a pause
ONE_SPEAKER = ("lk_",)  # files that begin alike may be one synthetic voice: their pairs say nothing
SENTENCES = 400


def same_voice(heard: Heard, encoder: SpeakerEncoder) -> Iterator[float]:
    for start, end in heard.pauses():
        middle = (start + end) / 2
        before, after = heard.cut(0, middle), heard.cut(middle, heard.duration_s)
        if min(before.speech_s, after.speech_s) >= ENOUGH_S:
            yield similarity(encoder.embed(before.voice()), encoder.embed(after.voice()))


def same_recording(heard: Heard, silero: Silero, encoder: SpeakerEncoder) -> Iterator[float]:
    """Its best window; through 8 bits at 16 kHz; 20 dB of noise."""
    whole = clip.embedding(heard, encoder)
    assert whole is not None
    narrow = resample(resample(heard.samples, heard.rate, 16_000), 16_000, heard.rate)
    coarse = (np.frombuffer(pcm16(narrow), "<i2") >> 8 << 8).astype(np.float32) / np.float32(32768)
    power = float(np.square(heard.samples).mean())
    noise = np.random.default_rng(7).normal(0, np.sqrt(power / 100), len(heard.samples)).astype(np.float32)
    variants: list[Samples] = [coarse, heard.samples + noise]
    pieces = [heard.cut(*clip.best_window(heard)), *(listen(samples, heard.rate, silero) for samples in variants)]
    for piece in pieces:
        other = clip.embedding(piece, encoder)
        if other is not None:
            yield similarity(whole, other)


def different_voices(embeddings: dict[str, Embedding]) -> Iterator[float]:
    for one, other in combinations(sorted(embeddings), 2):
        if not any(one.startswith(start) and other.startswith(start) for start in ONE_SPEAKER):
            yield similarity(embeddings[one], embeddings[other])


def equal_error(same: list[float], different: list[float]) -> tuple[float, float, float]:
    """The lowest and highest threshold at which the larger of the two error rates is least, and that rate."""
    steps = np.round(np.arange(0.5, 1.0, 0.001), 3)
    errors = [max(np.mean(np.array(same) < t), np.mean(np.array(different) >= t)) for t in steps]
    best = [float(t) for t, error in zip(steps, errors, strict=True) if error == min(errors)]
    return best[0], best[-1], float(min(errors))


def sentences(language: str, count: int = SENTENCES) -> list[float]:
    """The share of wrong words of each sentence when another was read."""
    chance = random.Random(1)
    made = [sentence(language, chance) for _ in range(count)]
    return [check(one, other, 1.0).words_wrong for one, other in combinations(made, 2)]


def line(name: str, values: list[float]) -> str:
    low, middle, high = np.min(values), np.median(values), np.max(values)
    return f"| {name} | {len(values)} | {low:.3f} | {middle:.3f} | {high:.3f} |"


def main(folder: Path) -> None:
    settings = Settings.from_env()
    silero = Silero.load(weights.path("silero-vad", settings.weights))
    encoder = speaker.load(settings)
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".wav", ".flac", ".mp3"))
    heard = {
        path.name: listen(samples, RATE, silero)
        for path, samples in zip(paths, asyncio.run(decode(paths)), strict=True)
    }
    whole = {name: encoder.embed(one.voice()) for name, one in heard.items()}
    same = [value for one in heard.values() for value in same_voice(one, encoder)]
    different = list(different_voices(whole))
    copies = [value for one in heard.values() for value in same_recording(one, silero, encoder)]
    print("| pairs | count | least | median | most |\n|---|---|---|---|---|")
    for name, values in (("same voice", same), ("different voices", different), ("same recording", copies)):
        print(line(name, values))
    low, high, rate = equal_error(same, different)
    print(f"\nleast error {rate:.1%} from {low:.3f} to {high:.3f}; SAME is {SAME}, NEAR_DUPLICATE {NEAR_DUPLICATE}")
    for limit in (SAME, NEAR_DUPLICATE):
        one, two, copy = (float(np.mean(np.array(values) >= limit)) for values in (same, different, copies))
        print(f"at or above {limit}: same voice {one:.0%}, different {two:.1%}, same recording {copy:.0%}")
    for language in ("en", "zh"):
        wrong = np.array(sentences(language))
        passing = float(np.mean(wrong <= MAX_WORDS_WRONG))
        print(f"another sentence, {language}: {len(wrong)} pairs, least {wrong.min():.2f} wrong, {passing:.3%} pass")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
