"""Words compared: the word error rate, and whether an utterance contains what was said."""

from difflib import SequenceMatcher

from avatar.wording import edits as edits
from avatar.wording import normalised as normalised


def word_error_rate(pairs: list[tuple[str, str]]) -> float:
    """Of (said, heard): all edits over all words said. 0.0 for nothing said."""
    sets = [(normalised(said), normalised(heard)) for said, heard in pairs]
    words = sum(len(said) for said, _ in sets)
    return sum(edits(said, heard) for said, heard in sets) / words if words else 0.0


def contains(heard: str, said: str) -> bool:
    """Whether at least half of the words said stand in what was heard, in order: recognisers mangle the rest."""
    words, all_heard = normalised(said), normalised(heard)
    blocks = SequenceMatcher(None, words, all_heard, autojunk=False).get_matching_blocks()
    return 2 * sum(block.size for block in blocks) >= len(words)
