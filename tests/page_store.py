"""The store of a scripted assistant: what the page reads of conversations, words and ratings."""

from dataclasses import dataclass, field, replace

from page_rows import TURNS, Row

from avatar.errors import AvatarError, NotFound
from avatar.store import Hit, Kept, Score, TurnRow, Wanted


@dataclass
class Search:
    """Finds the conversations whose titles hold the words."""

    store: "Store"
    asked: list[tuple[str, Wanted, int]] = field(default_factory=list)

    def find(self, owner: str, wanted: Wanted, limit: int) -> list[Hit]:
        self.asked.append((owner, wanted, limit))
        found = [row for row in self.store.rows if wanted.words in row.title]
        found = [row for row in found if wanted.voice in (None, *row.voices)]
        return [Hit(row.id, "t", 2, f"<i>{row.title}", "reply") for row in found][:limit]

    def voices(self, owner: str) -> list[str]:
        return list(dict.fromkeys(voice for row in self.store.rows for voice in row.voices))


@dataclass
class Keeping:
    store: "Store"

    def all(self, owner: str) -> list[Kept]:
        return [Kept(row.id, row.title, "2026-11-20", row.turns, 10**6) for row in self.store.rows]

    def plan(self, owner: str, days: float, max_bytes: float, now: float, in_use: set[str]) -> list[Kept]:
        return [one for one in self.all(owner) if days and one.id not in in_use]


@dataclass
class Sayings:
    kept: dict[str, str] = field(default_factory=dict)

    def of(self, owner: str) -> dict[str, str]:
        return dict(self.kept)


@dataclass
class Ratings:
    kept: list[Score] = field(default_factory=list)
    trouble: AvatarError | None = None

    def scores(self, owner: str) -> list[Score]:
        if self.trouble:
            raise self.trouble
        return self.kept


@dataclass
class Store:
    rows: list[Row] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    sayings: Sayings = field(default_factory=Sayings)
    ratings: Ratings = field(default_factory=Ratings)
    personas: dict[tuple[str, str], str] = field(default_factory=dict)
    qualities: dict[tuple[str, str], str] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)  # conversation -> choice of voice

    def voice(self, owner: str, conversation_id: str) -> str:
        return self.chosen.get(conversation_id, "")

    def persona(self, owner: str, conversation_id: str) -> str:
        return self.personas.get((owner, conversation_id), "")

    def quality(self, owner: str, conversation_id: str) -> str:
        return self.qualities.get((owner, conversation_id), "fast")

    def conversations(self, owner: str, limit: int = 50, before: str | None = None) -> list[Row]:
        self.owners.append(owner)
        return self.rows[:limit]

    def conversation(self, owner: str, conversation_id: str) -> Row:
        for row in self.rows:
            if row.id == conversation_id:
                return row
        raise NotFound("There is no such conversation.")

    def __post_init__(self) -> None:
        self.search, self.keeping = Search(self), Keeping(self)

    def delete_conversations(self, owner: str, ids: list[str]) -> int:
        self.rows = [row for row in self.rows if row.id not in ids]
        return len(ids)

    def conversations_of(self, owner: str, ids: list[str]) -> dict[str, Row]:
        return {row.id: row for row in self.rows if row.id in ids}

    def turns(self, owner: str, conversation_id: str, last: int | None = None) -> list[TurnRow]:
        return TURNS[-(last or 0) :]

    def turn(self, owner: str, turn_id: str) -> TurnRow:
        for turn in TURNS:
            if turn.id == turn_id:
                return turn
        raise NotFound("There is no such turn.")

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        self.rows = [replace(r, title=title) if r.id == conversation_id else r for r in self.rows]

    def delete_conversation(self, owner: str, conversation_id: str) -> None:
        self.conversation(owner, conversation_id)
        self.rows = [r for r in self.rows if r.id != conversation_id]
