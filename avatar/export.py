"""What is kept as archives to take away: recordings, one merged track for each conversation, transcripts, voices, with
checksums and the AI marking.

An archive is written to a file below the data folder, one recording at a time, and removed once it was sent; `sweep`
removes what was left. Names of files come from here, never from a client. Every method blocks.
"""

import hashlib
import json
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any

from avatar import voice_archive
from avatar.audio import OPUS_BIT_RATE
from avatar.errors import NotFound, StorageError
from avatar.profiles import PROFILE, Profile
from avatar.provenance import MARK, tags
from avatar.store import ConversationRow, Side, Store, TurnRow
from avatar.voices import Voices

RATE = 24_000  # Hz, of the merged track
GAP_S = 0.4  # between two recordings of the merged track
SIDES: tuple[Side, ...] = ("user", "reply", "hq")
FORMAT = 1


class Exports:
    """Of all owners. May be used from many threads at once."""

    def __init__(self, data: Path, store: Store, voices: Voices | None = None) -> None:
        self._folder, self._store, self._voices = data / "exports", store, voices

    def conversation(self, owner: str, conversation_id: str) -> Path:
        """Both sides, merged.opus, transcript.md and .json, SHA256SUMS. Raises NotFound, StorageError."""
        row = self._store.conversation(owner, conversation_id)
        return self._archive(lambda archive: self._add(archive, owner, row, ""))

    def everything(self, owner: str) -> Path:
        """All conversations of an owner, their voice profiles, and how words are said. Raises NotFound when there is
        nothing."""
        rows = self._store.conversations(owner, limit=1_000_000)
        sayings = self._store.sayings.of(owner)
        voices = [] if self._voices is None else [one for one in self._voices.of(owner) if not one.starter]
        if not rows and not sayings and not voices:
            raise NotFound("Nothing is kept, so there is nothing to export.", code="NOTHING_KEPT")

        def add(archive: "_Archive") -> None:
            for row in rows:
                with suppress(NotFound):  # deleted since
                    self._add(archive, owner, row, f"{row.created_at[:10]}-{row.id}/")
            self._add_voices(archive, owner, voices)
            archive.text("sayings.json", json.dumps(sayings, ensure_ascii=False, indent=1))

        return self._archive(add)

    def sweep(self, min_age_s: float = 3600) -> None:
        """Remove what was never fetched to its end."""
        for path in self._folder.glob("*"):
            if path.stat().st_mtime < time.time() - min_age_s:
                path.unlink(missing_ok=True)

    def _archive(self, fill: Callable[["_Archive"], None]) -> Path:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".zip", delete=False) as file:
                path = Path(file.name)
            try:
                with zipfile.ZipFile(path, "w") as packed:
                    archive = _Archive(packed)
                    fill(archive)
                    archive.finish()
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        except OSError as exc:
            raise StorageError(f"The archive could not be written: {exc}. Free space, then try again.") from exc
        return path

    def _add_voices(self, archive: "_Archive", owner: str, profiles: Sequence[Profile]) -> None:
        """Each as the Voices tab exports it, to be imported again; voices.json says what turns mean by their ids."""
        if self._voices is None:
            return
        default, listed = self._voices.default(owner), []
        for profile in profiles:
            try:
                packed = voice_archive.pack(profile, self._voices.clip(owner, profile.id))
            except NotFound:  # deleted since
                continue
            name = f"voices/{profile.id}{voice_archive.SUFFIX}"
            archive.data(name, packed)
            kept_as, own = PROFILE + profile.id, profile.id == default
            listed.append(
                {"name": profile.name, "file": name, "voice": kept_as, "default": own, "origin": profile.origin}
            )
        archive.text("voices/voices.json", json.dumps(listed, ensure_ascii=False, indent=1))

    def _add(self, archive: "_Archive", owner: str, row: ConversationRow, prefix: str) -> None:
        turns = self._store.turns(owner, row.id)
        recordings = {}
        for turn in turns:
            for side in SIDES:
                try:
                    path = self._store.audio_path(owner, turn.id, side)
                    name = f"audio/{turn.number:04d}-{side}.opus"
                    archive.file(prefix + name, path)
                except (NotFound, FileNotFoundError):  # typed, or nothing of it was heard
                    continue
                recordings[turn.number, side] = name, path
        if recordings:
            with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".opus") as file:
                merge([path for (_, side), (_, path) in recordings.items() if side != "hq"], Path(file.name))
                archive.file(f"{prefix}merged.opus", Path(file.name))
        names = {key: name for key, (name, _) in recordings.items()}
        persona, quality = self._store.persona(owner, row.id), self._store.quality(owner, row.id)
        about = {"persona": persona, "voice": row.voice_profile or "", "quality": quality}
        transcript = _as_json(row, turns, names, about)
        archive.text(f"{prefix}transcript.json", json.dumps(transcript, ensure_ascii=False, indent=1))
        archive.text(f"{prefix}transcript.md", _as_markdown(row, turns, names))


