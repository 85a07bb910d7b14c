"""Voices are made ready in the background, one at a time, and nothing that may not be said is."""

import threading
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from fakes import FakeTTS
from studios import SPEECH, studio_in

from avatar.engines.base import Abilities, Voice
from avatar.engines.pool import EnginePool
from avatar.errors import ConsentError, EngineError
from avatar.events import AudioChunk
from avatar.preparing import MAX_WAITING, Preparing


class Slow(FakeTTS):
    """Prepares a voice when `go` is set."""

    abilities = Abilities(("*",), clones=True)

    def __init__(self) -> None:
        super().__init__()
        self.prepared: list[str | None] = []
        self.go, self.busy = threading.Event(), threading.Event()

    def prepare(self, voice: Voice) -> None:
        self.busy.set()
        assert self.go.wait(5)
        if voice.name == "broken":
            raise EngineError("No.", stage="tts", engine="tts")
        if voice.name == "bug":
            raise ValueError
        self.prepared.append(voice.profile_id)


def one(name: str, title: str = "Ann") -> Voice:
    return Voice(title, name, pitch_hz=100.0, consent="x")


@pytest.fixture
def engine() -> Slow:
    return Slow()


@pytest.fixture
def pool(make_pool: Callable[..., EnginePool], engine: Slow) -> EnginePool:
    return make_pool({"tts": ("tts", engine)})


def test_the_one_asked_for_last_comes_first_once_and_trouble_stops_nothing(pool: EnginePool, engine: Slow) -> None:
    pool.warm(pool.choose("tts"))
    preparing = Preparing(pool, lambda voice: None)
    preparing.ask(one("first"))
    assert engine.busy.wait(5)
    for voice in (one("a"), one("b", "broken"), one("c", "bug"), one("a"), one("d"), Voice("marius")):
        preparing.ask(voice)
    engine.go.set()
    preparing.join(5)
    assert engine.prepared == ["first", "d", "a"]
    preparing.ask(one("again"))
    preparing.join(5)
    assert engine.prepared[-1] == "again"


def test_a_crowd_is_forgotten_the_oldest_first(pool: EnginePool, engine: Slow) -> None:
    pool.warm(pool.choose("tts"))
    preparing = Preparing(pool, lambda voice: None)
    preparing.ask(one("first"))
    assert engine.busy.wait(5)
    for number in range(MAX_WAITING + 5):
        preparing.ask(one(str(number)))
    engine.go.set()
    preparing.join(5)
    assert len(engine.prepared) == 1 + MAX_WAITING and "4" not in engine.prepared


def test_without_consent_or_engine_nothing_is_made(pool: EnginePool, engine: Slow) -> None:
    engine.go.set()

    def no(voice: Voice) -> None:
        raise ConsentError("No.")

    preparing = Preparing(pool, lambda voice: None)
    preparing.ask(one("a"))  # nothing is loaded, and nothing gets loaded for this
    preparing.join(5)
    pool.warm(pool.choose("tts"))
    preparing = Preparing(pool, no)
    preparing.ask(one("a"))
    preparing.join(5)
    assert engine.prepared == []


async def test_a_voice_is_prepared_when_it_is_kept_and_when_it_is_chosen(
    tmp_path: Path, make_pool: Callable[..., EnginePool]
) -> None:
    asked: list[Voice] = []
    with studio_in(tmp_path, make_pool, prepare=asked.append) as studio:
        draft = await studio.open("ann", SPEECH / "jfk.flac")
        assert asked == []  # nobody has agreed to anything
        fields = {"name": "Jack", "words": "Ask not.", "language": "en", "whose": "mine", "person": ""}
        profile = studio.save("ann", draft.id, **fields)
        assert [voice.profile_id for voice in asked] == [profile.id] and asked[0].reference is not None
        studio.expect("ann", profile.id)
        studio.expect("bob", profile.id)  # not his
        assert len(asked) == 2


class Silent:
    """A voice that has nothing to prepare."""

    abilities = Abilities(("*",), clones=True)

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        yield from ()

    def forget(self, profile_id: str) -> None: ...
    def close(self) -> None: ...


def test_an_engine_that_needs_none_of_it_is_left_alone(make_pool: Callable[..., EnginePool]) -> None:
    pool = make_pool({"tts": ("tts", Silent())})
    pool.warm(pool.choose("tts"))
    pool.prepare(one("a"))
    pool.close()
