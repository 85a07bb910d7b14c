"""The words of an utterance that grows: heard again and again, and final by and by."""

from contextlib import aclosing
from dataclasses import dataclass

from avatar.events import Samples, Serving
from avatar.pipeline import Pipeline
from avatar.text import agreed, joined


@dataclass(slots=True)
class Heard:
    """Words of the running utterance: `kept` ends at sample `upto` and is final, `tail` is what came after it."""

    kept: str = ""
    upto: int = 0
    tail: str = ""
    tail_upto: int = 0
    language: str | None = None
    engine: str = ""

    @property
    def words(self) -> str:
        return joined([text for text in (self.kept, self.tail) if text])

    def kept_whole(self) -> "Heard":
        """All words so far are final: what follows is heard apart."""
        return Heard(self.words, self.tail_upto, language=self.language, engine=self.engine)

    def settled(self, before: str) -> tuple[str, str]:
        """What is final or was heard the same twice, and what may change. `before`: the tail of the hearing before."""
        stable = agreed(before, self.tail)
        return joined([*filter(None, (self.kept, stable))]), self.tail[len(stable) :].lstrip()

    async def hear(self, pipeline: Pipeline, samples: Samples, language: str | None) -> None:
        """Hear again what is not final of `samples`, all of the utterance so far: float32 (n,) at 16 kHz.
        Raises AvatarError."""
        # what follows final words is in their language: a short rest alone is often mistaken for another one
        language = language or (self.language if self.kept else None)
        async with aclosing(pipeline.transcribe(samples[self.upto :], language)) as events:
            async for event in events:
                if len(samples) < self.tail_upto:
                    return  # a later look was faster: these are older words
                if isinstance(event, Serving):
                    self.engine = event.engine
                else:
                    self.tail, self.language = event.text.strip(), event.language
        self.tail_upto = len(samples)
