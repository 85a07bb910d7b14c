"""Voice profiles: kept, used, their owner's, deleted without a trace."""

import hashlib
import json
import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from voice_profiles import CONSENT, NEW, RATE, folders, found, kept, opened, sound

from avatar import flac, profiles
from avatar.engines.base import REFERENCE_RATE, Voice
from avatar.errors import AudioError, AvatarError, ConsentError, NotFound, StorageError
from avatar.voices import CLIP, Starter, Voices


def starter(name: str = "aria") -> Starter:
    recording = flac.encode(sound(), RATE)
    digest = hashlib.sha256(recording).hexdigest()
    consent = {"whose": "starter", "version": "1", "sha256": digest}
    profile = replace(NEW, id=name, owner="", name=name.title(), origin="starter", sha256=digest, consent=consent)
    return Starter(profile, recording)


class TestKeeping:
    def test_a_voice_comes_back_as_it_was_given(self, voices: Voices, tmp_path: Path) -> None:
        added = kept(voices)
        assert voices.of("ann") == [added] == opened(tmp_path).of("ann")
        assert added.duration_s == 4.0 and added.note == "Recorded in Tainan" and added.created_at.endswith("+00:00")
        recording = voices.clip("ann", added.id)
        assert hashlib.sha256(recording).hexdigest() == added.sha256 == added.consent["sha256"]
        assert np.abs(flac.decode(recording).samples - sound()).max() < 2 / 32768
        assert len(recording) == added.size

    def test_what_engines_get_is_the_chosen_part(self, voices: Voices) -> None:
        added = kept(voices)
        voice = voices.voice("ann", added.id)
        assert voice.reference is not None and voice.reference.sample_rate == REFERENCE_RATE
        assert voice.reference.duration_s == pytest.approx(3.0, abs=0.001)
        assert (voice.profile_id, voice.consent, voice.pitch_hz) == (added.id, added.sha256, 120.0)
        assert voice.reference_text == NEW.reference_text and voice.embedding is not None
        assert np.linalg.norm(voice.embedding) == pytest.approx(1.0)
        assert voice.cache is not None and voice.cache.is_dir()
        voices.permit(voice)

    def test_words_are_cleaned_and_a_name_is_needed(self, voices: Voices) -> None:
        added = kept(voices, name=" A\x00 name ‮ ", note="n" * 999, reference_text="w " * 900)
        assert added.name == "A name" and len(added.note) == 300 and len(added.reference_text) <= 1000
        for name in ("", " \n", "\x07"):
            with pytest.raises(AvatarError, match="needs a name"):
                kept(voices, name=name)
            with pytest.raises(AvatarError, match="needs a name"):
                voices.rename("ann", added.id, name)
        voices.rename("ann", added.id, "x" * 99)
        assert voices.get("ann", added.id).name == "x" * 60

    def test_without_consent_nothing_is_kept(self, voices: Voices, tmp_path: Path) -> None:
        for consent in (
            {},
            {**CONSENT, "owner": "bob"},
            {**CONSENT, "whose": "permitted"},
            {**CONSENT, "version": "0"},
        ):
            with pytest.raises(ConsentError):
                kept(voices, consent=consent)
        assert voices.of("ann") == [] and folders(tmp_path) == []

    def test_an_owner_has_room_for_so_many(self, voices: Voices, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("avatar.store.profiles.MAX_PROFILES", 2)
        kept(voices), kept(voices)
        with pytest.raises(AvatarError, match="All 2 voices are taken") as refusal:
            kept(voices)
        assert refusal.value.code == "VOICES_FULL"
        kept(voices, owner="bob")
        monkeypatch.setattr("avatar.store.profiles.MAX_PROFILES", 9)
        monkeypatch.setattr("avatar.store.profiles.MAX_BYTES", 2 * voices.of("ann")[0].size)
        with pytest.raises(AvatarError, match="fill all 0 MB"):
            kept(voices)
        assert len(voices.of("ann")) == 2

    def test_a_full_disk_keeps_nothing_half(
        self, voices: Voices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError) as refusal:
            kept(voices)
        monkeypatch.undo()
        assert refusal.value.code == "STORAGE_FULL"
        assert folders(tmp_path) == [] and voices.of("ann") == []

    def test_a_row_that_cannot_be_written_takes_its_files_along(self, voices: Voices, tmp_path: Path) -> None:
        voices._profiles.add = lambda _: (_ for _ in ()).throw(StorageError("no"))
        with pytest.raises(StorageError):
            kept(voices)
        assert folders(tmp_path) == []


class TestUsing:
    def test_a_default_is_each_owners_own(self, voices: Voices) -> None:
        mine = kept(voices)
        voices.set_default("ann", mine.id)
        assert (voices.default("ann"), voices.default("bob")) == (mine.id, "")
        with pytest.raises(NotFound):
            voices.set_default("bob", mine.id)
        voices.set_default("ann", "")
        assert voices.default("ann") == ""

    def test_the_voices_that_come_with_the_product_are_everybodys_and_stay(self, tmp_path: Path) -> None:
        voices = opened(tmp_path, starters=[starter()])
        mine = kept(voices)
        assert [p.name for p in voices.of("ann")] == ["Ann's voice", "Aria"]
        assert [p.name for p in voices.of("bob")] == ["Aria"]
        voice = voices.voice("bob", "aria")
        voices.permit(voice)
        assert voice.cache is not None and voice.cache.is_dir()
        for change in (voices.delete, lambda owner, it: voices.rename(owner, it, "Mine")):
            with pytest.raises(NotFound):
                change("bob", "aria")
        voices.set_default("bob", "aria")
        assert voices.default("bob") == "aria"
        assert voices.sweep() == 0 and {mine.id, "aria"} == {f.name for f in folders(tmp_path)}

    def test_nobody_else_sees_hears_uses_or_changes_it(self, voices: Voices) -> None:
        mine = kept(voices)
        assert voices.of("bob") == []
        for attempt in (
            voices.get,
            voices.voice,
            voices.clip,
            voices.delete,
            voices.set_default,
            lambda owner, it: voices.rename(owner, it, "Bob's"),
        ):
            for owner in ("bob", "", "ann "):
                with pytest.raises(NotFound):
                    attempt(owner, mine.id)
        assert voices.get("ann", mine.id).name == NEW.name

    def test_a_recording_that_was_exchanged_is_not_spoken(self, voices: Voices, tmp_path: Path) -> None:
        mine = kept(voices)
        clip = tmp_path / "voices" / mine.id / CLIP
        clip.write_bytes(flac.encode(sound(seed=3), RATE))
        with pytest.raises(ConsentError, match="not the one that the consent is for"):
            voices.voice("ann", mine.id)
        clip.unlink()
        with pytest.raises(NotFound):
            voices.voice("ann", mine.id)

    def test_a_damaged_file_says_so(self) -> None:
        for data in (b"", b"junk", flac.encode(sound(), RATE)[:60]):
            with pytest.raises(AudioError, match="Delete the voice"):
                flac.decode(data)

    def test_permission_is_for_the_recording_on_record(self, voices: Voices) -> None:
        mine = kept(voices)
        voice = voices.voice("ann", mine.id)
        voices.permit(Voice())
        for forged in (
            replace(voice, consent="0" * 64),
            replace(voice, consent=None),
            replace(voice, profile_id="nobody"),
            replace(voice, profile_id=None),
        ):
            with pytest.raises(ConsentError):
                voices.permit(forged)


class TestDeleting:
    def test_nothing_is_left_of_it_anywhere(self, tmp_path: Path) -> None:
        told: list[str] = []
        voices = opened(tmp_path, on_delete=told.append)
        print_of_voice = np.random.default_rng(3).normal(0, 1, 256).astype("<f4").tobytes()
        mine = kept(voices, name="Wilhelmina", reference_text="A zanzibar lullaby.", note="in the attic",
                    embedding=print_of_voice,
                    consent={**CONSENT, "whose": "permitted", "person": "Quux Senior"})  # fmt: skip
        other = kept(voices, seed=1)
        voice = voices.voice("ann", mine.id)
        assert voice.cache is not None
        (voice.cache / "pocket-1.safetensors").write_bytes(b"what an engine made of it")
        voices.set_default("ann", mine.id)
        recording = voices.clip("ann", mine.id)
        needles = [b"Wilhelmina", b"zanzibar", b"attic", b"Quux", b"what an engine made", recording[-5000:-4900],
                   mine.sha256.encode(), print_of_voice[:40]]  # fmt: skip
        assert {needle for _, needle in found(tmp_path, needles)} == {*needles}
        voices.delete("ann", mine.id)
        assert told == [mine.id] and voices.of("ann") == [other] and voices.default("ann") == ""
        with pytest.raises(ConsentError):
            voices.permit(voice)
        with pytest.raises(NotFound):
            voices.voice("ann", mine.id)
        assert found(tmp_path, needles) == []
        assert [f.name for f in folders(tmp_path)] == [other.id]
        with sqlite3.connect(tmp_path / "avatar.db") as db:
            graves = db.execute("SELECT * FROM voice_tombstones").fetchall()
        db.close()
        assert [(g[0], g[1]) for g in graves] == [(mine.id, CONSENT["version"])]

    def test_what_is_prepared_while_it_is_deleted_is_dropped(self, voices: Voices) -> None:
        mine = kept(voices)
        prepare = voices._prepare

        def meanwhile(profile: profiles.Profile) -> Voice:
            voice = prepare(profile)
            voices._profiles.delete("ann", profile.id)
            return voice

        voices._prepare = meanwhile
        with pytest.raises(NotFound):
            voices.voice("ann", mine.id)
        assert voices._prepared == {}

    def test_files_that_are_gone_already_are_no_hindrance(self, voices: Voices, tmp_path: Path) -> None:
        mine = kept(voices)
        (tmp_path / "voices" / mine.id).rename(tmp_path / "elsewhere")
        voices.delete("ann", mine.id)
        assert voices.of("ann") == []


def test_the_record_of_a_consent_is_json(voices: Voices) -> None:
    mine = kept(voices)
    assert json.loads(json.dumps(dict(voices.get("ann", mine.id).consent))) == dict(mine.consent)
