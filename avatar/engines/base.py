"""What an engine is: three Protocols, one blocking generator each. Knows no engine by name.

Every adapter module has `load(settings, progress) -> engine`: it blocks, imports what is heavy, calls `progress(0..1)`
if it can tell, and raises WeightsError or whatever its library raises. Closing a generator cancels it between items.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from avatar.errors import ConsentError
from avatar.events import AudioChunk, Samples, Transcript

Stage = Literal["stt", "llm", "tts"]
Progress = Callable[[float], None]

STT_RATE = 16_000  # Hz, what every STT and the VAD expect
REFERENCE_RATE = 24_000  # Hz, of a profile's reference audio

# What every conversation begins with: one constant, so that engines can compute its part of a prompt while they load.
# The last sentence explains INTERRUPTED. A note in words ("interrupted by the user") was read aloud by SmolLM2.
SYSTEM_PROMPT = (
    "You are AVATAR, a friendly voice assistant. Answer in one or two short spoken sentences, in the user's language. "
    "Where your words end in a dash, the user interrupted you."
)
INTERRUPTED = " —"
ANSWER_IN = {"en": "Answer in English.", "zh": "請用臺灣的繁體中文回答。"}  # said where a user chose the language


@dataclass(frozen=True, slots=True)
class Message:
    """One of a prompt. A system message that a history begins with is its persona."""

    role: Literal["system", "user", "assistant"]
    content: str


OWN = "default"  # the name of the voice that an engine speaks in when none is asked for


@dataclass(frozen=True, slots=True)
class Voice:
    """The voice a reply is spoken in. An engine's own voice has a name at most; the rest describes a profile.

    `voices.py` makes those of profiles, and only of profiles whose consent is on record. A profile never changes its
    reference, so that what an engine makes of it can be kept under `profile_id`.
    """

    name: str = OWN
    profile_id: str | None = None
    reference: AudioChunk | None = field(default=None, compare=False, repr=False)  # its best 5-12 s, REFERENCE_RATE
    reference_text: str | None = field(default=None, repr=False)  # the words of the reference
    language: str | None = None  # of the reference, BCP 47
    embedding: Samples | None = field(default=None, compare=False, repr=False)  # see speaker.py: (256,), length 1
    pitch_hz: float | None = None  # median of the reference; None where it has no pitch
    consent: str | None = None  # SHA-256 of the recording that the consent on record is for
    cache: Path | None = field(default=None, repr=False)  # a folder for conditioning.py; it is deleted with the profile
    rate: float = 1.0  # how fast, of the voice's own pace; what an engine that does not pace itself speaks is stretched

    @property
    def cloned(self) -> bool:
        """Whether it is somebody's voice, which nobody may use without a consent."""
        return self.profile_id is not None or self.reference is not None


OWN_VOICE = Voice()


def refuse_without_consent(voice: Voice) -> None:
    """No record, no synthesis. Raises ConsentError."""
    if voice.cloned and not voice.consent:
        raise ConsentError(f"There is no consent on record for the voice {voice.name}, so nothing is said in it.")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a loaded engine can do with the weights it found. An engine whose row in the catalog says it all needs none;
    any other has it as its attribute `abilities`. `voices` are names for Voice.name."""

    languages: tuple[str, ...]  # BCP 47 primary tags; "*" is any
    clones: bool = False
    voices: tuple[str, ...] = ()
    pitch: bool = False  # it cannot clone, but speaks at the pitch of a profile
    paces: bool = False  # it speaks at Voice.rate itself

    def can_speak_as(self, voice: Voice) -> bool:
        if not voice.cloned:
            return voice.name == OWN or voice.name in self.voices
        return self.clones or (self.pitch and voice.pitch_hz is not None)


class STT(Protocol):
    """Called from threads, from as many at once as its row of the catalog says (`parallel`); LLM and TTS too."""

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

    def forget(self, profile_id: str) -> None:
        """Drop what is kept in memory of this profile, for good: it was deleted. Returns at once."""
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


@runtime_checkable
class Prepares(Protocol):
    """What a TTS may have besides, when it must make something of a voice's reference before it can speak in it."""

    def prepare(self, voice: Voice) -> None:
        """Blocks. Make it now, and keep it: see conditioning.py. Raises what `speak` would."""
        ...


@runtime_checkable
class Sure(Protocol):
    """What an STT of one language may have besides, when it can tell by a hearing whether it understood: then it hears
    before a slower engine of many languages, and instead of it where it is sure. See engines/ears.py."""

    def surely(self, samples: Samples) -> Transcript | None:
        """Blocks. The final transcript, or None where it may be another language, another word, or nothing."""
        ...


Engine = STT | LLM | TTS
