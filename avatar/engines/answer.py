"""What of a model's text is its answer, to be spoken: without its thoughts, of a length to listen to.

Pure functions of text, independent of how it is cut into chunks; knows no engine.
"""

from collections.abc import Iterable, Iterator
from typing import Final

OPEN: Final = "<think>"
CLOSE: Final = "</think>"
ENOUGH = 140  # an answer this long ends with its sentence: it is listened to, not read
MOST = 340  # about 22 s of speech at 165 words per minute: here it ends anywhere
ENDS: Final = (".", "!", "?")
CLOSING: Final = "\"'”’」』）)"  # behind the end of a sentence it belongs to it
OPENING = 2  # words by which a sentence is known again
WIDE = 3  # a hanzi, kana or hangul syllable (from U+3000 on) takes as long to say as so many letters


class Thoughts:
    """Drops what reasoning models write between <think> and </think>. Not thread-safe."""

    def __init__(self, inside: bool = False) -> None:
        self._inside, self._held = inside, ""
        self.unopened = False  # a thought was closed that had not been opened: the template opens it in the prompt

    def push(self, delta: str) -> str:
        """Take the next piece; returns what is certainly no thought."""
        self._held += delta
        spoken = ""
        while (found := self._next_tag()) is not None:
            at, tag = found
            spoken += "" if self._inside else self._held[:at]
            self.unopened |= tag == CLOSE and not self._inside
            self._inside, self._held = tag == OPEN, self._held[at + len(tag) :]
        keep = max(_begun(self._held, tag) for tag in self._tags())
        certain, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return spoken if self._inside else spoken + certain

    def flush(self) -> str:
        """The text is complete: returns what was held back as the possible beginning of a tag."""
        held, self._held = self._held, ""
        return "" if self._inside else held

    def _tags(self) -> tuple[str, ...]:
        return (CLOSE,) if self._inside else (OPEN, CLOSE)

    def _next_tag(self) -> tuple[int, str] | None:
        return min(((at, tag) for tag in self._tags() if (at := self._held.find(tag)) >= 0), default=None)


def _begun(text: str, tag: str) -> int:
    """How many characters at the end of `text` may be the beginning of `tag`."""
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if text.endswith(tag[:n])), 0)


class Clip:
    """Ends an answer: with the sentence or line in which it becomes longer than `ENOUGH`, at `MOST` in any case."""

    def __init__(self) -> None:
        self._length, self._last = 0, ""
        self.full = False

    def push(self, text: str) -> str:
        """Take the next piece; returns what of it is spoken. When `full`, nothing more is."""
        text = text if self._length else text.lstrip()
        for at, char in enumerate(text):
            ended = char == "\n" or (char.isspace() and self._last in ".!?") or self._last in "。！？"
            ended = ended and char not in CLOSING
            self.full = self.full or self._length >= MOST or (self._length > ENOUGH and ended)
            if self.full:
                return text[:at]
            self._length += WIDE if char >= "\u3000" else 1
            self._last = self._last if char in CLOSING else char
        return text


class Openings:
    """Ends an answer before a sentence that begins with the two words of an earlier one: so a small model goes in
    circles ("I'm glad you're here. I'm glad ..."). The first sentence passes as it comes; of a later one
    its first words are held. Not thread-safe."""

    def __init__(self) -> None:
        self._seen = set[tuple[str, ...]]()
        self._sentence, self._held = "", ""
        self._first = self._passed = True
        self.again = False

    def push(self, text: str) -> str:
        """Take the next piece; returns what of it is spoken. After `again`, nothing more is."""
        spoken = ""
        for char in text:
            if char.isspace() and self._sentence[-1:] in ENDS:
                spoken += self._judged()
                self._sentence, self._first, self._passed = "", False, False
            if self.again:
                break
            self._sentence += char
            self._held += char
            if self._first or self._passed:
                spoken, self._held = spoken + self._held, ""
            elif len(self._sentence.split()) > OPENING:
                spoken += self._judged()
        return spoken

    def flush(self) -> str:
        """The answer is complete: returns what was held."""
        return self._judged()

    def _judged(self) -> str:
        if self._first or not self._passed:
            words = tuple(word.strip(",.!?") for word in self._sentence.lower().split()[:OPENING])
            self.again = bool(words) and words in self._seen
            self._seen.add(words)
            self._passed = True
        held, self._held = "" if self.again else self._held, ""
        return held


def without_circles(pieces: Iterable[str]) -> Iterator[str]:
    """An answer piece by piece, as far as `Openings` lets it go on."""
    openings = Openings()
    for piece in pieces:
        if spoken := openings.push(piece):
            yield spoken
        if openings.again:
            return
    if held := openings.flush():
        yield held
