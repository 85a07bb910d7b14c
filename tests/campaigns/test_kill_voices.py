"""200 times kill -9 while voices are kept and deleted: nothing half kept, nothing half deleted, none lost."""

from pathlib import Path

import pytest
from test_voices_crashes import kill_keepers


@pytest.mark.campaign
def test_kill_voices(tmp_path: Path) -> None:
    print(kill_keepers(tmp_path, kills=200))
