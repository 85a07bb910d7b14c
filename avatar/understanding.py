"""Whether what is said is in a language that the ears know. Knows the engines' verdict, no engine by name."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from avatar.errors import AvatarError
from avatar.events import Samples
from avatar.pipeline import Pipeline
from avatar.text import count_words

ENOUGH_SAMPLES = 8 * 16_000  # no engine judges by more than the first 8 s of an utterance (moonshine.py)
SURE_WORDS = 3  # one or two pass too easily to ask no more


class Understanding:
    """Of one conversation. Until three words of an utterance were surely understood, each utterance is judged; not
    later, because it costs two more transcriptions, and may be wrong. Lives in the event loop."""

    def __init__(self, pipeline: Pipeline, spawn: Callable[[Coroutine[Any, Any, bool]], "asyncio.Task[bool]"]) -> None:
        self._pipeline, self._spawn = pipeline, spawn
        self._asked: asyncio.Task[bool] | None = None
        self._lasting = False  # whether what is asked is true of the utterance however long it becomes
        self.certain = False

    def heard(self, samples: Samples, words: str) -> None:
        """So far, of an utterance that goes on: it is judged while the user speaks, once it is long enough."""
        if len(samples) >= ENOUGH_SAMPLES:
            self.ask(samples, words)

    def ask(self, samples: Samples, words: str) -> None:
        """Have it judged: these may be all the words. float32 (n,) at 16 kHz."""
        if not self.certain and not (self._asked is not None and self._lasting):
            self.forget()
            self._asked, self._lasting = self._spawn(self._judge(samples, words)), len(samples) >= ENOUGH_SAMPLES

    def went_on(self) -> None:
        """They were not all the words."""
        if not self._lasting:
            self.forget()

    def forget(self) -> None:
        """The utterance is over."""
        if self._asked is not None:
            self._asked.cancel()
        self._asked, self._lasting = None, False

    async def verdict(self, samples: Samples, words: str) -> bool:
        """Of the whole utterance; what was asked before is used."""
        if self._asked is None:
            self.ask(samples, words)
        asked, self._asked, self._lasting = self._asked, None, False
        if asked is not None and not await asked:
            return False
        self.certain = self.certain or count_words(words) >= SURE_WORDS
        return True

    async def _judge(self, samples: Samples, words: str) -> bool:
        try:
            return await self._pipeline.plausible(samples, words)
        except AvatarError:
            return True  # the engine failed; that is not the user's language
