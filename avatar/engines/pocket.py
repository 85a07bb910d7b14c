"""Text to speech with Kyutai's pocket-tts on the CPU: English and six European languages, one model for each.

It streams 24 kHz, and clones only with its gated weights. It never downloads: the library is given a configuration in
which every path is a local file. torch is imported by `load` and nowhere else.
"""

import logging
import tempfile
import textwrap
import threading
import warnings
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avatar import weights
from avatar.audio import resample
from avatar.engines.base import OWN, Abilities, Progress, Voice
from avatar.engines.conditioning import Conditioning
from avatar.errors import EngineError, WeightsError
from avatar.events import AudioChunk
from avatar.settings import Settings

LANGUAGES = {  # how the names of the library's configurations begin: english_2026-10, german_24l
    "english": "en",
    "french": "fr",
    "german": "de",
    "portuguese": "pt",
    "italian": "it",
    "spanish": "es",
    "dutch": "nl",
}
MODEL = "model.safetensors"
MAX_CHARS = 2_000  # of one clause; more is cut
MAX_PIECE = 250  # characters that the library is given at once: it splits at punctuation only
FRAMES_AT_ONCE = 4  # that are decoded together: without a limit 2,000 letters without a space asked for 75 GB
MAX_REFERENCE_S = 30.0  # the library's own limit for a recording that it reads from a file
PREPARED = 8  # of its own voices that are kept in memory; conditioning.py keeps those of profiles
THREADS = 1  # for each of the library's own two, speech model and decoder; 2 took 0.8-1.2 times as long on two cores
WARM_UP = "Hello."


@dataclass(frozen=True, slots=True)
class Speaker:
    """One language: the library's model, and where its voices lie, by name. What it makes of a voice is of use to the
    same `weights` only."""

    model: Any
    voices: Mapping[str, Path]
    default: str
    weights: str


def load(settings: Settings, progress: Progress) -> "PocketTTS":
    """Load every model found, and say a word with each. Raises WeightsError, and what the library raises."""
    found = folders(settings)  # before the slow imports
    logging.getLogger("pocket_tts").setLevel(logging.CRITICAL)  # its warnings quote the text
    warnings.filterwarnings("ignore", "torch.(ao.quantization|quantize_per_tensor)")  # deprecated; torch 2.13 has them
    speakers: dict[str, Speaker] = {}
    for name, folder in found.items():
        speakers[language_of(name)] = _speaker(name, folder)
        progress(0.9 * len(speakers) / len(found))
    engine = PocketTTS(speakers)
    for language in speakers:  # weights that make no sound show here, and the slow first call is behind us
        for _ in engine.speak(WARM_UP, Voice(), language):
            progress(0.95)
    return engine


