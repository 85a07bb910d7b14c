"""A profile as the voice of replies: by default, for one conversation, and when it is deleted; engines are fakes."""

from collections.abc import Iterator

import pytest
from assistants import make_assistant, put_away
from audio_files import read_tags
from fakes import FakeTTS
from voice_profiles import CONSENT, kept

from avatar.assistant import Assistant
from avatar.engines.base import Abilities, Voice
from avatar.errors import AvatarError
from avatar.sessions import LOCAL
from avatar.voice_choice import DEFAULT
from avatar.wire import Hello


class Cloner(FakeTTS):
    abilities = Abilities(("*",), clones=True)


@pytest.fixture
def tts() -> Cloner:
    return Cloner()


@pytest.fixture
def assistant(settings, make_pool, tts) -> Iterator[Assistant]:
    assistant = make_assistant(settings, make_pool, profiles=True, tts=tts)
    assistant.pool.warm(assistant.pool.choose("tts"))
    yield assistant
    if assistant.attendant._task is not None:
        assistant.attendant._task.cancel()
    put_away(assistant)


def mine(assistant: Assistant, **more: str) -> str:
    assert assistant.studio is not None
    return kept(assistant.studio.voices, LOCAL, consent={**CONSENT, "owner": LOCAL}, **more).id


async def typed(assistant, text, conversation, turn):
    return [update async for update in assistant.answer(LOCAL, conversation, text, turn, "auto")][-1]


async def test_the_default_voice_speaks_in_every_conversation_that_has_chosen_no_other(assistant, tts):
    ann, eve = mine(assistant, name="Ann"), mine(assistant, name="Eve")
    voices = assistant.studio.voices
    first = (await typed(assistant, "one", "", "t1")).conversation_id
    voices.set_default(LOCAL, ann)
    assert assistant.voices.default_name(LOCAL) == "Ann"
    await typed(assistant, "two", first, "t2")
    await typed(assistant, "three", "", "t3")
    await assistant.wishes.set_voice(LOCAL, first, "", f"profile:{eve}")
    await typed(assistant, "four", first, "t4")
    await assistant.wishes.set_voice(LOCAL, first, "", DEFAULT)
    voices.set_default(LOCAL, "")
    await typed(assistant, "five", first, "t5")
    spoken = [voice.profile_id for voice in tts.voices[::2]]  # two clauses each
    assert spoken == [None, ann, ann, eve, None]
    rows = assistant.store.turns(LOCAL, first)
    assert [row.voice for row in rows] == ["default", f"profile:{ann}", f"profile:{eve}", "default"]
    tags = read_tags(assistant.store.audio_path(LOCAL, rows[1].id, "reply"))
    assert {name.lower(): value for name, value in tags.items()}["voice_profile"] == ann


async def test_the_choices_are_the_owners_own_and_say_who_would_speak(assistant):
    ann = mine(assistant, name="Ann")
    assert [(c.value, c.name, c.engine) for c in assistant.voices.of(LOCAL)] == [(f"profile:{ann}", "Ann", "Tts")]
    assert assistant.voices.of("bob") == []
    with pytest.raises(AvatarError) as refused:
        await assistant.wishes.set_voice("bob", "", "", f"profile:{ann}")
    assert refused.value.code == "NO_VOICE"
    assert assistant.voices.voice("bob", f"profile:{ann}").consent is None  # and so nothing is said in it


async def test_where_nobody_clones_profiles_are_offered_by_their_pitch_or_not_at_all(settings, make_pool):
    for pitch, engines in ((True, ["Tts, pitch only"]), (False, [])):
        tts = FakeTTS()
        tts.abilities = Abilities(("*",), pitch=pitch)
        assistant = make_assistant(settings, make_pool, profiles=True, tts=tts)
        assistant.pool.warm(assistant.pool.choose("tts"))
        if pitch:
            mine(assistant)
        assert [choice.engine for choice in assistant.voices.of(LOCAL)] == engines
        put_away(assistant)


async def test_a_voice_that_is_deleted_is_gone_from_its_conversations(assistant, tts):
    ann = mine(assistant, name="Ann")
    talk = await assistant.wishes.set_voice(LOCAL, "", "", f"profile:{ann}")
    await typed(assistant, "one", talk, "t1")
    assistant.studio.voices.delete(LOCAL, ann)
    assert assistant.store.voice(LOCAL, talk) == "" and tts.forgotten == [ann]
    await typed(assistant, "two", talk, "t2")
    assert [voice.profile_id for voice in tts.voices[::2]] == [ann, None]


async def test_a_live_conversation_follows_the_default(assistant):
    live = await assistant.join(LOCAL, Hello("token"))
    assert live.chat.voice == Voice()
    ann = mine(assistant, name="Ann")
    assistant.studio.voices.set_default(LOCAL, ann)
    assert live.chat.voice.profile_id == ann
    live.begin_again()
    assistant.tell_voices(LOCAL)
    assert live.chat.voice.profile_id == ann
    assistant.studio.voices.delete(LOCAL, ann)
    assert live.chat.voice == Voice()
    await assistant.leave(live)
