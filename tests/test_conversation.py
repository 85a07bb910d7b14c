"""The live session with fake engines: real voice activity over a loudness detector, sound at 8 times its speed.

Replies are in real time; what the page takes to report is shorter.
"""

import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest
from fakes import FakeLLM, FakeSTT, FakeTTS, Trouble

from avatar.audio import pcm16
from avatar.chat import Chat, Exchange
from avatar.conversation import Conversation
from avatar.engines.base import INTERRUPTED
from avatar.engines.calls import Timeouts
from avatar.errors import NotFound, StorageError
from avatar.hearing import PAUSES_MS, Hearing
from avatar.pipeline import Pipeline
from avatar.recorder import Ended
from avatar.turntaking.voice import VoiceActivity
from avatar.wire import MIC_RATE, Preferences

FRAME_S, SPEED = 0.02, 8
REPORT_S = 0.05  # real time, from a reply's end to the page's report that it was played


class SmartTurnSays:
    def __init__(self, probability: float = 0.99) -> None:
        self.value = probability

    def probability(self, samples: object) -> float:
        return self.value


class Words(FakeSTT):
    """Says the words that the test put there, in the test's language; `growing` are those of its first seconds."""

    language = "en"

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.growing: list[tuple[float, str]] = []
        self.asked: list[str | None] = []

    def transcribe(self, samples, language):
        self.trouble.start()
        from avatar.events import Transcript

        self.asked.append(language)
        words = next((words for seconds, words in self.growing if len(samples) < seconds * MIC_RATE), self.words)
        yield Transcript(words, final=True, language=self.language)


class Live:
    """A session with its page: collects messages, reports what was played, feeds sound."""

    def __init__(self, pool_of, **preferences: object) -> None:
        self.stt, self.llm, self.tts = Words("what is the weather today?"), FakeLLM(), FakeTTS()
        self.pool = pool_of({"ears": ("stt", self.stt), "mind": ("llm", self.llm), "voice": ("tts", self.tts)})
        self.smart_turn = SmartTurnSays()
        self.saved: list[tuple[str, str, str, int]] = []
        self.chats: list[Chat] = []
        self.ended: list[Ended] = []
        self.save_error: Exception | None = None
        self.messages: list[dict] = []
        self.audio: dict[int, int] = {}
        self.touched = 0
        pipeline = Pipeline(self.pool, Timeouts(stt=1, llm=1, tts=1))
        self.it = Conversation(
            owner="local",
            live_id="live",
            chat=Chat(),
            seat=0,
            pool=self.pool,
            pipeline=pipeline,
            make_hearing=lambda conversation: Hearing(
                pipeline,
                VoiceActivity(
                    lambda chunk: 1.0 if np.abs(chunk).max() > 0.05 else 0.0, pauses_ms=PAUSES_MS, max_utterance_s=5
                ),
                self.smart_turn,
                conversation,
                patience_ms=900,
            ),
            save=self.save,
            on_activity=self.touch,
        )
        self.it.prefer(Preferences(**preferences))  # type: ignore[arg-type]
        self.page = asyncio.create_task(self.read())
        rng = np.random.default_rng(1)
        self.voice = 0.3 * rng.standard_normal(MIC_RATE * 6).astype(np.float32).clip(-1, 1)

    def touch(self) -> None:
        self.touched += 1

    async def save(self, owner, chat, ended) -> None:
        if self.save_error:
            raise self.save_error
        self.ended.append(ended)
        exchange, user = ended.exchange, ended.user
        self.saved.append((exchange.user, exchange.reply, ended.state, 0 if user is None else len(user)))
        self.chats.append(chat)
        exchange.turn_id, chat.id = f"turn-{len(self.saved)}", "c1"

    async def read(self) -> None:
        playing: dict[int, asyncio.Task] = {}
        while (message := await self.it.outbox.get()) is not None:
            if isinstance(message, bytes):
                turn = int.from_bytes(message[:4], "little")
                self.audio[turn] = self.audio.get(turn, 0) + (len(message) - 4) // 2
                continue
            self.messages.append(message)
            if message["t"] == "end":
                playing[message["turn"]] = asyncio.create_task(self.play(message["turn"], message["samples"]))
            if message["t"] == "flush" and message["turn"] in playing:
                playing[message["turn"]].cancel()

    async def play(self, turn: int, samples: int) -> None:
        await asyncio.sleep(REPORT_S)
        self.it.played(turn, samples)

    async def hear(self, seconds: float, loud: bool = True) -> None:
        n = int(FRAME_S * MIC_RATE)
        for i in range(round(seconds / FRAME_S)):
            samples = self.voice[i * n % 90_000 :][:n] if loud else np.zeros(n, np.float32)
            self.it.mic(pcm16(samples))
            await asyncio.sleep(FRAME_S / SPEED)

    async def silence(self, seconds: float) -> None:
        await self.hear(seconds, loud=False)

    async def until(self, kind: str, count: int = 1, **fields: object) -> dict:
        """Wait for the count-th message of this kind with these fields; silence goes on meanwhile."""
        for _ in range(400):
            found = [m for m in self.messages if m["t"] == kind and fields.items() <= m.items()]
            if len(found) >= count:
                return found[count - 1]
            await self.silence(FRAME_S)
        raise AssertionError(f"no {kind} {fields} among {[m['t'] for m in self.messages]}")

    def kinds(self, *kinds: str) -> list[str]:
        return [m["t"] for m in self.messages if m["t"] in kinds]


