"""The file of one voice: what goes in comes out, and what a stranger made of it is refused with a sentence."""

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from voice_profiles import NEW, RATE, sound

from avatar import flac, voice_archive
from avatar.errors import AvatarError
from avatar.profiles import MAX_NAME, MAX_NOTE, MAX_WORDS
from avatar.voice_archive import CLIP, MANIFEST, pack, unpack

RECORDING = flac.encode(sound(1.0), RATE)
GOOD = pack(replace(NEW, name="Mei, 冬天", duration_s=4.0), RECORDING)


def opened(data: bytes) -> voice_archive.Imported:
    return unpack(io.BytesIO(data))


def rezipped(change: Callable[[dict[str, Any]], Any] = lambda _: None, **more: Any) -> bytes:
    """GOOD with another manifest, and other entries: name=bytes."""
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        manifest = json.loads(archive.read(MANIFEST))
    changed = change(manifest)
    entries = {MANIFEST: json.dumps(manifest if changed is None else changed).encode(), CLIP: RECORDING, **more}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_a_voice_comes_out_as_it_went_in() -> None:
    voice = opened(GOOD)
    assert (voice.name, voice.note, voice.language, voice.text) == ("Mei, 冬天", NEW.note, "en", NEW.reference_text)
    assert (voice.start_s, voice.end_s, voice.whose, voice.recording) == (0.5, 3.5, "mine", RECORDING)
    assert opened(rezipped()).recording == RECORDING  # deflated by another program


def test_the_owner_does_not_travel() -> None:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        assert "owner" not in json.loads(archive.read(MANIFEST))["consent"] and b"ann" not in archive.read(MANIFEST)


def bomb() -> bytes:
    return rezipped(**{CLIP: bytes(9 << 20)})


def encrypted() -> bytes:
    data = bytearray(GOOD)
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        link = zipfile.ZipInfo(CLIP)
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr(MANIFEST, "{}")
    return buffer.getvalue()


def lying() -> bytes:
    """A directory that declares one byte of a recording that unpacks to a megabyte."""
    data = bytearray(rezipped(**{CLIP: bytes(1 << 20)}))
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 1)
    return bytes(data)


def twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for name in (MANIFEST, CLIP, CLIP):
            archive.writestr(name, "{}")
    return buffer.getvalue()


def garbled() -> bytes:
    """A recording, deflated by another program, that cannot be unpacked any more."""
    data = bytearray(rezipped())
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        begin = archive.getinfo(CLIP).header_offset + 30 + len(CLIP)
    data[begin : begin + 20] = b"\xff" * 20
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a whole zip"),
        (b"PK\x03\x04" + bytes(99), "not a whole zip"),
        (GOOD[:-30], "not a whole zip"),
        (rezipped(**{"../../evil": b"x"}), "nothing else"),
        (rezipped(**{"/etc/cron.d/x": b"x"}), "nothing else"),
        (rezipped(**{"clip.flac/": b""}), "nothing else"),
        (twice, "nothing else"),
        (linked, "not a plain file"),
        (encrypted, "not a plain file"),
        (bomb, "far more than it is"),
        (lying, "zip"),
        (garbled, "not a whole zip"),
        (rezipped(**{MANIFEST: b" " * (65 << 10)}), "too large"),
        (rezipped(**{MANIFEST: b"\xff\xfe"}), "zip|manifest"),
        (rezipped(**{MANIFEST: b"[" * 60_000}), "manifest|far more"),
        (rezipped(**{CLIP: b"another"}), "not the one that was exported"),
        (rezipped(lambda m: m.update(version=2)), "another version"),
        (rezipped(lambda m: m.update(name=["x"])), "manifest"),
        (rezipped(lambda m: m.update(name="x" * 99)), "manifest"),
        (rezipped(lambda m: m.update(end_s=float("nan"))), "manifest"),
        (rezipped(lambda m: m.update(start_s=-1)), "manifest"),
        (rezipped(lambda m: m.update(consent=[])), "manifest"),
        *((rezipped(lambda m, key=key: m.update({key: "half \ud83d"})), "manifest") for key in ("name", "language")),
        (rezipped(lambda m: m.update(files=3)), "manifest"),
        (rezipped(lambda m: m.pop("language")), "manifest"),
        (rezipped(lambda m: [m]), "manifest"),
    ],
)
def test_a_hostile_file_is_refused_with_a_sentence(data: Any, why: str) -> None:
    with pytest.raises(AvatarError, match=why) as refusal:
        opened(data() if callable(data) else data)
    assert refusal.value.code == "VOICE_FILE" and refusal.value.sentence.endswith(".")


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8))
@settings(max_examples=300, deadline=None)
def test_no_damage_makes_anything_but_the_voice_or_a_sentence(changes: list[tuple[int, int]]) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    try:
        assert opened(bytes(data)).recording == RECORDING
    except AvatarError as error:
        assert error.code == "VOICE_FILE"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
FIELDS = ["format", "version", "name", "note", "language", "reference_text", "start_s", "end_s", "consent", "files"]
ENTRIES = st.sampled_from(["../x", "/etc/x", "CLIP.FLAC", "clip.flac/", "manifest.json\0", "a\\b"]) | st.text(
    max_size=9
)


@given(st.dictionaries(st.sampled_from(FIELDS), JSON), st.dictionaries(ENTRIES, st.binary(max_size=40), max_size=1))
@settings(max_examples=120, deadline=None)
def test_no_manifest_and_no_entry_makes_anything_but_a_voice_or_a_sentence(
    changed: dict[str, Any], more: dict[str, bytes]
) -> None:
    with warnings.catch_warnings(action="ignore"):  # two entries of one name
        try:
            data = rezipped(lambda manifest: manifest.update(changed), **more)
        except (IndexError, ValueError):  # no zip can have that
            return
    try:
        voice = opened(data)
    except AvatarError as error:
        assert error.code == "VOICE_FILE" and error.sentence.endswith(".")
        return
    assert not more and voice.recording == RECORDING and 0 <= voice.start_s < voice.end_s <= 600
    assert len(voice.name) <= MAX_NAME and len(voice.note) <= MAX_NOTE and len(voice.text) <= MAX_WORDS
    assert len(voice.language) <= 16 and len(voice.whose) <= 16
