"""Nobody lists, hears, uses, changes or deletes another owner's voice. At full size: `make campaign NAME=owners`."""

from pathlib import Path

import pytest
from voice_attempts import anns_page, attempt


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no_silent_downcasting")  # both in Gradio
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
async def test_what_is_anns_stays_anns(tmp_path: Path, make_pool, monkeypatch: pytest.MonkeyPatch) -> None:
    with anns_page(tmp_path, make_pool, monkeypatch) as (address, assistant, blocks):
        met = await attempt(150, 1, address, assistant, blocks)
    assert met["handler"] > 80 and met["route 404"] > 20
