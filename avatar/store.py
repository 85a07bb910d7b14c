"""Conversations and turns in SQLite, and the audio files that belong to them. Knows nothing of sound.

Every method blocks: call it from a thread, never from a coroutine. All of them may run in many threads and processes at
once. A method that takes an owner sees only that owner's rows; what is not yours is NotFound, like what is not there.
All of them may raise StorageError (see database.py).
"""

import json
import math
import time
import unicodedata
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from peewee import JOIN, fn

from avatar.database import Database, sync_folder
from avatar.dictionary import Dictionary
from avatar.errors import AvatarError, NotFound

TurnState = Literal["done", "interrupted", "failed"]
Side = Literal["user", "reply"]

MAX_TITLE = 80  # characters
MAX_PERSONA = 400  # characters; at most 1,200 bytes, which leave room for a question in the smallest prompt

MIGRATIONS: dict[str, tuple[str, ...]] = {
    "0001_conversations": (
        """CREATE TABLE conversations (id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL,
            voice_profile TEXT, created_at TEXT NOT NULL)""",
        "CREATE INDEX conversations_owner ON conversations (owner)",
        # seq, not created_at, orders turns: a clock may jump. AUTOINCREMENT never reuses a number.
        """CREATE TABLE turns (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
            conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE, number INTEGER NOT NULL,
            client_turn_id TEXT, user_text TEXT NOT NULL, reply_text TEXT NOT NULL, user_audio TEXT, reply_audio TEXT,
            state TEXT NOT NULL CHECK (state IN ('done', 'interrupted', 'failed')), language TEXT, rating INTEGER,
            engines TEXT NOT NULL, timings_ms TEXT NOT NULL, created_at TEXT NOT NULL,
            UNIQUE (conversation, number), UNIQUE (conversation, client_turn_id))""",
    ),
    "0002_sayings": (
        """CREATE TABLE sayings (owner TEXT NOT NULL, written TEXT NOT NULL COLLATE NOCASE, spoken TEXT NOT NULL,
            PRIMARY KEY (owner, written)) WITHOUT ROWID""",
    ),
    "0003_personas": ("ALTER TABLE conversations ADD COLUMN persona TEXT NOT NULL DEFAULT ''",),
}
_COLUMNS = ("id", "owner", "title", "voice_profile", "created_at", "persona")


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn that ended. user_audio and reply_audio are names given by `save_audio`. client_turn_id is the page's, and
    unique within its conversation: a resend of it stores nothing."""

    user_text: str
    reply_text: str
    state: TurnState
    client_turn_id: str | None = None
    user_audio: str | None = None
    reply_audio: str | None = None
    language: str | None = None  # BCP 47
    engines: Mapping[str, str] = field(default_factory=dict)  # stage -> rung
    timings_ms: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnRow(Turn):
    id: str
    conversation: str
    number: int  # 1, 2, 3... within the conversation
    rating: int | None = None
    created_at: str  # ISO 8601, UTC


@dataclass(frozen=True, slots=True)
class ConversationRow:
    id: str
    title: str
    voice_profile: str | None
    created_at: str  # ISO 8601, UTC
    turns: int


class Store:
    """Opens the database in `data` and keeps it open. `close` it; no method works after that."""

    def __init__(self, data: Path, busy_timeout_s: float = 10, clock: Callable[[], float] = time.time) -> None:
        self._clock, self._audio = clock, data / "audio"
        self._db = Database(data, MIGRATIONS, busy_timeout_s)
        self._conversations = self._db.table("conversations", _COLUMNS)
        self._turns = self._db.table("turns", ("seq", *(f.name for f in fields(TurnRow))))
        self.sayings = Dictionary(self._db)
        with self._db.typed_errors():
            self._audio.mkdir(exist_ok=True)

    def close(self) -> None:
        self._db.close()

    # -- conversations ------------------------------------------------------------------------------------------------

    def create_conversation(self, owner: str, title: str = "", conversation_id: str = "") -> str:
        """Returns its id. A conversation is listed once it has a turn; one that is there already stays as it is."""
        new = {"id": conversation_id or uuid.uuid4().hex, "owner": owner, "title": _clean_title(title)}
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

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        c = self._conversations
        query = c.update(title=_clean_title(title)).where(c.id == conversation_id, c.owner == owner)
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
        persona = _visible(text)
        if len(persona) > MAX_PERSONA or len(persona.encode()) > 3 * MAX_PERSONA:
            raise AvatarError(f"At most {MAX_PERSONA} characters fit. Write less.", code="PERSONA_LONG")
        c = self._conversations
        query = c.update(persona=persona).where(c.id == conversation_id, c.owner == owner)
        with self._db.write():
            if not query.execute():
                raise NotFound("There is no such conversation.")
        return persona

    def delete_conversation(self, owner: str, conversation_id: str) -> None:
        """Works on a full disk too. A crash in here leaves at most audio files without a row, which `sweep` removes."""
        names = self._db.even_if_full(lambda: self._delete(owner, conversation_id))
        with self._db.typed_errors():
            for name in names:
                self._audio_file(name).unlink(missing_ok=True)
        self._db.checkpoint()
        self._db.keep_reserve()

    # -- turns --------------------------------------------------------------------------------------------------------

    def add_turn(self, owner: str, conversation_id: str, turn: Turn, instead_of: str | None = None) -> TurnRow:
        """Store a turn, once: with a client_turn_id that is stored already, returns the row that is there. When this
        returns, the turn survives a crash. The first words of the user become the title of an unnamed conversation.

        `instead_of` is the id of a turn whose place it takes, with the sound of what the user said there; the old reply
        is deleted. If that turn is gone meanwhile, this one is added at the end.
        """
        c, t = self._conversations, self._turns
        old: Mapping[str, Any] | None = None
        with self._db.write():
            title = c.select(c.title).where(c.id == conversation_id, c.owner == owner).scalar()
            if title is None:
                raise NotFound("There is no such conversation.")
            mine = t.conversation == conversation_id
            if turn.client_turn_id:
                stored = self._whole_turns().where(mine, t.client_turn_id == turn.client_turn_id).get()
                if stored is not None:
                    return _turn_row(stored)
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
            if not title and (words := _first_words(turn.user_text)):
                c.update(title=words).where(c.id == conversation_id).execute()
        if old is not None:  # a crash before this leaves a file without a row, which `sweep` removes
            with self._db.typed_errors():
                for name in {old["user_audio"], old["reply_audio"]} - {None, row["user_audio"]}:
                    self._audio_file(name).unlink(missing_ok=True)
            self._db.checkpoint()
        return TurnRow(**row)

    def conversation_of(self, owner: str, client_turn_id: str) -> str:
        """Where this turn of the page is stored; "" if it is not."""
        c, t = self._conversations, self._turns
        query = t.select(t.conversation).join(c, on=(c.id == t.conversation))
        with self._db.read():
            return query.where(c.owner == owner, t.client_turn_id == client_turn_id).scalar() or ""

    def turns(self, owner: str, conversation_id: str) -> list[TurnRow]:
        """All turns of a conversation, oldest first."""
        self.conversation(owner, conversation_id)
        query = self._whole_turns().where(self._turns.conversation == conversation_id).order_by(self._turns.number)
        with self._db.read():
            return [_turn_row(row) for row in query]

    def turn(self, owner: str, turn_id: str) -> TurnRow:
        c, t = self._conversations, self._turns
        query = self._whole_turns().join(c, on=(c.id == t.conversation)).where(t.id == turn_id, c.owner == owner)
        with self._db.read():
            row = query.get()
        if row is None:
            raise NotFound("There is no such turn.")
        return _turn_row(row)

    # -- audio --------------------------------------------------------------------------------------------------------

    def save_audio(self, write: Callable[[Path], object]) -> str:
        """Have `write` make a new file at the path it is given, whole and on disk when it returns. Returns the file's
        name for a Turn; `sweep` removes what no turn names."""
        name = f"{uuid.uuid4().hex}.opus"
        path = self._audio_file(name)
        with self._db.typed_errors():
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True)
                sync_folder(self._audio)
            write(path)
        return name

    def audio_path(self, owner: str, turn_id: str, side: Side) -> Path:
        """The file of what the user said or heard. Names come from the database only, never from a client."""
        turn = self.turn(owner, turn_id)
        name = turn.user_audio if side == "user" else turn.reply_audio
        if name is None or not (path := self._audio_file(name)).is_file():
            raise NotFound("There is no recording of this turn.")
        return path

    def sweep(self, min_age_s: float = 3600) -> int:
        """Remove audio files that no turn names, and return how many. Younger ones may belong to a turn that is being
        stored, perhaps by another process."""
        t = self._turns
        with self._db.typed_errors():
            old = [file for file in self._audio.glob("*/*") if _modified_at(file) < self._clock() - min_age_s]
        with self._db.read():
            named = {name for row in t.select(t.user_audio, t.reply_audio).tuples() for name in row}
        orphans = [file for file in old if file.name not in named]
        with self._db.typed_errors():
            for file in orphans:
                file.unlink(missing_ok=True)
        return len(orphans)

    # -- inside -------------------------------------------------------------------------------------------------------

    def _delete(self, owner: str, conversation_id: str) -> list[str]:
        c, t = self._conversations, self._turns
        with self._db.write():
            audio = t.select(t.user_audio, t.reply_audio).where(t.conversation == conversation_id).tuples()
            names = [name for row in audio for name in row if name]
            if not c.delete().where(c.id == conversation_id, c.owner == owner).execute():
                raise NotFound("There is no such conversation.")
        return names

    def _counted(self, owner: str) -> Any:
        c, t = self._conversations, self._turns
        columns = (c.id, c.title, c.voice_profile, c.created_at, fn.COUNT(t.seq).alias("turns"))
        query = c.select(*columns).join(t, JOIN.LEFT_OUTER, on=(t.conversation == c.id))
        return query.where(c.owner == owner).group_by(c.id)

    def _whole_turns(self) -> Any:
        return self._turns.select(*(getattr(self._turns, f.name) for f in fields(TurnRow)))

    def _audio_file(self, name: str) -> Path:
        return self._audio / name[:2] / name

    def _now(self) -> str:
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="milliseconds")


def _turn_row(row: Mapping[str, Any]) -> TurnRow:
    unpacked = {key: json.loads(row[key]) for key in ("engines", "timings_ms")}
    return TurnRow(**{**row, **unpacked})


def _modified_at(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except FileNotFoundError:  # deleted, or renamed by its writer, since it was listed
        return math.inf


def _clean_title(text: str) -> str:
    return _visible(text)[:MAX_TITLE]


def _visible(text: str) -> str:
    visible = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in unicodedata.normalize("NFC", text))
    return " ".join(visible.split())


def _first_words(text: str, limit: int = 48) -> str:
    """At most `limit` characters, cut between words where there are any: Chinese has none."""
    title = _clean_title(text)
    if len(title) <= limit:
        return title
    return (title[: limit + 1].rpartition(" ")[0] or title[:limit]) + "…"
