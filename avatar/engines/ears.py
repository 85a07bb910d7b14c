"""Two engines that hear as one: a quick one of one language, and a slow one of many where the quick one is not sure.

Whisper's base takes 0.7 s for a question on two cores, Moonshine 0.06 s, and knows by its own probabilities when it did
not understand. So clear English is heard as fast as without Whisper, and a change of language in the middle of a
conversation is noticed all the same. One or two words are left to the slow one, unless the user chose English.
"""

import logging
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import cast

from avatar.engines.base import STT, Engine, Sure
from avatar.engines.catalog import Rung
from avatar.engines.slots import Withdrawn
from avatar.events import Samples, Transcript

log = logging.getLogger(__name__)

Lease = Callable[[Rung], AbstractContextManager[Engine]]


class Ears:
    """An STT for one call: each engine is leased only while it hears. `served`: whose words they are."""

    def __init__(self, lease: Lease, quick: Rung, slow: Rung) -> None:
        self._lease, self._quick, self._slow = lease, quick, slow
        self.served: Rung | None = None

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        """Where the user chose the quick one's language, it hears alone; without a choice, where it is sure."""
        chosen = language is not None and language.partition("-")[0].lower() in self._quick.languages
        if chosen or language is None:
            heard = self._heard_quickly(samples, chosen)
            if heard is not None:
                self.served = self._quick
                yield heard
                return
        self.served = self._slow
        with self._lease(self._slow) as stt:
            yield from cast(STT, stt).transcribe(samples, language)

    def plausible(self, samples: Samples, text: str) -> bool:
        """As the slow one finds: what the quick one was sure of needs no second look."""
        with self._lease(self._slow) as stt:
            return cast(STT, stt).plausible(samples, text)

    def close(self) -> None:
        """The engines are the pool's."""

    def _heard_quickly(self, samples: Samples, chosen: bool) -> Transcript | None:
        try:
            with self._lease(self._quick) as stt:
                if chosen:
                    return list(cast(STT, stt).transcribe(samples, None))[-1]
                return cast(Sure, stt).surely(samples)
        except Withdrawn:
            raise
        except Exception as exc:  # noqa: BLE001 - a foreign engine; the slow one hears what it did not
            log.warning("%s did not hear: %s", self._quick.name, type(exc).__name__)
            return None