@pytest.fixture
def live(make_pool, monkeypatch):
    monkeypatch.setattr("avatar.answering.SETTLE_S", 2 * REPORT_S)

    @asynccontextmanager
    async def start(**preferences: object):
        session = Live(make_pool, **preferences)
        try:
            yield session
        finally:
            await session.it.close()
            await session.page

    return start


async def test_speech_is_answered_played_and_stored(live):
    async with live() as s:
        await s.hear(1.0)
        saved = await s.until("saved")
        assert saved["state"] == "done" and saved["id"] == "turn-1" and saved["conversation"] == "c1"
        user, reply, state, samples = s.saved[0]
        assert (user, reply, state) == ("what is the weather today?", s.llm.text, "done")
        assert 0.9 < samples / MIC_RATE < 1.5
        clauses = [m for m in s.messages if m["t"] == "clause"]
        assert [c["text"] for c in clauses] == s.tts.said and clauses[1]["at"] == len(s.tts.said[0]) * 240
        assert s.audio[1] == sum(map(len, s.tts.said)) * 240
        latency = await s.until("latency")
        assert latency["sure"] and latency["eot"] >= 20 and latency["engines"]["stt"] == "Ears"
        states = [m["state"] for m in s.messages if m["t"] == "state"]
        assert states == ["thinking", "speaking", "listening"]
        assert s.touched > 0


async def test_unsure_it_waits_for_the_patience_and_says_so(live):
    async with live(patience_ms=800) as s:
        s.smart_turn.value = 0.01
        await s.hear(1.0)
        await s.silence(0.4)
        assert s.kinds("turn") == []
        pausing = next(m for m in s.messages if m["t"] == "state" and m["state"] == "pausing")
        assert 300 < pausing["patience_ms"] < 800
        latency = await s.until("latency")
        assert not latency["sure"]


async def test_a_pause_inside_a_sentence_does_not_end_the_turn(live):
    async with live() as s:
        s.smart_turn.value = 0.01
        s.stt.words = "and so my fellow"
        await s.hear(1.0)
        await s.silence(0.5)
        s.stt.words, s.smart_turn.value = "and so my fellow Americans ask not.", 0.99
        await s.hear(1.0)
        await s.until("saved")
        assert [turn[0] for turn in s.saved] == ["and so my fellow Americans ask not."]
        assert s.saved[0][3] / MIC_RATE > 2.3


async def test_partial_words_are_shown_while_speaking(live):
    async with live() as s:
        await s.hear(1.5)
        partial = next(m for m in s.messages if m["t"] == "heard")
        assert partial["partial"] == s.stt.words and partial["final"] == ""