class _Archive:
    """A zip that knows the checksums of what it holds. Recordings are stored as they are: Opus does not shrink."""

    def __init__(self, packed: zipfile.ZipFile) -> None:
        self._packed, self._sums = packed, list[str]()

    def file(self, name: str, path: Path) -> None:
        digest = hashlib.sha256()
        with path.open("rb") as source, self._packed.open(name, "w", force_zip64=True) as target:
            while chunk := source.read(1 << 16):
                digest.update(chunk)
                target.write(chunk)
        self._sums.append(f"{digest.hexdigest()}  {name}")

    def data(self, name: str, data: bytes, method: int = zipfile.ZIP_STORED) -> None:
        self._packed.writestr(name, data, method)
        self._sums.append(f"{hashlib.sha256(data).hexdigest()}  {name}")

    def text(self, name: str, text: str) -> None:
        self.data(name, text.encode(), zipfile.ZIP_DEFLATED)

    def finish(self) -> None:
        self._packed.writestr("SHA256SUMS", "\n".join([*self._sums, ""]), zipfile.ZIP_DEFLATED)


def merge(recordings: Iterable[Path], target: Path) -> None:
    """One track of all recordings in order, written frame by frame, marked as holding AI speech; what is damaged in one
    is left out."""
    import av
    import numpy as np

    with av.open(str(target), "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=RATE, layout="mono")
        stream.bit_rate = OPUS_BIT_RATE
        container.metadata.update(tags("", datetime.now(UTC)))

        def put(frame: Any) -> None:
            frame.pts = None
            for packet in stream.encode(frame):
                container.mux(packet)

        for path in recordings:
            resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
            with (
                suppress(av.FFmpegError, FileNotFoundError),  # deleted since, or damaged: the others are there
                av.open(f"file:{path}", format="ogg", options={"protocol_whitelist": "file"}) as source,
            ):
                for decoded in chain(source.decode(audio=0), (None,)):
                    for frame in resampler.resample(decoded):
                        put(frame)
            silence = av.AudioFrame.from_ndarray(np.zeros((1, round(GAP_S * RATE)), "<i2"), "s16", "mono")
            silence.rate = RATE
            put(silence)
        for packet in stream.encode(None):
            container.mux(packet)


def _as_json(
    row: ConversationRow, turns: list[TurnRow], names: Mapping[tuple[int, Side], str], about: Mapping[str, str]
) -> dict[str, Any]:
    private = ("conversation", "client_turn_id", "user_audio", "reply_audio")
    return {
        "format": FORMAT,
        "title": row.title,
        "created_at": row.created_at,
        **about,
        "replies": MARK,
        "turns": [
            {key: value for key, value in asdict(turn).items() if key not in private}
            | {f"{side}_file": names.get((turn.number, side)) for side in SIDES}
            for turn in turns
        ],
    }


def _as_markdown(row: ConversationRow, turns: list[TurnRow], names: Mapping[tuple[int, Side], str]) -> str:
    lines = [f"# {_line(row.title) or 'Conversation'}", "", f"{row.created_at} · replies and their sound: {MARK}", ""]
    for turn in turns:
        took = ", ".join(f"{part} {round(ms)} ms" for part, ms in turn.timings_ms.items())
        engines = ", ".join(f"{stage} {_line(engine)}" for stage, engine in turn.engines.items())
        facts = " · ".join(fact for fact in (turn.created_at, turn.state, took, engines) if fact)
        lines += [f"## {turn.number}", "", f"**You:** {_line(turn.user_text)}", ""]
        lines += [f"**AVATAR ({MARK}):** {_line(turn.reply_text)}", "", f"_{facts}_", ""]
        lines += [f"[{side}]({names[turn.number, side]})" for side in SIDES if (turn.number, side) in names] + [""]
    return "\n".join(lines)


def _line(text: str) -> str:
    """On one line, and without Markdown of its own."""
    return "".join(f"\\{c}" if c in "\\`*_[]<>#|" else c for c in " ".join(text.split()))
