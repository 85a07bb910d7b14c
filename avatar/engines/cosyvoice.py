"""The HQ voice: CosyVoice 3 on a graphics card through vllm-omni, in nine languages, in any voice, while it is written.

Here is what it is given and what is done with its sound; cosyvoice_omni.py runs it. It speaks only after a reference:
a profile's, or one of the recordings that f5-tts brings along. Nothing is downloaded here.
"""

import asyncio
import hashlib
import json
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Protocol

import numpy as np

from avatar import weights
from avatar.audio import resample
from avatar.engines.base import Abilities, Progress, Voice
from avatar.engines.conditioning import Conditioning
from avatar.engines.own_voices import OWN_RATE, own_voices
from avatar.engines.reference import Reference, prepare
from avatar.errors import EngineError, EngineTimeout, WeightsError
from avatar.events import AudioChunk, Samples
from avatar.planner import Share
from avatar.settings import Settings

log = logging.getLogger(__name__)

WEIGHTS = "cosyvoice3-0.5b"
LANGUAGES = ("zh", "en", "ja", "ko", "de", "es", "fr", "it", "ru")  # of its paper, arXiv 2505.17589
RATE = 24_000  # Hz, of its sound
BLANK = "CosyVoice-BlankEN"  # the folder with the tokenizer and sizes of its language model
SPEECH_TOKENIZER = "speech_tokenizer_v3.onnx"
PARTS = ("llm.pt", "flow.pt", "hift.pt", "campplus.onnx", SPEECH_TOKENIZER)
TOKENIZER = ("config.json", "tokenizer_config.json", "vocab.json", "merges.txt")
# Without it the talker says the reference's words once more (vllm-omni issue 4644); so has its own server.
PREFIX = "You are a helpful assistant.<|endofprompt|>"
REQUESTS = 4  # at once; vllm-omni's 8 are for an H100, and cards below it leave gaps (its deploy/cosyvoice3.yaml)
MAX_CHARS = 2_000  # of one clause; more is cut
USUAL_S = 90.0  # of a load, for the progress that is shown; it does not tell
FIRST_S, NEXT_S = 15.0, 10.0  # to the first sound, with a reference that is new, and between two pieces
WARM_UP_S = 120.0  # to the very first, for which kernels are compiled: 17 s and more on a slow machine with an H200
CLOSE_S = 30.0
SILENT_RMS = 10 ** (-55 / 20)
WARM_UP = "Hello, how are you today?"


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is to be said, and in whose voice; `voice_name` is the same for the same reference and no other."""

    text: str
    reference: Samples
    sample_rate: int
    reference_text: str
    voice_name: str


class Stages(Protocol):
    """What we use of cosyvoice_omni.OmniStages. Used on one event loop."""

    async def start(self) -> None: ...
    def say(self, request: Request) -> AsyncGenerator[Samples, None]: ...
    def forget(self, voice_name: str) -> None: ...
    async def close(self) -> None: ...


def load(settings: Settings, progress: Progress, share: Share | None = None) -> "CosyVoice3":
    """Start it and have it say something. Raises WeightsError, EngineError, and what vllm-omni raises."""
    if share is None or len(share.stages) != 2:
        raise _error("CosyVoice 3 needs a graphics card, and none was planned for it.")
    parts = files(settings)  # before the slow imports
    import opencc

    from avatar.engines.cosyvoice_omni import START_S, OmniStages

    folder = view(parts)
    engine = CosyVoice3(OmniStages(folder, share, REQUESTS), own_voices(), opencc.OpenCC("t2s").convert, folder)
    try:
        engine.start(progress, START_S)
        for _ in engine.speak(WARM_UP, Voice(), "en", WARM_UP_S):  # weights that make no sound show here
            progress(0.97)
    except BaseException:
        engine.close()
        raise
    return engine


def files(settings: Settings) -> dict[str, Path]:
    """Name in the model's folder -> the file. AVATAR_COSYVOICE_MODEL is a folder as FunAudioLLM publishes it, or with
    all files side by side, as they are fetched. Raises WeightsError."""
    folder = settings.cosyvoice_model or weights.path(WEIGHTS, settings.weights)
    blank = folder / BLANK if (folder / BLANK).is_dir() else folder
    found = {**{name: folder / name for name in PARTS}, **{f"{BLANK}/{name}": blank / name for name in TOKENIZER}}
    if missing := [name for name, file in found.items() if not file.is_file()]:
        raise WeightsError(f"{folder} is no CosyVoice 3 model: it has no {', '.join(missing)}.")
    return found


def view(parts: dict[str, Path]) -> Path:
    """A folder of links with the names that vllm-omni looks for, and a config.json: the published one is empty, and the
    model is then guessed by the folder's name. Before 0.30, vllm-omni also believed in 14 heads of keys instead of 2,
    and the talker ended on numbers that are none (its issue 6416)."""
    folder = Path(tempfile.mkdtemp(prefix="avatar-cosyvoice3-"))
    (folder / BLANK).mkdir()
    for name, file in parts.items():
        (folder / name).symlink_to(file.resolve())
    described = {"model_type": "cosyvoice3", "architectures": ["CosyVoice3Model"], "num_key_value_heads": 2}
    (folder / "config.json").write_text(json.dumps(described))
    return folder


class CosyVoice3:
    """Thread-safe: REQUESTS clauses are said side by side."""

    def __init__(
        self,
        stages: Stages,
        own: dict[str, tuple[str, Reference]],
        simplified: Callable[[str], str],
        folder: Path | None = None,
    ) -> None:
        """`own`: its voices, by name, with their languages. `simplified`: hanzi as it learned them. `folder` is removed
        at the end."""
        self._stages, self._own, self._simplified, self._folder = stages, own, simplified, folder
        self._profiles = Conditioning[Reference]("cosyvoice", ".npz")
        self._lock = threading.Lock()  # of the two below
        self._names: dict[str, set[str]] = {}  # by profile: those that the stages keep something of it under
        self._forgotten = set[str]()  # an id is never used again
        self._closed = False
        self.abilities = Abilities(LANGUAGES, clones=True, voices=tuple(own))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="cosyvoice")
        self._thread.start()

    def start(self, progress: Progress, patience_s: float) -> None:
        """Blocks while the stages start. Raises EngineTimeout, and what they raise."""
        started = time.monotonic()
        starting = asyncio.run_coroutine_threadsafe(self._stages.start(), self._loop)
        while (taken := time.monotonic() - started) < patience_s:
            progress(0.95 * taken / (taken + USUAL_S / 4))  # 76 % at the usual time, and never at its end
            try:
                return starting.result(1.0)
            except TimeoutError:
                if starting.done():
                    raise
        starting.cancel()
        raise EngineTimeout(f"CosyVoice 3 did not start within {patience_s:.0f} s.", stage="tts", engine="cosyvoice")

    def speak(
        self, text: str, voice: Voice, language: str | None, patience_s: float = FIRST_S
    ) -> Generator[AudioChunk, None, None]:
        """Yields the clause in pieces, the first of 0.6 s within `patience_s` and later ones longer; nothing for a text
        without letters and digits. Closing it ends the request. Raises EngineError, EngineTimeout."""
        words = " ".join("".join(c if c.isprintable() else " " for c in text[:MAX_CHARS]).split())
        if not any(map(str.isalnum, words)):
            return
        tag = (language or "en").partition("-")[0].lower()
        if tag not in LANGUAGES:
            raise _error(f"CosyVoice 3 does not know this language ({tag}).", "NOT_ITS_LANGUAGE")
        name, reference = self._reference(voice, tag)
        said = self._simplified(words) if tag == "zh" else words
        before = PREFIX + self._simplified(reference.text)
        call = _Call(
            self._loop, self._stages.say(Request(said, reference.samples, reference.sample_rate, before, name))
        )
        power, count = 0.0, 0
        try:
            call.expect(patience_s)
            while (samples := call.next()) is not None:
                if not np.isfinite(samples).all():
                    raise _error("CosyVoice 3 made a broken sound: its weights are damaged. Fetch them again.")
                power, count = power + float(np.square(samples, dtype=np.float64).sum()), count + len(samples)
                yield AudioChunk(np.clip(samples, -1.0, 1.0), RATE)
                call.expect(NEXT_S)
        finally:
            call.cancel()
            if voice.profile_id in self._forgotten:  # deleted meanwhile
                self.forget(voice.profile_id)
        if count == 0 or power / count < SILENT_RMS**2:
            raise _error("CosyVoice 3 made no sound of this clause. Please try again.")

    def _reference(self, voice: Voice, tag: str) -> tuple[str, Reference]:
        """The name that vllm-omni keeps its own features of it under, and the reference: cut once for each profile."""
        if voice.profile_id is None and voice.reference is None:
            name = voice.name
            if name == "default":
                name = next(
                    (own for own, (language, _) in self._own.items() if language == tag), next(iter(self._own), "")
                )
            if name not in self._own:
                there = ", ".join(self._own) or "none"
                raise _error(
                    f"CosyVoice 3 has no voice {name or 'of its own'} here, but: {there}. Choose a voice profile."
                )
            return f"own-{name}", self._own[name][1]
        recording, words = voice.reference, voice.reference_text
        if recording is None or not words:
            sentence = (
                f"CosyVoice 3 cannot speak in the voice {voice.name}: its recording or the words of it are missing."
            )
            raise _error(f"{sentence} Choose another voice.", "NO_CLONING")

        def make() -> Reference:
            try:
                return prepare(resample(recording.samples, recording.sample_rate, OWN_RATE), OWN_RATE, words)
            except ValueError as exc:
                raise _error(str(exc), "NO_CLONING") from exc

        variant = hashlib.sha256(words.encode()).hexdigest()  # what is cut depends on them
        reference = self._profiles.get(voice, variant, make, _read, _write)
        name = hashlib.sha256(recording.samples.tobytes() + words.encode()).hexdigest()
        with self._lock:
            self._names.setdefault(voice.profile_id or "", set()).add(name)
        return name, reference

    def forget(self, profile_id: str) -> None:
        """Returns at once; a clause that is being said in this voice is said to its end, and then forgotten too."""
        self._profiles.forget(profile_id)
        with self._lock:
            self._forgotten.add(profile_id)
            names = self._names.pop(profile_id, set())
        if not self._closed:
            for name in names:
                self._loop.call_soon_threadsafe(self._stages.forget, name)

    def close(self) -> None:
        """Ends what is being said, and the stages' processes."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(CLOSE_S)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(CLOSE_S)
            if not self._thread.is_alive():
                self._loop.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    async def _end(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._stages.close()


class _Call:
    """One clause on the loop, read piece by piece from a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, said: AsyncGenerator[Samples, None]) -> None:
        self._said, self._deadline, self._patience_s = said, 0.0, 0.0
        self._items: SimpleQueue[Samples | BaseException | None] = SimpleQueue()
        self._future: Future[None] = asyncio.run_coroutine_threadsafe(self._run(), loop)

    def expect(self, patience_s: float) -> None:
        """From now on, `next` waits no longer than this altogether."""
        self._patience_s, self._deadline = patience_s, time.monotonic() + patience_s

    def next(self) -> Samples | None:
        """The next piece, or None at the end. Raises EngineTimeout, and what the stages raise."""
        try:
            item = self._items.get(timeout=max(0.0, self._deadline - time.monotonic()))
        except Empty as exc:
            sentence = f"CosyVoice 3 has made no sound for {self._patience_s:g} s."
            raise EngineTimeout(sentence, stage="tts", engine="cosyvoice", lost=True) from exc
        if isinstance(item, BaseException):
            raise item
        return item

    def cancel(self) -> None:
        """End it. Nothing happens when it is over."""
        self._future.cancel()

    async def _run(self) -> None:
        end: BaseException | None = _error("The clause was withdrawn.")
        try:
            async for samples in self._said:
                self._items.put(samples)
            end = None
        except Exception as exc:  # noqa: BLE001 - carried to the thread that reads it
            end = exc
        finally:
            self._items.put(end)
            await self._said.aclose()


def _write(reference: Reference, file: Path) -> None:
    text = np.frombuffer(reference.text.encode(), np.uint8)
    np.savez(file, samples=reference.samples, text=text, sample_rate=reference.sample_rate)


def _read(file: Path) -> Reference:
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as kept:
        samples, text, rate = kept["samples"], kept["text"].tobytes().decode(), int(kept["sample_rate"])
    if samples.dtype != np.float32 or samples.ndim != 1 or not np.isfinite(samples).all():
        raise ValueError("not the sound of a reference")
    return Reference(samples, text, rate)


def _error(sentence: str, code: str | None = None) -> EngineError:
    return EngineError(sentence, stage="tts", engine="cosyvoice", code=code)
