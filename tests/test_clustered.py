"""The rungs of a cluster, against real replicas around fake engines, over real HTTP."""

import errno
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble
from replicas import ANN, Cluster

from avatar.engines import cluster_client
from avatar.engines.base import OWN_VOICE, Abilities, Message
from avatar.engines.catalog import CATALOG, allowed
from avatar.engines.clustered import ClusterLLM, ClusterSTT, ClusterTTS, load_llm, load_stt, load_tts
from avatar.engines.frames import pack
from avatar.engines.pool import EnginePool, import_and_load
from avatar.errors import EngineError, EngineTimeout, OutOfMemory, SettingsError
from avatar.events import AudioChunk, Notice, Serving, TurnDone
from avatar.pipeline import Pipeline
from avatar.settings import Settings

HELLO = (Message("system", "Be brief."), Message("user", "Hello"))


SAMPLES = np.linspace(-1, 1, 1600, dtype=np.float32)


@pytest.fixture(params=[False, True], ids=["proxy", "lanes"])
def there(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with Cluster(request.param, stt=FakeSTT(), llm=FakeLLM(), tts=FakeTTS()) as cluster:
        yield cluster


@pytest.fixture
def proxied() -> Iterator[Cluster]:
    with Cluster(stt=FakeSTT(), llm=FakeLLM(), tts=FakeTTS()) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_client, "AGAIN_S", 0.01)


def stt(there: Cluster) -> ClusterSTT:
    return there.keep(load_stt(Settings(ray_url=there.url), lambda _: None))


def llm(there: Cluster) -> ClusterLLM:
    return there.keep(load_llm(Settings(ray_url=there.url), lambda _: None))


def tts(there: Cluster) -> ClusterTTS:
    return there.keep(load_tts(Settings(ray_url=there.url), lambda _: None))


def engine(there: Cluster, stage: str) -> FakeTTS:
    return there.replicas[stage]._engine  # type: ignore[return-value]


