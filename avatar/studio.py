"""Where a voice is made: a recording is judged, cut and transcribed, its consent taken, and only then kept.

Between the steps it is a draft, in memory, of one owner, and not for long. Knows no page. Methods that are coroutines
decode or transcribe; the others block. All raise AvatarError.
"""

import asyncio
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from avatar import clip, consent, own_voice, speaker, voice_archive
from avatar.audio import Decoder, read_opus
from avatar.clip import Quality
from avatar.consent import Consent, Proof, Whose
from avatar.drafts import Draft, Drafts
from avatar.engines.base import Voice
from avatar.errors import AudioError, AvatarError, ConsentError, NotFound, WeightsError
from avatar.events import Samples, Serving
from avatar.pipeline import Pipeline
from avatar.pitch import median_hz
from avatar.profiles import Origin, Profile
from avatar.readaloud import Challenge, ReadAloud
from avatar.speaker import Embedding, SpeakerEncoder
from avatar.store import Store
from avatar.turntaking.voice import Silero
from avatar.voiced import Heard, listen
from avatar.voices import Voices

RATE = 48_000  # Hz, of what is kept; engines get what they ask for
MIN_S, MAX_S = 1.0, 30.0  # of a recording; how much speech it needs, clip.LIMITS say
SHORTEST_S = 1.0  # of the part that engines imitate
OWN_NAME = "My voice"


