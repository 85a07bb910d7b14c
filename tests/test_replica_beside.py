"""The line of a replica, which is that of an app's own process: a reply's first clause goes before others and, where
the engine can, in the middle of one.
"""

import threading
from collections.abc import Generator, Iterator

import numpy as np
import pytest
from doors import until
from replicas import Cluster

from avatar.engines.base import OWN_VOICE, Voice
from avatar.engines.clustered import ClusterTTS, load_tts
from avatar.events import AudioChunk
from avatar.settings import Settings

SOUND = AudioChunk(np.zeros(240, np.float32), 24_000)


class Stepping:
    """Takes its time with a clause, and makes a first one in the middle of it."""

    def __init__(self) -> None:
        self.said, self.go_on = list[str](), threading.Event()

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        self.said.append(text)
        self.go_on.wait(10)
        yield SOUND

    def begin(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        self.said.append(text)
        yield SOUND

    def forget(self, profile_id: str) -> None:
        return

    def close(self) -> None:
        return


@pytest.fixture(params=[False, True], ids=["proxy", "lanes"])
def there(request: pytest.FixtureRequest) -> Iterator[tuple[Cluster, ClusterTTS, Stepping]]:
    engine = Stepping()
    with Cluster(request.param, {"tts": "f5"}, tts=engine) as cluster:
        yield cluster, cluster.keep(load_tts(Settings(ray_url=cluster.url), lambda _: None)), engine
        engine.go_on.set()


def saying(mouth: ClusterTTS, text: str) -> threading.Thread:
    thread = threading.Thread(target=lambda: list(mouth.speak(text, OWN_VOICE, "en")))
    thread.start()
    return thread


def test_a_first_clause_is_made_in_the_middle_of_another(there: tuple[Cluster, ClusterTTS, Stepping]) -> None:
    cluster, mouth, engine = there
    asked = len(cluster.asked)
    long = saying(mouth, "A long clause.")
    assert until(lambda: engine.said)
    assert len(list(mouth.begin("Yes.", OWN_VOICE, "en"))) == 1
    assert long.is_alive()
    if cluster.lanes:
        assert len(cluster.asked) == asked, "nor does it have to go around by the proxy"
    engine.go_on.set()
    long.join()


def test_no_other_clause_is(there: tuple[Cluster, ClusterTTS, Stepping]) -> None:
    cluster, mouth, engine = there
    first = saying(mouth, "A long clause.")
    assert until(lambda: engine.said)
    second = saying(mouth, "And another.")
    assert until(lambda: cluster.replicas["tts"]._load.now == 2)
    assert engine.said == ["A long clause."] and cluster.replicas["tts"]._line.busy == 1
    engine.go_on.set()
    for thread in (first, second):
        thread.join()
    assert cluster.replicas["tts"]._line.busy == 0
