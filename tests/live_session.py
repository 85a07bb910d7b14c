"""A live session with its page over fake engines: real voice activity over a loudness detector.

Its sound comes at 8 times its speed. Replies are in real time; what the page takes to report is shorter.
"""

import asyncio
import threading
import time

import numpy as np
from fakes import FakeLLM, FakeSTT, FakeTTS

from avatar.audio import pcm16
from avatar.chat import Chat
from avatar.conversation import Conversation
from avatar.engines.calls import Timeouts
from avatar.errors import NotFound
from avatar.events import Transcript
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
    """Says the words that the test put there, in the test's language; `growing` are those of its first seconds. It has
    not heard yet what it is asked for while `done` is not set."""

    language = "en"

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.growing: list[tuple[float, str]] = []
        self.takes_s = 0.0
        self.asked: list[str | None] = []
        self.done = threading.Event()
        self.done.set()

    def transcribe(self, samples, language):
        self.trouble.start()
        self.asked.append(language)
        time.sleep(self.takes_s)
        self.done.wait(20)
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
        self.gone: Chat | None = None  # of which nothing can be stored any more
        self.messages: list[dict] = []
        self.audio: dict[int, int] = {}
        self.touched = self.renewals = 0
        pipeline = Pipeline(self.pool, Timeouts(stt=30, llm=30, tts=30))
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
            on_renewed=self.renewed,
        )
        self.it.prefer(Preferences(**preferences))  # type: ignore[arg-type]
        self.page = asyncio.create_task(self.read())
        rng = np.random.default_rng(1)
        self.voice = 0.3 * rng.standard_normal(MIC_RATE * 6).astype(np.float32).clip(-1, 1)

    def touch(self) -> None:
        self.touched += 1

    async def renewed(self, conversation: Conversation) -> None:
        self.renewals += 1

    async def save(self, owner, chat, ended) -> None:
        if self.save_error:
            raise self.save_error
        if chat is self.gone:
            raise NotFound("There is no such conversation.")
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

    async def talk_until(self, kind: str, **fields: object) -> dict:
        """As `until`, while the user goes on talking."""
        for _ in range(200):  # four seconds of sound; five are a whole minute here
            if found := [m for m in self.messages if m["t"] == kind and fields.items() <= m.items()]:
                return found[0]
            await self.hear(FRAME_S)
        raise AssertionError(f"no {kind} {fields} among {[m['t'] for m in self.messages]}")

    def kinds(self, *kinds: str) -> list[str]:
        return [m["t"] for m in self.messages if m["t"] in kinds]
