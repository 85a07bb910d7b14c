from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Campaigns run only when asked for by their mark (`make campaign`), never in `make check` or `make test`."""
    return None if "campaign" in config.getoption("markexpr") else True
