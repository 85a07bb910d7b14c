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

    def on_words(self, final: str, partial: str) -> None:
        """What is heard so far of the utterance: words that will not change any more, and words that may."""
        ...

    def on_likely(self, words: str, language: str | None, samples: Samples) -> None:
        """These may be all the words of the turn: it is not decided yet. `on_resumed` says that they are not.
        `samples` are what they were heard in."""
        ...

    def on_part(self, samples: Samples, words: str) -> None:
        """What was heard so far of an utterance that goes on."""
        ...

    def on_pausing(self, wait_ms: int) -> None:
        """The user may have finished, and is answered unless they go on within so long."""
        ...

    def on_resumed(self) -> None:
        """The user went on after a pause."""
        ...

    def on_voice_over_reply(self) -> None:
        """A voice is heard while a reply plays. `on_interrupting` or `on_not_interrupting` follows."""
        ...

    def on_not_interrupting(self, onset_at: float) -> None:
        """It was a listening noise, an echo, nothing. `onset_at` is the clock's time at which it began."""
        ...

    def on_interrupting(self, onset_at: float) -> bool:
        """Someone wants to speak. Returns whether they go on with the utterance that was answered."""
        ...

    def on_utterance(self, utterance: Utterance) -> None:
        """It is over: to be answered."""
        ...

    def on_nothing_heard(self) -> None:
        """It is over, and there were no words in it."""
        ...

    def on_too_long(self) -> None:
        """It is as long as it may become; `on_utterance` follows."""
        ...

    def on_failure(self, error: AvatarError) -> None:
        """It could not be heard, and is forgotten."""
        ...

    def on_reason(self, reason: Reason) -> None:
        """Why something of the above was decided."""
        ...
