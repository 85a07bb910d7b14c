"""The table of conversations."""

import uuid
from collections.abc import Sequence
from typing import Any

from peewee import JOIN, fn

from avatar.errors import AvatarError, NotFound
from avatar.store.rows import MAX_PERSONA, ConversationRow, Quality, clean_title
from avatar.store.tables import Tables
from avatar.text import visible


class Conversations(Tables):
    def create_conversation(self, owner: str, title: str = "", conversation_id: str = "") -> str:
        """Returns its id. A conversation is listed once it has a turn; one that is there already stays as it is."""
        new = {"id": conversation_id or uuid.uuid4().hex, "owner": owner, "title": clean_title(title)}
        with self._db.write():
            self._conversations.insert(**new, created_at=self._now()).on_conflict_ignore().execute()
        return new["id"]

    def conversation(self, owner: str, conversation_id: str) -> ConversationRow:
        with self._db.read():
            row = self._counted(owner).where(self._conversations.id == conversation_id).get()
        if row is None:
            raise NotFound("There is no such conversation.")
        return ConversationRow(**row)

    def conversations(self, owner: str, limit: int = 50, before: str | None = None) -> list[ConversationRow]:
        """Those with turns, the one talked in last first. `before` is the id of the last one already shown."""
        last = fn.MAX(self._turns.seq)
        query = self._counted(owner).having(last.is_null(False)).order_by(last.desc()).limit(limit)
        if before is not None:
            shown = self._turns.alias("shown")
            query = query.having(last < shown.select(fn.MAX(shown.seq)).where(shown.conversation == before))
        with self._db.read():
            return [ConversationRow(**row) for row in query]

    def conversations_of(self, owner: str, ids: Sequence[str]) -> dict[str, ConversationRow]:
        """Those of `ids` that are there, by id."""
        with self._db.read():
            return {
                row["id"]: ConversationRow(**row) for row in self._counted(owner).where(self._conversations.id.in_(ids))
            }

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        c = self._conversations
        query = c.update(title=clean_title(title)).where(c.id == conversation_id, c.owner == owner)
        with self._db.write():
            if not query.execute():
                raise NotFound("There is no such conversation.")

    def persona(self, owner: str, conversation_id: str) -> str:
        """What the model is told about itself in this conversation; "" for nothing, or no such conversation."""
        c = self._conversations
        with self._db.read():
            return c.select(c.persona).where(c.id == conversation_id, c.owner == owner).scalar() or ""

    def set_persona(self, owner: str, conversation_id: str, text: str) -> str:
        """Returns it as it is kept. Raises NotFound, AvatarError: PERSONA_LONG."""
        persona = visible(text)
        if len(persona) > MAX_PERSONA or len(persona.encode()) > 3 * MAX_PERSONA:
            raise AvatarError(f"At most {MAX_PERSONA} characters fit. Write less.", code="PERSONA_LONG")
        c = self._conversations
        query = c.update(persona=persona).where(c.id == conversation_id, c.owner == owner)
        with self._db.write():
            if not query.execute():
                raise NotFound("There is no such conversation.")
        return persona

    def quality(self, owner: str, conversation_id: str) -> Quality:
        """Which voice this conversation is spoken in; fast where there is no such conversation."""
        c = self._conversations
        with self._db.read():
            return c.select(c.quality).where(c.id == conversation_id, c.owner == owner).scalar() or "fast"

    def set_quality(self, owner: str, conversation_id: str, quality: Quality) -> None:
        """Raises NotFound."""
        c = self._conversations
        with self._db.write():
            if not c.update(quality=quality).where(c.id == conversation_id, c.owner == owner).execute():
                raise NotFound("There is no such conversation.")

    def voice(self, owner: str, conversation_id: str) -> str:
        """The choice of voice kept with this conversation; "" for none, or no such conversation."""
        c = self._conversations
        with self._db.read():
            return c.select(c.voice_profile).where(c.id == conversation_id, c.owner == owner).scalar() or ""

    def set_voice(self, owner: str, conversation_id: str, choice: str) -> None:
        """Raises NotFound."""
        c = self._conversations
        query = c.update(voice_profile=choice or None).where(c.id == conversation_id, c.owner == owner)
        with self._db.write():
            if not query.execute():
                raise NotFound("There is no such conversation.")

    def _counted(self, owner: str) -> Any:
        c, t = self._conversations, self._turns
        columns = (c.id, c.title, c.voice_profile, c.created_at, fn.COUNT(t.seq).alias("turns"), c.forked_at)
        query = c.select(*columns).join(t, JOIN.LEFT_OUTER, on=(t.conversation == c.id))
        return query.where(c.owner == owner).group_by(c.id)
