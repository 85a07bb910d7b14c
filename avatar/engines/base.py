"""What an engine is: three Protocols, one blocking generator each. Knows no engine by name.

Every adapter module has `load(settings, progress) -> engine`: it blocks, imports what is heavy, calls `progress(0..1)`
if it can tell, and raises WeightsError or whatever its library raises. Closing a generator cancels it between items.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from avatar.events import AudioChunk, Samples, Transcript

Stage = Literal["stt", "llm", "tts"]
Progress = Callable[[float], None]

STT_RATE = 16_000  # Hz, what every STT and the VAD expect


# What every conversation begins with: one constant, so that engines can compute its part of a prompt while they load.
# The last sentence explains INTERRUPTED. A note in words ("interrupted by the user") was read aloud by SmolLM2.
SYSTEM_PROMPT = (
    "You are AVATAR, a friendly voice assistant. Answer in one or two short spoken sentences, in the user's language. "
    "Where your words end in a dash, the user interrupted you."
)
INTERRUPTED = " —"


@dataclass(frozen=True, slots=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Voice:
    """The voice a reply is spoken in. Reference audio and text are None for an engine's own voice."""

    name: str = "default"
    profile_id: str | None = None
    reference: AudioChunk | None = None
    reference_text: str | None = None


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a loaded engine can do with the weights it found. An engine whose row in the catalog says it all needs none;
    any other has it as its attribute `abilities`. `voices` are names for Voice.name."""

    languages: tuple[str, ...]  # BCP 47 primary tags; "*" is any
    clones: bool = False
    voices: tuple[str, ...] = ()


class STT(Protocol):
    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        """samples: float32 (n,) at STT_RATE. Yields cumulative transcripts, the last one final; silence gives ''."""
        ...

    def plausible(self, samples: Samples, text: str) -> bool:
        """Blocks. Whether `text` can be what was said in `samples`: an engine of one language turns others into
        fluent nonsense, and must tell. May cost several transcriptions."""
        ...

    def close(self) -> None: ...


class LLM(Protocol):
    def reply(self, messages: Sequence[Message], seat: int) -> Generator[str, None, None]:
        """Yields text deltas. `seat` (0-based) lets an engine keep one prompt cache per conversation; a seat asks one
        thing at a time, so its next question may end the last."""
        ...

    def prefill(self, messages: Sequence[Message], seat: int) -> None:
        """Blocks. Compute what `reply` to these messages would have to, as far as the seat's cache can keep it: called
        while the user still speaks, with the words so far. An engine without such a cache does nothing."""
        ...

    def close(self) -> None: ...


class TTS(Protocol):
    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Yields audio of one clause, in order. `language` is BCP 47, or None to judge by the text.

        Raises EngineError, code NO_CLONING, rather than say it in another voice than `voice`.
        """
        ...

    def close(self) -> None: ...


class Eases(Protocol):
    """What a TTS may have besides, when it can speak with less work and memory at some cost of quality."""

    def ease(self, on: bool) -> None:
        """From the next clause on; answers at once."""
        ...


@runtime_checkable
class Begins(Protocol):
    """What a TTS may have besides, when it can make its first sound sooner at some cost of quality."""

    def begin(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Like `speak`, for the first clause of a reply."""
        ...


Engine = STT | LLM | TTS
