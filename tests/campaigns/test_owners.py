"""10,000 attempts on another owner's voices, by every handler (called by fn_index) and file route: none succeeds."""

from pathlib import Path

import pytest
from voice_attempts import anns_page, attempt


@pytest.mark.campaign
@pytest.mark.filterwarnings("ignore:.*no_silent_downcasting")  # both in Gradio
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
async def test_owners(tmp_path: Path, make_pool, monkeypatch: pytest.MonkeyPatch) -> None:
    with anns_page(tmp_path, make_pool, monkeypatch) as (address, assistant, blocks):
        met = await attempt(10_000, 20261125, address, assistant, blocks)
    print(f"10,000 attempts, 0 told or changed anything: {met}")
    assert not met["not reached"], "a handler was never called"
