"""Text to speech with F5-TTS v1 on a GPU: English and Chinese, in the voice of a few seconds of reference.

F5-TTS makes a whole clause at once; it cannot stream. So the time to the first sound is that of the first clause, and
that is short because the solver (f5_solver.py) replays CUDA graphs and takes 7 steps. Nothing is downloaded here. torch
and f5_tts are imported by `load` and nowhere else.
"""

import hashlib
import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np

from avatar import weights
from avatar.audio import resample
from avatar.engines.base import Abilities, Progress, Voice
from avatar.engines.card_time import CARD_TIME
from avatar.engines.conditioning import Conditioning
from avatar.engines.f5_clauses import HOP, LEAST_WEIGHT, RATE, frames_for, pieces, trimmed, voiced
from avatar.engines.f5_worker import Job, Worker
from avatar.engines.own_voices import own_voices
from avatar.engines.reference import Reference, prepare, weight
from avatar.errors import EngineError, WeightsError
from avatar.events import AudioChunk, Samples
from avatar.planner import Share
from avatar.settings import Settings

log = logging.getLogger(__name__)

LANGUAGES = ("en", "zh")
MAX_CHARS = 2_000  # of one clause; more is cut
PREPARED = 16  # profiles that are kept ready, 200 KB each; its own voices are two
LONGEST = 1_536  # frames of reference and clause together: the solver's longest
SPOKEN_PART = 0.3  # a clause of which less than this part has a voice was swallowed, and is made once more
WARM_UP = {"en": "Hello, how are you today?", "zh": "你好，今天过得怎么样？"}