class PocketTTS:
    """Thread-safe: clauses take turns, because the library's models are not."""

    def __init__(self, speakers: Mapping[str, Speaker]) -> None:
        """`speakers` by language, at least one; the first says what is in no known language."""
        self._speakers = speakers
        self._lock = threading.Lock()
        self._states: dict[tuple[str, str], Any] = {}  # own voices made ready, the least recently used first
        self._profiles = Conditioning[Any]("pocket", ".safetensors")
        clones = all(speaker.model.has_voice_cloning for speaker in speakers.values())
        voices = sorted({voice for speaker in speakers.values() for voice in speaker.voices})
        self.abilities = Abilities(tuple(speakers), clones, tuple(voices))

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Yields one or more frames of 80 ms as they are made; nothing for a text without letters and digits.

        The library brings the text into the form of its training, splits it at punctuation, and ends each piece after
        2 s + 1/3 s per token at the latest, because a model may fail to end. Closing stops it within a frame. Raises
        EngineError.
        """
        words = " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_CHARS]).split())
        if not any(map(str.isalnum, words)):
            return
        tag = (language or next(iter(self._speakers))).partition("-")[0].lower()
        if tag not in self._speakers:
            raise _error(f"Pocket TTS has no model for this language ({tag}) here.", "NOT_ITS_LANGUAGE")
        speaker = self._speakers[tag]
        with self._lock:
            state = self._state(tag, speaker, voice)
            for piece in textwrap.wrap(words, MAX_PIECE):
                yield from _sound(speaker.model, state, piece)

    def prepare(self, voice: Voice) -> None:
        """A pass over the reference, which takes seconds; for the model of its language, else for the first."""
        tag = (voice.language or "").partition("-")[0].lower()
        tag = tag if tag in self._speakers else next(iter(self._speakers))
        with self._lock:
            self._state(tag, self._speakers[tag], voice)

    def close(self) -> None:
        """Nothing to end: its memory goes with its last caller."""

    def forget(self, profile_id: str) -> None:
        """Returns at once; a clause that is being said in this voice is said to its end."""
        self._profiles.forget(profile_id)

    def _state(self, tag: str, speaker: Speaker, voice: Voice) -> Any:
        """What makes the model speak in `voice`. Made once: reading a file, or a pass over the reference."""
        if not voice.cloned:
            return self._own_state(tag, speaker, voice.name)
        if (reference := voice.reference) is None or not speaker.model.has_voice_cloning:
            why = "its weights here cannot clone voices" if reference else "that voice has no recording"
            sentence = f"Pocket TTS cannot speak in the voice {voice.name}: {why}. Choose the default voice."
            raise _error(sentence, "NO_CLONING")
        model = speaker.model
        return self._profiles.get(
            voice,
            f"{tag}-{speaker.weights}",
            make=lambda: _prompted(model, reference),
            read=model.get_state_for_audio_prompt,
            write=_export,
        )

    def _own_state(self, tag: str, speaker: Speaker, name: str) -> Any:
        name = speaker.default if name == OWN else name
        if name not in speaker.voices:
            sentence = f"Pocket TTS has no voice {name} here, but: {', '.join(sorted(speaker.voices))}."
            raise _error(sentence, "NO_VOICE")
        state = self._states.pop((tag, name), None) or speaker.model.get_state_for_audio_prompt(speaker.voices[name])
        while len(self._states) >= PREPARED:
            del self._states[next(iter(self._states))]
        self._states[tag, name] = state
        return state


def folders(settings: Settings) -> dict[str, Path]:
    """Name of the library's configuration -> folder with that model. Raises WeightsError.

    AVATAR_POCKET_MODEL is such a folder, or holds several; without it, what was fetched: the English model.
    """
    if (root := settings.pocket_model) is None:
        return {"english": weights.path("pocket-tts-en", settings.weights)}
    found: dict[str, Path] = {}
    for place in sorted({file.parent for file in (*root.glob(MODEL), *root.glob(f"*/{MODEL}"))}):
        own = next(iter(sorted(place.glob("*.yaml"))), None)
        name = own.stem if own else place.name
        if name.partition("_")[0] not in LANGUAGES:
            raise WeightsError(
                f"{place} does not say which model it holds: name the folder like one of pocket-tts's configurations "
                f"(english, german_24l, ...) or put its .yaml beside {MODEL}, named by a language: "
                f"{', '.join(LANGUAGES)}."
            )
        if twin := next((path for other, path in found.items() if language_of(other) == language_of(name)), None):
            raise WeightsError(f"{twin} and {place} hold models of one language. Leave one of them.")
        found[name] = place
    if not found:
        raise WeightsError(f"There is no {MODEL} in {root}, nor one folder below it.")
    return found


def language_of(name: str) -> str:
    """BCP 47 of a configuration's name, such as german_24l."""
    return LANGUAGES[name.partition("_")[0]]


