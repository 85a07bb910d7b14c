"""Which voice a reply is spoken in: what an owner can choose from, and the Voice behind a choice. A choice is kept with
its conversation as one string: the name of an engine's voice, PROFILE and the id of a profile, or DEFAULT.
"""

from dataclasses import dataclass

from avatar.engines.base import Voice
from avatar.engines.calls import PITCH_ONLY
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError
from avatar.profiles import PROFILE
from avatar.voices import Voices

DEFAULT = ""  # the choice that leaves it to the owner's default voice, and without one to the engine
GONE = "of this conversation"  # in a sentence: the voice ... has no consent on record


@dataclass(frozen=True, slots=True)
class VoiceChoice:
    value: str  # what is kept; "" for an engine's own voice
    name: str
    engine: str  # the rung that has it


class VoiceChoices:
    """`voices`: None where there are no profiles."""

    def __init__(self, pool: EnginePool, voices: Voices | None = None) -> None:
        self._pool, self._voices = pool, voices

    def of(self, owner: str) -> list[VoiceChoice]:
        """Blocks. What `owner` can choose now besides DEFAULT: their profiles, and the voices of the engines that are
        ready. The one that serves comes first; who chooses a voice of another has chosen that engine."""
        ready = (rung for rung in self._pool.status() if rung.stage == "tts" and rung.state == "ready" and not rung.hq)
        own: dict[str, VoiceChoice] = {}
        for name, engine in ((name, rung.label) for rung in ready for name in rung.voices):
            own.setdefault(name, VoiceChoice(name, name, engine))  # of two with one voice, the better one speaks
        if self._voices is None:
            return [*own.values()]
        engine = self._imitator()
        profiles = self._voices.of(owner) if engine else []
        return [*(VoiceChoice(PROFILE + profile.id, profile.name, engine) for profile in profiles), *own.values()]

    def check(self, owner: str, value: str) -> None:
        """Raises AvatarError, NO_VOICE: `owner` cannot choose it now."""
        if value != DEFAULT and value not in {choice.value for choice in self.of(owner)}:
            raise AvatarError("This voice is not here now. Choose another one.", code="NO_VOICE")

    def voice(self, owner: str, value: str) -> Voice:
        """Blocks. The voice behind a choice that was kept. Whether it may be used, and an engine can speak in it, shows
        when it is asked to: a profile that was deleted is never replaced by another voice."""
        if self._voices is None:
            return Voice(name=value) if value else Voice()
        chosen = value.removeprefix(PROFILE) if value.startswith(PROFILE) else ""
        if value and not chosen:
            return Voice(name=value)
        try:
            profile_id = chosen or self._voices.default(owner)
            return self._voices.voice(owner, profile_id) if profile_id else Voice()
        except AvatarError:  # deleted, damaged, or not the recording that the consent is for
            return Voice(name=GONE, profile_id=chosen) if chosen else Voice()

    def default_name(self, owner: str) -> str:
        """Blocks. Of the voice behind DEFAULT; "" where the engine's own speaks."""
        voice = self.voice(owner, DEFAULT)
        return voice.name if voice.cloned else ""

    def _imitator(self) -> str:
        """Who would speak in the voice of a profile; "" for nobody."""
        try:
            rung = self._pool.choose("tts", voice=Voice(profile_id="any", pitch_hz=150.0))
        except AvatarError:
            return ""
        return rung.label if self._pool.clones(rung) else rung.label + PITCH_ONLY
