"""What an owner wishes of one conversation, from its next reply on: who answers, in which voice, how well it sounds.

Each is kept in the conversation's row, and told to its live session, if it has one.
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from avatar.conversation import Conversation
from avatar.engines.pool import EnginePool
from avatar.errors import NotFound
from avatar.opened import Opened
from avatar.store import Quality, Store
from avatar.voice_choice import VoiceChoices

T = TypeVar("T")


class Wishes:
    """In each call `conversation_id` may be "" or unknown: then a new conversation is made, for ids are the server's.
    `live_id` names the live session whose conversation is meant, "" none. Each returns the conversation's id, and
    raises NotFound for a session of another owner, and StorageError. `live` finds a session: Assistant."""

    def __init__(
        self,
        store: Store,
        pool: EnginePool,
        voices: VoiceChoices,
        opened: Opened,
        live: Callable[[str, str], Conversation],
    ) -> None:
        self._store, self._pool, self._voices, self._opened, self._live = store, pool, voices, opened, live

    async def set_quality(self, owner: str, conversation_id: str, live_id: str, quality: Quality) -> str:
        """Speak in the fast voice or in the HQ one, which is loaded then."""
        keep = partial(self._store.set_quality, owner, quality=quality)
        kept, live, _ = await self._keep(owner, conversation_id, live_id, keep)
        if live is not None:
            live.chat.hq = quality == "hq"
        if quality == "hq":
            self._pool.want_hq("tts")
        return kept

    async def set_persona(self, owner: str, conversation_id: str, live_id: str, text: str) -> str:
        """Tell the model who it is. Raises AvatarError, code PERSONA_LONG."""
        keep = partial(self._store.set_persona, owner, text=text)
        kept, live, persona = await self._keep(owner, conversation_id, live_id, keep)
        if live is not None:
            live.chat.persona = persona
            live.prepare()
        return kept

    async def set_voice(self, owner: str, conversation_id: str, live_id: str, choice: str) -> str:
        """Speak in the voice of `choice`. Raises AvatarError, code NO_VOICE."""
        self._voices.check(owner, choice)
        keep = partial(self._store.set_voice, owner, choice=choice)
        kept, live, _ = await self._keep(owner, conversation_id, live_id, keep)
        if live is not None:
            live.speak_in(self._voices.voice(owner, choice))
        return kept

    async def _keep(
        self, owner: str, conversation_id: str, live_id: str, write: Callable[..., T]
    ) -> tuple[str, Conversation | None, T]:
        """The conversation that it was written to, its live session and what `write` made of it."""
        live = self._live(owner, live_id) if live_id else None
        wanted = live.chat.id if live is not None else conversation_id
        kept, written = await asyncio.to_thread(self._written, owner, wanted, write)
        return kept, live if live is not None and live.chat.id == kept else None, written

    def _written(self, owner: str, conversation_id: str, write: Callable[..., T]) -> tuple[str, T]:
        """The conversation's row is written with its first turn, or here."""
        try:
            return conversation_id, write(conversation_id=conversation_id)
        except NotFound:
            known = self._opened.told(owner, conversation_id)
        new = self._store.create_conversation(owner, conversation_id=conversation_id if known else "")
        return new, write(conversation_id=new)
