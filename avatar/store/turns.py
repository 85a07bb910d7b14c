"""The table of turns."""

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from peewee import chunked, fn

from avatar.errors import NotFound
from avatar.store.conversations import Conversations
from avatar.store.rows import Quality, Turn, TurnRow, first_words, turn_row

AT_ONCE = 500  # values in one query; SQLite takes 32,766


class Turns(Conversations):
    def add_turn(self, owner: str, conversation_id: str, turn: Turn, instead_of: str | None = None) -> TurnRow:
        """Store a turn, once: with a client_turn_id that is stored already, returns the row that is there. When this
        returns, the turn survives a crash. The first words of the user become the title of an unnamed conversation.

        `instead_of` is the id of a turn whose place it takes, with the sound of what the user said there; the old reply
        is deleted. If that turn is gone meanwhile, this one is added at the end.
        """
        c, t = self._conversations, self._turns
        old: Mapping[str, Any] | None = None
        take = self.takes.name(instead_of) if instead_of is not None else None
        with self._db.write():
            title = c.select(c.title).where(c.id == conversation_id, c.owner == owner).scalar()
            if title is None:
                raise NotFound("There is no such conversation.")
            mine = t.conversation == conversation_id
            if turn.client_turn_id:
                stored = self._whole_turns().where(mine, t.client_turn_id == turn.client_turn_id).get()
                if stored is not None:
                    return turn_row(stored)
            if instead_of is not None:
                old = self._whole_turns().where(mine, t.id == instead_of).get()
            if old is None:
                number = 1 + (t.select(fn.MAX(t.number)).where(mine).scalar() or 0)
            else:
                number, turn = old["number"], replace(turn, user_audio=turn.user_audio or old["user_audio"])
                t.delete().where(t.id == instead_of).execute()
            row = {f.name: getattr(turn, f.name) for f in fields(Turn)} | {
                "client_turn_id": turn.client_turn_id or None,
                "id": uuid.uuid4().hex,
                "conversation": conversation_id,
                "number": number,
                "created_at": self._now(),
            }
            packed = {key: json.dumps(dict(row[key])) for key in ("engines", "timings_ms")}
            t.insert(**row | packed).execute()
            if not title and (words := first_words(turn.user_text)):
                c.update(title=words).where(c.id == conversation_id).execute()
        if old is not None:  # a crash before this leaves a file without a row, which `sweep` removes
            self._sounds.remove(self._unnamed({old["user_audio"], old["reply_audio"], take} - {None}))
            self.search.forget()
            self._db.checkpoint()
        return TurnRow(**row)

    def fork(self, owner: str, turn_id: str, voice: str | None = None, quality: Quality | None = None) -> str:
        """A new conversation that shares the turns up to and with this one, their recordings and HQ takes too; its id.
        It goes on in `voice` and `quality`, or in those of the old one. Deleting either leaves the other whole."""
        c, t = self._conversations, self._turns
        turn, new_id = self.turn(owner, turn_id), uuid.uuid4().hex
        with self._db.write():
            old = c.select(c.title, c.voice_profile, c.persona, c.quality).where(c.id == turn.conversation).get()
            if old is None:  # deleted since
                raise NotFound("There is no such turn.")
            new = {**old, "id": new_id, "owner": owner, "created_at": self._now()}
            new |= {"forked_from": turn.conversation, "forked_at": turn.number}
            new |= {} if voice is None else {"voice_profile": voice or None}
            c.insert(**new | ({} if quality is None else {"quality": quality})).execute()
            shared = t.select().where(t.conversation == turn.conversation, t.number <= turn.number).order_by(t.number)
            for row in list(shared):
                # no client_turn_id: a resend belongs to the old conversation
                copy = {"id": uuid.uuid4().hex, "conversation": new_id, "client_turn_id": None, "seq": None}
                t.insert(**row | copy).execute()
                self.takes.share(row["id"], str(copy["id"]))
        return new_id

    def conversation_of(self, owner: str, client_turn_id: str) -> str:
        """Where this turn of the page is stored; "" if it is not."""
        c, t = self._conversations, self._turns
        query = t.select(t.conversation).join(c, on=(c.id == t.conversation))
        with self._db.read():
            return query.where(c.owner == owner, t.client_turn_id == client_turn_id).scalar() or ""

    def turns(self, owner: str, conversation_id: str, last: int | None = None) -> list[TurnRow]:
        """All turns of a conversation, or so many of the last ones; oldest first."""
        self.conversation(owner, conversation_id)
        query = self._whole_turns().where(self._turns.conversation == conversation_id)
        query = query.order_by(self._turns.number.desc()).limit(last)
        with self._db.read():
            return [turn_row(row) for row in query][::-1]

    def turn(self, owner: str, turn_id: str) -> TurnRow:
        c, t = self._conversations, self._turns
        query = self._whole_turns().join(c, on=(c.id == t.conversation)).where(t.id == turn_id, c.owner == owner)
        with self._db.read():
            row = query.get()
        if row is None:
            raise NotFound("There is no such turn.")
        return turn_row(row)

    def _whole_turns(self) -> Any:
        return self._turns.select(*(getattr(self._turns, f.name) for f in fields(TurnRow)))

    def _unnamed(self, names: Iterable[str]) -> set[str]:
        """Those of the recordings that no turn names: conversations may share them. What nobody names now, nobody will:
        a name is written with a new file, or copied from a row."""
        t = self._turns
        unnamed = set(names)
        with self._db.read():
            for some in chunked(sorted(unnamed), AT_ONCE):
                for column in (t.user_audio, t.reply_audio):
                    unnamed -= {name for (name,) in t.select(column).where(column.in_(some)).tuples()}
        for some in chunked(sorted(unnamed), AT_ONCE):
            unnamed -= self.takes.named(some)
        return unnamed
