"""Fakes of the engines that can fail, stall and be slow."""

import threading
from collections.abc import AsyncIterator, Generator, Sequence
from dataclasses import dataclass, field

import numpy as np

from avatar.engines.base import Message, Voice
from avatar.engines.catalog import Rung
from avatar.events import AudioChunk, Event, Samples, Transcript


@dataclass
class Trouble:
    """What goes wrong: raise on call number `fail_on`, or wait for `hang` before the item number `hang_at`."""

    fail_on: tuple[int, ...] = ()
    hang_at: int | None = None
    hang: threading.Event = field(default_factory=threading.Event)
    calls: int = 0
    closed: int = 0

    def start(self) -> None:
        self.calls += 1
        if self.calls in self.fail_on:
            raise RuntimeError("secret words of the user")

    def item(self, number: int) -> None:
        if number == self.hang_at:
            self.hang.wait(10)


def freed() -> None:
    """Blocks until the engines that are being freed, each on a thread of its own, are."""
    for thread in threading.enumerate():
        if thread.name == "free":
            thread.join(5)


class FakeSTT:
    def __init__(self, words: str = "hello there", trouble: Trouble | None = None) -> None:
        self.words, self.trouble, self.foreign = words, trouble or Trouble(), False

    def transcribe(self, samples: Samples, language: str | None) -> Generator[Transcript, None, None]:
        self.trouble.start()
        self.trouble.item(0)
        yield Transcript(self.words.split(" ")[0], final=False, language="en")
        yield Transcript(self.words, final=True, language="en")

    def plausible(self, samples: Samples, text: str) -> bool:
        return not self.foreign

    def close(self) -> None:
        self.trouble.closed += 1


class FakeLLM:
    def __init__(
        self, reply: str = "I am well today. How are you feeling now?", trouble: Trouble | None = None
    ) -> None:
        self.text, self.trouble, self.prompts = reply, trouble or Trouble(), list[Sequence[Message]]()
        self.read = list[Sequence[Message]]()

    def reply(self, messages: Sequence[Message], seat: int) -> Generator[str, None, None]:
        self.prompts.append(messages)
        self.trouble.start()
        for number, word in enumerate(self.text.split(" ")):
            self.trouble.item(number)
            yield word if number == 0 else f" {word}"

    def prefill(self, messages: Sequence[Message], seat: int) -> None:
        self.read.append(messages)

    def close(self) -> None:
        self.trouble.closed += 1


class FakeTTS:
    """10 ms of a tone per character: the length of the audio says which text was spoken."""

    def __init__(self, trouble: Trouble | None = None, rate: int = 24_000) -> None:
        self.trouble, self.rate, self.said = trouble or Trouble(), rate, list[str]()
        self.languages = set[str | None]()
        self.voices, self.forgotten = list[Voice](), list[str]()

    def speak(self, text: str, voice: Voice, language: str | None) -> Generator[AudioChunk, None, None]:
        self.trouble.start()
        self.voices.append(voice)
        self.said.append(text)
        self.languages.add(language)
        for number in range(len(text)):
            self.trouble.item(number)
            yield AudioChunk(np.full(self.rate // 100, 0.1, np.float32), self.rate)

    def forget(self, profile_id: str) -> None:
        self.forgotten.append(profile_id)

    def close(self) -> None:
        self.trouble.closed += 1


def rung(name: str, stage: str, **more: object) -> Rung:
    languages = ("*",) if stage == "tts" else ("en",)
    fields = {"label": name.title(), "module": "none", "package": "json", "languages": languages, "licence": "MIT"}
    return Rung(name=name, stage=stage, memory_mib=1, **{**fields, **more})  # type: ignore[arg-type]


class Clock:
    """Moves only when a test moves it."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def collect(turn: AsyncIterator[Event]) -> list[Event]:
    """All events of a turn that is heard to its end."""
    return [event async for event in turn]