async def test_words_heard_the_same_twice_are_shown_as_settled(live):
    async with live() as s:
        s.stt.growing = [(1.1, "what is the wea"), (9, "What is the weather, in Par")]
        await s.hear(1.9)
        shown = [(m["final"], m["partial"]) for m in s.messages if m["t"] == "heard"]
        assert shown[0] == ("", "what is the wea") and ("What is the", "weather, in Par") in shown[1:]


async def test_the_language_that_was_heard_is_the_voices(live):
    async with live() as s:
        s.stt.language = "de"
        await s.hear(1.0)
        await s.silence(1.0)
        await s.until("saved")
        assert set(s.stt.asked) == {None} and s.tts.languages == {"de"}


async def test_after_committed_words_their_language_is_given(live, monkeypatch):
    monkeypatch.setattr("avatar.hearing.COMMIT_MS", 500)
    async with live() as s:
        s.stt.language, s.smart_turn.value = "ja", 0.0
        await s.hear(1.0)
        await s.silence(0.4)
        assert set(s.stt.asked) == {None}
        s.stt.asked.clear()
        await s.hear(1.0)
        assert s.stt.asked and set(s.stt.asked) == {"ja"}


async def test_the_model_reads_the_words_while_they_are_spoken(live):
    async with live() as s:
        s.pool.warm(s.pool.choose("llm"))
        await s.hear(1.5)
        await s.until("turn")
        assert s.llm.read and [m.content for m in s.llm.read[0]][1:] == [s.stt.words]


async def test_the_answer_begins_before_it_is_certain_and_is_not_asked_for_twice(live):
    async with live(patience_ms=2000) as s:
        s.smart_turn.value = 0.0
        await s.hear(1.0)
        for _ in range(30):
            await s.silence(FRAME_S)
        assert len(s.llm.prompts) == 1 and s.kinds("turn", "clause") == [] and s.it.chat.lines() == []
        latency = await s.until("latency")
        assert latency["llm"] + latency["tts"] < 100 and latency["wasted"] == 0
        assert len(s.llm.prompts) == 1
        assert (await s.until("saved"))["state"] == "done"
        assert s.saved[0][:2] == (s.stt.words, s.llm.text)


async def test_a_guess_after_which_the_user_goes_on_leaves_no_trace(live):
    async with live(patience_ms=2000) as s:
        s.smart_turn.value = 0.0
        await s.hear(1.0)
        await s.silence(0.4)
        s.stt.words = "what is the weather today in Paris?"
        s.smart_turn.value = 0.99
        await s.hear(1.0)
        latency = await s.until("latency")
        await s.until("saved")
        asked = [prompt[-1].content for prompt in s.llm.prompts]
        assert asked == ["what is the weather today?", "what is the weather today in Paris?"]
        assert len(s.llm.prompts[1]) == 2  # nothing remembered of the first
        assert [saved[0] for saved in s.saved] == asked[1:] and len(s.kinds("turn")) == 1
        assert latency["wasted"] > 0


async def test_silence_and_noise_get_no_reply_and_are_told(live):
    async with live() as s:
        s.stt.words = "?"
        await s.hear(0.6)
        assert (await s.until("notice"))["code"] == "NOTHING_HEARD"
        await s.silence(2.0)
        assert s.kinds("turn") == [] and s.saved == []


async def test_an_interruption_ducks_then_silences_and_stores_what_was_heard(live, monkeypatch):
    monkeypatch.setattr("avatar.conversation.CONTINUE_S", 0.3)
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        await s.silence(SPEED * 0.5)  # of real time: past the window in which it would be a continuation
        long_reply, s.llm.text = s.llm.text, "Fine, I stop here."
        s.stt.words = "no stop that please"
        await s.hear(0.8)
        assert s.kinds("duck", "flush") == ["duck", "flush"]
        saved = await s.until("saved")
        assert saved["state"] == "interrupted"
        heard = s.saved[0][1]
        assert heard and long_reply.startswith(heard) and heard != long_reply
        assert [m.content for m in s.it.chat.messages()][1] == f"{heard}{INTERRUPTED}"
        await s.until("saved", 2)
        assert s.saved[1][0] == "no stop that please"
        assert s.llm.prompts[-1][2].content.endswith(INTERRUPTED)


