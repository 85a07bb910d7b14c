"""Qwen2.5-1.5B in the ladder: offered, fetched and loaded, with a tiny model in its place; what AVATAR_GGUF changes."""

import html
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hubs import Hub, serving, weight
from tiny_gguf import REPLY, tiny_gguf

from avatar import weights
from avatar.engines import llamacpp, qwen
from avatar.engines.base import SYSTEM_PROMPT, Message
from avatar.engines.catalog import CATALOG, allowed
from avatar.engines.pool import EnginePool
from avatar.errors import WeightsError
from avatar.events import Serving, TurnDone
from avatar.pipeline import Pipeline
from avatar.settings import Settings
from avatar.ui import ladder
from avatar.weights.downloads import Downloads

QUESTION = [Message("system", SYSTEM_PROMPT), Message("user", "Who are you?")]
NAME = "qwen2.5-1.5b"


def minds(settings: Settings) -> list[str]:
    return [row.name for row in allowed(CATALOG, settings) if row.stage == "llm"]


def test_it_stands_above_the_demo_model_and_below_servers_and_cards(settings: Settings) -> None:
    assert minds(settings) == ["remote", "vllm", "qwen", "llamacpp"]
    assert minds(replace(settings, llm="qwen")) == ["qwen"]


def test_a_file_of_the_users_takes_its_place(settings: Settings, tmp_path: Path) -> None:
    own = replace(settings, gguf=tmp_path / "mine.gguf")
    assert minds(own) == ["remote", "vllm", "llamacpp"]
    assert minds(replace(own, llm="qwen")) == ["qwen"]


def test_without_its_file_it_is_offered_with_size_and_licence(settings: Settings) -> None:
    (status,) = [row for row in EnginePool(settings).status() if row.name == "qwen"]
    assert (status.state, status.lacks, status.licence) == ("absent", (NAME,), "Apache-2.0")
    assert "1,117 MB" in status.sentence and status.slower and not status.demo and status.languages == ("*",)
    with pytest.raises(WeightsError, match="weights fetch qwen2.5-1.5b"):
        qwen.load(settings, lambda fraction: None)


def test_the_status_tab_says_what_it_costs_before_anybody_gets_it(settings: Settings) -> None:
    (status,) = [row for row in EnginePool(settings).status() if row.name == "qwen"]
    downloads = Downloads(settings.weights)
    english, chinese = (ladder.row(status, downloads, language) for language in ("en", "zh-TW"))
    for words in (
        "Get, 1,117 MB",
        "Apache-2.0",
        "2,000 MiB",
        "begins up to a second later",
        f'data-name="{NAME}"',
    ):
        assert words in html.unescape(english)
    assert "下載，1,117 MB" in chinese and "最多比示範模型晚一秒開口" in chinese and "Apache-2.0" in chinese


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 3), (32, 4)])
def test_it_leaves_a_core_for_ears_and_voice(monkeypatch: pytest.MonkeyPatch, cores: int, threads: int) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert llamacpp.threads(Settings()) == threads and llamacpp.threads(Settings(threads=7)) == 7


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Has a tiny model under the name of the real one."""
    file = tiny_gguf(tmp_path / "made.gguf")
    path = weights.WEIGHTS[NAME].source.files[0].path  # type: ignore[union-attr]
    with serving(Hub({path: file.read_bytes()})) as hub:
        monkeypatch.setitem(weights.WEIGHTS, NAME, replace(weight(NAME, hub), licence="Apache-2.0"))
        monkeypatch.setenv("HF_ENDPOINT", hub.address)
        monkeypatch.setenv("NO_PROXY", "*")
        yield hub


@pytest.fixture
def loaded(hub: Hub, settings: Settings) -> Iterator[llamacpp.LlamaCppLLM]:
    weights.fetch(NAME, settings.weights)
    engine = qwen.load(settings, lambda fraction: None)
    yield engine
    engine.close()


@pytest.mark.slow
def test_the_real_load_answers_each_seat_and_after_a_cancel(loaded: llamacpp.LlamaCppLLM) -> None:
    for seat in (0, 3):
        loaded.prefill(QUESTION, seat)
        assert "".join(loaded.reply(QUESTION, seat)) == REPLY
    cut = loaded.reply(QUESTION, 0)
    assert next(cut) == "H"
    cut.close()
    assert "".join(loaded.reply(QUESTION, 0)) == REPLY


@pytest.mark.slow
def test_a_file_of_the_users_loads_the_same_way(settings: Settings, tmp_path: Path) -> None:
    engine = llamacpp.load(replace(settings, gguf=tiny_gguf(tmp_path / "mine.gguf")), lambda fraction: None)
    assert "".join(engine.reply(QUESTION, 0)) == REPLY
    engine.close()


@pytest.mark.slow
async def test_got_on_the_status_tab_it_answers_the_next_turn(hub: Hub, settings: Settings) -> None:
    """Stalled, cancelled, cut and resumed on the way here; nothing is asked of the hub before somebody wants it."""
    pool = EnginePool(settings, [row for row in CATALOG if row.name in ("qwen", "espeak")])
    arrived = threading.Event()
    downloads = Downloads(settings.weights, on_done=lambda: (pool.look_again(), arrived.set())[0])
    pool.start()
    downloads.start_missing(name for row in pool.status() for name in row.lacks)  # AVATAR_DOWNLOAD=ask
    assert not hub.asked and downloads.look(NAME).state == "missing"
    hub.manners = ["stall 100000", "cut 50000"]
    downloads.start(NAME)
    until(lambda: downloads.look(NAME).done >= 100_000)
    downloads.stop(NAME)
    assert downloads.look(NAME).state == "stopped"
    until(lambda: downloads.look(NAME).done == 100_000)  # when its thread has closed the file
    downloads.start(NAME)
    assert arrived.wait(20)
    assert hub.gets() == ["", "bytes=100000-", "bytes=150000-"]
    until(lambda: next(row for row in pool.status() if row.name == "qwen").serving)
    events = [event async for event in Pipeline(pool).turn("Who are you?")]
    assert isinstance(events[-1], TurnDone) and events[-1].reply_text == REPLY
    assert Serving("llm", "Qwen2.5 1.5B") in events
    downloads.close()
    pool.close()


def until(ready: Callable[[], bool]) -> None:
    for _ in range(2_000):
        if ready():
            return
        threading.Event().wait(0.01)
    raise AssertionError("it did not come about")
