"""Is a sound file marked as AI speech? `python -m avatar.verify FILE`: exit status 0 when it is, 1 when it is not.

Reads the tags that provenance.py gives every saved reply, and tells whether the sound is still the one they are about.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from avatar.audio import PAYLOAD, payload_sha256
from avatar.audio_worker import FORMATS
from avatar.errors import AudioError
from avatar.provenance import VOICE, is_marked


@dataclass(frozen=True, slots=True)
class Found:
    """`tags` with names in lower case; `unchanged` is None when they name no payload."""

    tags: Mapping[str, str]
    marked: bool
    unchanged: bool | None


def examine(path: Path) -> Found:
    """Raises AudioError for what is no sound file."""
    import av

    try:
        options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
        with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
            stream = container.streams.audio[0]
            tags = {name.lower(): value for name, value in {**container.metadata, **stream.metadata}.items()}
            named = tags.get(PAYLOAD)
            packets = (packet for packet in container.demux(stream) if packet.size)
            unchanged = None if named is None else payload_sha256(packets) == named
    except (av.FFmpegError, IndexError, OSError) as exc:
        raise AudioError(f"{path} is not there, or has no sound that can be read.") from exc
    return Found(tags, is_marked(tags), unchanged)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m avatar.verify", description="Is a sound file marked as AI speech?")
    parser.add_argument("file", type=Path)
    path = parser.parse_args(argv).file
    try:
        found = examine(path)
    except AudioError as error:
        print(error.sentence, file=sys.stderr)
        return 1
    if not found.marked:
        print(f"{path}: not marked. That does not say that a person spoke: marks can be removed.")
        return 1
    by = found.tags.get("encoded_by", "an unknown engine")
    voice = f", in the voice {found.tags[VOICE]}" if VOICE in found.tags else ""
    state = {True: "unchanged", False: "changed since", None: "not named by the mark"}[found.unchanged]
    print(
        f"{path}: marked as AI speech, by {by}{voice}, {found.tags.get('date', 'at an unknown time')}; sound {state}."
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
