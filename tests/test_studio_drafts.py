"""Drafts of voices that strangers made, or that change while something is still being found out about them."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fakes import FakeSTT
from studios import FIELDS, JFK, studio_in

from avatar import voice_archive
from avatar.engines.pool import EnginePool
from avatar.errors import AvatarError
from avatar.events import Samples
from avatar.studio import SHORTEST_S, Studio

pytestmark = pytest.mark.slow


@pytest.fixture
def studio(tmp_path: Path, make_pool: Callable[..., EnginePool]) -> Iterator[Studio]:
    with studio_in(tmp_path / "data", make_pool, ears=FakeSTT("Ask not.")) as made:
        yield made


@pytest.mark.parametrize("change", ["drop", "cut"])
async def test_a_draft_that_was_changed_meanwhile_stays_so(
    studio: Studio, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    draft, decode, changed = await studio.open("ann", JFK), studio._decoder.decode, asyncio.Event()
    sentence = studio.sentence("ann", "en").id

    async def late(path: Path) -> Samples:
        await changed.wait()
        return await decode(path)

    monkeypatch.setattr(studio._decoder, "decode", late)
    proving = asyncio.create_task(studio.prove("ann", draft.id, sentence, JFK))
    await asyncio.sleep(0)
    cut = studio.drop("ann", draft.id) if change == "drop" else await studio.cut("ann", draft.id, 1.0, 6.0)
    changed.set()
    with pytest.raises(AvatarError) as refusal:
        await proving
    assert refusal.value.code == ("DRAFT_GONE" if change == "drop" else "READ_AGAIN")
    assert change == "drop" or studio.draft("ann", draft.id) is cut


@pytest.mark.parametrize("part", [(0.0, 1e-6), (0.2, 0.9), (300.0, 301.0)])
async def test_a_part_that_is_none_is_chosen_anew(studio: Studio, tmp_path: Path, part: tuple[float, float]) -> None:
    """An engine that is given no sound to imitate fails, for everybody."""
    kept = studio.save("ann", (await studio.open("ann", JFK)).id, **FIELDS)
    strange = replace(kept, start_s=part[0], end_s=part[1])
    file = tmp_path / "jack.avatarvoice"
    file.write_bytes(voice_archive.pack(strange, studio.voices.clip("ann", kept.id)))
    copy = studio.save("bob", (await studio.open_archive("bob", file)).id, **FIELDS)
    reference = studio.voices.voice("bob", copy.id).reference
    assert reference is not None and reference.duration_s >= SHORTEST_S - 0.01
