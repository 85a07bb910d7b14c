from datetime import UTC, datetime

import pytest

from avatar.provenance import is_marked, tags


def test_a_reply_says_that_it_is_generated_by_what_and_when() -> None:
    made = tags("espeak", datetime(2026, 11, 23, 7, 0, tzinfo=UTC))
    assert made["comment"] == "AI-generated" and made["encoded_by"] == "espeak"
    assert made["date"] == "2026-11-23T07:00:00+00:00"
    assert is_marked(made)
    assert is_marked({"COMMENT": "AI-generated"})
    assert not is_marked({"comment": "recorded at home", "artist": "AVATAR"})


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        tags("espeak", datetime(2026, 11, 23))  # noqa: DTZ001 - the point
