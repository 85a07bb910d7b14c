"""The proxies of a cluster: which one a front asks, and what it does when that one is gone."""

import socket
from collections.abc import Iterator

import pytest
from fakes import FakeTTS
from replicas import Cluster

from avatar.engines import cluster_client
from avatar.engines.base import OWN_VOICE
from avatar.engines.clustered import load_tts
from avatar.errors import EngineTimeout
from avatar.settings import Settings


@pytest.fixture
def there(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    monkeypatch.setattr(cluster_client, "AGAIN_S", 0.01)
    with Cluster(tts=FakeTTS()) as cluster:
        yield cluster


def test_another_proxy_of_the_cluster_takes_over(there: Cluster) -> None:
    mouth = there.keep(load_tts(Settings(ray_url=f"http://127.0.0.1:1, {there.url}"), lambda _: None))
    assert len(list(mouth.speak("Hi.", OWN_VOICE, "en"))) == 3


def test_another_proxy_takes_over_from_one_whose_machine_is_gone(
    there: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_client, "CONNECT_S", 0.2)
    with socket.socket() as gone, socket.socket() as first, socket.socket() as second:
        gone.bind(("127.0.0.1", 0))
        gone.listen(0)  # once these two wait, Linux answers nobody else
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(gone.getsockname())
        urls = f"http://127.0.0.1:{gone.getsockname()[1]}, {there.url}"
        mouth = there.keep(load_tts(Settings(ray_url=urls), lambda _: None))
        assert len(list(mouth.speak("Hi.", OWN_VOICE, "en"))) == 3


def test_after_one_that_says_nothing_another_proxy_is_asked(there: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_client, "FIRST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        urls = f"http://127.0.0.1:{mute.getsockname()[1]}, {there.url}"
        client = cluster_client.ClusterClient(urls)
        with pytest.raises(EngineTimeout):
            list(client.ask("tts", {"do": "abilities"}))
        assert [head["is"] for head, _ in client.ask("tts", {"do": "abilities"})] == ["abilities"]
        client.close()
