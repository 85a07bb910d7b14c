"""Which voice a reply is spoken in: what an owner can choose from, and the Voice behind a choice. A choice is kept with
its conversation as one string. Knows no page and no database.
"""

from dataclasses import dataclass

from avatar.engines.base import Voice
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError

DEFAULT = ""  # the choice that leaves it to the engine


@dataclass(frozen=True, slots=True)
class VoiceChoice:
    value: str  # what is kept; "" for an engine's own voice
    name: str
    engine: str  # the rung that has it


class VoiceChoices:
    def __init__(self, pool: EnginePool) -> None:
        self._pool = pool

    def of(self, owner: str) -> list[VoiceChoice]:
        """What `owner` can choose now besides DEFAULT: the voices of the engine that serves. Cheap."""
        serving = (rung for rung in self._pool.status() if rung.stage == "tts" and rung.serving)
        return [VoiceChoice(name, name, rung.label) for rung in serving for name in rung.voices]

    def check(self, owner: str, value: str) -> None:
        """Raises AvatarError, NO_VOICE: `owner` cannot choose it now."""
        if value != DEFAULT and value not in {choice.value for choice in self.of(owner)}:
            raise AvatarError("This voice is not here now. Choose another one.", code="NO_VOICE")

    def voice(self, owner: str, value: str) -> Voice:
        """The voice behind a choice that was kept. Whether an engine can speak in it shows when it is asked to."""
        return Voice() if value == DEFAULT else Voice(name=value)
