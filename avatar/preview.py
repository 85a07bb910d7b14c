"""Hear a voice say something: made once, in memory, played while it is made, for one owner. Knows no page."""

import asyncio
import secrets
import struct
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import UTC, datetime

import numpy as np

from avatar.audio import pcm16, resample
from avatar.engines.base import OWN_VOICE
from avatar.errors import AvatarError, NotFound
from avatar.events import AudioChunk, Samples, Serving
from avatar.pipeline import Pipeline
from avatar.provenance import VOICE, tags
from avatar.studio import Studio
from avatar.text import visible
from avatar.wire import REPLY_RATE

MAX_TEXT = 200  # characters: half a minute of speech
MAX_KEPT = 16  # of all owners, one of each: 30 s are 1.4 MB
_INFO = {"comment": b"ICMT", "artist": b"IART", "encoded_by": b"ITCH", "date": b"ICRD"}  # a tag -> its name in RIFF


def header(marks: Mapping[str, str]) -> bytes:
    """Of a WAV file whose length nobody knows yet, with the mark of AI speech: players take what comes."""
    said = {**marks, "comment": "; ".join([marks["comment"], *(f"{VOICE}={marks[VOICE]}" for _ in {VOICE} & {*marks})])}
    info = b"INFO"
    for name, chunk in _INFO.items():
        value = said[name].encode() + b"\0"
        info += chunk + struct.pack("<I", len(value)) + value + b"\0" * (len(value) % 2)
    return (
        b"RIFF" + struct.pack("<I", 0xFFFFFFFF) + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, REPLY_RATE, 2 * REPLY_RATE, 2, 16)
        + b"LIST" + struct.pack("<I", len(info)) + info
        + b"data" + struct.pack("<I", 0xFFFFFFFF - 44 - len(info))
    )  # fmt: skip


class Preview:
    """What is being said. For one event loop."""

    def __init__(self, owner: str, profile_id: str) -> None:
        self.id, self.owner, self.profile_id = secrets.token_urlsafe(16), owner, profile_id
        self._at = datetime.now(UTC)
        self.engine = ""  # who speaks
        self.likeness: float | None = None  # to its profile, once it is said
        self.error: AvatarError | None = None
        self._parts: list[bytes] = []
        self._over = False
        self._changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def push(self, data: bytes) -> None:
        self._parts.append(data)
        self._wake()

    def end(self) -> None:
        self._over = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def samples(self) -> Samples:
        return np.frombuffer(b"".join(self._parts), "<i2").astype(np.float32) / np.float32(32768.0)

    async def begun(self) -> None:
        """Wait for the first sound, or for the end of it."""
        while not self._parts and not self._over:
            await self._changed.wait()

    async def wav(self) -> AsyncGenerator[bytes, None]:
        """A WAV file that grows as it is made; from its beginning for everybody who asks, and marked as AI speech."""
        await self.begun()  # by then it is known who speaks
        yield header(tags(self.engine or "AVATAR", self._at, self.profile_id or None))
        sent = 0
        while True:
            changed = self._changed
            while sent < len(self._parts):
                yield self._parts[sent]
                sent += 1
            if self._over:
                return
            await changed.wait()


class Previews:
    """One for each owner: a new one ends the one before."""

    def __init__(self, studio: Studio, pipeline: Pipeline) -> None:
        self._studio, self._pipeline = studio, pipeline
        self._kept = OrderedDict[str, Preview]()  # by owner, the oldest first

    async def begin(self, owner: str, profile_id: str, text: str) -> Preview:
        """Have `text` said in the voice of a profile, "" for the engine's own. Raises AvatarError: SAY_SOMETHING,
        NotFound, ConsentError."""
        words = visible(text)[:MAX_TEXT]
        if not any(map(str.isalnum, words)):
            raise AvatarError("There is nothing to say. Write a sentence.", code="SAY_SOMETHING")
        voice = await asyncio.to_thread(self._studio.voices.voice, owner, profile_id) if profile_id else OWN_VOICE
        self.forget(owner)
        preview = self._kept[owner] = Preview(owner, profile_id)
        while len(self._kept) > MAX_KEPT:
            self.forget(next(iter(self._kept)))

        async def say() -> None:
            try:
                async with aclosing(self._pipeline.say(words, voice)) as said:
                    async for part in said:
                        if isinstance(part, Serving):
                            preview.engine = part.engine
                        elif isinstance(part, AudioChunk):
                            preview.push(pcm16(resample(part.samples, part.sample_rate, REPLY_RATE)))
                if profile_id:
                    profile = await asyncio.to_thread(self._studio.voices.get, owner, profile_id)
                    sound = preview.samples()
                    preview.likeness = await asyncio.to_thread(self._studio.sounds_like, sound, REPLY_RATE, profile)
            except AvatarError as error:
                preview.error = error
            finally:
                preview.end()

        preview.task = asyncio.create_task(say())
        return preview

    def get(self, owner: str, preview_id: str) -> Preview:
        """Raises NotFound."""
        preview = self._kept.get(owner)
        if preview is None or preview.id != preview_id:
            raise NotFound("This preview is over. Press Preview again.")
        return preview

    def forget(self, owner: str) -> None:
        """From any thread."""
        if (old := self._kept.pop(owner, None)) is not None and old.task is not None and not old.task.done():
            old.task.get_loop().call_soon_threadsafe(old.task.cancel)
