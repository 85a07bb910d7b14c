"""HQ takes from the reply to its replay: made while nobody talks, stored, shown, served, deleted."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace

import httpx
import numpy as np
import pytest
from assistants import door, make_assistant, put_away
from audio_files import read_tags
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble, rung
from voice_profiles import CONSENT
from voice_profiles import kept as profiled

from avatar.engines.base import Abilities, Voice
from avatar.engines.pool import EnginePool
from avatar.errors import NotFound
from avatar.events import AudioChunk
from avatar.provenance import is_marked
from avatar.sessions import LOCAL
from avatar.store import Store, Turn
from avatar.store.contents import contents
from avatar.takes import WAITING, Take
from avatar.ui.fragments import messages
from avatar.voices import Voices

REPLY = "Yes, it is. It costs 42 dollars."


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class HqTTS(FakeTTS):
    """Twice as long as the fast voice."""

    def speak(self, text, voice, language):
        for chunk in super().speak(text, voice, language):
            yield AudioChunk(np.repeat(chunk.samples, 2), chunk.sample_rate)


@pytest.fixture
def make(settings, monkeypatch):
    """make(hq engine): an assistant that makes HQ takes after a moment of quiet; its pool is not started."""
    monkeypatch.setattr("avatar.takes.LOOK_S", 0.01)
    made = []

    def assistant(hq=None, *, on=True, **engines):
        rows = [rung("hq", "tts", hq=True), rung("fast", "tts"), rung("llm", "llm"), rung("stt", "stt")]
        fakes = {"hq": hq or HqTTS(), "fast": FakeTTS(), "llm": FakeLLM(REPLY), "stt": FakeSTT(), **engines}
        rows = [row for row in rows if fakes[row.name] != "none"]
        pool = EnginePool(settings, rows, lambda row, *_: fakes[row.name])
        for row in rows:
            pool.warm(row)
        made.append(make_assistant(replace(settings, hq_takes=on), lambda _: pool))
        if made[-1].takes is not None:
            made[-1].takes._quiet_s = 0.05
        return made[-1]

    yield assistant
    for one in made:
        put_away(one)


async def answered(assistant, turn="t1", conversation="", owner=LOCAL):
    """Ask, and the last update."""
    return [update async for update in assistant.answer(owner, conversation, "is it?", turn, "auto")][-1]


async def until(true):
    async with asyncio.timeout(20):
        while not true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.005)


async def test_a_reply_gets_its_hq_take_and_is_replayed_with_it_in_chat_and_history(make):
    assistant = make()
    async with door(assistant) as here:
        last = await answered(assistant)
        turn = last.lines[-1].turn_id
        assert "Fast" in assistant.store.turn(LOCAL, turn).engines["tts"] and not last.lines[-1].hq
        await until(lambda: assistant.store.takes.name(turn))
        history = assistant.lines(LOCAL, last.conversation_id)
        assert [line.hq for line in history] == [False, True]
        for language, words in (("en", "HQ voice"), ("zh-TW", "高品質語音")):
            below = messages(history, language)[-1]["content"]
            assert f'href="#play-{turn}-hq"' in below and words in below and f"#play-{turn}-reply" not in below
        chat = (await answered(assistant, "t2", last.conversation_id)).lines  # goes on: the chat shows it too
        assert chat[1].hq and chat[1].turn_id == turn
        async with httpx.AsyncClient(base_url=f"http://{here.host}/avatar/audio", trust_env=False) as client:
            take, reply = await client.get(f"/{turn}/hq"), await client.get(f"/{turn}/reply")
        assert take.status_code == 200 and take.content[:4] == b"OggS" and len(take.content) > len(reply.content)
    path = assistant.store.audio_path(LOCAL, turn, "hq")
    assert is_marked(read_tags(path)), "it says that it is AI speech"
    with pytest.raises(NotFound):
        assistant.store.audio_path("bob", turn, "hq")
    await assistant.takes.close()


async def test_the_page_of_a_live_conversation_is_told(make):
    assistant = make()
    async with door(assistant) as here, here.page() as page:
        await page.send("say", text="is it?", client_turn_id="t1")
        turn = (await page.until("saved"))["id"]
        await page.until("take")
        (live,) = assistant.live.values()
        assert live.chat.lines()[-1].hq and live.chat.lines()[-1].turn_id == turn
    await assistant.takes.close()


async def test_off_by_default_and_nothing_to_do_without_hq_or_where_it_spoke(make, settings):
    assert not settings.hq_takes and make(on=False).takes is None
    without = make(hq="none")
    await answered(without)
    assert without.takes.waiting() == 0
    spoke = make()
    hq = await spoke.wishes.set_quality(LOCAL, "", "", "hq")
    await answered(spoke, "t1", hq)
    assert spoke.takes.waiting() == 0


async def test_never_during_a_turn_and_a_turn_ends_a_take_that_is_being_made(make):
    hold, hq = Trouble(hang_at=3), HqTTS()
    hq.trouble = hold
    assistant = make(hq)
    first = await answered(assistant)
    turn = first.lines[-1].turn_id
    await until(lambda: hq.said)  # it is being made, and hangs at its fourth piece
    slow = Trouble(hang_at=2)
    assistant.pool._slots["llm"].instance.engine.trouble = slow
    asking = asyncio.create_task(answered(assistant, "t2", first.conversation_id))
    await until(lambda: assistant._pipeline.running)
    hold.hang_at = None
    hold.hang.set()
    await asyncio.sleep(0.1)
    assert assistant.store.takes.name(turn) is None and len(hq.said) == 1, "the turn runs: it was given up, and waits"
    slow.hang.set()
    await asking
    await until(lambda: len(assistant.store.takes.of(first.conversation_id)) == 2)
    assert hq.said.count("Yes, it is.") == 3, "once in vain, and once for each of two replies"
    await assistant.takes.close()


async def test_while_somebody_speaks_it_waits(make):
    assistant = make()
    with assistant.pool.lease(assistant.pool.rungs("stt")[0]):
        last = await answered(assistant)
        await asyncio.sleep(0.2)
        assert assistant.store.takes.of(last.conversation_id) == {}
    await until(lambda: assistant.store.takes.of(last.conversation_id))
    await assistant.takes.close()


async def test_the_newest_replies_wait_and_the_queue_is_bounded(make):
    assistant = make()
    assistant.takes._quiet_s = 60
    turns = [(await answered(assistant, f"t{n}")).lines[-1].turn_id for n in range(WAITING + 3)]
    await until(lambda: assistant.takes.waiting() == WAITING)
    assert [take.turn_id for take in assistant.takes._waiting] == turns[3:]
    await assistant.takes.close()


async def test_it_can_be_ended_from_another_thread(make):
    assistant = make()
    assistant.takes.end()  # nothing was ever offered
    assistant.takes._quiet_s = 60
    await answered(assistant)
    await until(lambda: assistant.takes.waiting() == 1)
    await asyncio.to_thread(assistant.takes.end)
    assert assistant.takes.waiting() == 0 and assistant.takes._worker.done()


@pytest.mark.parametrize("error", [MemoryError, RuntimeError])
async def test_an_hq_engine_that_fails_costs_only_the_take(make, error):
    class Broken(FakeTTS):
        def speak(self, *_):
            raise error
            yield

    assistant = make(Broken())
    last = await answered(assistant)
    await until(lambda: assistant.takes._worker is not None and assistant.takes.waiting() == 0)
    await asyncio.sleep(0.1)
    assert assistant.store.takes.of(last.conversation_id) == {} and not assistant.takes._worker.done()
    await assistant.takes.close()


async def test_it_is_spoken_in_the_voice_of_the_conversation_or_not_at_all(make):
    heard = []

    class Listens(HqTTS):
        abilities = Abilities(languages=("*",), voices=("clara",))

        def speak(self, text, voice, language):
            heard.append(voice.name)
            yield from super().speak(text, voice, language)

    assistant = make(Listens())
    last = await answered(assistant)
    await until(lambda: assistant.store.takes.of(last.conversation_id))
    chat, turn = assistant._opened.reopen(LOCAL, last.conversation_id), last.lines[-1].turn_id
    chat.voice = Voice("clara")
    assistant.takes.offer(Take(LOCAL, turn, chat, chat.exchanges[-1], "en"), "Fast")
    await until(lambda: "clara" in heard)
    assert set(heard) == {"default", "clara"}
    await assistant.takes.close()


async def test_in_a_voice_of_somebody_it_is_marked_as_theirs(make):
    class Clones(HqTTS):
        abilities = Abilities(languages=("*",), clones=True)

    assistant = make(Clones())
    last = await answered(assistant)
    await until(lambda: assistant.store.takes.of(last.conversation_id))
    chat = assistant._opened.reopen(LOCAL, last.conversation_id)
    voices = Voices(assistant.settings.data, assistant.store.profiles)
    ann = profiled(voices, LOCAL, consent={**CONSENT, "owner": LOCAL}).id
    chat.voice = voices.voice(LOCAL, ann)
    turn = assistant.store.add_turn(LOCAL, chat.id, Turn(user_text="and?", reply_text=REPLY, state="done"))
    assistant.takes.offer(Take(LOCAL, turn.id, chat, chat.exchanges[-1], "en"), "Fast")
    await until(lambda: assistant.store.takes.name(turn.id))
    marks = read_tags(assistant.store.audio_path(LOCAL, turn.id, "hq"))
    assert {name.lower(): value for name, value in marks.items()}["voice_profile"] == ann
    await assistant.takes.close()


# -- the table --------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "data", clock=lambda: 9e9)  # all files are old to `sweep`
    yield store
    store.close()


def kept(store, owner=LOCAL):
    """A conversation with one turn, and its take's file."""
    conversation = store.create_conversation(owner)
    said = store.save_audio(lambda path: path.write_bytes(b"reply"))
    turn = store.add_turn(owner, conversation, Turn(user_text="a", reply_text="b", state="done", reply_audio=said))
    name = store.save_audio(lambda path: path.write_bytes(b"take"))
    assert store.keep_take(turn.id, name)
    return conversation, turn, store.audio_path(owner, turn.id, "hq")