def _speaker(name: str, folder: Path) -> Speaker:
    """Load one model from `folder`. Raises WeightsError, and what the library raises for weights that do not fit."""
    import torch
    import yaml  # pocket-tts imports it too, though only Gradio and huggingface-hub ask for it
    from pocket_tts import TTSModel
    from pocket_tts.default_parameters import get_default_voice_for_language
    from pocket_tts.utils.config import CONFIGS_DIR

    torch.set_num_threads(THREADS)
    source = next((file for file in (folder / f"{name}.yaml", CONFIGS_DIR / f"{name}.yaml") if file.is_file()), None)
    if source is None:
        raise WeightsError(f"pocket-tts has no configuration {name}: put {name}.yaml into {folder}.")
    config = local(yaml.safe_load(source.read_text("utf-8")), folder)
    voices = {file.stem: file for place in (folder, folder / "embeddings") for file in place.glob("*.safetensors")}
    voices.pop(Path(MODEL).stem, None)
    if not voices:
        raise WeightsError(f"There is no voice in {folder}, such as alba.safetensors.")
    with tempfile.TemporaryDirectory(prefix="avatar-pocket-") as scratch:
        written = Path(scratch) / f"{name}.yaml"  # the library takes a file
        written.write_text(yaml.safe_dump(config), "utf-8")
        # int8 took 0.47-0.78 of the time of float32 (random weights of the real size, three runs on two cores that had
        # other work, 2026-11-23); the library says that the word error rate is the same.
        model = TTSModel.load_model(config=written, quantize=True)
    # The library takes any local file for one that clones. The weights without cloning have an encoder of zeros.
    model.has_voice_cloning = any(bool(weight.any()) for weight in model.mimi.encoder.parameters())
    model.max_decoder_frames_per_call = FRAMES_AT_ONCE
    default = get_default_voice_for_language(name)
    stat = (folder / MODEL).stat()
    return Speaker(
        model, voices, default if default in voices else min(voices), f"{name}-{stat.st_size}-{stat.st_mtime_ns}"
    )


def local(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The library's configuration with all its five paths local: what begins with hf:// or http it downloads.

    Raises WeightsError for a file that is not in `folder`.
    """
    table = config["flow_lm"]["lookup_table"]
    tokenizer = folder / table["tokenizer_path"].partition("@")[0].rpartition("/")[2]
    for file in (folder / MODEL, tokenizer):
        if not file.is_file():
            raise WeightsError(f"{file} is missing.")
    unset = {"weights_path": None}
    return {
        **config,
        "weights_path": str(folder / MODEL),
        "weights_path_without_voice_cloning": None,
        "flow_lm": {**config["flow_lm"], **unset, "lookup_table": {**table, "tokenizer_path": str(tokenizer)}},
        "mimi": {**config["mimi"], **unset},
    }


def _prompted(model: Any, reference: AudioChunk) -> Any:
    """The library's state behind a reference, of which the first 30 s count."""
    import torch

    samples = reference.samples[: int(MAX_REFERENCE_S * reference.sample_rate)]
    samples = resample(samples, reference.sample_rate, model.sample_rate)
    return model.get_state_for_audio_prompt(torch.from_numpy(samples)[None])


def _export(state: Any, file: Path) -> None:
    from pocket_tts import export_model_state

    export_model_state(state, file)


def _sound(model: Any, state: Any, text: str) -> Generator[AudioChunk, None, None]:
    stop = threading.Event()
    chunks = model.generate_audio_stream(state, text, stop=stop)
    try:
        for chunk in chunks:
            samples = chunk.numpy()
            if not np.isfinite(samples).all():
                raise _error("Pocket TTS made a broken sound: its weights are damaged. Fetch them again.")
            yield AudioChunk(np.clip(samples, -1.0, 1.0), model.sample_rate)
    finally:
        stop.set()
        for _ in chunks:  # its two threads use the model until the frame in hand is done
            pass


def _error(sentence: str, code: str | None = None) -> EngineError:
    return EngineError(sentence, stage="tts", engine="pocket", code=code)
