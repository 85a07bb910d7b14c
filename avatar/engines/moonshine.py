"""Speech to text with Moonshine tiny-en, on the CPU. English only; knows nothing of VAD or turns.

The weights come out of the moonshine-voice wheel, its library is not used: on onnxruntime, with one thread that does
not spin, a question takes 35 to 65 ms instead of 55 to 85, leaves the other core to Smart Turn, and callers need no
lock (two at once in one of the library's transcribers gave garbage). Its VAD was never used: splitting hurt.
"""

import re
import threading
from collections import OrderedDict
from collections.abc import Generator, Sequence
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar import weights
from avatar.engines.base import STT_RATE, Progress
from avatar.engines.sound import split, usable
from avatar.events import Samples, Transcript
from avatar.onnx_session import session
from avatar.settings import Settings

LANGUAGE = "en"
MIN_SAMPLES = STT_RATE // 2  # it raises below about 0.1 s and guesses below 0.5 s
TAIL_SAMPLES = STT_RATE // 5  # a word cut at the last sample is heard wrong (WER 0.13 -> 0.07 with 0.2 s behind it)
SEGMENT_S = 20  # 21 s in one piece went well, 64 s turned into one repeated phrase
INVENTED = {"", "you", "the"}  # all it says to zeros, hiss, tones, clicks and coughs
GUARD_SAMPLES = 8 * STT_RATE  # what `plausible` hears again; by 5 s of f5_ref_zh.wav alone it was taken for English
PACES = (0.88, 0.93, 1.08)  # of the further hearings that `plausible` compares
AGREEMENT = 0.58
# Mean log probability of the tokens of three words or more: from which on they can be English, and from which nothing
# else is asked. Hearing such words again at other paces, as is done with one or two, told no more and took three
# transcriptions. `python -m avatar.bench.languages`: what is refused of English, and what passes of other languages.
PLAUSIBLE, CERTAIN = -0.55, -0.35
FOREIGN = re.compile(r"[^\W\d_\u0000-\u024f]")  # a letter outside Latin: it sometimes writes hanzi for Chinese
REPEATED = re.compile(r"\b(\w+(?: \w+){0,5})(?:[ ,.?!]+\1\b){3,}", re.IGNORECASE)
BEGIN, END = 1, 2  # tokens
TOKENS_PER_S = 6.5  # more than people say; the decoder is stopped there when it does not find an end
DRAFT_SAMPLES = STT_RATE // 4  # by so much of its beginning an utterance is known again
DRAFTS = 16  # utterances whose words are remembered: each speaker has one, and one that is committed


def load(settings: Settings, progress: Progress) -> "MoonshineSTT":
    """Load tiny-en from the installed wheel: about 0.2 s. Raises WeightsError."""
    folder = weights.path("moonshine-tiny-en", settings.weights)
    encoder, decoder = (session(folder / name) for name in ("encoder_model.ort", "decoder_model_merged.ort"))
    engine = MoonshineSTT(encoder, decoder, vocabulary(folder / "tokenizer.bin"))
    for _ in engine.transcribe(np.full(STT_RATE, 0.01, np.float32), None):
        progress(1.0)  # the first call is slow: it is made here, not in the first turn
    return engine


def vocabulary(path: Path) -> list[bytes]:
    """The bytes of each token: length (one byte, or two with the first's high bit set), then so many bytes."""
    data, words, i = path.read_bytes(), list[bytes](), 0
    while i < len(data):
        length, i = data[i], i + 1
        if length >= 128:
            length, i = length - 128 + 128 * data[i], i + 1
        words.append(data[i : i + length])
        i += length
    return words


