"""What of a conversation a language model reads: as much as fits, by an estimate of tokens. Pure."""

from collections.abc import Sequence

from avatar.engines.base import Message

QUESTION_TOKENS = 160  # are left for the question itself, however much a persona takes of the budget


def fitted(
    messages: Sequence[Message], budget: int, examples: Sequence[Message] = (), most: int = 0
) -> Sequence[Message]:
    """Fit `messages` into `budget` tokens: the system messages, then `examples`, then as much of the end as fits; where
    a persona leaves too little for the question, into `most`. With `examples`, which only the smallest model needs,
    exchanges that repeat an answer are left out.

    Old messages go in blocks, down to half the budget, decided by replaying the history: the same history gives the
    same start, so the cached prefix stays valid for many turns instead of moving with each.
    """
    system = [message for message in messages if message.role == "system"]
    fixed = [*system, *examples]
    taken = sum(map(tokens, fixed))
    budget = max(budget - taken, min(QUESTION_TOKENS, max(budget, most) - taken))
    window: list[Message] = []
    used = 0
    talk = [message for message in messages if message.role != "system"]
    for message in without_echoes(talk) if examples else talk:
        window.append(message)
        used += tokens(message)
        if used > budget:
            while len(window) > 1 and (used > budget // 2 or window[0].role == "assistant"):
                used -= tokens(window.pop(0))
    while window and tokens(window[-1]) > max(budget // 2, 16):  # one endless message: its end asks
        last = window.pop()
        window.append(Message(last.role, last.content[len(last.content) // 2 :]))
    return [*fixed, *window]


def without_echoes(talk: Sequence[Message]) -> list[Message]:
    """`talk` without the exchanges in which an earlier answer came again: a small model that has read the same words of
    its own twice says them to everything ("Oh, no." to seven questions of fourteen, once)."""
    kept: list[Message] = []
    said = set[str]()
    for message in talk:
        if message.role == "assistant":
            words = message.content.strip().lower()
            if words in said and kept and kept[-1].role == "user":
                kept.pop()
                continue
            said.add(words)
        kept.append(message)
    return kept


def tokens(message: Message) -> int:
    """An upper estimate: the tokenizer is out of reach. Letters in words are 3 and more to a token in English, a
    digit or sign may be one each, other scripts up to one per byte; 8 for the template around a message.
    """
    plain = sum(1 for char in message.content if char.isascii() and (char.isalpha() or char == " "))
    rest = len("".join(c for c in message.content if not (c.isascii() and (c.isalpha() or c == " "))).encode())
    return 8 + plain // 3 + rest
