"""Text on its way to the voice and out of the ears: clauses, what may be read aloud, languages, words.

Pure functions; knows no engine.
"""

from avatar.text.clauses import MAX_CHARS, ClauseSplitter
from avatar.text.markup import speakable, visible
from avatar.text.scripts import UNSPACED, language_of, voice_language
from avatar.text.words import agreed, count_words, joined

__all__ = (
    "MAX_CHARS",
    "UNSPACED",
    "ClauseSplitter",
    "agreed",
    "count_words",
    "joined",
    "language_of",
    "speakable",
    "visible",
    "voice_language",
)
