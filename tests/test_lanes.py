"""The straight ways of a front to replicas: who may use one, when, and what is done where one fails."""

import errno
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from doors import Still, echo, echoing, until
from fakes import FakeLLM, FakeTTS, Trouble
from replicas import ANN, Cluster

from avatar.engines import lane as lane_module
from avatar.engines import lanes
from avatar.engines.base import OWN_VOICE, Message
from avatar.engines.clustered import load_llm, load_tts
from avatar.engines.lane import Address
from avatar.engines.lane_server import LaneServer
from avatar.engines.lanes import Lanes
from avatar.errors import EngineError
from avatar.settings import Settings

HERE = urlsplit("http://127.0.0.1:8000")
WHERE: lanes.Where = ("tts", "")


@pytest.fixture
def door() -> Iterator[LaneServer]:
    server = echoing()
    yield server
    server.close()


@pytest.fixture
def front() -> Iterator[Lanes]:
    front = Lanes()
    yield front
    front.close()


@pytest.fixture
def there() -> Iterator[Cluster]:
    with Cluster(True, llm=FakeLLM(), tts=FakeTTS()) as cluster:
        yield cluster


def mouth(there: Cluster):
    return there.keep(load_tts(Settings(ray_url=there.url), lambda _: None))


class TestLanes:
    def test_a_replica_that_was_told_is_reached(self, door: LaneServer, front: Lanes) -> None:
        assert front.take(WHERE) is None
        front.told(WHERE, str(door.address), HERE)
        assert until(lambda: front._known.get(WHERE))
        first = front.take(WHERE)
        assert first is not None
        front.give(first, whole=True)
        assert front.take(WHERE) is first, "one connection for one question after another"
        front.give(first, whole=False)
        second = front.take(WHERE)
        assert second is not None and second is not first
        front.give(second, whole=True)

    def test_the_replica_with_the_fewest_questions_is_asked(self, door: LaneServer, front: Lanes) -> None:
        other = LaneServer("127.0.0.1", echo)
        for server in (door, other):
            front.told(WHERE, str(server.address), HERE)
        assert until(lambda: len(front._known.get(WHERE, [])) == 2)
        taken = [front.take(WHERE) for _ in range(4)]
        ports = [lane.address.port for lane in taken if lane is not None]
        assert sorted(ports) == sorted([door.address.port, other.address.port] * 2)
        for lane in taken:
            assert lane is not None
            front.give(lane, whole=False)
        other.close()

    def test_a_session_has_one_replica(self, door: LaneServer, front: Lanes) -> None:
        where: lanes.Where = ("llm", "front:0")
        for server in (door, other := LaneServer("127.0.0.1", echo)):
            front.told(where, str(server.address), HERE)
            assert until(lambda server=server: front._known.get(where) == [server.address])
        assert list(front._idle) == [other.address], "the other was hung up on"
        other.close()

    def test_one_that_is_gone_is_not_asked(self, door: LaneServer, front: Lanes) -> None:
        front.told(WHERE, str(door.address), HERE)
        assert until(lambda: front._known.get(WHERE))
        door.close()
        assert until(lambda: front._idle[door.address][0].stale)
        assert front.take(WHERE) is None and not front._known[WHERE]

    def test_a_lane_that_nobody_uses_is_given_up(
        self, door: LaneServer, front: Lanes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        front.told(WHERE, str(door.address), HERE)
        assert until(lambda: front._idle)
        lane = front.take(WHERE)
        assert lane is not None
        monkeypatch.setattr(lane_module, "UNUSED_S", -1.0)
        front.give(lane, whole=True)
        assert not any(front._idle.values())

    def test_while_a_session_has_lost_its_replica_any_of_the_stage_is_asked(
        self, door: LaneServer, front: Lanes
    ) -> None:
        mine, others = ("llm", "front:0"), ("llm", "front:1")
        with closing(LaneServer("127.0.0.1", echo)) as other, closing(echoing()) as fresh:
            front.told(mine, str(door.address), HERE)
            front.told(others, str(other.address), HERE)
            front.told(WHERE, str(fresh.address), HERE)
            assert until(lambda: len(front._known) == 3)
            assert front.take(("llm", "front:2")) is None, "the cluster says which replica a new one has"
            front.lose(door.address)
            lane = front.take(mine)
            assert lane is not None and lane.address == other.address
            front.give(lane, whole=True)
            front.told(mine, str(fresh.address), HERE)
            assert until(lambda: front._known[mine] == [fresh.address])

    def test_one_that_cannot_be_reached_is_not_tried_again_soon(self, front: Lanes) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            gone = Address("127.0.0.1", listening.getsockname()[1], "secret")
        before = set(threading.enumerate())
        front.told(WHERE, str(gone), HERE)
        assert until(lambda: not set(threading.enumerate()) - before)
        front.told(WHERE, str(gone), HERE)
        assert not set(threading.enumerate()) - before and front.take(WHERE) is None

    @pytest.mark.parametrize(
        ("told", "proxy"),
        [
            ("127.0.0.1 {port} {secret}", "https://127.0.0.1:8000"),
            ("127.0.0.1 {port} {secret}", "http://192.0.2.1:8000"),
            ("localhost {port} {secret}", "http://127.0.0.1:8000"),
            ("127.0.0.1 port {secret}", "http://127.0.0.1:8000"),
            ("127.0.0.1", "http://127.0.0.1:8000"),
        ],
    )
    def test_what_is_not_taken_for_an_address(self, door: LaneServer, front: Lanes, told: str, proxy: str) -> None:
        front.told(WHERE, told.format(port=door.address.port, secret=door.address.secret), urlsplit(proxy))
        assert not front._shunned, "nor tried to be reached"

    def test_after_a_while_a_proxy_is_to_be_asked_once(
        self, door: LaneServer, front: Lanes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not front.due(WHERE)
        front.told(WHERE, str(door.address), HERE)
        assert not front.due(WHERE)
        monkeypatch.setattr(lanes, "RENEW_S", -1.0)
        assert front.due(WHERE)


class TestAFront:
    def test_after_the_first_question_none_goes_through_the_proxy(self, there: Cluster) -> None:
        voice = mouth(there)
        for _ in range(3):
            assert len(list(voice.speak("Hi.", OWN_VOICE, "en"))) == 3
        assert there.asked == ["tts"]
        list(voice.speak("Hi.", ANN, "en"))
        assert there.replicas["tts"]._engine.voices[-1] == replace(ANN, cache=None)  # type: ignore[union-attr]

    def test_a_conversation_goes_straight_to_its_replica(self, there: Cluster) -> None:
        mind = there.keep(load_llm(Settings(ray_url=there.url), lambda _: None))
        hello = (Message("system", "Be brief."), Message("user", "Hello"))
        mind.prefill(hello, 0)
        assert until(lambda: any(session for _, session in mind._client._lanes._known))
        list(mind.reply(hello, 0))
        assert there.asked == ["llm", "llm"], "the abilities, what was read ahead"

    def test_a_replica_that_is_at_something_is_asked_through_the_proxy(self, there: Cluster) -> None:
        voice = mouth(there)
        engine = there.replicas["tts"]._engine
        engine.trouble = trouble = Trouble(hang_at=1)  # type: ignore[union-attr]
        first = voice.speak("One.", OWN_VOICE, "en")
        next(first)
        second = threading.Thread(target=lambda: list(voice.speak("Two.", OWN_VOICE, "en")))
        second.start()
        assert until(lambda: there.asked == ["tts", "tts"])
        trouble.hang.set()
        assert len(list(first)) == 3
        second.join()

    def test_a_replica_that_is_gone_is_asked_for_at_the_proxy(self, there: Cluster) -> None:
        voice = mouth(there)
        there.replicas["tts"].__del__()
        assert len(list(voice.speak("Hi.", OWN_VOICE, "en"))) == 3
        assert there.asked == ["tts", "tts"]

    def test_a_node_that_is_gone_without_a_word_is_asked_for_at_the_proxy(self, there: Cluster) -> None:
        voice = mouth(there)
        lane = voice._client._lanes._idle[there.replicas["tts"]._lanes.address][0]  # type: ignore[union-attr]

        def gone(size: int) -> bytes:
            raise OSError(errno.ETIMEDOUT, "what Linux says after lanes.DEAD_MS")

        lane.read = gone
        assert len(list(voice.speak("Hi.", OWN_VOICE, "en"))) == 3
        assert there.asked == ["tts", "tts"]

    @pytest.mark.parametrize("said", [0, 1])
    def test_from_a_replica_that_stands_still_another_takes_over(
        self, there: Cluster, said: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(lane_module, "LOOK_S", 0.02)
        voice = mouth(there)
        known = voice._client._lanes._known
        with closing(Still(said)) as door:
            known[WHERE] = [door.address, *known[WHERE]]
            speaking = voice.speak("Hi.", OWN_VOICE, "en")
            if said:
                with pytest.raises(EngineError, match="lost this reply"):
                    list(speaking)
            else:
                assert len(list(speaking)) == 3
            assert len(list(voice.speak("Hi.", OWN_VOICE, "en"))) == 3
            assert there.asked == ["tts"], "by its lane, and not at the proxy"

    def test_half_an_answer_is_not_asked_for_again(self, there: Cluster) -> None:
        voice = mouth(there)
        there.replicas["tts"]._engine.trouble = trouble = Trouble(hang_at=1)  # type: ignore[union-attr]
        said = voice.speak("Hi.", OWN_VOICE, "en")
        next(said)
        server = there.replicas["tts"]._lanes
        assert server is not None
        server.close()
        with pytest.raises(EngineError, match="lost this reply"):
            next(said)
        trouble.hang.set()

    def test_a_broken_engine_is_not_asked_by_lane(self, there: Cluster) -> None:
        voice = mouth(there)
        there.replicas["tts"]._fault = "ValueError"
        assert len(list(voice.speak("Hi.", OWN_VOICE, "en"))) == 3
        assert there.asked == ["tts", "tts"], "Ray Serve knows which is well"

    def test_a_deleted_profile_is_told_to_all(self, there: Cluster) -> None:
        voice = mouth(there)
        list(voice.speak("Hi.", ANN, "en"))
        voice.forget("ann")
        assert until(lambda: there.replicas["tts"]._engine.forgotten == ["ann"])  # type: ignore[union-attr]

    def test_now_and_then_a_proxy_is_asked_whose_turn_it_is(
        self, there: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        voice = mouth(there)
        monkeypatch.setattr(lanes, "RENEW_S", 0.0)
        list(voice.speak("Hi.", OWN_VOICE, "en"))
        assert until(lambda: there.asked == ["tts", "tts"])
        assert len(there.replicas["tts"]._engine.said) == 1  # type: ignore[union-attr]
