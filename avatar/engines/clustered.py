"""The engines of a Ray Serve cluster (avatar/cluster.py) as rungs: AVATAR_STT, _LLM or _TTS=ray, AVATAR_RAY_URL.

A cluster that is lost is stepped down from like any engine, and looked for again. Nothing of Ray is imported here.
"""

import logging
import secrets
import threading
from collections.abc import Generator, Sequence
from contextlib import closing

from avatar.engines.base import Abilities, Message, Progress, Stage, Voice
from avatar.engines.cluster_client import ClusterClient
from avatar.engines.frames import Head, Item, abilities_of, sound, value_of, voice_blob, voice_head
from avatar.errors import EngineError
from avatar.events import AudioChunk, Samples, Transcript
from avatar.settings import Settings

log = logging.getLogger(__name__)


def load_stt(settings: Settings, progress: Progress) -> "ClusterSTT":
    """Asks the cluster what it can do. Raises EngineError."""
    return ClusterSTT(*_connected("stt", settings, progress))


def load_llm(settings: Settings, progress: Progress) -> "ClusterLLM":
    """Asks the cluster what it can do. Raises EngineError."""
    return ClusterLLM(*_connected("llm", settings, progress))


def load_tts(settings: Settings, progress: Progress) -> "ClusterTTS":
    """Asks the cluster what it can do. Raises EngineError."""
    return ClusterTTS(*_connected("tts", settings, progress))


def _connected(stage: Stage, settings: Settings, progress: Progress) -> tuple[ClusterClient, Abilities]:
    client = ClusterClient(settings.ray_url, settings.ray_key)
    found = [abilities_of(head) for head, _ in client.ask(stage, {"do": "abilities"})]
    progress(1.0)
    return client, found[-1]


class _Clustered:
    """All of these may be called from any thread."""

    stage: Stage

    def __init__(self, client: ClusterClient, abilities: Abilities) -> None:
        self._client, self.abilities = client, abilities
        self._front = secrets.token_hex(8)  # seats are numbered in every front alike

    def _items(
        self, head: Head, blob: bytes = b"", session: str = "", *, anyway: bool = False
    ) -> Generator[Item, None, None]:
        with closing(self._client.ask(self.stage, head, blob, session, anyway=anyway)) as frames:
            for found, more in frames:
                yield value_of(found, more)

    def close(self) -> None:
        self._client.close()


class ClusterSTT(_Clustered):
    stage: Stage = "stt"

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        head: Head = {"do": "transcribe", "language": language}
        with closing(self._items(head, sound(samples), anyway=True)) as items:
            for item in items:
                assert isinstance(item, Transcript)
                yield item

    def plausible(self, samples: Samples, text: str) -> bool:
        return all(bool(verdict) for verdict in self._items({"do": "plausible", "text": text}, sound(samples)))


class ClusterLLM(_Clustered):
    """A seat keeps its replica, and there its prompt cache, as long as the replica lives."""

    stage: Stage = "llm"

    def reply(self, messages: Sequence[Message], seat: int) -> Generator[str, None, None]:
        session = f"{self._front}:{seat}"
        with closing(self._items(_asked("reply", messages, session), session=session)) as items:
            for item in items:
                assert isinstance(item, str)
                yield item

    def prefill(self, messages: Sequence[Message], seat: int) -> None:
        session = f"{self._front}:{seat}"
        for _ in self._items(_asked("prefill", messages, session), session=session):
            continue


class ClusterTTS(_Clustered):
    """What is large of a voice is sent to a replica once, when it says that it does not know it."""

    stage: Stage = "tts"

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        return self._said("speak", text, voice, language)

    def begin(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        """Sooner, where the engine there can."""
        return self._said("begin", text, voice, language)

    def _said(self, do: str, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        head: Head = {"do": do, "text": text, "language": language, "voice": voice_head(voice)}
        for blob in (b"", voice_blob(voice)):
            unknown = False
            with closing(self._client.ask(self.stage, head, blob)) as frames:
                for found, more in frames:
                    if unknown := found["is"] == "voice":
                        continue
                    item = value_of(found, more)
                    assert isinstance(item, AudioChunk)
                    yield item
            if not unknown:
                return
        raise EngineError("The cluster did not take the voice.", stage="tts", engine="ray-tts")

    def forget(self, profile_id: str) -> None:
        """Tells every replica. One that cannot be reached forgets by itself when nobody has asked for ten minutes."""

        def tell() -> None:
            try:
                for _ in self._items({"do": "forget", "profile": profile_id}):
                    continue
            except EngineError:
                log.warning("the cluster could not be told to forget a profile")

        threading.Thread(target=tell, daemon=True, name="forget").start()


def _asked(do: str, messages: Sequence[Message], session: str) -> Head:
    listed = [{"role": message.role, "content": message.content} for message in messages]
    return {"do": do, "messages": listed, "session": session}
