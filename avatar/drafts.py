"""Recordings on their way to become a voice: in memory, each of one owner, and not for long. Knows no models."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from avatar.clip import Quality
from avatar.consent import Verdict
from avatar.errors import NotFound
from avatar.profiles import Origin
from avatar.speaker import Embedding
from avatar.voiced import Heard

DRAFT_S = 1800.0  # a draft is forgotten after so long
MAX_DRAFTS, DRAFTS_PER_OWNER = 24, 3  # 30 s are 6 MB


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """A recording on its way to become a voice. `proved`: the verdict of the sentence that was read aloud last."""

    id: str
    owner: str
    origin: Origin
    heard: Heard
    quality: Quality
    start_s: float
    end_s: float
    words: str
    language: str
    embedding: Embedding | None
    name: str = ""
    note: str = ""
    whose: str = ""
    proved: Verdict | None = None
    made_at: float = 0.0

    @property
    def duration_s(self) -> float:
        return self.heard.duration_s


class Drafts:
    """Thread-safe. `clock` in seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._drafts = OrderedDict[str, Draft]()  # the oldest first

    def get(self, owner: str, draft_id: str) -> Draft:
        """Raises NotFound: DRAFT_GONE."""
        with self._lock:
            draft = self._drafts.get(draft_id)
        if draft is None or draft.owner != owner or self._clock() - draft.made_at > DRAFT_S:
            raise NotFound("This recording is not here any more. Record or upload it again.", code="DRAFT_GONE")
        return draft

    def keep(self, draft: Draft) -> Draft:
        """In place of the one with its id, if there is one; its time begins again."""
        draft = replace(draft, made_at=self._clock())
        with self._lock:
            self._drafts.pop(draft.id, None)
            self._drafts[draft.id] = draft
            stale = [d.id for d in self._drafts.values() if draft.made_at - d.made_at > DRAFT_S]
            mine = [d.id for d in self._drafts.values() if d.owner == draft.owner]
            for draft_id in [*stale, *mine[:-DRAFTS_PER_OWNER], *list(self._drafts)[:-MAX_DRAFTS]]:
                self._drafts.pop(draft_id, None)
        return draft

    def drop(self, owner: str, draft_id: str) -> None:
        """Forget a draft; one that is gone, or not yours, is no error."""
        with self._lock:
            if (draft := self._drafts.get(draft_id)) is not None and draft.owner == owner:
                del self._drafts[draft_id]

    def forget(self, owner: str) -> None:
        """All of an owner."""
        with self._lock:
            for draft_id in [d.id for d in self._drafts.values() if d.owner == owner]:
                del self._drafts[draft_id]