class MoonshineSTT:
    """Thread-safe, without a lock: onnxruntime sessions may be run from several threads."""

    def __init__(self, encoder: Any, decoder: Any, words: Sequence[bytes]) -> None:
        self._encoder, self._decoder, self._vocabulary = encoder, decoder, words
        names = [output.name for output in decoder.get_outputs()]
        self._own = [name for name in names if ".decoder." in name]  # keys and values of the words so far
        self._cross = [name for name in names if ".encoder." in name]  # and of the sound, the same at every step
        shapes = {i.name: i.shape for i in decoder.get_inputs() if i.name.startswith("past")}
        self._nothing = {name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in shapes.items()}
        self._drafts: OrderedDict[bytes, list[int]] = OrderedDict()
        self._guard = threading.Lock()  # of the drafts

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        """samples: float32 (n,) at STT_RATE, any length. Yields one cumulative transcript per 20 s, the last final.

        Silence, noise and values that are not finite give ''. `language` is not used: other languages come out as
        English nonsense.
        """
        pieces = split(samples, SEGMENT_S) if usable(samples) else []
        said: list[str] = []
        for piece in pieces:
            said.append(self._words(piece))
            if piece is not pieces[-1]:
                yield Transcript(" ".join(said), final=False, language=LANGUAGE)
        yield Transcript(whole(said), final=True, language=LANGUAGE)

    def surely(self, samples: Samples) -> Transcript | None:
        """See base.Sure: three words or more, and each piece as probable as CERTAIN says; "ja" is "yeah" to it, and
        probably so. Costs no more than `transcribe`. Sure it was of 76 of 85 pieces of the speech set's English, and
        of 1 of 262 in 16 other languages (its zh clips cut up; eSpeak; 2026-11-26)."""
        said: list[str] = []
        for piece in split(samples, SEGMENT_S) if usable(samples) else []:
            scores: list[float] = []
            said.append(self._words(piece, scores))
            if np.mean(scores) < CERTAIN or FOREIGN.search(said[-1]):
                return None
        text = whole(said)
        return Transcript(text, final=True, language=LANGUAGE) if len(normal(text)) >= 3 else None

    def plausible(self, samples: Samples, text: str) -> bool:
        """Whether `text`, which `transcribe` made of `samples`, is what was said, and not another language.

        Three words or more are judged by their own probability, see PLAUSIBLE. One or two, of which too few tokens are
        there, are heard again slower and faster: English words stay, nonsense changes. Nothing is known of accents.
        Costs half a transcription of at most 8 s; one or two words up to three whole ones.
        """
        if FOREIGN.search(text):
            return False
        words = normal(text)
        if not words or not usable(samples):
            return True
        piece = samples[:GUARD_SAMPLES]
        if len(words) >= 3:
            return self._certainty(piece) >= PLAUSIBLE
        if len(piece) < len(samples):
            words = normal(self._words(piece))
        for pace in PACES:
            at = np.arange(0, len(piece) - 1, pace)
            again = normal(self._words(np.interp(at, np.arange(len(piece)), piece).astype(np.float32)))
            if SequenceMatcher(None, words, again, autojunk=False).ratio() >= AGREEMENT:
                return True
        return False

    def close(self) -> None:
        """Nothing to stop; the sessions are freed with the object."""

    def _words(self, samples: Samples, scores: list[float] | None = None) -> str:
        padded, known_by = _padded(samples), samples[:DRAFT_SAMPLES].tobytes()
        with self._guard:
            draft = self._drafts.pop(known_by, [])
        tokens = self._decode(padded, draft, scores)
        with self._guard:
            self._drafts[known_by] = tokens
            while len(self._drafts) > DRAFTS:
                self._drafts.popitem(last=False)
        said = b"".join(self._vocabulary[token] for token in tokens).decode(errors="replace")
        return tidy(said.replace("\u2581", " "))

    def _certainty(self, samples: Samples) -> float:
        """Mean log probability of the tokens that it hears."""
        with self._guard:
            draft = self._drafts.get(samples[:DRAFT_SAMPLES].tobytes(), [])
        scores: list[float] = []
        self._decode(_padded(samples), draft, scores)
        return float(np.mean(scores))

    def _decode(self, samples: Samples, draft: Sequence[int], scores: list[float] | None = None) -> list[int]:
        """The most likely tokens; their log probabilities are added to `scores`. Those of `draft`, heard in the
        utterance when it was shorter, are judged in a single step and kept as far as they are what would have come:
        half of the steps of a final transcript."""
        mask = np.ones((1, len(samples)), np.int64)
        (sound,) = self._encoder.run(None, {"input_values": samples[None], "attention_mask": mask})
        fixed = {"encoder_hidden_states": sound, "encoder_attention_mask": mask}

        def step(tokens: Sequence[int], past: dict[str, Any], first: bool) -> tuple[NDArray[np.int64], dict[str, Any]]:
            feed = {"input_ids": np.array([tokens], np.int64), "use_cache_branch": np.array([not first])}
            names = [*self._own, *(self._cross if first else ())]
            logits, *state = self._decoder.run(["logits", *names], {**fixed, **feed, **past})
            if scores is not None:
                scores.extend(_log_probabilities(logits[0]))
            now = {name.replace("present", "past_key_values"): value for name, value in zip(names, state, strict=True)}
            return logits[0].argmax(-1), {**past, **now}

        best, past = step([BEGIN, *draft], self._nothing, first=True)
        kept = next((i for i, token in enumerate(draft) if best[i] != token), len(draft))
        said = [*draft[:kept], int(best[kept])]
        if scores is not None:
            del scores[kept + 1 :]
        for name in self._own:
            name = name.replace("present", "past_key_values")
            past[name] = past[name][:, :, : kept + 1]
        limit = int(len(samples) / STT_RATE * TOKENS_PER_S)
        while said[-1] != END and len(said) < limit:
            best, past = step(said[-1:], past, first=False)
            said.append(int(best[-1]))
        return said[:-1] if said[-1] == END else said


def whole(said: Sequence[str]) -> str:
    """The words of all pieces; '' for what it says to noise."""
    text = " ".join(filter(None, said))
    return "" if re.sub(r"\W+", "", text).lower() in INVENTED else text


def _padded(samples: Samples) -> Samples:
    padded = np.zeros(max(MIN_SAMPLES, len(samples) + TAIL_SAMPLES), np.float32)
    padded[: len(samples)] = samples
    return padded


def _log_probabilities(logits: NDArray[np.float32]) -> list[float]:
    """Of the most likely token at each position. logits: (n, tokens)."""
    best = logits.max(-1, keepdims=True)
    return [float(-np.log(total)) for total in np.exp(logits - best).sum(-1)]


def normal(text: str) -> list[str]:
    """Words in small letters without punctuation, to compare two hearings."""
    return re.sub(r"[^a-z0-9' ]", " ", text.lower()).split()


def tidy(text: str) -> str:
    """Drop music signs and a phrase said four times or more in a row, which is how its decoder gets stuck."""
    text = re.sub(r"[^\w\s.,;:!?'\"%$€£&@#/()+=*-]+", "", text)
    return " ".join(REPEATED.sub(r"\1", text).split())
