"""Fixtures that never touch the user's own files."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakes import rung

from avatar import weights
from avatar.engines.pool import EnginePool, Rung
from avatar.settings import Settings
from avatar.turntaking.voice import Silero


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data=tmp_path / "data", weights=tmp_path / "weights")


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


@pytest.fixture(scope="session")
def silero() -> Silero:
    return Silero.load(weights.path("silero-vad", Settings.from_env().weights))
