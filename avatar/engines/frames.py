"""What goes between a front and the engines of a cluster: frames, each a JSON object and bytes behind it.

Not pickle: a frame is data, whoever sent it. Knows no engine, no HTTP and no Ray.
"""

import hashlib
import json
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from avatar.engines.base import Abilities, Message, Voice
from avatar.events import AudioChunk, Samples, Transcript

_SIZES = struct.Struct("<II")  # of the JSON and of the bytes
MOST_JSON, MOST_BYTES = 4 << 20, 64 << 20
PLAIN = ("name", "profile_id", "reference_text", "language", "pitch_hz", "consent", "rate")  # of a Voice

Head = dict[str, Any]
Item = Transcript | AudioChunk | str | bool


def pack(head: Mapping[str, Any], blob: bytes = b"") -> bytes:
    words = json.dumps(head).encode()
    return _SIZES.pack(len(words), len(blob)) + words + blob


def unpack(read: Callable[[int], bytes]) -> tuple[Head, bytes]:
    """The next frame; `read` gives exactly so many bytes, fewer only at the end. Raises ValueError for what is none."""
    sizes = read(_SIZES.size)
    if len(sizes) != _SIZES.size:
        raise ValueError("the frames end in the middle")
    words, size = _SIZES.unpack(sizes)
    if words > MOST_JSON or size > MOST_BYTES:
        raise ValueError("a frame is too large")
    data = read(words)
    blob = read(size) if size else b""
    if len(data) != words or len(blob) != size or not isinstance(head := json.loads(data), dict):
        raise ValueError("a frame is cut off")
    return head, blob


def item(value: Item) -> bytes:
    """One thing that an engine yields."""
    match value:
        case Transcript(text, final, language):
            return pack({"is": "transcript", "text": text, "final": final, "language": language})
        case AudioChunk(samples, rate):
            return pack({"is": "audio", "rate": rate}, sound(samples))
        case bool():
            return pack({"is": "verdict", "value": value})
        case str():
            return pack({"is": "delta", "text": value})


def value_of(head: Head, blob: bytes) -> Item:
    """The thing of `item` again. Raises ValueError, KeyError."""
    match head["is"]:
        case "transcript":
            return Transcript(str(head["text"]), bool(head["final"]), head["language"])
        case "audio":
            return AudioChunk(samples_of(blob), int(head["rate"]))
        case "verdict":
            return bool(head["value"])
        case "delta":
            return str(head["text"])
    raise ValueError("an item of an unknown kind")


def sound(samples: Samples) -> bytes:
    return np.ascontiguousarray(samples, "<f4").tobytes()


def samples_of(blob: bytes) -> Samples:
    """float32 (n,). Raises ValueError."""
    return np.frombuffer(blob, "<f4").astype(np.float32)


def messages_of(listed: Any) -> list[Message]:
    return [Message(one["role"], str(one["content"])) for one in listed]


def abilities_of(head: Head) -> Abilities:
    """Of JSON, which knows no tuples."""
    plain: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in head.items() if k != "is"}
    return Abilities(**plain)


def voice_head(voice: Voice) -> Head:
    """A voice without what is large. `sha256` names that part, "" where there is none."""
    large = voice_blob(voice)
    head: Head = {name: getattr(voice, name) for name in PLAIN}
    return head | {"sha256": hashlib.sha256(large).hexdigest() if large else ""}


def voice_blob(voice: Voice) -> bytes:
    """The large part: the reference audio and the embedding. Its cache stays where it is: a folder of this machine."""
    if voice.reference is None and voice.embedding is None:
        return b""
    audio = b"" if voice.reference is None else sound(voice.reference.samples)
    rate = None if voice.reference is None else voice.reference.sample_rate
    return pack({"rate": rate}, audio) + (b"" if voice.embedding is None else sound(voice.embedding))


def voice_of(head: Head, blob: bytes) -> Voice:
    """Raises ValueError, KeyError."""
    plain = Voice(**{name: head[name] for name in PLAIN})
    if not blob:
        return plain
    at = 0

    def read(size: int) -> bytes:
        nonlocal at
        at += size
        return blob[at - size : at]

    inner, audio = unpack(read)
    reference = None if inner["rate"] is None else AudioChunk(samples_of(audio), int(inner["rate"]))
    return replace(plain, reference=reference, embedding=samples_of(blob[at:]) if blob[at:] else None)
