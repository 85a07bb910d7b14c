"""What a microphone's speech becomes, and who is told of it: the utterance, and the interface of a listener."""

from dataclasses import dataclass
from typing import Protocol

from avatar.errors import AvatarError
from avatar.events import Samples
from avatar.turntaking.reasons import Reason


@dataclass(frozen=True, slots=True)
class Utterance:
    """One finished utterance; samples are float32 (n,) at 16 kHz. Times are the clock's, in seconds."""

    samples: Samples
    words: str
    language: str | None
    ended_at: float  # its last voiced sample arrived
    decided_at: float
    sure: bool  # the end was recognised, not waited for
    hear_ms: float  # of the time between, what the models took
    engine: str = ""  # label of the rung that wrote the words


class Listener(Protocol):
    """What is done with what is heard. Called in the event loop."""

    def on_words(self, final: str, partial: str) -> None: ...
    def on_likely(self, words: str, language: str | None, samples: Samples) -> None:
        """These may be all the words of the turn: it is not decided yet. `on_resumed` says that they are not.
        `samples` are what they were heard in."""
        ...

    def on_part(self, samples: Samples, words: str) -> None:
        """What was heard so far of an utterance that goes on."""
        ...

    def on_pausing(self, wait_ms: int) -> None: ...
    def on_resumed(self) -> None: ...
    def on_voice_over_reply(self) -> None: ...
    def on_not_interrupting(self, onset_at: float) -> None: ...
    def on_interrupting(self, onset_at: float) -> bool:
        """Returns whether it goes on with the utterance that was answered."""
        ...

    def on_utterance(self, utterance: Utterance) -> None: ...
    def on_nothing_heard(self) -> None: ...
    def on_too_long(self) -> None: ...
    def on_failure(self, error: AvatarError) -> None: ...
    def on_reason(self, reason: Reason) -> None: ...