def until(done: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not done() and time.monotonic() < deadline:
        time.sleep(0.01)
    return done()


def test_what_an_engine_yields_arrives_as_it_was(there: Cluster) -> None:
    heard = list(stt(there).transcribe(SAMPLES, None))
    assert [(t.text, t.final, t.language) for t in heard] == [("hello", False, "en"), ("hello there", True, "en")]
    assert stt(there).plausible(SAMPLES, "hello there") is True
    assert "".join(llm(there).reply(HELLO, 3)) == FakeLLM().text
    said = list(tts(there).speak("Hi.", OWN_VOICE, "en"))
    assert [chunk.sample_rate for chunk in said] == [24_000] * 3
    assert all(np.array_equal(chunk.samples, np.full(240, 0.1, np.float32)) for chunk in said)


def test_what_the_model_is_asked_arrives_as_it_was(there: Cluster) -> None:
    mind = llm(there)
    mind.prefill(HELLO, 0)
    assert list(engine(there, "llm").read) == [list(HELLO)]  # type: ignore[attr-defined]


def test_a_conversation_keeps_its_replica_and_its_seat(proxied: Cluster) -> None:
    one, other = llm(proxied), llm(proxied)  # two fronts, whose seats have the same numbers
    for front in (one, other, one):
        list(front.reply(HELLO, 0))
    sessions = [session for session in proxied.sessions if session]
    assert sessions[0] == sessions[2] != sessions[1]


def test_what_it_can_do_is_what_the_engine_there_can(there: Cluster) -> None:
    engine(there, "tts").abilities = Abilities(("en", "zh"), clones=True, voices=("max",), paces=True)  # type: ignore[attr-defined]
    assert tts(there).abilities == Abilities(("en", "zh"), clones=True, voices=("max",), paces=True)
    assert stt(there).abilities.languages == ("en",)


def test_closing_it_ends_the_work_there(there: Cluster) -> None:
    trouble = Trouble(hang_at=2)
    engine(there, "llm").text, engine(there, "llm").trouble = "a b c d " * 1000, trouble  # type: ignore[attr-defined]
    mind = llm(there)
    answer = mind.reply(HELLO, 0)
    assert next(answer) == "a"
    answer.close()
    trouble.hang.set()
    line = there.replicas["llm"]._line
    assert until(lambda: line.busy == 0), "the engine's generator is closed, its lease given back"


def test_a_cloned_voice_is_sent_in_full_once(proxied: Cluster) -> None:
    mouth = tts(proxied)
    list(mouth.speak("Hi.", ANN, "en"))
    assert proxied.asked.count("tts") == 3, "abilities, without the large part, with it"
    list(mouth.begin("Hi.", ANN, "en"))
    assert proxied.asked.count("tts") == 4
    here = engine(proxied, "tts").voices[-1]
    assert here == replace(ANN, cache=None) and here.reference is not None and here.embedding is not None
    assert np.array_equal(here.reference.samples, ANN.reference.samples)  # type: ignore[union-attr]
    assert np.array_equal(here.embedding, ANN.embedding)


def test_a_deleted_profile_is_forgotten_there(proxied: Cluster) -> None:
    mouth = tts(proxied)
    list(mouth.speak("Hi.", ANN, "en"))
    mouth.forget("ann")
    assert until(lambda: engine(proxied, "tts").forgotten == ["ann"])
    list(mouth.speak("Hi.", ANN, "en"))
    assert proxied.asked.count("tts") == 6, "and must be sent again"


def test_a_voice_nobody_has_asked_for_is_forgotten(monkeypatch: pytest.MonkeyPatch, there: Cluster) -> None:
    list(tts(there).speak("Hi.", ANN, "en"))
    there.replicas["tts"].check_health()
    assert engine(there, "tts").forgotten == []
    monkeypatch.setattr("avatar.asked.VOICE_S", 0.0)
    there.replicas["tts"].check_health()
    assert engine(there, "tts").forgotten == ["ann"]


def test_an_engine_that_breaks_makes_its_replica_unhealthy(there: Cluster) -> None:
    engine(there, "tts").trouble = Trouble(fail_on=(1,))
    with pytest.raises(EngineError, match="stopped with an error") as error:
        list(tts(there).speak("Hi.", OWN_VOICE, "en"))
    assert not error.value.lost and "secret" not in error.value.sentence
    with pytest.raises(RuntimeError, match="RuntimeError"):
        there.replicas["tts"].check_health()
    there.replicas["stt"].check_health()


def test_no_memory_there_is_no_memory_here(there: Cluster) -> None:
    def full(*_: object) -> Iterator[AudioChunk]:
        raise MemoryError
        yield

    engine(there, "tts").speak = full  # type: ignore[method-assign, assignment]
    with pytest.raises(OutOfMemory):
        list(tts(there).speak("Hi.", OWN_VOICE, "en"))
    there.replicas["tts"].check_health()


def test_a_cluster_that_is_not_there_is_lost(proxied: Cluster) -> None:
    mouth = tts(proxied)
    proxied.broken = {"tts"}
    with pytest.raises(EngineError, match="cannot be reached") as error:
        list(mouth.speak("Hi.", OWN_VOICE, "en"))
    assert error.value.lost and proxied.asked.count("tts") == 1 + cluster_client.TRIES


def test_a_proxy_whose_machine_is_gone_is_no_lost_cluster(proxied: Cluster) -> None:
    mouth = tts(proxied)

    def gone() -> None:
        raise OSError(errno.ETIMEDOUT, "what Linux says after lanes.DEAD_MS")

    mouth._client._idle[0][2].getresponse = gone  # type: ignore[method-assign, assignment]
    assert len(list(mouth.speak("Hi.", OWN_VOICE, "en"))) == 3


def test_a_cluster_that_says_nothing_is_left_in_time(there: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_client, "FIRST_S", 0.2)
    engine(there, "tts").trouble = trouble = Trouble(hang_at=0)
    with pytest.raises(EngineTimeout) as error:
        list(tts(there).speak("Hi.", OWN_VOICE, "en"))
    assert error.value.lost
    trouble.hang.set()


def test_a_wrong_key_is_refused(proxied: Cluster) -> None:
    proxied.replicas["tts"]._key = "right"
    with pytest.raises(EngineError, match="cannot be reached"):
        load_tts(Settings(ray_url=proxied.url, ray_key="wrong"), lambda _: None)
    mouth = proxied.keep(load_tts(Settings(ray_url=proxied.url, ray_key="right"), lambda _: None))
    assert mouth.abilities.languages == ("*",)


@pytest.mark.parametrize(
    "body", [b"", b"\0" * 8, b"\xff" * 8, b"x" * 100, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]"]
)
def test_what_is_no_question_is_refused(proxied: Cluster, body: bytes) -> None:
    import httpx

    assert httpx.post(f"{proxied.url}/tts", content=body).status_code == 400


@pytest.mark.parametrize(
    ("stage", "head"),
    [
        ("tts", {"do": "speak", "text": "Yes.", "voice": {"sha256": ""}}),
        ("tts", {"do": "speak", "voice": {}}),
        ("tts", {"do": "reply", "session": "a", "messages": []}),
        ("llm", {"do": "reply", "session": "a", "messages": [{"role": "user"}]}),
        ("llm", {"do": "prefill", "messages": "none"}),
        ("stt", {"do": "plausible"}),
        ("stt", {"do": "dance"}),
    ],
)
def test_a_wrong_question_is_not_the_engines_fault(proxied: Cluster, stage: str, head: dict[str, object]) -> None:
    import httpx

    assert httpx.post(f"{proxied.url}/{stage}", content=pack(head)).status_code == 400
    proxied.replicas[stage].check_health()  # raises for a replica that is to be replaced


async def test_a_lost_cluster_steps_down_to_the_local_rungs_and_back(there: Cluster, settings: Settings) -> None:
    now = [0.0]
    wanted = replace(settings, tts="ray", ray_url=there.url)
    rows = [row for row in CATALOG if row.name in ("ray-tts", "espeak", "llamacpp")]

    def load(row, settings, progress):
        return import_and_load(row, settings, progress) if row.name == "ray-tts" else local[row.name]

    local = {"espeak": FakeTTS(), "llamacpp": FakeLLM("Yes.")}
    pool = EnginePool(wanted, [replace(row, weights=()) for row in rows], load, lambda: now[0])
    for row in pool.rungs("tts") + pool.rungs("llm"):
        pool.warm(row)

    async def speaker() -> list[str]:
        events = [event async for event in Pipeline(pool).turn("hello")]
        assert isinstance(events[-1], TurnDone)
        told = [event.code for event in events if isinstance(event, Notice)]
        return [event.engine for event in events if isinstance(event, Serving) and event.stage == "tts"] + told

    assert await speaker() == ["Ray cluster"]
    there.lose("tts")
    assert await speaker() == ["Ray cluster", "eSpeak NG", "STEPPED_DOWN"]
    assert await speaker() == ["eSpeak NG"]
    there.broken = set()
    now[0] += 61
    pool.warm(pool.rungs("tts")[0])
    assert await speaker() == ["Ray cluster"]
    pool.close()


def test_only_who_asks_for_the_cluster_gets_it() -> None:
    names = [rung.name for rung in allowed(CATALOG, Settings(stt="ray"))]
    assert names[:3] == ["ray-stt", "whisper", "moonshine"] and "ray-llm" not in names
    with pytest.raises(SettingsError, match="auto, whisper, moonshine, ray"):
        allowed(CATALOG, Settings(stt="siri"))


@pytest.mark.slow
def test_ray_is_imported_by_nobody_who_does_not_ask(tmp_path: Path) -> None:
    """Not even by a front that uses a cluster, nor to write serve.yaml: a `ray` that ends the program stands first."""
    (tmp_path / "ray.py").write_text("raise SystemExit('ray was imported')")
    for program in (
        "import app, avatar.bench.talk; from avatar.engines.pool import EnginePool\n"
        "from avatar.settings import Settings\n"
        "EnginePool(Settings(stt='ray', llm='ray', tts='ray')); import avatar.engines.clustered",
        "import avatar.cluster, avatar.replica, avatar.bench.nodes",
    ):
        root = Path(__file__).parent.parent
        command = [sys.executable, "-c", f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(root)!r}]; {program}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
