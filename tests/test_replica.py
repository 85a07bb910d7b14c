"""What a replica remembers of those who ask: their seats and their voices."""

from dataclasses import replace

import numpy as np
from replicas import ANN

from avatar.events import AudioChunk
from avatar.replica import KnownVoices, Seating


class TestSeating:
    def test_a_conversation_comes_back_to_its_seat(self) -> None:
        seating = Seating(2)
        seats = []
        for session in ("a", "b", "a", "c", "b"):
            with seating.seat(session) as seat:
                seats.append(seat)
        assert seats == [0, 1, 0, 1, 0], "c took the seat of b, who had asked before a; b then that of a"

    def test_nobody_takes_the_seat_of_who_is_being_answered(self) -> None:
        seating = Seating(1)
        with seating.seat("a") as mine, seating.seat("b") as other:
            assert (mine, other) == (0, 1)
        with seating.seat("c") as third:
            assert third in (0, 1)


def test_so_many_voices_are_remembered() -> None:
    from avatar.engines.frames import voice_blob, voice_head

    known = KnownVoices()
    heads = []
    for number in range(20):
        voice = replace(ANN, reference=AudioChunk(np.full(10, number / 20, np.float32), 24_000))
        heads.append(voice_head(voice))
        assert known.voice(heads[-1], b"") is None
        assert known.voice(heads[-1], voice_blob(voice)) is not None
    assert [known.voice(head, b"") is not None for head in heads] == [False] * 4 + [True] * 16
