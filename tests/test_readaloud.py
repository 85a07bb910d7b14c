"""Sentences to read aloud: new, varied, of one owner, for one use and three minutes."""

import random

import pytest

from avatar import readaloud
from avatar.errors import AvatarError
from avatar.readaloud import VALID_S, ReadAloud, sentence
from avatar.text import language_of
from avatar.wording import normalised


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("language", "low", "high"), [("en", 8, 14), ("zh", 18, 26)])
def test_sentences_are_of_the_promised_length_and_seldom_alike(language: str, low: int, high: int) -> None:
    chance = random.Random(4)
    made = [sentence(language, chance) for _ in range(500)]
    assert all(low <= len(normalised(text)) <= high for text in made)
    assert len(set(made)) == 500
    assert {language_of(text) for text in made} == {language}


def test_every_word_is_used_and_stands_once_in_its_row() -> None:
    for table in (readaloud._ENGLISH, readaloud._CHINESE):
        for row in table.strip().splitlines():
            assert len(set(row.split())) == len(row.split()) in (4, 8, 15, 16)


def test_a_sentence_is_taken_once_by_its_owner_in_time() -> None:
    clock = Clock()
    out = ReadAloud(clock)
    first = out.issue("ann", "en")
    for owner, name in (("bea", first.id), ("ann", "guess")):
        with pytest.raises(AvatarError, match="Take a new one") as refusal:
            out.take(owner, name)
        assert refusal.value.code == "READ_AGAIN"
    assert out.take("ann", first.id) == first
    with pytest.raises(AvatarError):
        out.take("ann", first.id)
    late = out.issue("ann", "zh")
    clock.now += VALID_S
    with pytest.raises(AvatarError):
        out.take("ann", late.id)


def test_a_new_sentence_ends_the_one_before_and_differs() -> None:
    class Stuck(random.Random):
        """Says the same twice, then goes on."""

        calls = 0

        def choice(self, words: list[str]) -> str:  # type: ignore[override]
            self.calls += 1
            return words[0 if self.calls <= 22 else 1]

    out = ReadAloud(Clock(), Stuck())
    one, other = out.issue("ann", "en"), out.issue("ann", "en")
    assert one.sentence != other.sentence
    with pytest.raises(AvatarError):
        out.take("ann", one.id)


def test_others_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readaloud, "MAX_OPEN", 3)
    out = ReadAloud(Clock())
    issued = [out.issue(f"owner {n}", "en") for n in range(5)]
    assert len(out._open) == 3 and out.take("owner 4", issued[-1].id)


def test_sentences_come_from_the_systems_own_chance() -> None:
    assert isinstance(ReadAloud()._chance, random.SystemRandom)
