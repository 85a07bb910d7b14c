"""Speech to text with Whisper in 99 languages, through faster-whisper. Knows nothing of VAD or turns.

Only its model, features and tokenizer are used. Its `transcribe` runs the encoder once for the language and once more
for the words, and of the base model that is most of the work: on two quiet cores 490 ms (one: 700), and then 35 ms for
the language and 10 ms per token (2026-11-23; random weights of base's shape, the real ones need a hub). An encoder
that hears 15 s instead of 30 takes 100 ms, but no Whisper was trained so: OpenNMT/CTranslate2 issue 2100 tells of
Korean lost. Nothing is downloaded here, whatever is missing.
"""

import os
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from avatar import weights
from avatar.engines.base import STT_RATE, Progress
from avatar.engines.catalog import planned_model
from avatar.engines.inventions import LOGPROB, Decoded, words
from avatar.engines.sound import split, usable
from avatar.errors import EngineError, WeightsError
from avatar.events import Samples, Transcript
from avatar.planner import Share
from avatar.settings import Settings
from avatar.text import joined

WINDOW_S = 30  # what the encoder hears at once; the rest of it is padding
TEMPERATURES = (0.0, 0.4)  # greedy, and where that loops or guesses once more with chance; the paper tries six
TEXT_TOKENS = 448  # positions of the decoder
HOTWORDS = 100  # tokens of them; the rest of the decoder's positions is for what is said
TOKENS = 224  # the most that Whisper writes for a window
# A character is at most three tokens, its bytes in UTF-8, and a fast speaker says seven syllables a second.
TOKENS_PER_S, TOKENS_LEAST = 21, 10
SURE = 0.5  # a language less probable than this is used to hear, but not passed on (faster-whisper's own bound)
# On a card each has a thread and a stream of its own, and all share the weights: five who end at once wait for 241 ms
# at P95 instead of 289 (large-v3-turbo, H100, docs/benchmarks.md).
WORKERS = 2
NEEDED = ("model.bin", "config.json", "tokenizer.json")  # without the last faster-whisper would ask a hub for it
HOP = STT_RATE // 100  # samples per frame of the features
BCP47 = {"jw": "jv"}  # of Whisper's names for languages, those that are not BCP 47


class Model(Protocol):
    """What we use of faster_whisper.WhisperModel."""

    model: Any  # ctranslate2.models.Whisper
    hf_tokenizer: Any  # tokenizers.Tokenizer
    feature_extractor: Callable[[Samples], Any]  # (mels, frames + 1)

    def encode(self, features: Any) -> Any: ...


def load(settings: Settings, progress: Progress, share: Share | None = None) -> "WhisperSTT":
    """Load the model of the plan, base without one, or that of AVATAR_WHISPER_MODEL: base takes 0.4 s from a warm disk.
    Raises WeightsError."""
    chosen = planned_model(share) if settings.whisper_model == "auto" else settings.whisper_model
    folder = chosen if isinstance(chosen, Path) else weights.path(f"whisper-{chosen}", settings.weights)
    if missing := [name for name in NEEDED if not (folder / name).is_file()]:
        raise WeightsError(f"{folder} is no Whisper model for CTranslate2: it has no {', '.join(missing)}.")
    import opencc
    from faster_whisper import WhisperModel

    model = WhisperModel(str(folder), **placement(share))
    if not model.model.is_multilingual:
        raise WeightsError(f"{folder} is a model for English only. Choose one without .en in its name.")
    progress(0.9)
    # Whisper writes either script; our users read this one. A prompt in it is the usual way, but comes back as words
    # over silence. Only the characters are changed (s2tw): the words stay those that were said.
    engine = WhisperSTT(model, opencc.OpenCC("s2tw").convert, settings.hotwords)
    for _ in engine.transcribe(np.full(STT_RATE, 0.01, np.float32), None):
        progress(1.0)  # the first call is slow: it is made here, not in the first turn
    return engine


def placement(share: Share | None) -> dict[str, Any]:
    """Where the model runs and with what numbers. On two cores two threads took 490 ms instead of 700; CTranslate2's
    default is 4."""
    if share is not None:
        return {
            "device": "cuda",
            "device_index": share.card,
            "compute_type": share.compute_type or "float16",
            "num_workers": WORKERS,
        }
    return {"device": "cpu", "compute_type": "int8", "cpu_threads": min(4, os.cpu_count() or 1)}


