import pytest
from opencc import OpenCC

from avatar.turntaking import words
from avatar.turntaking.words import HANZI, tokens

LISTS = ["GREETINGS", "COMPLETE", "OPENERS", "OPEN_ZH", "CLOSED_ZH", "BACKCHANNELS", "STOP_PHRASES", "INVENTED"]


@pytest.mark.parametrize("name", LISTS)
def test_what_whisper_writes_in_traditional_characters_is_in_the_lists(name: str) -> None:
    traditional = OpenCC("s2tw").convert  # as engines/whisper.py has it
    listed = [word for word in getattr(words, name) if HANZI.search(word)]
    assert listed and ["".join(tokens(traditional(word))) for word in listed] == listed
