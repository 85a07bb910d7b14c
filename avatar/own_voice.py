"""A voice for "answer in my voice", from what the user has said: the best clean turns of a conversation, joined.

Knows no conversation and keeps nothing: turns come in as sound and words, the sample of a voice goes out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from avatar import clip
from avatar.audio import level_dbfs
from avatar.clip import Quality
from avatar.errors import AudioError
from avatar.events import Samples
from avatar.speaker import SAME, Embedding, SpeakerEncoder, normalised
from avatar.turntaking.voice import Silero
from avatar.voiced import Heard, listen

ENOUGH_S = 5.0  # of speech: what cloning engines want at least
BEST_S = 12.0  # of sound: they gain nothing from more
SHORTEST_S = 1.0  # of speech in a turn: less has no embedding that means anything
ALIKE = SAME - 0.1  # turns of 1 to 2 s: halves that short were at 0.74 where those of 4 s are above 0.79
PAUSE_S = 0.25  # between two turns
EDGE_S = 0.1  # kept before and after the speech of a turn
MAX_TURNS = 40  # the newest; a minute of speech is more than enough to choose from
LEVEL_DBFS = -23.0  # every turn is brought to it, so that their joints are not heard as steps
MAX_GAIN_DB = 20.0
_FADE_S = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What the user said in one turn: float32 (n,) at `rate`, its words, and its language (BCP 47)."""

    samples: Samples
    rate: int
    text: str
    language: str


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The sample of a voice: float32 (n,) at `rate`. `turns` are the places in what was given, in order."""

    samples: Samples
    rate: int
    text: str
    language: str
    quality: Quality
    embedding: Embedding
    turns: tuple[int, ...]


class TooLittleSpeech(AudioError):
    """`missing_s`: how many seconds of clean speech are still needed."""

    code = "TOO_LITTLE_SPEECH"

    def __init__(self, missing_s: float) -> None:
        super().__init__(
            f"I need about {missing_s:.0f} more seconds of clear speech from you before I can answer in your voice. "
            "Keep talking, in a quiet place and alone."
        )
        self.missing_s = missing_s


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    place: int
    said: Said
    heard: Heard
    snr_db: float
    embedding: Embedding


def choose(said: Sequence[Said], silero: Silero, encoder: SpeakerEncoder) -> Sample:
    """The best clean turns of the language that was spoken most, at most BEST_S together, in the order of speaking.

    Noisy, clipped, dull, short and silent turns are left out, and those that are not in the voice of the majority. All
    of one `rate`, else ValueError. Blocks for about 30 ms for each second of speech. Raises TooLittleSpeech.
    """
    rates = {one.rate for one in said}
    if len(rates) > 1:
        raise ValueError("turns of different rates")
    offset = max(0, len(said) - MAX_TURNS)
    turns = [turn for place, one in enumerate(said[offset:], offset) if (turn := _clean(place, one, silero, encoder))]
    turns = _of_majority(_of_one_language(turns))
    speech_s = sum(turn.heard.speech_s for turn in turns)
    if speech_s < ENOUGH_S:
        raise TooLittleSpeech(max(1.0, ENOUGH_S - speech_s))
    chosen = _best(turns)
    samples = _joined(chosen)
    heard = listen(samples, chosen[0].said.rate, silero)
    embedding = normalised(np.mean([turn.embedding for turn in chosen], axis=0))
    return Sample(
        samples,
        heard.rate,
        _words(chosen),
        chosen[0].said.language,
        clip.measure(heard, encoder),
        embedding,
        tuple(turn.place for turn in chosen),
    )


def _clean(place: int, said: Said, silero: Silero, encoder: SpeakerEncoder) -> _Turn | None:
    """The turn without its edges of silence; None when it is no good, or has no words."""
    if not said.text.strip():
        return None
    heard = listen(said.samples, said.rate, silero)
    if heard.speech_s < SHORTEST_S:
        return None
    snr, limits = clip.snr_db(heard), clip.LIMITS
    if snr < limits["noise"].warn or -clip.clipping(heard.samples) < limits["clipping"].warn:
        return None
    if clip.bandwidth_hz(heard) < limits["bandwidth"].refuse or len(heard.voice()) == 0:
        return None
    spoken = np.flatnonzero(heard.speech) * (heard.duration_s / len(heard.speech))
    last_s = spoken[-1] + heard.duration_s / len(heard.speech)
    trimmed = heard.cut(max(0.0, float(spoken[0]) - EDGE_S), min(heard.duration_s, float(last_s) + EDGE_S))
    if trimmed.duration_s > BEST_S:
        return None  # its words cannot be cut with it
    return _Turn(place, said, trimmed, snr, encoder.embed(heard.voice()))


def _of_one_language(turns: Sequence[_Turn]) -> list[_Turn]:
    spoken: dict[str, float] = {}
    for turn in turns:
        spoken[turn.said.language] = spoken.get(turn.said.language, 0.0) + turn.heard.speech_s
    most = max(spoken, key=lambda language: spoken[language], default="")
    return [turn for turn in turns if turn.said.language == most]


def _of_majority(turns: Sequence[_Turn]) -> list[_Turn]:
    """Those whose voice is like that of most of the speech: the largest group around one turn."""
    if not turns:
        return []
    embeddings = np.stack([turn.embedding for turn in turns])
    lengths = np.array([turn.heard.speech_s for turn in turns])
    near = (embeddings @ embeddings.T) >= ALIKE
    centre = int((near @ lengths).argmax())
    return [turn for turn, alike in zip(turns, near[centre], strict=True) if alike]


def _best(turns: Sequence[_Turn]) -> list[_Turn]:
    """Those with the least noise, and longer ones before shorter, until BEST_S are full; where that would be less than
    ENOUGH_S of speech, because no other one has room beside the very best, it is done without that."""
    ranked = sorted(turns, key=lambda turn: -min(turn.snr_db, 35.0) - 2.0 * turn.heard.speech_s)
    filled = [_filled(ranked[without:]) for without in range(len(ranked))]
    chosen = max(filled, key=lambda some: min(ENOUGH_S, sum(turn.heard.speech_s for turn in some)))
    return sorted(chosen, key=lambda turn: turn.place)


def _filled(ranked: Sequence[_Turn]) -> list[_Turn]:
    chosen, length_s = list[_Turn](), 0.0
    for turn in ranked:
        more = turn.heard.duration_s + (PAUSE_S if chosen else 0.0)
        if length_s + more <= BEST_S or not chosen:
            chosen.append(turn)
            length_s += more
    return chosen


def _joined(turns: Sequence[_Turn]) -> Samples:
    rate = turns[0].said.rate
    gap = np.zeros(round(PAUSE_S * rate), np.float32)
    pieces: list[NDArray[np.float32]] = []
    for turn in turns:
        pieces += [gap, _levelled(turn.heard.samples, rate)]
    return np.concatenate(pieces[1:])


def _levelled(samples: Samples, rate: int) -> Samples:
    """At LEVEL_DBFS, never over full scale, faded in and out over 10 ms."""
    gain_db = min(MAX_GAIN_DB, LEVEL_DBFS - level_dbfs(samples))
    peak = float(np.abs(samples).max())
    piece = samples * np.float32(min(10 ** (gain_db / 20), 0.99 / max(peak, 1e-6)))
    fade = min(round(_FADE_S * rate), len(piece) // 2)
    ramp = np.linspace(0, 1, fade, dtype=np.float32)
    piece[:fade] *= ramp
    piece[len(piece) - fade :] *= ramp[::-1]
    return piece


def _words(turns: Sequence[_Turn]) -> str:
    """Joined as sentences: a full stop where a turn ends without one."""
    chinese = turns[0].said.language.startswith("zh")
    stop = "。" if chinese else "."
    texts = [text if text[-1] in ".!?。！？…" else text + stop for text in (turn.said.text.strip() for turn in turns)]
    return ("" if chinese else " ").join(texts)