def test_a_take_goes_with_its_conversation_and_is_not_swept_before(store, tmp_path):
    conversation, turn, file = kept(store)
    assert store.takes.of(conversation) == {turn.id: file.name}
    assert store.sweep() == 0 and file.read_bytes() == b"take"
    with closing(sqlite3.connect(tmp_path / "data" / "avatar.db")) as database:
        assert file.name in contents(database).recordings, "a backup takes it along"
    with pytest.raises(NotFound):
        store.delete_conversation("bob", conversation)
    assert file.exists()
    store.delete_conversation(LOCAL, conversation)
    assert not file.exists() and store.takes.name(turn.id) is None


def test_a_reply_that_is_given_again_takes_its_hq_take_along(store):
    conversation, turn, file = kept(store)
    again = Turn(user_text="a", reply_text="c", state="done")
    store.add_turn(LOCAL, conversation, again, instead_of=turn.id)
    assert not file.exists() and store.takes.of(conversation) == {}


def test_a_take_that_comes_too_late_or_twice_leaves_no_file(store):
    conversation, turn, file = kept(store)
    second = store.save_audio(lambda path: path.write_bytes(b"second"))
    assert not store.keep_take(turn.id, second) and not store._sounds.path(second).exists()
    store.delete_conversation(LOCAL, conversation)
    late = store.save_audio(lambda path: path.write_bytes(b"late"))
    assert not store.keep_take(turn.id, late) and not store._sounds.path(late).exists()