class Studio:
    """Of all owners. Thread-safe, because its drafts and voices are."""

    def __init__(
        self,
        voices: Voices,
        store: Store,
        pipeline: Pipeline,
        decoder: Decoder,
        silero: Silero | None,
        encoder: SpeakerEncoder | None,
        clock: Callable[[], float] = time.monotonic,
        prepare: Callable[[Voice], None] = lambda voice: None,
    ) -> None:
        """`decoder` must give RATE. Without `silero` no recording can be judged, without `encoder` whose it is.
        `prepare` is told of voices that will be spoken in soon, and returns at once."""
        self.voices, self._store, self._pipeline, self._decoder = voices, store, pipeline, decoder
        self._silero, self._encoder = silero, encoder
        self._sentences, self._drafts, self._prepare = ReadAloud(clock), Drafts(clock), prepare

    # -- a recording --------------------------------------------------------------------------------------------------
    async def open(self, owner: str, path: Path, origin: Origin = "upload") -> Draft:
        """Judge a recording, choose its best part, write down its words."""
        samples = await self._decoder.decode(path)
        heard, quality = await asyncio.to_thread(self._measured, samples)
        start_s, end_s = clip.best_window(heard)
        return await self._draft(owner, origin, heard, quality, start_s, end_s)

    async def open_archive(self, owner: str, path: Path) -> Draft:
        """A voice that was exported, to be judged again; its words and its part are kept, where that is long enough."""
        archive = await asyncio.to_thread(voice_archive.read, path)
        with tempfile.TemporaryDirectory(prefix="avatar-import-") as folder:
            recording = Path(folder) / voice_archive.CLIP
            await asyncio.to_thread(recording.write_bytes, archive.recording)
            samples = await self._decoder.decode(recording)
        heard, quality = await asyncio.to_thread(self._measured, samples)
        start_s, end_s = archive.start_s, min(archive.end_s, heard.duration_s)
        if end_s - start_s < SHORTEST_S:
            start_s, end_s = clip.best_window(heard)
        words = archive.text, archive.language.partition("-")[0].lower() or "en"
        draft = await self._draft(owner, "import", heard, quality, start_s, end_s, words)
        return self._drafts.keep(replace(draft, name=archive.name, note=archive.note, whose=archive.whose))

    async def cut(self, owner: str, draft_id: str, start_s: float, end_s: float) -> Draft:
        """Another part of the recording, with its words. It may be another person's: what was proved does not count."""
        draft = self.draft(owner, draft_id)
        if not (start_s >= 0 and end_s <= draft.duration_s + 0.05 and end_s - start_s >= SHORTEST_S):  # NaN fails too
            raise AudioError(f"Choose at least {SHORTEST_S:g} s of the recording.", code="CUT_TOO_SHORT")
        part = draft.heard.cut(start_s, end_s := min(end_s, draft.duration_s))
        words, language = await self._words(part.low, None)
        embedding = await asyncio.to_thread(self._embedded, part)
        place = replace(self.draft(owner, draft_id), start_s=start_s, end_s=end_s, proved=None)  # unless it is gone
        return self._drafts.keep(replace(place, words=words, language=language, embedding=embedding))

    def draft(self, owner: str, draft_id: str) -> Draft:
        """Raises NotFound: DRAFT_GONE."""
        return self._drafts.get(owner, draft_id)

    def drop(self, owner: str, draft_id: str) -> None:
        """Forget a draft; one that is gone, or not yours, is no error."""
        self._drafts.drop(owner, draft_id)

    # -- whose voice --------------------------------------------------------------------------------------------------
    def sentence(self, owner: str, language: str) -> Challenge:
        """A new one to read aloud; the one before is void."""
        return self._sentences.issue(owner, "zh" if language.startswith("zh") else "en")

    async def prove(self, owner: str, draft_id: str, challenge_id: str, path: Path) -> Draft:
        """Whether `path` is the sentence, read in the voice of the draft. One try for each sentence."""
        draft = self.draft(owner, draft_id)
        challenge = self._sentences.take(owner, challenge_id)
        if draft.embedding is None or self._encoder is None:
            raise WeightsError("Voices cannot be compared here: the speaker model is missing.", code="NO_SPEAKER_MODEL")
        heard = await asyncio.to_thread(self._heard, await self._decoder.decode(path))
        words, _ = await self._words(heard.low, challenge.language)
        try:
            embedding = await asyncio.to_thread(self._encoder.embed, heard.voice())
        except ValueError as exc:
            raise AudioError("I heard no words. Is the right microphone chosen?", code="NOTHING_HEARD") from exc
        verdict = consent.check(challenge.sentence, words, speaker.similarity(draft.embedding, embedding))
        if (now := self.draft(owner, draft_id)).embedding is not draft.embedding:  # another part was chosen meanwhile
            raise AvatarError("The part was changed. Take a new sentence and read it aloud.", code="READ_AGAIN")
        return self._drafts.keep(replace(now, proved=verdict))

    def save(
        self,
        owner: str,
        draft_id: str,
        *,
        name: str,
        words: str,
        language: str,
        whose: str,
        person: str,
        note: str = "",
    ) -> Profile:
        """Keep the draft as a voice; the caller vouches that its user agreed to consent.TEXTS. Raises ConsentError:
        CONSENT_NAME (whose voice it is must be said), AvatarError: CLIP_UNUSABLE, WORDS_MISSING, VOICES_FULL."""
        draft = self.draft(owner, draft_id)
        if not draft.quality.usable:
            sentence = "This recording cannot be imitated: see what to do better, then record it again."
            raise AudioError(sentence, code="CLIP_UNUSABLE")
        if not any(map(str.isalnum, words)):
            raise AvatarError("The words of the recording are missing. Write them down.", code="WORDS_MISSING")
        given = replace(draft, name=name, note=note, words=words, language=language.partition("-")[0].lower() or "en")
        read = whose == "mine" and draft.proved is not None and draft.proved.passed
        profile = self._kept(
            given, "mine" if whose == "mine" else "permitted", "read-aloud" if read else "declared", person
        )
        self.drop(owner, draft_id)
        return profile

    def alike(self, owner: str, draft: Draft) -> Profile | None:
        """A voice of this owner that sounds like the draft already."""
        if draft.embedding is None:
            return None
        known = [(self.likeness(draft.embedding, profile), profile) for profile in self.voices.of(owner)]
        best = max(known, key=lambda pair: pair[0], default=(0.0, None))
        return best[1] if best[0] >= speaker.NEAR_DUPLICATE else None

    def likeness(self, embedding: Embedding, profile: Profile) -> float:
        if profile.embedding is None:
            return 0.0
        return speaker.similarity(embedding, speaker.from_bytes(profile.embedding))

    def sounds_like(self, samples: Samples, sample_rate: int, profile: Profile) -> float | None:
        """How like its profile something sounds that was said in its voice; None where that cannot be told."""
        if self._encoder is None or self._silero is None or profile.embedding is None:
            return None
        try:
            return self.likeness(self._encoder.embed(listen(samples, sample_rate, self._silero).voice()), profile)
        except ValueError:
            return None

    # -- your own voice -----------------------------------------------------------------------------------------------
    def own_voices(self, owner: str) -> list[Profile]:
        """Those that were learnt from conversations: one at most, but for two that are learnt at once."""
        return [profile for profile in self.voices.of(owner) if profile.origin == "conversation"]

    def learn_own(self, owner: str, conversation_id: str) -> Profile:
        """Learn the owner's voice from a conversation, which they asked for and agreed to, in place of what was learnt
        before, and make it their default. Raises NotFound, TooLittleSpeech."""
        before = self.own_voices(owner)
        learnt = self.clone_self(owner, said_in(self._store, owner, conversation_id))
        self.voices.set_default(owner, learnt.id)
        for profile in before:
            self.voices.delete(owner, profile.id)
        return learnt

    def forget_own(self, owner: str) -> None:
        """All that was learnt of the owner's voice."""
        for profile in self.own_voices(owner):
            self.voices.delete(owner, profile.id)

    def erase(self, owner: str) -> None:
        """All voices of an owner, and what was to become one. Raises StorageError."""
        self._drafts.forget(owner)
        self.voices.set_default(owner, "")
        for profile in self.voices.of(owner):
            if not profile.starter:
                self.voices.delete(owner, profile.id)

    def clone_self(self, owner: str, said: list[own_voice.Said]) -> Profile:
        """Keep a private voice from the best of what the owner said. Raises TooLittleSpeech."""
        if self._silero is None or self._encoder is None:
            raise WeightsError(
                "Your voice cannot be learned here: the speaker model is missing.", code="NO_SPEAKER_MODEL"
            )
        sample = own_voice.choose(said, self._silero, self._encoder)
        heard = listen(sample.samples, sample.rate, self._silero)
        draft = Draft(
            "", owner, "conversation", heard, sample.quality, 0.0, heard.duration_s, sample.text, sample.language,
            sample.embedding, name=OWN_NAME,
        )  # fmt: skip
        return self._kept(draft, "mine", "declared", "")

    # -- inside -------------------------------------------------------------------------------------------------------
    def _kept(self, draft: Draft, whose: Whose, proof: Proof, person: str) -> Profile:
        person = " ".join(person.split()) if whose == "permitted" else ""
        if whose == "permitted" and not person:
            raise ConsentError("Whose voice is it? Write the name of the person.", code="CONSENT_NAME")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            record = Consent(whose=whose, proof=proof, owner=draft.owner, sha256="0" * 64, at=now, person=person)
        except ValueError as exc:
            raise ConsentError("This name cannot be used. Write it in plain letters.", code="CONSENT_NAME") from exc
        heard = draft.heard
        reference = heard.samples[round(draft.start_s * heard.rate) : round(draft.end_s * heard.rate)]
        profile = Profile(
            id="",
            owner=draft.owner,
            name=draft.name,
            language=draft.language,
            reference_text=draft.words,
            start_s=draft.start_s,
            end_s=draft.end_s,
            duration_s=heard.duration_s,
            size=0,
            sha256="",
            consent=record.to_json(),
            note=draft.note,
            pitch_hz=median_hz(reference, heard.rate),
            embedding=None if draft.embedding is None else speaker.to_bytes(draft.embedding),
            quality=draft.quality.to_json(),
            origin=draft.origin,
        )
        kept = self.voices.add(profile, heard.samples, heard.rate)
        self.expect(kept.owner, kept.id)
        return kept

    def expect(self, owner: str, profile_id: str) -> None:
        """Something will be said in this voice soon. What hinders that is told when it is."""
        with suppress(AvatarError):
            self._prepare(self.voices.voice(owner, profile_id))

    def _heard(self, samples: Samples) -> Heard:
        if self._silero is None:
            raise WeightsError(
                "Recordings cannot be judged: get Silero VAD with: python -m avatar.weights fetch bundled."
            )
        return listen(samples, RATE, self._silero)

    def _measured(self, samples: Samples) -> tuple[Heard, Quality]:
        heard = self._heard(samples)
        return heard, clip.measure(heard, self._encoder)

    async def _draft(
        self,
        owner: str,
        origin: Origin,
        heard: Heard,
        quality: Quality,
        start_s: float,
        end_s: float,
        known: tuple[str, str] | None = None,
    ) -> Draft:
        part = heard.cut(start_s, end_s)
        words, language = known or await self._words(part.low, None)
        embedding = await asyncio.to_thread(self._embedded, part)
        draft_id = secrets.token_urlsafe(16)
        return self._drafts.keep(
            Draft(draft_id, owner, origin, heard, quality, start_s, end_s, words, language, embedding)
        )

    def _embedded(self, part: Heard) -> Embedding | None:
        if self._encoder is None:
            return None
        try:
            return self._encoder.embed(part.voice())
        except ValueError:  # too little speech in it, which the report says
            return None

    async def _words(self, low: Samples, language: str | None) -> tuple[str, str]:
        """The words in 16 kHz of sound and their language; none where nothing here can tell: the user writes them."""
        text, tongue = "", language or ""
        try:
            async for event in self._pipeline.transcribe(np.ascontiguousarray(low), language):
                if not isinstance(event, Serving):
                    text, tongue = event.text.strip(), event.language or tongue
        except AvatarError:
            return "", language or "en"
        return text, tongue.partition("-")[0].lower() or "en"


def said_in(store: Store, owner: str, conversation_id: str) -> list[own_voice.Said]:
    """What the owner said in the newest turns of a conversation, as sound. Raises NotFound."""
    said = []
    for turn in store.turns(owner, conversation_id)[-own_voice.MAX_TURNS :]:
        if turn.user_audio is None:
            continue
        try:
            sound = read_opus(store.audio_path(owner, turn.id, "user"))
        except (AudioError, NotFound):  # one recording that is damaged or gone is no reason to learn from none
            continue
        language = (turn.language or "en").partition("-")[0].lower()
        said.append(own_voice.Said(sound.samples, sound.sample_rate, turn.user_text, language))
    return said
