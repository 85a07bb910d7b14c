import asyncio
from collections.abc import Awaitable, Callable

import numpy as np

from avatar.errors import AvatarError
from avatar.understanding import ENOUGH_SAMPLES, Understanding

SHORT, LONG = np.zeros(16_000, np.float32), np.zeros(ENOUGH_SAMPLES, np.float32)


class Ears:
    """Judges as told, once it is let."""

    def __init__(self, verdict: bool | AvatarError = True) -> None:
        self.verdict, self.asked, self.let = verdict, list[tuple[int, str]](), asyncio.Event()
        self.let.set()

    async def plausible(self, samples: np.ndarray, words: str) -> bool:
        self.asked.append((len(samples), words))
        await self.let.wait()
        if isinstance(self.verdict, AvatarError):
            raise self.verdict
        return self.verdict


def run(case: Callable[[Ears, Understanding], Awaitable[None]], ears: Ears) -> None:
    async def go() -> None:
        await case(ears, Understanding(ears, asyncio.create_task))  # type: ignore[arg-type]

    asyncio.run(go())


def test_three_words_that_were_understood_are_asked_for_once() -> None:
    async def case(ears: Ears, understanding: Understanding) -> None:
        assert await understanding.verdict(SHORT, "hello world")
        assert not understanding.certain
        assert await understanding.verdict(SHORT, "how are you")
        assert understanding.certain
        assert await understanding.verdict(SHORT, "and your dog")
        assert [words for _, words in ears.asked] == ["hello world", "how are you"]

    run(case, Ears())


def test_what_was_asked_with_the_guess_is_the_verdict() -> None:
    async def case(ears: Ears, understanding: Understanding) -> None:
        understanding.ask(SHORT, "how are you")
        await asyncio.sleep(0)
        assert not await understanding.verdict(SHORT, "how are you")
        assert len(ears.asked) == 1 and not understanding.certain

    run(case, Ears(False))


def test_who_goes_on_is_judged_by_all_that_was_said() -> None:
    async def case(ears: Ears, understanding: Understanding) -> None:
        understanding.ask(SHORT, "how are")
        await asyncio.sleep(0)
        understanding.went_on()
        assert await understanding.verdict(LONG, "how are you today")
        assert [words for _, words in ears.asked] == ["how are", "how are you today"]

    run(case, Ears())


def test_eight_seconds_are_judged_while_the_user_speaks() -> None:
    async def case(ears: Ears, understanding: Understanding) -> None:
        understanding.heard(SHORT, "how")
        await asyncio.sleep(0)
        assert not ears.asked
        understanding.heard(LONG, "how are you")
        understanding.heard(LONG, "how are you today")
        understanding.ask(LONG, "how are you today my")
        understanding.went_on()
        assert await understanding.verdict(LONG, "how are you today my friend")
        assert [words for _, words in ears.asked] == ["how are you"]

    run(case, Ears())


def test_what_is_forgotten_is_not_the_verdict_of_the_next_utterance() -> None:
    async def case(ears: Ears, understanding: Understanding) -> None:
        understanding.heard(LONG, "wie geht es dir")
        await asyncio.sleep(0)
        understanding.forget()
        assert await understanding.verdict(SHORT, "how are you")
        assert len(ears.asked) == 2

    run(case, Ears())


def test_ears_that_fail_are_not_the_users_language() -> None:
    async def case(_: Ears, understanding: Understanding) -> None:
        assert await understanding.verdict(SHORT, "how are you")

    run(case, Ears(AvatarError("broken")))
