"""What a replica keeps of those who ask: how much it is, their seats and their voices."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from fakes import Clock, FakeTTS
from replicas import ANN, Cluster

from avatar import asked, scaling
from avatar.asked import KnownVoices, Load, Seating
from avatar.engines.conditioning import Conditioning
from avatar.engines.frames import voice_blob, voice_head
from avatar.events import AudioChunk


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
    dropped: list[str] = []
    known = KnownVoices(dropped.append)
    heads = []
    for number in range(20):
        sound = AudioChunk(np.full(10, number / 20, np.float32), 24_000)
        voice = replace(ANN, profile_id=f"p{number}", reference=sound)
        heads.append(voice_head(voice))
        assert known.voice(heads[-1], b"") is None
        assert known.voice(heads[-1], voice_blob(voice)) is not None
    assert [known.voice(head, b"") is not None for head in heads] == [False] * 4 + [True] * 16
    assert dropped == ["p0", "p1", "p2", "p3"]  # the engine has nothing of what could not be forgotten any more


def test_a_voice_is_what_it_is_asked_for_as_now_and_only_its_recording_is_kept() -> None:
    known = KnownVoices()
    assert known.voice(voice_head(ANN), voice_blob(ANN)) == replace(ANN, cache=None)
    faster = replace(ANN, name="Anna", rate=1.3)
    now = known.voice(voice_head(faster), b"")
    assert now is not None and (now.rate, now.name) == (1.3, "Anna")
    assert now.reference is not None and np.array_equal(now.reference.samples, ANN.reference.samples)
    other = replace(ANN, profile_id="bob", reference_text="The same recording, other words.")
    assert known.voice(voice_head(other), b"") is None
    known.voice(voice_head(other), voice_blob(other))
    known.forget("ann")
    kept = known.voice(voice_head(other), b"")
    assert kept is not None and kept.reference_text == other.reference_text
    assert known.voice(voice_head(ANN), b"") is None


def test_a_voice_that_nobody_asked_for_for_a_while_is_kept_by_its_engine_when_it_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    engine = Conditioning[str]("engine", ".x")
    known = KnownVoices(engine.forget)

    def say() -> None:
        voice = known.voice(voice_head(ANN), b"") or known.voice(voice_head(ANN), voice_blob(ANN))
        assert voice is not None
        engine.get(voice, "v", lambda: made.append("made") or "made", lambda path: "", lambda value, path: None)

    for clauses, wanted in ((3, 1), (3, 2), (3, 3)):
        for _ in range(clauses):
            say()
        assert len(made) == wanted
        monkeypatch.setattr(asked, "VOICE_S", -1.0)
        known.forget_unused()
        assert not engine._values
        monkeypatch.undo()


class TestLoad:
    def test_the_mean_is_of_the_time_since_it_was_asked_for(self) -> None:
        clock = Clock()
        load = Load(clock)
        with load.one():
            clock.now += 3
            with load.one():
                assert load.now == 2
                clock.now += 1
        clock.now += 1
        assert load.mean() == 1.0
        clock.now += 4
        assert load.mean() == load.mean() == load.now == 0

    def test_how_long_the_engine_has_been_at_something(self) -> None:
        clock = Clock()
        load = Load(clock)
        with load.item():
            clock.now += 3
            with load.item():
                clock.now += 1
                assert load.longest_s() == 4
        assert load.longest_s() == 0


def test_an_engine_that_hangs_makes_its_replica_unhealthy(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cluster(tts=FakeTTS()) as there:
        replica = there.replicas["tts"]
        with replica._load.item():
            replica.check_health()
            monkeypatch.setattr("avatar.replica.ITEM_S", -1.0)
            with pytest.raises(RuntimeError, match="hangs"):
                replica.check_health()


def test_as_many_replicas_as_the_questions_need() -> None:
    config = SimpleNamespace(get_target_ongoing_requests=lambda: 2)
    asked = {"questions": {"a": 2.5, "b": 0.5}, "other": {"a": 9.0}}
    context = SimpleNamespace(aggregated_metrics=asked, total_queued_requests=1.0, config=config)
    assert scaling.replicas(context) == (2.0, {})
    assert scaling.replicas(SimpleNamespace(aggregated_metrics={}, total_queued_requests=0.0, config=config)) == (0, {})
