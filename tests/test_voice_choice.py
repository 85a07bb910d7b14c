"""The voice of a conversation, from the choices to the stored turn; engines are fakes."""

import pytest
from assistants import make_assistant, put_away
from fakes import FakeTTS

from avatar.engines.base import Abilities, Voice
from avatar.errors import AvatarError, NotFound
from avatar.sessions import LOCAL
from avatar.voice_choice import DEFAULT, VoiceChoice, VoiceChoices
from avatar.wire import Hello


class TwoVoices(FakeTTS):
    abilities = Abilities(("*",), voices=("alba", "marius"))


@pytest.fixture
def tts():
    return TwoVoices()


@pytest.fixture
def assistant(settings, make_pool, tts):
    assistant = make_assistant(settings, make_pool, tts=tts)
    yield assistant
    if assistant.attendant._task is not None:
        assistant.attendant._task.cancel()
    put_away(assistant)


async def typed(assistant, text, conversation, turn):
    return [update async for update in assistant.answer(LOCAL, conversation, text, turn, "auto")][-1]


async def test_the_choices_are_the_voices_of_the_engine_that_serves(assistant):
    assert assistant.voices.of(LOCAL) == []  # nothing is loaded yet
    assistant.pool.warm(assistant.pool.choose("tts"))
    assert assistant.voices.of(LOCAL) == [VoiceChoice("alba", "alba", "Tts"), VoiceChoice("marius", "marius", "Tts")]


async def test_a_voice_is_chosen_before_the_first_turn_changed_and_given_up(assistant, tts):
    assistant.pool.warm(assistant.pool.choose("tts"))
    ours = await assistant.wishes.set_voice(LOCAL, "", "", "alba")
    await typed(assistant, "one", ours, "t1")
    assert await assistant.wishes.set_voice(LOCAL, ours, "", "marius") == ours
    await typed(assistant, "two", ours, "t2")
    assert await assistant.wishes.set_voice(LOCAL, ours, "", DEFAULT) == ours
    await typed(assistant, "three", ours, "t3")
    assert [turn.voice for turn in assistant.store.turns(LOCAL, ours)] == ["alba", "marius", "default"]
    assert [voice.name for voice in dict.fromkeys(tts.voices)] == ["alba", "marius", "default"]
    other = await typed(assistant, "four", "", "t4")
    assert assistant.store.turns(LOCAL, other.conversation_id)[0].voice == "default"  # the choice was for one


async def test_a_voice_that_is_not_here_cannot_be_chosen_and_one_that_went_is_not_replaced(assistant, tts):
    assistant.pool.warm(assistant.pool.choose("tts"))
    with pytest.raises(AvatarError) as refused:
        await assistant.wishes.set_voice(LOCAL, "", "", "carol")
    assert refused.value.code == "NO_VOICE"
    ours = await assistant.wishes.set_voice(LOCAL, "", "", "alba")
    tts.abilities = Abilities(("*",), voices=("marius",))
    with pytest.raises(AvatarError) as failed:
        await typed(assistant, "one", ours, "t1")
    assert failed.value.code == "NO_VOICE" and tts.said == []
    (turn,) = assistant.store.turns(LOCAL, ours)
    assert turn.state == "failed" and turn.user_text == "one"  # what was said is not lost


async def test_a_live_conversation_changes_its_voice_between_replies_and_keeps_it(assistant, tts):
    assistant.pool.warm(assistant.pool.choose("tts"))
    live = await assistant.join("ann", Hello(token=""))
    try:
        ours = await assistant.wishes.set_voice("ann", "", live.live_id, "alba")
        assert ours == live.chat.id and live.chat.voice == Voice("alba")
        with pytest.raises(NotFound):
            await assistant.wishes.set_voice("bob", ours, live.live_id, "marius")
    finally:
        await assistant.leave(live)
    again = await assistant.join("ann", Hello(token="", conversation=ours))
    assert again.chat.voice == Voice("alba")
    again.begin_again()
    assert again.chat.voice == Voice()
    await assistant.leave(again)


class Plain(FakeTTS):
    abilities = Abilities(("*",), voices=("f2", "alba"))


def test_who_chooses_a_voice_of_another_engine_that_is_ready_has_chosen_that_engine(make_pool):
    pool = make_pool({"better": ("tts", TwoVoices()), "plain": ("tts", Plain())})
    choices = VoiceChoices(pool)
    pool.warm(pool.choose("tts"))  # the lowest
    assert [choice.value for choice in choices.of(LOCAL)] == ["f2", "alba"]
    pool.warm(pool.rungs("tts")[0])
    assert [(choice.value, choice.engine) for choice in choices.of(LOCAL)] == [
        ("alba", "Better"), ("marius", "Better"), ("f2", "Plain"),
    ]  # fmt: skip
    assert pool.choose("tts", voice=Voice("f2")).name == "plain" and pool.choose("tts").name == "better"
    pool.close()


async def test_a_fork_goes_on_in_another_voice_and_quality_and_only_in_what_is_there(assistant, tts):
    assistant.pool.warm(assistant.pool.choose("tts"))
    ours = await assistant.wishes.set_voice(LOCAL, "", "", "alba")
    await typed(assistant, "one", ours, "t1")
    await typed(assistant, "two", ours, "t2")
    (first, _), store = assistant.store.turns(LOCAL, ours), assistant.store
    fork = assistant.fork(LOCAL, first.id, "marius", "hq")
    assert (store.voice(LOCAL, fork), store.quality(LOCAL, fork)) == ("marius", "hq")
    await typed(assistant, "three", fork, "t3")
    assert [turn.voice for turn in store.turns(LOCAL, fork)] == ["alba", "marius"]
    assert (store.voice(LOCAL, ours), store.quality(LOCAL, ours)) == ("alba", "fast")
    assert store.voice(LOCAL, assistant.fork(LOCAL, first.id, DEFAULT, "fast")) == DEFAULT
    tts.abilities = Abilities(("*",), voices=("marius",))
    assert store.voice(LOCAL, assistant.fork(LOCAL, first.id, "alba", "fast")) == "alba"  # as it was
    for owner, voice, code in ((LOCAL, "carol", "NO_VOICE"), ("bob", "marius", "NOT_FOUND")):
        with pytest.raises(AvatarError) as refused:
            assistant.fork(owner, first.id, voice, "fast")
        assert refused.value.code == code
