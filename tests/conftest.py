"""Fixtures that never touch the user's own files."""

import logging
import os
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from assistants import Door, door, make_assistant, put_away
from fakes import FakeLLM, FakeSTT, FakeTTS, rung
from live_session import REPORT_S, Live
from voice_profiles import opened

from avatar import log, weights
from avatar.assistant import Assistant
from avatar.engines.catalog import Rung
from avatar.engines.pool import EnginePool
from avatar.settings import Settings
from avatar.store import Store
from avatar.turntaking.voice import Silero
from avatar.voices import Voices

if TYPE_CHECKING:
    from running import Running

hypothesis.settings.register_profile("avatar", deadline=None)  # on a busy machine an example takes what it takes
hypothesis.settings.load_profile("avatar")


ALONE = "test_browser_real.py"  # where `make test` looks for what is marked so: in all files it takes 12 s of a core


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those marked long come first; the order of the others stays. None marked alone stands where nobody looks."""
    if strays := [item.nodeid for item in items if item.get_closest_marker("alone") and item.path.name != ALONE]:
        raise pytest.UsageError(f"What is marked alone stands in {ALONE}: {strays}")
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What .ci/run says must be there (a browser, pocket-tts): a test that was skipped for want of it has failed."""
    report = yield
    for need in ("browser", "voice"):
        variable = f"CI_NEEDS_{need.upper()}"
        if report.skipped and item.get_closest_marker(need) and os.environ.get(variable):
            report.outcome, report.longrepr = "failed", f"skipped, and {variable} is set: {report.longrepr}"
    return report


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", weights=tmp_path / "weights")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "data")
    yield store
    store.close()


@pytest.fixture
def voices(tmp_path: Path) -> Voices:
    return opened(tmp_path)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 16 MiB; yields its folder."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # lazy: a failed test leaves files open


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """What a test sets up for the whole process is undone."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in log.QUIET}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def engines() -> dict[str, Any]:
    """A fake of each stage."""
    return {"stt": FakeSTT(), "llm": FakeLLM(), "tts": FakeTTS()}


@pytest.fixture
def make_pool(settings: Settings) -> Callable[..., EnginePool]:
    """make_pool({"name": (stage, engine or callable that makes one)}): a pool over fakes, best rung first."""

    def make(engines: dict[str, tuple[str, object]], **more: object) -> EnginePool:
        catalog = [rung(name, stage) for name, (stage, _) in engines.items()]

        def load(rung: Rung, settings: Settings, progress: object) -> object:
            engine = engines[rung.name][1]
            return engine() if callable(engine) else engine

        return EnginePool(settings, catalog, load, **more)  # type: ignore[arg-type]

    return make


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts of `remote` follow each other at once."""
    monkeypatch.setattr("avatar.engines.remote_client.RETRIES_S", (0.001, 0.001))


@pytest.fixture
def new_assistant(settings: Settings, make_pool: Callable[..., EnginePool]) -> Iterator[Callable[..., Assistant]]:
    """new_assistant(llm=engine, setting=value): an Assistant over fakes, put away after the test."""
    made: list[Assistant] = []

    def make(**changes: Any) -> Assistant:
        engines = {name: changes.pop(name) for name in ("stt", "llm", "tts") if name in changes}
        made.append(make_assistant(replace(settings, **changes), make_pool, **engines))
        return made[-1]

    yield make
    for one in made:
        put_away(one)


@pytest.fixture
async def open_door(
    new_assistant: Callable[..., Assistant], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Awaitable[Door]]]:
    """`await open_door(setting=value, llm=engine)`: a server over fakes, closed after the test."""
    monkeypatch.setattr("avatar.answering.SETTLE_S", 0.05)
    async with AsyncExitStack() as doors:

        async def start(**changes: Any) -> Door:
            return await doors.enter_async_context(door(new_assistant(**changes)))

        yield start


@pytest.fixture
def live(
    make_pool: Callable[..., EnginePool], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., AbstractAsyncContextManager[Live]]:
    """`async with live(name of a preference=its value) as session`: over fakes that can be changed meanwhile."""
    monkeypatch.setattr("avatar.answering.SETTLE_S", 2 * REPORT_S)

    @asynccontextmanager
    async def start(**preferences: object) -> AsyncIterator[Live]:
        session = Live(make_pool, **preferences)
        try:
            yield session
        finally:
            await session.it.close()
            await session.page

    return start


@pytest.fixture(scope="session")
def silero() -> Silero:
    return Silero.load(weights.path("silero-vad", Settings.from_env().weights))


@pytest.fixture(scope="session")
def app(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Running]":
    """app.py as a process, one for all slow tests, behind a proxy that is not there. A stand-in for torch leaves a mark
    when something imports it."""
    from running import Running  # imports half of Gradio, for which xdist's own process has no use

    folder = tmp_path_factory.mktemp("app")
    trap = folder / "trap" / "torch"
    trap.mkdir(parents=True)
    (trap / "__init__.py").write_text(f"open({str(folder / 'torch-was-imported')!r}, 'w').close()\n")
    running = Running(folder / "data", {"PYTHONPATH": str(trap.parent), "HTTP_PROXY": "http://127.0.0.1:9"}).start()
    try:
        print(f"ready after {running.wait():.1f} s, load average {os.getloadavg()[0]:.1f}")
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser on PATH; what needs one is skipped where there is none."""
    from avatar.bench.browser import BrowserMissing, chromium  # imports playwright

    try:
        return chromium()
    except BrowserMissing as error:
        pytest.skip(error.sentence)
