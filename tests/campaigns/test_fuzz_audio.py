"""10,000 mutated audio files through the decoder: `make campaign NAME=fuzz_audio`."""

from pathlib import Path

import pytest
from test_decoder import fuzz

FILES = 10_000


@pytest.mark.campaign
async def test_fuzz_audio(tmp_path: Path) -> None:
    result = await fuzz(FILES, 20261123, tmp_path)
    print(result)
    assert "AUDIO_TIMEOUT" not in result and result["slowest_s"] < 5 and result["peak_mib"] < 150
