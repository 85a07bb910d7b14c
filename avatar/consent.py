"""Consent to imitate a voice: the record, its exact texts, and the stronger proof of reading a new sentence aloud.

Knows no sound: who checks has the words that were heard and the similarity of the two voices (speaker.py). What each
proof shows, and what it does not, is in docs/voices.md.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from avatar.speaker import SAME
from avatar.wording import edits, normalised

Whose = Literal["mine", "permitted", "licensed"]
Proof = Literal["declared", "read-aloud", "licence"]

VERSION: Final = "2026-11"
# What the page shows beside the box to tick, word by word; a changed text is a new version, and the old one stays here.
TEXTS: Final[Mapping[str, Mapping[str, Mapping[str, str]]]] = {
    "2026-11": {
        "mine": {
            "en": "This is my own voice. I agree that AVATAR on this machine imitates it for me. I can delete it at "
            "any time, and no sound of it is kept then.",
            "zh-TW": "這是我本人的聲音。我同意這部電腦上的 AVATAR 為我模仿它。我隨時可以刪除，刪除後不會留下任何聲音。",
        },
        "permitted": {
            "en": "This is the voice of {person}, who has allowed me to have it imitated by AVATAR on this machine. "
            "I use it only as agreed, deceive nobody with it, and delete it when {person} asks me to.",
            "zh-TW": "這是 {person} 的聲音，本人已允許我用這部電腦上的 AVATAR 模仿。"
            "我只在同意的範圍內使用，不用它欺騙任何人，{person} 要求時就會刪除。",
        },
    },
}
MAX_PERSON = 100  # characters
MAX_WORDS_WRONG = 0.3  # measured: see docs/voices.md
_SHA256 = re.compile("[0-9a-f]{64}")
_PROOFS: Final[Mapping[Whose, tuple[Proof, ...]]] = {
    "mine": ("declared", "read-aloud"),
    "permitted": ("declared",),
    "licensed": ("licence",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """Raises ValueError, at once, when it is not a complete record.

    `licensed` is for the voices that come with the product: `person` then says who published them under which licence,
    and the owner is nobody.
    """

    whose: Whose
    proof: Proof
    owner: str
    sha256: str  # of the recording that it is for; for no other
    at: str  # ISO 8601, UTC
    person: str = ""  # whose voice it is; "" for one's own
    version: str = VERSION  # of TEXTS

    def __post_init__(self) -> None:
        if self.whose not in get_args(Whose) or self.proof not in _PROOFS[self.whose]:
            raise ValueError("consent: no such kind, or not with this proof")
        if self.version not in TEXTS:
            raise ValueError("consent: no such version of the text")
        named = 0 < len(self.person.strip()) == len(self.person) <= MAX_PERSON and self.person.isprintable()
        if named == (self.whose == "mine") or (self.person and not named):
            raise ValueError("consent: a person is named for another's voice, and only then")
        if bool(self.owner) == (self.whose == "licensed"):
            raise ValueError("consent: somebody gives it, or a licence")
        if not _SHA256.fullmatch(self.sha256):
            raise ValueError("consent: not for a recording")
        when = datetime.fromisoformat(self.at)
        if when.utcoffset() is None or when.utcoffset() != UTC.utcoffset(when):
            raise ValueError("consent: a time without UTC")

    def text(self, language: str) -> str:
        """What was agreed to, in the words of its version; "" for a licence."""
        if self.whose == "licensed":
            return ""
        return TEXTS[self.version][self.whose][language].replace("{person}", self.person)

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Consent":
        """Raises ValueError for anything but what `to_json` gives."""
        if set(data) != set(cls.__dataclass_fields__) or not all(isinstance(value, str) for value in data.values()):
            raise ValueError("consent: not a record")
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Of a sentence read aloud. `words_wrong`: share of its words; `similarity`: of its voice to the recording's."""

    words_wrong: float
    similarity: float

    @property
    def words(self) -> bool:
        return self.words_wrong <= MAX_WORDS_WRONG

    @property
    def voice(self) -> bool:
        return self.similarity >= SAME

    @property
    def passed(self) -> bool:
        return self.words and self.voice

    @property
    def codes(self) -> tuple[str, ...]:
        """What failed, as keys of ui/words/voices.py."""
        return tuple(code for code, good in (("r_words", self.words), ("r_voice", self.voice)) if not good)


def check(sentence: str, heard: str, similarity: float) -> Verdict:
    """Whether `heard` is `sentence`, and in the same voice. Words beyond the sentence count too."""
    said, words = normalised(sentence), normalised(heard)
    return Verdict(round(min(1.0, edits(said, words) / max(1, len(said))), 3), similarity)