def test_a_reply_that_nobody_heard_is_not_remembered_as_a_dash():
    exchange = Exchange("tell me about tea", reply="", interrupted_s=0.0)
    assert [(m.role, m.content) for m in exchange.messages()] == [("user", "tell me about tea")]


async def test_listening_noises_and_clicks_do_not_interrupt(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(40)) + "."
        await s.hear(1.0)
        await s.until("latency")
        for words, seconds in (("mhm", 0.4), ("", 0.1), ("yeah", 0.4), ("You", 0.3)):
            s.stt.words = words
            before = len(s.kinds("duck"))
            await s.hear(seconds)
            await s.silence(0.6)
            ducks = [m["on"] for m in s.messages if m["t"] == "duck"][before:]
            assert ducks == [True, False], words
        assert s.kinds("flush") == []


async def test_each_decision_is_kept_with_its_rule_and_without_words(live, monkeypatch):
    monkeypatch.setattr("avatar.conversation.CONTINUE_S", 0.3)
    async with live(patience_ms=600) as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        s.smart_turn.value = 0.01
        await s.hear(1.0)
        await s.until("latency")
        await s.silence(SPEED * 0.5)  # of real time: past the window in which it would be a continuation
        s.smart_turn.value, s.stt.words = 0.99, "yeah"
        await s.hear(0.4)
        await s.silence(0.6)
        s.stt.words, s.llm.text = "no stop that please", "Fine."
        await s.hear(0.8)
        await s.until("saved", 2)
        reasons = [reason for _, reason in s.it.reasons()]
        assert [(r.what, r.why) for r in reversed(reasons) if r.what != "wait"] == [
            ("patience", "question"),
            ("kept", "listening noise"),
            ("interrupt", "stop word"),
            ("answer", "closed"),
        ]
        assert reasons[0].probability == 0.99 and reasons[0].needed == 0.5 and reasons[0].ms >= 128
        ages = [age for age, _ in s.it.reasons()]
        assert ages == sorted(ages) and 0 <= ages[0] < ages[-1]
        for _ in range(50):
            s.it.on_reason(reasons[0])
        assert len(s.it.reasons()) == 20


async def test_the_wish_how_easily_it_is_interrupted_counts_at_once(live):
    async with live(bargein="careful") as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        s.stt.words = "what about"
        await s.hear(0.3)
        await s.silence(0.4)
        assert s.kinds("flush") == [] and s.it.reasons()[0][1].why == "short"
        s.it.prefer(Preferences(bargein="quick"))
        await s.hear(0.3)
        await s.until("flush")


async def test_the_last_words_are_answered_again_and_the_old_reply_is_forgotten(live):
    async with live() as s:
        with pytest.raises(NotFound):
            s.it.again()
        await s.hear(1.0)
        await s.until("turn")
        with pytest.raises(NotFound):  # it is still being answered
            s.it.again()
        await s.until("saved")
        old, s.llm.text = s.llm.text, "Another answer."
        s.it.again()
        await s.until("saved", 2)
        assert [m.content for m in s.it.chat.messages()] == [s.stt.words, "Another answer."]
        assert all(old not in m.content for m in s.llm.prompts[-1])
        assert s.ended[1].instead_of is s.ended[0].exchange and s.ended[1].replaces
        assert s.ended[1].client_turn_id == "again-turn-1"