class Solver(Protocol):
    """What we use of f5_solver.Solver."""

    def mel(self, samples: Any) -> Any: ...
    def speak(
        self, reference: Any, text: Any, frames: int, steps: int, seed: int, before: Callable[[], Job | None] | None
    ) -> Any: ...


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A voice, ready: the frames of its reference, (1, m, 100) in the memory of the CPU, and its words."""

    mel: Any
    frames: int
    text: str


@dataclass(frozen=True, slots=True)
class Way:
    """How a clause is made: in so many steps; the first of a reply before all others, and within `alone`."""

    steps: int
    first: bool = False
    alone: Callable[[], AbstractContextManager[None]] = nullcontext


def load(settings: Settings, progress: Progress, share: Share | None = None) -> "F5TTS":
    """Load it, make a graph for every length, and say something: on a GPU about half a minute. Raises WeightsError."""
    model_file, vocabulary, vocoder_folder, configuration = files(settings)  # before the slow imports
    device = "cpu" if share is None else f"cuda:{share.card}"
    worker = Worker()
    try:
        solver, encode = worker(lambda: _built(model_file, vocabulary, vocoder_folder, configuration, device))
        progress(0.2)
        if share is not None:
            worker(lambda: solver.warm(lambda fraction: progress(0.2 + 0.7 * fraction)))
        alone = nullcontext if share is None else partial(CARD_TIME.mine, share.card)
        engine = F5TTS(solver, encode, worker, own_voices(), (settings.f5_first_steps, settings.f5_steps), alone)
        for language, text in WARM_UP.items():  # weights that make no sound show here
            for _ in engine.begin(text, Voice(), language):
                progress(0.95)
    except BaseException:
        worker.close()
        raise
    return engine


def files(settings: Settings) -> tuple[Path, Path | None, Path, Path | None]:
    """Model, vocabulary (None: that of the package), folder of the vocoder, model configuration (None: v1 Base).

    AVATAR_F5_MODEL is a folder with one .safetensors or .pt, and the vocoder's config.yaml and pytorch_model.bin in it
    or in its folder vocos. Raises WeightsError.
    """
    if settings.f5_model is None:
        folder = weights.path("f5-tts-v1", settings.weights)
        vocoder = weights.path("vocos-24khz", settings.weights)
    else:
        folder = settings.f5_model
        vocoder = folder / "vocos" if (folder / "vocos").is_dir() else folder
    found = sorted(file for file in folder.glob("*") if file.suffix in (".safetensors", ".pt"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise WeightsError(f"{folder} should have one F5-TTS model (.safetensors or .pt) and has: {names}.")
    for name in ("config.yaml", "pytorch_model.bin"):
        if not (vocoder / name).is_file():
            raise WeightsError(f"F5-TTS needs the vocoder Vocos, and {vocoder / name} is missing.")
    own, arch = folder / "vocab.txt", folder / "model.yaml"
    return found[0], own if own.is_file() else None, vocoder, arch if arch.is_file() else None


class F5TTS:
    """Thread-safe: clauses of all callers take turns on one thread. A first clause waits for one step of another, 7 ms,
    not for the whole of it, 120 and more: who hears that one has sound ahead."""

    def __init__(
        self,
        solver: Solver,
        encode: Callable[[str], Any],
        worker: Worker,
        own: dict[str, tuple[str, Reference]],
        steps: tuple[int, int],
        alone: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`encode`: text -> the model's numbers for it. `steps`: for the first clause of a reply, and for the rest.
        `alone`: entered while a first clause is made, on the thread that makes it."""
        self._solver: Solver | None = solver
        self._encode, self._worker, self._own, self._steps = encode, worker, own, steps
        self._alone = alone
        self._own_ready: dict[str, Prepared] = {}
        self._profiles = Conditioning[Prepared]("f5", ".npz", PREPARED)
        self._eased = False
        self.abilities = Abilities(LANGUAGES, clones=True, voices=tuple(own))

    def begin(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Like `speak`, for the first clause of a reply: fewer steps, so that it sounds sooner."""
        yield from self._say(text, voice, language, Way(self._steps[0], True, self._alone))

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Yields the clause whole, or in several pieces where it is longer than the model can say at once; nothing for
        a text without letters and digits. Raises EngineError."""
        yield from self._say(text, voice, language, Way(self._steps[0 if self._eased else 1]))

    def _say(self, text: str, voice: Voice, language: str | None, way: Way) -> Generator[AudioChunk, None, None]:
        words = " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_CHARS]).split())
        if not any(map(str.isalnum, words)):
            return
        tag = (language or "en").partition("-")[0].lower()
        if tag not in LANGUAGES:
            raise _error(f"F5-TTS does not know this language ({tag}).", "NOT_ITS_LANGUAGE")
        prepared = self._voice(voice, tag)
        pace = prepared.frames / weight(prepared.text)  # frames of the reference for each byte of its words
        most = int((LONGEST - prepared.frames) / pace / 1.05)
        for piece in pieces(words, max(most, LEAST_WEIGHT)):  # less where the words are fewer than were said
            yield AudioChunk(self._clause(prepared, piece, pace, way), RATE)

    def _clause(self, prepared: Prepared, piece: str, pace: float, way: Way) -> Samples:
        frames = min(frames_for(piece, pace), LONGEST - prepared.frames)
        numbers = self._encode(prepared.text + piece)
        sound = np.zeros(0, np.float32)
        for seed in range(2):
            make = partial(self._sound, prepared, numbers, frames, way, seed)
            sound = self._worker(make, way.first)
            if not np.isfinite(sound).all():
                raise _error("F5-TTS made a broken sound: its weights are damaged. Fetch them again.")
            if voiced(sound) >= SPOKEN_PART * weight(piece) * pace * HOP:
                break
        if not len(sound := trimmed(sound)):
            raise _error("F5-TTS made no sound of this clause. Please try again.")
        return np.clip(sound, -1.0, 1.0)

    def _sound(self, prepared: Prepared, numbers: Any, frames: int, way: Way, seed: int) -> Samples:
        if (solver := self._solver) is None:
            raise _error("F5-TTS was closed.")
        before = None if way.first else self._worker.before
        with way.alone():
            return cast(Samples, solver.speak(prepared.mel, numbers, frames, way.steps, seed, before).numpy())

    def _voice(self, voice: Voice, tag: str) -> Prepared:
        """Made once, in a few milliseconds: for a profile's recording, and for each of its own voices."""
        if voice.profile_id is None and voice.reference is None:
            name = voice.name
            if name == "default":
                name = next((own for own, (language, _) in self._own.items() if language == tag), "")
            if name not in self._own:
                there = ", ".join(self._own) or "none"
                raise _error(f"F5-TTS has no voice {name or 'of its own'} here, but: {there}. Choose a voice profile.")
            if (ready := self._own_ready.get(name)) is None:
                ready = self._own_ready[name] = self._made(self._own[name][1])
            return ready
        recording, words = voice.reference, voice.reference_text
        if recording is None or not words:
            sentence = f"F5-TTS cannot speak in the voice {voice.name}: its recording or the words of it are missing."
            raise _error(f"{sentence} Choose another voice.", "NO_CLONING")

        def make() -> Prepared:
            try:
                reference = prepare(resample(recording.samples, recording.sample_rate, RATE), RATE, words)
            except ValueError as exc:
                raise _error(str(exc), "NO_CLONING") from exc
            return self._made(reference)

        variant = hashlib.sha256(words.encode()).hexdigest()  # what is cut depends on them; on the weights nothing does
        return self._profiles.get(voice, variant, make, _read, _write)

    def _made(self, reference: Reference) -> Prepared:
        def mel() -> Any:
            import torch

            if (solver := self._solver) is None:
                raise _error("F5-TTS was closed.")
            return cast(Any, solver).mel(torch.from_numpy(reference.samples)).float().cpu()

        frames = self._worker(mel, urgent=True)  # a tenth of a millisecond, and a first clause may wait for it
        return Prepared(frames, frames.shape[1], reference.text)

    def ease(self, on: bool) -> None:
        """While the card is short of time or memory: the first clause's steps for every clause."""
        self._eased = on

    def forget(self, profile_id: str) -> None:
        """Returns at once; a clause that is being said in this voice is said to its end."""
        self._profiles.forget(profile_id)

    def close(self) -> None:
        """Frees the model and its graphs behind the clause that is being made."""
        self._solver = None
        self._worker.close()


def _built(
    model_file: Path, vocabulary: Path | None, vocoder_folder: Path, configuration: Path | None, device: str
) -> tuple[Any, Callable[[str], Any]]:
    """The solver on `device`, and what turns text into numbers. Raises WeightsError."""
    from importlib.resources import files as inside

    import torch
    import yaml
    from f5_tts.model import CFM, DiT
    from f5_tts.model.utils import convert_char_to_pinyin, get_tokenizer, list_str_to_idx
    from vocos import Vocos

    if device != "cpu":
        torch.cuda.set_device(device)  # of this thread: a graph is captured on the thread's card, not on the model's
    from avatar.engines.f5_solver import MELS, Solver

    package = inside("f5_tts")
    words, count = get_tokenizer(str(vocabulary or package.joinpath("infer/examples/vocab.txt")), "custom")
    described = configuration or Path(str(package.joinpath("configs/F5TTS_v1_Base.yaml")))
    arch = yaml.safe_load(described.read_text("utf-8"))["model"]["arch"]
    sound = {"n_fft": 1024, "hop_length": HOP, "win_length": 1024, "n_mel_channels": MELS, "target_sample_rate": RATE}
    model = CFM(
        transformer=DiT(**arch, text_num_embeds=count, mel_dim=MELS),
        mel_spec_kwargs={**sound, "mel_spec_type": "vocos"},
        odeint_kwargs={"method": "euler"},
        vocab_char_map=words,
    )
    vocoder = Vocos.from_hparams(str(vocoder_folder / "config.yaml"))
    try:
        model.load_state_dict(_state(model_file))
        vocoder.load_state_dict(torch.load(vocoder_folder / "pytorch_model.bin", map_location="cpu", weights_only=True))
    except (RuntimeError, KeyError, ValueError) as exc:  # other names, other shapes, no archive
        raise WeightsError(f"{model_file.parent} is no F5-TTS v1 model with Vocos: {str(exc)[:120]}.") from exc
    kind = torch.float32 if device == "cpu" else torch.float16
    solver = Solver(model.eval().to(device, kind), vocoder.eval().to(device))

    def encode(text: str) -> Any:
        return list_str_to_idx(convert_char_to_pinyin([text]), words)[0]

    encode(WARM_UP["zh"])  # the dictionary of its word segmentation takes a second
    return solver, encode


def _state(file: Path) -> dict[str, Any]:
    """Averaged weights (EMA) as they are released, under the names of the model."""
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        state = load_file(file)
    else:
        state = torch.load(file, map_location="cpu", weights_only=True)["ema_model_state_dict"]
    ours = {name.removeprefix("ema_model."): value for name, value in state.items()}
    return {name: value for name, value in ours.items() if name not in ("initted", "step") and "mel_spec." not in name}


def _write(prepared: Prepared, file: Path) -> None:
    np.savez(file, mel=prepared.mel.numpy(), text=np.frombuffer(prepared.text.encode(), np.uint8))


def _read(file: Path) -> Prepared:
    import torch

    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
        mel, text = kept["mel"], kept["text"].tobytes().decode()
    if mel.dtype != np.float32 or mel.ndim != 3 or not np.isfinite(mel).all():
        raise ValueError("not the frames of a reference")
    return Prepared(torch.from_numpy(mel), mel.shape[1], text)


def _error(sentence: str, code: str | None = None) -> EngineError:
    return EngineError(sentence, stage="tts", engine="f5", code=code)
