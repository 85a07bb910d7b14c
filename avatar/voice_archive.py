"""One voice in one file, `.avatarvoice`: a zip of manifest.json and clip.flac. Knows no database.

Reading takes nothing on trust: not the sizes, names and kinds that the zip declares, and not what the manifest says of
the voice beyond words for people. Who imports one measures the recording again, and gives a consent of their own.
"""

import hashlib
import io
import json
import stat
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

from avatar.errors import AvatarError
from avatar.profiles import MAX_NAME, MAX_NOTE, MAX_WORDS, Profile

MANIFEST, CLIP = "manifest.json", "clip.flac"
FORMAT, VERSION = "avatar-voice", 1
SUFFIX: Final = ".avatarvoice"
MAX_ARCHIVE = 12 << 20  # bytes; 30 s of FLAC at 48 kHz are 3 MB at most
LIMITS: Final = {MANIFEST: 64 << 10, CLIP: 10 << 20}  # bytes when unpacked
MAX_RATIO = 100  # of unpacked to packed; FLAC does not shrink, and text seldom by ten
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an archive says of its voice, and the recording, which nobody has decoded yet."""

    name: str
    note: str
    language: str
    text: str
    start_s: float
    end_s: float
    whose: str
    recording: bytes = field(repr=False)


def pack(profile: Profile, recording: bytes) -> bytes:
    """The archive. Stored, not deflated: FLAC is packed already."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "name": profile.name,
        "note": profile.note,
        "language": profile.language,
        "reference_text": profile.reference_text,
        "start_s": profile.start_s,
        "end_s": profile.end_s,
        "duration_s": profile.duration_s,
        "created_at": profile.created_at,
        "quality": dict(profile.quality),
        "consent": {key: value for key, value in profile.consent.items() if key != "owner"},
        "files": {CLIP: {"sha256": hashlib.sha256(recording).hexdigest(), "bytes": len(recording)}},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(MANIFEST, json.dumps(manifest, ensure_ascii=False, indent=1))
        archive.writestr(CLIP, recording)
    return buffer.getvalue()


def read(path: Path) -> Imported:
    """The archive in a file: see `unpack`. Blocks."""
    if path.stat().st_size > MAX_ARCHIVE:
        sentence = f"This voice file is larger than {MAX_ARCHIVE >> 20} MB. Export it again."
        raise AvatarError(sentence, code="VOICE_FILE")
    with path.open("rb") as file:
        return unpack(file)


def unpack(file: IO[bytes]) -> Imported:
    """Raises AvatarError: VOICE_FILE, with what is wrong with it."""
    try:
        with zipfile.ZipFile(file) as archive:
            _check(archive.infolist())
            manifest_bytes, recording = (_read(archive, name) for name in (MANIFEST, CLIP))
        return _imported(json.loads(manifest_bytes), recording)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as exc:
        raise _bad("it is not a whole zip file") from exc
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as exc:
        raise _bad("its manifest is damaged") from exc


def _check(entries: list[zipfile.ZipInfo]) -> None:
    """By what the directory declares; reading counts again."""
    if sorted(entry.filename for entry in entries) != sorted(LIMITS):
        raise _bad(f"it must hold {MANIFEST} and {CLIP}, and nothing else")
    for entry in entries:
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if entry.flag_bits & 1 or entry.compress_type not in _METHODS or kind not in (0, stat.S_IFREG):
            raise _bad("it holds something that is not a plain file")
        if entry.file_size > LIMITS[entry.filename]:
            raise _bad("what it holds is too large")
        if entry.file_size > MAX_RATIO * max(1, entry.compress_size):
            raise _bad("it unpacks to far more than it is")


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        data = file.read(LIMITS[name] + 1)  # headers lie, so count; at the end zipfile checks the CRC
    if len(data) > LIMITS[name]:
        raise _bad("what it holds is too large")
    return data


def _imported(manifest: Any, recording: bytes) -> Imported:
    if manifest["format"] != FORMAT or manifest["version"] != VERSION:
        raise _bad("another version of AVATAR made it")
    if manifest["files"][CLIP]["sha256"] != hashlib.sha256(recording).hexdigest():
        raise _bad("its recording is not the one that was exported")
    words = {"name": MAX_NAME, "note": MAX_NOTE, "language": 16, "reference_text": MAX_WORDS}
    for key, most in words.items():
        if not isinstance(manifest[key], str) or len(manifest[key]) > most:
            raise ValueError(key)
        manifest[key].encode()  # JSON can carry half a character, which is no text
    start_s, end_s = float(manifest["start_s"]), float(manifest["end_s"])
    if not 0 <= start_s < end_s <= 600:  # NaN fails too
        raise ValueError("start_s, end_s")
    name, note, language, text = (manifest[key] for key in words)
    whose = str(manifest["consent"].get("whose", ""))[:16]
    return Imported(name, note, language, text, start_s, end_s, whose, recording)


def _bad(why: str) -> AvatarError:
    sentence = f"This voice file cannot be used: {why}. Export it again, or add the voice from its recording."
    return AvatarError(sentence, code="VOICE_FILE")