async def test_a_listening_noise_with_a_break_in_it_leaves_the_page_speaking(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        s.stt.words = "mhm"
        await s.hear(0.3)
        await s.silence(0.1)
        await s.hear(0.3)
        await s.silence(0.6)
        assert [m["state"] for m in s.messages if m["t"] == "state"][-1] == "speaking"


async def test_who_goes_on_after_an_early_reply_is_merged_into_one_turn(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        s.stt.words = "tell me about tea"
        await s.hear(1.0)
        await s.until("latency")
        s.stt.words = "and how long to steep it"
        await s.hear(0.9)
        assert (await s.until("merged"))["turn"] == 1
        await s.until("latency", 2)
        s.it.interrupt()
        await s.until("saved")
        assert [turn[0] for turn in s.saved] == ["tell me about tea and how long to steep it"]
        assert s.saved[0][3] / MIC_RATE > 1.8
        assert [m.content for m in s.llm.prompts[-1]][1:] == ["tell me about tea and how long to steep it"]
        assert len([line for line in s.it.chat.lines() if line.role == "user"]) == 1


async def test_who_goes_on_while_it_thinks_adds_to_the_question(live):
    async with live() as s:
        s.llm.trouble = Trouble(hang_at=0)
        s.stt.words = "tell me about tea"
        await s.hear(1.0)
        await s.until("turn")
        s.llm.trouble.hang_at = None
        s.stt.words = "and coffee"
        await s.hear(0.9)
        s.llm.trouble.hang.set()
        await s.until("saved")
        assert [turn[0] for turn in s.saved] == ["tell me about tea and coffee"]


async def test_typed_text_interrupts_and_is_answered_once(live):
    async with live() as s:
        s.it.say("what is tea?", "id-1")
        s.it.say("what is tea?", "id-1")
        await s.until("saved")
        await s.silence(1.0)
        assert [turn[0] for turn in s.saved] == ["what is tea?"] and s.saved[0][3] == 0


async def test_a_minute_without_a_pause_is_closed_with_a_notice(live):
    async with live() as s:  # five seconds here
        await s.hear(5.5)
        assert (await s.until("notice"))["code"] == "TOO_LONG"
        await s.until("turn")


async def test_held_space_ends_the_turn_on_release_only(live):
    async with live() as s:
        s.it.hold(True)
        await s.hear(0.8)
        await s.silence(2.0)
        assert s.kinds("turn") == []
        s.it.hold(False)
        await s.until("turn")


async def test_muted_nothing_is_heard(live):
    async with live() as s:
        s.it.mute(True)
        await s.hear(1.0)
        await s.silence(1.0)
        s.it.mute(False)
        await s.silence(1.0)
        assert s.kinds("turn", "heard") == []


async def test_a_reply_to_typed_words_is_shown_while_muted_so_that_it_can_be_stopped(live):
    async with live() as s:
        s.it.mute(True)
        s.it.say("what is tea?")
        await s.until("latency")
        await s.until("saved")
        states = [m["state"] for m in s.messages if m["t"] == "state"]
        assert states == ["muted", "thinking", "speaking", "muted"]


async def test_words_whose_reply_was_withdrawn_are_kept_when_the_user_turns_to_typing(live):
    async with live() as s:
        s.llm.trouble = Trouble(hang_at=0)
        s.stt.words = "tell me about tea"
        await s.hear(1.0)
        await s.until("turn")
        s.stt.words = "and"
        await s.hear(0.6)
        await s.until("merged")
        s.llm.trouble.hang.set()
        s.it.say("never mind, what is coffee?")
        await s.until("saved", state="done")
        await s.until("saved", state="interrupted")
        assert sorted((turn[0], turn[2]) for turn in s.saved) == [
            ("never mind, what is coffee?", "done"),
            ("tell me about tea", "interrupted"),
        ]


async def test_half_duplex_hears_nothing_while_speaking(live):
    async with live(half_duplex=True) as s:
        s.llm.text = " ".join(f"word{n}" for n in range(30)) + "."
        await s.hear(1.0)
        await s.until("latency")
        await s.hear(1.0)
        assert s.kinds("duck", "flush") == []


async def test_chinese_without_ears_for_it_is_told_and_not_listened_to(live):
    async with live(language="zh") as s:
        assert (await s.until("notice"))["code"] == "LANGUAGE"
        await s.hear(1.0)
        await s.silence(1.5)
        assert s.kinds("turn") == []


async def test_another_language_gets_no_reply_but_a_sentence(live):
    async with live() as s:
        s.stt.foreign = True
        await s.hear(1.0)
        assert (await s.until("error"))["code"] == "LANGUAGE"
        await s.silence(2.0)
        assert s.audio == {} and s.saved == [] and s.it.chat.lines() == []
        s.stt.foreign = False
        await s.hear(1.0)
        await s.until("saved")
        s.stt.foreign = True  # once understood, not asked again
        await s.hear(1.0)
        await s.until("saved", 2)


@pytest.mark.parametrize("engine", ["stt", "llm", "tts"])
async def test_a_failing_engine_is_told_and_the_next_turn_works(live, engine):
    async with live() as s:
        getattr(s, engine).trouble.fail_on = (1,)
        await s.hear(0.5)
        error = await s.until("error")
        assert error["code"] == "ENGINE_FAILED" and "secret" not in error["text"]
        for slot in s.pool._slots.values():
            slot.retry_at = 0.0
        await s.silence(3.0)
        await s.hear(0.5)
        await s.until("saved", 1, state="done")


async def test_a_full_disk_is_told_and_the_conversation_goes_on(live):
    async with live() as s:
        s.save_error = StorageError("The disk is full, so this turn was not kept.", code="STORAGE_FULL")
        await s.hear(0.8)
        assert (await s.until("error"))["code"] == "STORAGE_FULL"
        s.save_error = None
        await s.hear(0.8)
        await s.until("saved")
        assert len(s.llm.prompts[-1]) == 4  # the turn that was not kept is still remembered


async def test_closing_in_the_middle_of_a_reply_stores_what_was_heard(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        await s.silence(SPEED * 0.5)
        await s.it.close()
        assert s.saved[0][2] == "interrupted" and 0 < len(s.saved[0][1]) < len(s.llm.text)
        await s.page
        s.page = asyncio.create_task(asyncio.sleep(0))


async def test_a_new_conversation_leaves_the_running_turn_in_the_old_one(live):
    async with live() as s:
        s.llm.text = " ".join(f"word{n}" for n in range(60)) + "."
        await s.hear(1.0)
        await s.until("latency")
        old = s.it.chat
        s.it.begin_again()
        await s.until("saved", state="interrupted")
        assert s.chats == [old] and s.it.chat is not old and s.it.chat.lines() == []


async def test_a_page_that_reads_nothing_is_hung_up_on(live, monkeypatch):
    monkeypatch.setattr("avatar.outbox.MOST", 10)
    async with live() as s:
        s.page.cancel()
        for _ in range(30):
            s.it.post("seats", n=1, of=5)
        assert s.it.outbox.qsize() == 11
        while (message := s.it.outbox.get_nowait()) is not None:
            assert message["t"] == "seats"
        s.page = asyncio.create_task(asyncio.sleep(0))


async def test_a_bug_in_a_turn_is_told_and_the_conversation_goes_on(live, monkeypatch):
    async with live() as s:

        def broken(*_: object) -> float:
            raise ZeroDivisionError

        monkeypatch.setattr("avatar.reply.Reply.timings_ms", broken)
        await s.hear(0.8)
        assert (await s.until("error"))["code"] == "BUG"
        monkeypatch.undo()
        await s.silence(1.0)
        s.stt.words = "and what now, my friend?"
        await s.hear(0.8)
        await s.until("saved", state="done")


async def test_the_speaking_rate_counts_from_the_next_reply_on(live):
    async with live() as s:
        for count, rate in enumerate((100, 130), 1):
            s.it.prefer(Preferences(rate_pct=rate))
            s.it.say("hello")
            await s.until("saved", count)
        assert [voice.rate for voice in dict.fromkeys(s.tts.voices)] == [1.0, 1.3]


async def test_the_model_is_told_in_which_language_the_user_chose_to_be_answered(live):
    async with live() as s:
        for count, (language, told) in enumerate((("auto", False), ("en", True), ("auto", False)), 1):
            s.it.prefer(Preferences(language=language))
            s.it.say("hello")
            await s.until("saved", count)
            assert s.llm.prompts[-1][0].content.endswith("Answer in English.") is told
            await s.silence(0.1)
            assert s.llm.read[-1][0] == s.llm.prompts[-1][0]  # what it reads ahead begins with the same words
        s.it.prefer(Preferences(language="en"))
        s.it.begin_again()
        s.it.say("hello")
        await s.until("saved", 4)
        assert s.llm.prompts[-1][0].content.endswith("Answer in English.")
