"""Voice profiles: row and recording together, the voices that come with the product, and the `Voice` engines get.

Knows nothing of how good a recording is or whose voice it is: who adds one brings measurements and consent. Every
method blocks. A profile is a row (profiles.py) and a folder `data`/voices/<id>: the recording, and what engines keep.
"""

import fcntl
import hashlib
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from avatar import flac
from avatar.audio import resample
from avatar.consent import Consent
from avatar.durable import keep_private, sync_folder, write_new
from avatar.engines.base import REFERENCE_RATE, Voice, refuse_without_consent
from avatar.errors import ConsentError, NotFound
from avatar.events import AudioChunk, Samples
from avatar.pitch import median_hz
from avatar.profiles import NO_SUCH_VOICE, Profile, clean_name
from avatar.speaker import to_bytes
from avatar.starters import StarterVoice
from avatar.store.profiles import Profiles

CLIP = "clip.flac"
STAGED, DELETED = ".staged-", ".deleted-"  # how the names of folders begin that belong to no profile
PREPARED = 16  # voices kept in memory with their reference: about 1 MB each


@dataclass(frozen=True, slots=True)
class Starter:
    """A voice that comes with the product: its profile, owned by nobody, and its recording, a FLAC file."""

    profile: Profile
    recording: bytes

    @classmethod
    def of(cls, voice: StarterVoice) -> "Starter":
        whole = flac.decode(voice.recording)
        profile = Profile(
            id=f"starter-{voice.id}",
            owner="",
            name=voice.name,
            language=voice.language,
            reference_text=voice.text,
            start_s=0.0,
            end_s=whole.duration_s,
            duration_s=whole.duration_s,
            size=len(voice.recording),
            sha256=voice.sha256,
            consent=voice.consent.to_json(),
            note=f"{voice.source}, {voice.licence}",
            pitch_hz=median_hz(whole.samples, whole.sample_rate),
            embedding=to_bytes(voice.embedding),
            quality=voice.quality.to_json(),
            origin="starter",
        )
        return cls(profile, voice.recording)


