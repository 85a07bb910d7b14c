"""10,000 mutated recordings and voice files through the Voices tab's door: `make campaign NAME=fuzz_voices`."""

from pathlib import Path

import pytest
from test_studio_fuzz import fuzz_uploads

FILES = 10_000


@pytest.mark.campaign
async def test_fuzz_voices(tmp_path: Path, make_pool) -> None:
    result = await fuzz_uploads(FILES, 20261125, tmp_path, make_pool)
    print(result)
    assert result["slowest_s"] < 5 and result["grown_mib"] < 64