class WhisperSTT:
    """Thread-safe, without a lock: nothing is kept between calls, and CTranslate2 queues those of all threads for its
    workers: one on the CPU, where a second would only share the same cores, and WORKERS on a card."""

    def __init__(self, model: Model, traditional: Callable[[str], str], hotwords: str = "") -> None:
        self._model: Model | None = model
        self._traditional = traditional
        self._before = before(model, hotwords)

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        """samples: float32 (n,) at STT_RATE, any length. Yields one cumulative transcript per 30 s, the last final.

        `language` is BCP 47; None, or one that the model does not know, is judged by each piece's sound, and then the
        transcript's is the first that was sure, or None. Silence and values that are not finite give ''. A growing
        utterance is heard anew each time: CTranslate2 takes words that are known one by one, so keeping them is no
        faster, and what of them is stable can be seen by whoever asked before (text.agreed).
        """
        if (model := self._model) is None:
            raise EngineError("The speech recognition was closed.", stage="stt", engine="whisper")
        pieces = split(samples, WINDOW_S) if usable(samples) else []
        said: list[str] = []
        tag = known_tag(model, language)
        known = language if tag else None
        for number, piece in enumerate(pieces, 1):
            text, found = self._hear(model, piece, tag)
            if tag is None and found is not None:
                tag, known = found, BCP47.get(found, found)
            said += filter(None, [text])
            if number < len(pieces):
                yield Transcript(joined(said), final=False, language=known)
        yield Transcript(joined(said), final=True, language=known)

    def _hear(self, model: Model, piece: Samples, tag: str | None) -> tuple[str, str | None]:
        """The words of at most WINDOW_S seconds, and their language (Whisper's name for it) where that is sure."""
        encoded = encode(model, piece)
        sure = tag
        if tag is None:
            token, probability = model.model.detect_language(encoded)[0][0]
            tag = token.strip("<|>")
            sure = tag if probability >= SURE else None
        most = min(TOKENS, TOKENS_LEAST + round(TOKENS_PER_S * len(piece) / STT_RATE))
        best = decode(model, encoded, tag, most, TEMPERATURES[0], self._before)
        for temperature in TEMPERATURES[1:]:
            if best.silence or not (best.looping or best.logprob < LOGPROB):
                break
            again = decode(model, encoded, tag, most, temperature, self._before)
            best = min(best, again, key=lambda decoded: (decoded.looping, -decoded.logprob))
        if tag == "zh":
            best = replace(best, text=self._traditional(best.text))
        return words(best), sure

    def plausible(self, samples: Samples, text: str) -> bool:
        """True: it hears in the language that is spoken."""
        return True

    def close(self) -> None:
        """Frees the model (unload_model of CTranslate2 4.8.5 keeps it); a call that still runs has it until it ends."""
        self._model = None


def known_tag(model: Model, language: str | None) -> str | None:
    """Whisper's name for a BCP 47 tag; None when there is no tag, or the model does not know it."""
    primary = (language or "").lower().partition("-")[0]
    tag = next((own for own, standard in BCP47.items() if standard == primary), primary)
    return tag if model.hf_tokenizer.token_to_id(f"<|{tag}|>") is not None else None


def encode(model: Model, piece: Samples) -> Any:
    """What the encoder makes of at most WINDOW_S seconds. The features are filled up with zeros, as in training."""
    frames = model.feature_extractor(piece)[:, : len(piece) // HOP]
    return model.encode(np.pad(frames, ((0, 0), (0, WINDOW_S * STT_RATE // HOP - frames.shape[1]))))


def before(model: Model, hotwords: str) -> list[str]:
    """The prompt that makes rare words likely: as if they had been said before (faster-whisper's `hotwords`)."""
    if not (words := " ".join(hotwords.split())):
        return []
    return ["<|startofprev|>", *model.hf_tokenizer.encode(f" {words}", add_special_tokens=False).tokens[:HOTWORDS]]


def decode(model: Model, encoded: Any, tag: str, most: int, temperature: float, before: Sequence[str] = ()) -> Decoded:
    """At most `most` tokens of text in the language `tag`: the likeliest ones, or at a temperature drawn ones."""
    start = [f"<|{name}|>" for name in ("startoftranscript", tag, "transcribe", "notimestamps")]
    prompt = [*before, *start]
    chance = {"sampling_temperature": temperature, "sampling_topk": 0} if temperature else {}
    (result,) = model.model.generate(
        encoded,
        [prompt],
        beam_size=1,
        max_length=min(TEXT_TOKENS, 2 * most + len(before)),  # CTranslate2 stops at half
        return_scores=True,
        return_no_speech_prob=True,
        **chance,
    )
    (tokens,), (score,) = result.sequences_ids, result.scores
    logprob = score * len(tokens) / (len(tokens) + 1)  # the score's sum has the end in it, its divisor has not
    text = model.hf_tokenizer.decode(tokens).replace("\ufffd", "")  # half a character, when the limit cut it
    return Decoded(text, result.no_speech_prob, logprob)
