"""Consent: complete or not at all, in words that do not change under their version; the proof by reading aloud."""

import hashlib
import json
from dataclasses import replace

import pytest

from avatar import consent
from avatar.consent import MAX_WORDS_WRONG, TEXTS, VERSION, Consent, check
from avatar.speaker import SAME

MINE = Consent(
    whose="mine", proof="declared", owner="ann", sha256="ab" * 32, at="2026-11-25T10:00:00.000+00:00"
)  # fmt: skip
HERS = replace(MINE, whose="permitted", person="Bea Lin")


def test_the_words_of_a_version_never_change() -> None:
    digests = {"2026-11": "036a571e4b260ca1"}
    found = {
        version: hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode()).hexdigest()[:16]
        for version, texts in TEXTS.items()
    }
    assert found == digests and VERSION in TEXTS


def test_each_text_is_in_both_languages_and_names_the_person() -> None:
    for language in ("en", "zh-TW"):
        assert HERS.text(language).count("Bea Lin") == 2 and "{" not in HERS.text(language)
        assert MINE.text(language)


def test_a_person_cannot_smuggle_a_template() -> None:
    assert "{person}{0}" in replace(HERS, person="{person}{0}").text("en")


@pytest.mark.parametrize("record", [MINE, HERS, replace(MINE, proof="read-aloud")])
def test_a_record_comes_back_from_json(record: Consent) -> None:
    assert Consent.from_json(json.loads(json.dumps(record.to_json()))) == record


@pytest.mark.parametrize(
    "change",
    [
        {"whose": "somebody"},
        {"proof": "promised"},
        {"whose": "permitted"},  # of whom?
        {"whose": "permitted", "person": "Bea", "proof": "read-aloud"},  # it would be the owner who reads
        {"person": "Bea"},
        {"whose": "permitted", "person": " Bea"},
        {"whose": "permitted", "person": "Bea\n"},
        {"whose": "permitted", "person": "   "},
        {"whose": "permitted", "person": "B" * 101},
        {"whose": "licensed", "proof": "licence", "person": "X, MIT"},  # with an owner
        {"owner": ""},
        {"sha256": "AB" * 32},
        {"sha256": ""},
        {"at": "2026-11-25T10:00:00"},
        {"at": "2026-11-25T10:00:00+08:00"},
        {"at": "yesterday"},
        {"version": "2020-01"},
        {"extra": "x"},
        {"owner": None},
        {"owner": 5},
    ],
)
def test_what_is_not_a_complete_record_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        Consent.from_json({**MINE.to_json(), **change})
    with pytest.raises(ValueError):
        Consent.from_json({key: value for key, value in MINE.to_json().items() if key != "version"})


SAID = "Today our gentle teacher holds sixty foreign buttons before the castle."


@pytest.mark.parametrize(
    ("heard", "similarity", "codes"),
    [
        ("today our gentle teacher holds 60 foreign buttons before the castle", SAME, ()),
        ("Today are gentle teacher holds sixty four in buttons before the castle.", 0.9, ()),
        (SAID, SAME - 0.01, ("r_voice",)),
        ("Today our gentle teacher holds sixty", 0.9, ("r_words",)),
        ("Usually my quiet doctor needs forty empty songs behind every tower.", 0.9, ("r_words",)),
        (f"{SAID} {SAID}", 0.9, ("r_words",)),
        ("", 0.0, ("r_words", "r_voice")),
    ],
)
def test_the_words_and_the_voice_must_both_be_right(heard: str, similarity: float, codes: tuple[str, ...]) -> None:
    verdict = check(SAID, heard, similarity)
    assert verdict.codes == codes and verdict.passed == (not codes)


def test_chinese_is_compared_by_hanzi() -> None:
    said = "昨天早上同事在窗前看見了十個溫暖的風箏，然後回家休息。"
    assert check(said, said.replace("，", "").replace("。", ""), 0.9).passed
    assert check(said, said.replace("十", "石"), 0.9).words_wrong == pytest.approx(1 / 25)
    assert not check(said, "剛剛醫生在樓頂買到了九個空空的籃子，大家都笑了。", 0.9).words
    assert 0 < MAX_WORDS_WRONG < 0.36, "the nearest of 80,000 pairs of different English sentences"
    assert consent.SAME == SAME
