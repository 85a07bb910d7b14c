"""40 backups while five store turns, each restored and compared: `make campaign NAME=backup_load`."""

from pathlib import Path

import pytest
from test_backup import backups_under_load

BACKUPS = 40


@pytest.mark.campaign
def test_backup_load(tmp_path: Path) -> None:
    turns = backups_under_load(tmp_path, BACKUPS, pause_s=0.5)
    print(f"{BACKUPS} of {BACKUPS} backups under load restored equal, {turns} turns compared")
