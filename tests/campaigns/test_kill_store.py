"""200 times kill -9 in the middle of storing turns: no acknowledged turn may be lost."""

from pathlib import Path

import pytest
from test_store_faults import kill_writers


@pytest.mark.campaign
def test_kill_store(tmp_path: Path) -> None:
    promised = kill_writers(tmp_path, kills=200)
    print(f"200 kills, {promised} acknowledged turns, 0 lost")
