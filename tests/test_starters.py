"""The voices that come with the product are whole, good enough, and say what their text says."""

import json
import shutil
from pathlib import Path

import pytest

from avatar import clip, speaker, starters, weights
from avatar.audio import resample
from avatar.bench.starters import RATE, VOICES, decode
from avatar.engines import moonshine
from avatar.errors import AudioError
from avatar.settings import Settings
from avatar.speaker import similarity
from avatar.turntaking.voice import Silero
from avatar.voiced import listen
from avatar.wording import edits, normalised


def test_they_load_with_licence_and_basis_of_consent() -> None:
    found = starters.load()
    assert [voice.id for voice in found] == sorted(cut.id for cut in VOICES)
    assert {voice.language for voice in found} == {"en", "zh"}
    for voice in found:
        assert voice.licence in ("MIT", "Apache-2.0") and voice.text and voice.source and voice.name
        assert voice.consent.whose == "licensed" and voice.licence in voice.consent.person
        assert voice.quality.usable and voice.quality.score >= 50
        assert len(voice.recording) < 300_000


def test_a_repository_without_them_has_none(tmp_path: Path) -> None:
    assert starters.load(tmp_path / "profiles") == []


@pytest.mark.parametrize("harm", ["other recording", "no recording", "no consent", "half a row", "another embedding"])
def test_a_damaged_one_is_named(tmp_path: Path, harm: str) -> None:
    place = tmp_path / "clara"
    shutil.copytree(starters.FOLDER / "clara", place)
    row = json.loads((place / starters.ROW).read_text())
    if harm == "other recording":
        (place / starters.CLIP).write_bytes((starters.FOLDER / "oliver" / starters.CLIP).read_bytes())
    elif harm == "no recording":
        (place / starters.CLIP).unlink()
    elif harm == "half a row":
        (place / starters.ROW).write_text(json.dumps(row)[:300])
    else:
        row.pop("consent") if harm == "no consent" else row.update(embedding="AAAA")
        (place / starters.ROW).write_text(json.dumps(row))
    with pytest.raises(AudioError, match="clara"):
        starters.load(tmp_path)


@pytest.mark.slow
async def test_their_words_voices_and_measures_are_what_the_row_says(silero: Silero) -> None:
    settings = Settings.from_env()
    stt = moonshine.load(settings, lambda fraction: None)
    encoder = speaker.load(settings)
    assert weights.present("resemblyzer", settings.weights)
    found = starters.load()
    sounds = await decode([starters.FOLDER / voice.id / starters.CLIP for voice in found])
    for voice, samples in zip(found, sounds, strict=True):
        heard = listen(samples, RATE, silero)
        own = clip.embedding(heard, encoder)
        assert own is not None and similarity(own, voice.embedding) > 0.999
        assert clip.measure(heard, encoder).score == pytest.approx(voice.quality.score, abs=2)
        if voice.language == "en":
            words = [*stt.transcribe(resample(samples, RATE, 16_000), None)][-1].text
            said = normalised(voice.text)
            assert edits(said, normalised(words)) <= 0.15 * len(said), words
    for one in found:
        assert all(similarity(one.embedding, other.embedding) < speaker.SAME for other in found if other is not one)
