"""What of a conversation a model reads: within its budget, with a start that stays the same."""

from collections.abc import Iterator

import pytest

from avatar.engines import llamacpp
from avatar.engines.base import Message
from avatar.engines.llamacpp import EXAMPLES
from avatar.engines.prompt import fitted, tokens

BUDGET = llamacpp.PROMPT_TOKENS


def turns(count: int) -> Iterator[Message]:
    yield Message("system", "Be brief.")
    for number in range(count):
        yield Message("user", f"question {'x' * 60} {number}")
        yield Message("assistant", f"answer {'y' * 60} {number}")


def test_a_long_persona_leaves_room_for_the_question() -> None:
    persona = Message("system", f"{llamacpp.SYSTEM_PROMPT}\n{'茶' * 400}")
    question = Message("user", "What do you think about the tea that I had this morning?")
    past = [Message("assistant" if n % 2 else "user", f"{n} is a number that was said.") for n in range(40)]
    prompt = fitted([persona, *past, question], llamacpp.DEMO_TOKENS, EXAMPLES, BUDGET)
    assert prompt[0] == persona and prompt[-1] == question
    assert sum(map(tokens, prompt)) <= BUDGET


def test_old_turns_go_in_blocks_so_that_the_cached_prefix_survives() -> None:
    history = list(turns(60))
    starts = []
    for count in range(2, len(history) + 1, 2):
        prompt = fitted(history[:count], 800, EXAMPLES)
        assert sum(map(tokens, prompt)) <= 800
        assert prompt[0].role == "system" and prompt[-1] == history[count - 1]
        assert tuple(prompt[1 : 1 + len(EXAMPLES)]) == EXAMPLES
        starts.append(prompt[1 + len(EXAMPLES)].content)
        assert prompt[1 + len(EXAMPLES)].role == "user"
    moves = sum(one != two for one, two in zip(starts, starts[1:], strict=False))
    assert 2 <= moves <= len(starts) / 4


def test_the_smallest_model_does_not_read_the_same_answer_of_its_own_twice() -> None:
    lines = ("Hi", "Oh, no.", "Who?", "oh, no. ", "Why?", "Because.", "Really?")
    talk = [Message("assistant" if number % 2 else "user", line) for number, line in enumerate(lines)]
    kept = [message.content for message in fitted(talk, BUDGET, EXAMPLES)[len(EXAMPLES) :]]
    assert kept == ["Hi", "Oh, no.", "Why?", "Because.", "Really?"]
    assert list(fitted(talk, BUDGET)) == talk  # a larger one may say yes to two questions
    opening = [Message("assistant", "Hi."), Message("assistant", "Hi."), Message("user", "Hi")]
    assert list(fitted(opening, BUDGET, EXAMPLES)[len(EXAMPLES) :]) == opening  # no question goes that was not answered


@pytest.mark.parametrize("text", ["word " * 20_000, "你好" * 20_000, "7" * 20_000])
def test_one_endless_message_keeps_its_end(text: str) -> None:
    prompt = fitted([Message("system", "Be brief."), Message("user", text + "?")], BUDGET)
    assert sum(map(tokens, prompt)) <= BUDGET
    assert len(prompt) == 2 and prompt[1].content.endswith("?")