class Voices:
    """`starters` are read-only and everybody's. `on_delete` is told the id of a profile that is gone. Thread-safe."""

    def __init__(
        self,
        data: Path,
        profiles: Profiles,
        starters: Sequence[Starter] = (),
        on_delete: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._folder, self._profiles, self._on_delete = data / "voices", profiles, on_delete
        self._starters = {starter.profile.id: starter for starter in starters}
        self.on_change: Callable[[str], None] = lambda _: None  # told an owner whose default or choice has changed
        self._lock = threading.Lock()
        self._prepared: dict[str, Voice] = {}  # the least recently used first
        with suppress(OSError):  # where nothing can be written now, voices speak all the same
            self._folder.mkdir(mode=0o700, exist_ok=True)
            keep_private(self._folder)
            for profile_id in self._starters:  # engines keep what they make of them there
                (self._folder / profile_id / "cache").mkdir(parents=True, exist_ok=True)

    # -- reading ------------------------------------------------------------------------------------------------------
    def of(self, owner: str) -> list[Profile]:
        """The owner's, the newest first, then those that come with the product."""
        return [*self._profiles.of(owner), *(starter.profile for starter in self._starters.values())]

    def get(self, owner: str, profile_id: str) -> Profile:
        """Raises NotFound."""
        if (starter := self._starters.get(profile_id)) is not None:
            return starter.profile
        return self._profiles.get(owner, profile_id)

    def default(self, owner: str) -> str:
        """The id of the voice that replies are spoken in; "" for the engine's own."""
        return self._profiles.default(owner)

    def voice(self, owner: str, profile_id: str) -> Voice:
        """What an engine needs to speak in this voice. Raises NotFound, ConsentError, AudioError (a damaged file)."""
        profile = self.get(owner, profile_id)
        with self._lock:
            known = self._prepared.pop(profile_id, None)
            self._prepared[profile_id] = voice = known or self._prepare(profile)
            while len(self._prepared) > PREPARED:
                del self._prepared[next(iter(self._prepared))]
        if known is None:
            try:
                self.get(owner, profile_id)
            except NotFound:  # deleted since: `delete` may have looked before it was prepared
                self._forget(profile_id)
                raise
        return replace(voice, name=profile.name)

    def permit(self, voice: Voice) -> None:
        """Whether something may be said in `voice` now; the pipeline asks before each clause. Raises ConsentError."""
        refuse_without_consent(voice)
        if not voice.cloned:
            return
        starter = self._starters.get(voice.profile_id or "")
        on_record = starter.profile.sha256 if starter else self._profiles.consented(voice.profile_id or "")
        if not on_record or on_record != voice.consent:
            sentence = f"The voice {voice.name} was deleted, or its consent withdrawn, so nothing is said in it."
            raise ConsentError(f"{sentence} Choose another voice.")

    def clip(self, owner: str, profile_id: str) -> bytes:
        """The recording, a FLAC file. Raises NotFound."""
        return self._clip(self.get(owner, profile_id))

    # -- changing -----------------------------------------------------------------------------------------------------
    def add(self, profile: Profile, samples: Samples, sample_rate: int) -> Profile:
        """Keep a new voice; `profile` comes without id and file, its consent without the file's SHA-256. When this
        returns, it survives a crash; before, nothing is left of it. Raises ConsentError, AvatarError: VOICES_FULL,
        VOICE_NAME, StorageError."""
        clean_name(profile.name)
        recording = flac.encode(samples, sample_rate)
        sha256 = hashlib.sha256(recording).hexdigest()
        consent = _complete({**profile.consent, "sha256": sha256}, profile.owner)
        self._profiles.check_room(profile.owner, len(recording))  # before the disk is touched; again with the row
        profile = replace(
            profile,
            id=uuid.uuid4().hex,
            size=len(recording),
            sha256=sha256,
            consent=consent,
            duration_s=len(samples) / sample_rate,
        )
        with self._creating():
            folder = self._folder / profile.id
            staged = self._folder / f"{STAGED}{profile.id}"
            with self._profiles.typed_errors():
                try:
                    (staged / "cache").mkdir(parents=True)
                    write_new(staged / CLIP, recording)
                    sync_folder(staged)
                    staged.rename(folder)
                    sync_folder(self._folder)
                except BaseException:
                    shutil.rmtree(staged, ignore_errors=True)
                    raise
            try:
                return self._profiles.add(profile)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise

    def rename(self, owner: str, profile_id: str, name: str) -> None:
        """Raises NotFound (the voices that come with the product keep their names), AvatarError: VOICE_NAME."""
        self._profiles.rename(owner, profile_id, name)

    def set_default(self, owner: str, profile_id: str) -> None:
        """From the next reply on. "" is the engine's own voice. Raises NotFound."""
        if profile_id:
            self.get(owner, profile_id)
        self._profiles.set_default(owner, profile_id)
        self.on_change(owner)

    def delete(self, owner: str, profile_id: str) -> None:
        """The row first, so that nothing is said in it any more, then all its files, and what engines hold in memory.
        A crash in here leaves at most a folder without a row, which `sweep` removes. Raises NotFound, StorageError."""
        self._profiles.delete(owner, profile_id)
        self._forget(profile_id)
        self._on_delete(profile_id)
        self.on_change(owner)
        gone = self._folder / f"{DELETED}{profile_id}"
        with self._profiles.typed_errors():
            try:
                (self._folder / profile_id).rename(gone)  # at once: what engines still write into it has no place
            except FileNotFoundError:
                return  # somebody took the recording away; that was wanted
            _remove(gone)
            sync_folder(self._folder)

    def sweep(self) -> int:
        """Remove what belongs to no profile: voices that a crash left half kept, or half deleted. Returns how many
        folders; 0 without looking while another process adds a voice."""
        with self._profiles.typed_errors(), self._alone() as alone:
            if not alone:
                return 0
            known = self._profiles.ids() | self._starters.keys()
            orphans = [place for place in self._folder.iterdir() if place.is_dir() and place.name not in known]
            for orphan in orphans:
                _remove(orphan)
            return len(orphans)

    def _forget(self, profile_id: str) -> None:
        with self._lock:
            self._prepared.pop(profile_id, None)

    # -- inside -------------------------------------------------------------------------------------------------------
    def _clip(self, profile: Profile) -> bytes:
        if (starter := self._starters.get(profile.id)) is not None:
            return starter.recording
        with self._profiles.typed_errors():
            try:
                return (self._folder / profile.id / CLIP).read_bytes()
            except FileNotFoundError as exc:
                raise NotFound(NO_SUCH_VOICE) from exc

    def _prepare(self, profile: Profile) -> Voice:
        recording = self._clip(profile)
        if hashlib.sha256(recording).hexdigest() != profile.consent.get("sha256"):
            raise ConsentError(f"The recording of {profile.name} is not the one that the consent is for. Add it again.")
        whole = flac.decode(recording)
        start, end = (round(s * whole.sample_rate) for s in (profile.start_s, profile.end_s))
        reference = resample(whole.samples[start:end], whole.sample_rate, REFERENCE_RATE)
        cache = self._folder / profile.id / "cache"
        with suppress(OSError):  # a backup holds none, for it can be made again: but where, if not here?
            cache.mkdir(exist_ok=True)
        return Voice(
            name=profile.name,
            profile_id=profile.id,
            reference=AudioChunk(reference, REFERENCE_RATE),
            reference_text=profile.reference_text,
            language=profile.language,
            embedding=None if profile.embedding is None else np.frombuffer(profile.embedding, "<f4"),
            pitch_hz=profile.pitch_hz,
            consent=profile.sha256,
            cache=cache,
        )

    @contextmanager
    def _creating(self) -> Iterator[None]:
        """While this is held, by many at once, nobody sweeps. The system lets go of it when a process dies."""
        with self._profiles.typed_errors():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_SH)
        try:
            yield
        finally:
            os.close(handle)

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        handle = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
        finally:
            os.close(handle)


def _complete(record: Mapping[str, Any], owner: str) -> dict[str, str]:
    """Raises ConsentError unless it is a whole record, given by `owner`."""
    try:
        consent = Consent.from_json(record)
    except ValueError as exc:
        raise ConsentError("There is no consent for this voice, so it is not kept.") from exc
    if consent.owner != owner:
        raise ConsentError("Somebody else agreed to this voice, so it is not kept.")
    return consent.to_json()


def _remove(folder: Path) -> None:
    """All of it, even if an engine puts one more file into it meanwhile."""
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
    shutil.rmtree(folder)
