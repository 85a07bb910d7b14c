"""From a recording to a voice: real clips, real measurements, ears that hear what they are told."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from fakes import FakeSTT
from studios import BELLA, FIELDS, GEORGE, JFK, Cloner, studio_in

from avatar import drafts, voice_archive
from avatar.audio import wav_bytes, write_opus
from avatar.clip import Finding
from avatar.consent import VERSION, Consent
from avatar.engines.pool import EnginePool
from avatar.errors import AudioError, AvatarError, ConsentError, NotFound
from avatar.own_voice import Said, TooLittleSpeech
from avatar.preview import Previews
from avatar.store import Turn
from avatar.studio import RATE, Studio
from avatar.ui.voice_events import ListEvents
from avatar.verify import examine
from avatar.voiced import listen

pytestmark = pytest.mark.slow


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ears() -> FakeSTT:
    return FakeSTT("Ask not what your country can do.")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def voice() -> Cloner:
    return Cloner()


@pytest.fixture
def studio(
    tmp_path: Path, make_pool: Callable[..., EnginePool], ears: FakeSTT, clock: Clock, voice: Cloner
) -> Iterator[Studio]:
    with studio_in(tmp_path / "data", make_pool, ears=ears, clock=clock, voice=voice) as made:
        yield made


class TestARecording:
    async def test_it_is_judged_cut_and_transcribed_and_kept_within_two_seconds(self, studio: Studio) -> None:
        draft = await studio.open("ann", JFK)
        assert draft.words == "Ask not what your country can do." and draft.language == "en"
        assert 5 <= draft.end_s - draft.start_s <= 12 and draft.duration_s == pytest.approx(11, abs=0.1)
        assert draft.quality.usable and draft.embedding is not None
        started = time.process_time()  # not the clock's: the machine may be busy
        profile = studio.save("ann", draft.id, **FIELDS, note="Inauguration")
        assert time.process_time() - started < 2
        assert studio.voices.of("ann") == [profile] and profile.language == "en"
        assert profile.pitch_hz is not None and 100 < profile.pitch_hz < 300
        record = Consent.from_json(profile.consent)
        assert (record.whose, record.proof, record.owner, record.version) == ("mine", "declared", "ann", VERSION)
        assert record.sha256 == profile.sha256
        spoken = studio.voices.voice("ann", profile.id)
        assert spoken.reference is not None
        assert spoken.reference.duration_s == pytest.approx(draft.end_s - draft.start_s, abs=0.01)
        with pytest.raises(NotFound):
            studio.draft("ann", draft.id)

    async def test_the_part_can_be_changed(self, studio: Studio, ears: FakeSTT) -> None:
        draft = await studio.open("ann", JFK)
        ears.words = "Fellow Americans."
        cut = await studio.cut("ann", draft.id, 0.5, 3.5)
        assert (cut.id, cut.start_s, cut.end_s, cut.words) == (draft.id, 0.5, 3.5, "Fellow Americans.")
        for start, end in ((3, 3.5), (-1, 3), (5, 99), (float("nan"), 3), (3, 1)):
            with pytest.raises(AudioError) as refusal:
                await studio.cut("ann", draft.id, start, end)
            assert refusal.value.code == "CUT_TOO_SHORT"
        assert studio.draft("ann", draft.id) == cut

    async def test_what_cannot_be_imitated_is_not_kept(self, studio: Studio, tmp_path: Path) -> None:
        noise = tmp_path / "noise.wav"
        noise.write_bytes(wav_bytes(np.random.default_rng(0).normal(0, 0.1, 5 * 16_000).astype(np.float32), 16_000))
        draft = await studio.open("ann", noise)
        assert any(isinstance(f, Finding) and f.severity == "refuse" for f in draft.quality.findings)
        with pytest.raises(AudioError) as refusal:
            studio.save("ann", draft.id, **FIELDS)
        assert refusal.value.code == "CLIP_UNUSABLE"
        with pytest.raises(AudioError):
            await studio.open("ann", Path(__file__))
        assert studio.voices.of("ann") == []

    async def test_consent_and_words_are_needed(self, studio: Studio) -> None:
        draft = await studio.open("ann", JFK)
        for fields, code in (
            ({"words": " … "}, "WORDS_MISSING"),
            ({"whose": "permitted"}, "CONSENT_NAME"),
            ({"whose": "permitted", "person": "x" * 200}, "CONSENT_NAME"),
            ({"name": ""}, "VOICE_NAME"),
        ):
            with pytest.raises(AvatarError) as refusal:
                studio.save("ann", draft.id, **{**FIELDS, **fields})
            assert refusal.value.code == code
        kept = studio.save("ann", draft.id, **{**FIELDS, "whose": "permitted", "person": " John  F. "})
        assert kept.consent["person"] == "John F." and kept.consent["whose"] == "permitted"

    async def test_a_draft_is_its_owners_and_does_not_last(
        self, studio: Studio, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        draft = await studio.open("ann", BELLA)
        for attempt in (
            lambda: studio.draft("bob", draft.id),
            lambda: studio.save("bob", draft.id, **FIELDS),
        ):
            with pytest.raises(NotFound):
                attempt()
        with pytest.raises(NotFound):
            await studio.cut("bob", draft.id, 0, 2)
        studio.drop("bob", draft.id)
        assert studio.draft("ann", draft.id) is not None
        for number in range(drafts.DRAFTS_PER_OWNER):
            studio._drafts.keep(replace(draft, id=str(number)))
        with pytest.raises(NotFound):
            studio.draft("ann", draft.id)
        for number in range(drafts.MAX_DRAFTS):
            studio._drafts.keep(replace(draft, id=f"b{number}", owner=f"b{number}"))
        assert len(studio._drafts._drafts) == drafts.MAX_DRAFTS
        clock.now += drafts.DRAFT_S + 1
        with pytest.raises(NotFound) as gone:
            studio.draft("b23", "b23")
        assert gone.value.code == "DRAFT_GONE"

    async def test_the_same_voice_again_is_noticed(self, studio: Studio) -> None:
        draft = await studio.open("ann", GEORGE)
        assert studio.alike("ann", draft) is None
        kept = studio.save("ann", draft.id, **FIELDS)
        again, other = await studio.open("ann", GEORGE), await studio.open("ann", BELLA)
        assert studio.alike("ann", again) == kept
        assert studio.alike("ann", other) is None and studio.alike("bob", again) is None


class TestProof:
    async def test_the_sentence_read_in_the_same_voice_proves_it(self, studio: Studio, ears: FakeSTT) -> None:
        draft = await studio.open("ann", JFK)
        asked = studio.sentence("ann", "en")
        ears.words = asked.sentence
        proved = await studio.prove("ann", draft.id, asked.id, JFK)
        assert proved.proved is not None and proved.proved.passed
        kept = studio.save("ann", draft.id, **FIELDS)
        assert kept.consent["proof"] == "read-aloud"

    async def test_other_words_another_voice_and_a_second_try_do_not(self, studio: Studio, ears: FakeSTT) -> None:
        draft = await studio.open("ann", JFK)
        asked = studio.sentence("ann", "en")
        failed = (await studio.prove("ann", draft.id, asked.id, JFK)).proved
        assert failed is not None and failed.codes == ("r_words",)
        with pytest.raises(AvatarError) as used:
            await studio.prove("ann", draft.id, asked.id, JFK)
        assert used.value.code == "READ_AGAIN"
        asked = studio.sentence("ann", "en")
        ears.words = asked.sentence
        failed = (await studio.prove("ann", draft.id, asked.id, BELLA)).proved
        assert failed is not None and failed.codes == ("r_voice",)
        assert studio.save("ann", draft.id, **FIELDS).consent["proof"] == "declared"

    async def test_it_does_not_outlast_another_cut_nor_vouch_for_another_person(
        self, studio: Studio, ears: FakeSTT
    ) -> None:
        draft = await studio.open("ann", JFK)
        asked = studio.sentence("ann", "en")
        ears.words = asked.sentence
        await studio.prove("ann", draft.id, asked.id, JFK)
        assert (await studio.cut("ann", draft.id, 0, 4)).proved is None
        with pytest.raises(NotFound):
            await studio.prove("bob", draft.id, asked.id, JFK)


class TestTakingAlong:
    async def test_an_exported_voice_is_judged_again_and_needs_a_consent_again(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        draft = await studio.open("ann", JFK)
        kept = studio.save("ann", draft.id, **{**FIELDS, "whose": "permitted", "person": "John"}, note="A note")
        file = tmp_path / "jack.avatarvoice"
        file.write_bytes(voice_archive.pack(kept, studio.voices.clip("ann", kept.id)))
        again = await studio.open_archive("bob", file)
        assert (again.name, again.note, again.words, again.whose) == ("Jack", "A note", "Ask not.", "permitted")
        assert again.start_s == pytest.approx(kept.start_s) and again.end_s == pytest.approx(kept.end_s)
        assert again.quality.score == draft.quality.score and studio.voices.of("bob") == []
        with pytest.raises(ConsentError):
            studio.save("bob", again.id, **{**FIELDS, "whose": "permitted"})
        copy = studio.save("bob", again.id, **FIELDS)
        assert copy.origin == "import" and copy.consent["owner"] == "bob" and copy.sha256 == kept.sha256


class TestYourOwn:
    def test_your_voice_is_learnt_from_what_you_said(self, studio: Studio) -> None:
        whole = listen_to(JFK, studio)
        said = [
            Said(whole[round(start * RATE) : round(end * RATE)], RATE, words, "en")
            for start, end, words in (
                (0.0, 2.4, "And so my fellow Americans"),
                (3.1, 7.8, "ask not"),
                (7.8, 11.0, "ask"),
            )
        ]
        mine = studio.clone_self("ann", said)
        assert mine.origin == "conversation" and mine.consent["whose"] == "mine" and mine.embedding is not None
        studio.voices.permit(studio.voices.voice("ann", mine.id))
        assert studio.voices.of("bob") == []

    async def test_it_is_learnt_from_a_conversation_in_place_of_the_one_before_and_forgotten(
        self, studio: Studio, tmp_path: Path
    ) -> None:
        store, whole = studio._store, listen_to(JFK, studio)
        talk = store.create_conversation("ann")
        for start, end, words in ((0.0, 2.4, "And so"), (3.1, 7.8, "ask not"), (7.8, 11.0, "ask what you can do")):
            part = whole[round(start * RATE) : round(end * RATE)]
            name = store.save_audio(lambda path, part=part: write_opus(path, part, RATE, {}))
            store.add_turn("ann", talk, Turn(user_text=words, reply_text="", state="done", user_audio=name))
        store.add_turn("ann", talk, Turn(user_text="typed", reply_text="", state="done"))
        first = studio.learn_own("ann", talk)
        assert studio.voices.default("ann") == first.id and studio.own_voices("ann") == [first]
        second = studio.learn_own("ann", talk)
        assert studio.own_voices("ann") == [second] and studio.voices.default("ann") == second.id
        with pytest.raises(NotFound):
            studio.learn_own("bob", talk)
        lonely = store.create_conversation("ann")
        with pytest.raises(TooLittleSpeech):
            studio.learn_own("ann", lonely)
        assert studio.own_voices("ann") == [second]
        studio.forget_own("ann")
        assert studio.own_voices("ann") == [] and studio.voices.default("ann") == ""
        assert [p.name for p in (tmp_path / "data" / "voices").iterdir() if p.is_dir()] == []


class TestPreview:
    async def test_it_plays_while_it_is_made_is_marked_and_tells_who_spoke(
        self, studio: Studio, voice: Cloner, tmp_path: Path
    ) -> None:
        kept = studio.save("ann", (await studio.open("ann", JFK)).id, **FIELDS)
        previews = Previews(studio, studio._pipeline)
        preview = await previews.begin("ann", kept.id, "The kettle\x00 is on. The tea is ready.")
        sound = [part async for part in previews.get("ann", preview.id).wav()]
        assert sum(map(len, sound[1:])) > 12_000
        assert [part async for part in preview.wav()] == sound  # a player may ask twice
        await preview.task  # type: ignore[misc]
        (saved := tmp_path / "preview.wav").write_bytes(b"".join(sound))  # as a browser saves it
        found = examine(saved)
        assert found.marked and kept.id in found.tags["comment"] and found.tags["encoded_by"] == "Tts"
        assert preview.engine == "Tts" and voice.voices[0].profile_id == kept.id
        assert voice.said == ["The kettle is on.", "The tea is ready."]
        with pytest.raises(NotFound):
            previews.get("bob", preview.id)
        with pytest.raises(NotFound):
            await previews.begin("bob", kept.id, "Hello.")
        with pytest.raises(AvatarError, match="nothing to say"):
            await previews.begin("ann", kept.id, " … ")
        await previews.begin("ann", "", "Hello.")
        with pytest.raises(NotFound):
            previews.get("ann", preview.id)

    async def test_one_whose_voice_is_deleted_meanwhile_ends(self, studio: Studio, voice: Cloner) -> None:
        previews = Previews(studio, studio._pipeline)
        voice.trouble.hang_at = 3
        speaking = ListEvents(studio, previews, lambda _: "ann").preview(
            "", "The kettle is on.", gr.Request(headers={})
        )
        assert "audio" in (await anext(speaking))[0]
        previews.forget("ann")
        assert [step async for step in speaking] == []
        voice.trouble.hang.set()

    async def test_how_like_its_voice_something_sounds(self, studio: Studio) -> None:
        kept = studio.save("ann", (await studio.open("ann", GEORGE)).id, **FIELDS)
        same, other = (studio.sounds_like(listen_to(clip, studio), RATE, kept) for clip in (GEORGE, BELLA))
        assert same is not None and same > 0.9 and other is not None and other < 0.75
        assert studio.sounds_like(np.zeros(RATE, np.float32), RATE, kept) is None


def listen_to(path: Path, studio: Studio) -> np.ndarray:
    assert studio._silero is not None
    return listen(studio._decoder._decode(path), RATE, studio._silero).samples
