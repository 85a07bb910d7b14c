"""The WebSocket's messages. Knows their shape, not what is done with them.

Binary frames: page -> server, microphone PCM (int16, mono, 16 kHz, normally 20 ms); server -> page, uint32 turn number
(little endian) and reply PCM (int16, mono, 24 kHz). Text frames are JSON objects with a "t":

page -> server, parsed by `parse` into the classes below
  hello     first frame: the single-use token, the conversation to reopen, the page's settings, and of a page that
            comes back by itself `live`, the session that it had
  settings  the page's settings changed
  say       typed text as a turn; client_turn_id makes a resend harmless
  interrupt the reply on its way is not wanted any more
  mute      {on}: microphone frames are ignored while on
  hold      {on}: Space held; the turn ends when it is released and not before
  played    {turn, samples}: samples of that turn that have left the page's player so far
  new       begin a new conversation
  alive     a sign of life each 0.5 s; a page that has given one and then sends nothing for 1.5 s is gone
  bye       the user pressed End

server -> page
  ready     {live, conversation, n, of}: the seat is yours; `live` names this session in Gradio events
  state     {state: listening | pausing | thinking | speaking | muted, patience_ms}
  heard     {final, partial}: words of the utterance so far
  turn      {turn}: a reply begins; audio frames of lower turns are stale from now on
  clause    {turn, text, at}: the audio from sample `at` of this turn says `text`
  latency   {turn, eot, stt, llm, tts, engines, sure, wasted}: ms of each part up to the first audio; wasted: tokens so
            far of answers that were begun in pauses after which the user went on
  duck      {on}: lower the reply while we find out whether the user is speaking
  flush     {turn}: stop playing at once; frames up to and including this turn are stale
  end       {turn, samples}: all audio of this turn has been sent
  saved     {turn, id, state, conversation}: the turn is on disk
  take      an HQ take of an earlier reply is there to be played
  merged    {turn}: this reply came too early and is withdrawn; its words go on in the next turn
  alive     the answer to alive
  seats     {n, of}      idle {left_s}      notice {code, text}
  error     {code, text}: what went wrong with this turn; before a close, why it closes
"""

import json
import re
import struct
from dataclasses import dataclass, fields
from typing import Any

from avatar.errors import AvatarError

RATE_PCT = (60, 160)  # how fast a reply is spoken, of the voice's own pace
MIC_RATE, REPLY_RATE = 16_000, 24_000  # Hz
MAX_TEXT = 4_000  # characters of typed text; ten minutes of speech would be about 9,000
MAX_MESSAGE = 1 << 16  # characters of a text frame; MAX_TEXT characters escaped as \uXXXX pairs take 48,000
MAX_MIC_BYTES = 2 * MIC_RATE  # one second: a page that was suspended may send a burst, never more


class WireError(AvatarError):
    code = "BAD_MESSAGE"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The page's settings; also what `hello` brings of them."""

    patience_ms: int = 1300
    language: str = "auto"
    half_duplex: bool = False
    bargein: str = "normal"  # how little of a voice over a reply interrupts it: turntaking.bargein.SENSITIVITIES
    rate_pct: int = 100


@dataclass(frozen=True, slots=True)
class Hello:
    token: str
    conversation: str = ""
    patience_ms: int = 1300
    language: str = "auto"
    half_duplex: bool = False
    bargein: str = "normal"
    rate_pct: int = 100
    live: str = ""

    @property
    def preferences(self) -> Preferences:
        return Preferences(self.patience_ms, self.language, self.half_duplex, self.bargein, self.rate_pct)


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    client_turn_id: str = ""


@dataclass(frozen=True, slots=True)
class Interrupt: ...


@dataclass(frozen=True, slots=True)
class Mute:
    on: bool


@dataclass(frozen=True, slots=True)
class Hold:
    on: bool


@dataclass(frozen=True, slots=True)
class Played:
    turn: int
    samples: int


@dataclass(frozen=True, slots=True)
class New: ...


@dataclass(frozen=True, slots=True)
class Alive: ...


@dataclass(frozen=True, slots=True)
class Bye: ...


ClientMessage = Hello | Preferences | Say | Interrupt | Mute | Hold | Played | New | Alive | Bye
_KINDS: dict[str, type[ClientMessage]] = {
    "hello": Hello,
    "settings": Preferences,
    "say": Say,
    "interrupt": Interrupt,
    "mute": Mute,
    "hold": Hold,
    "played": Played,
    "new": New,
    "alive": Alive,
    "bye": Bye,
}
_LIMITS = {"patience_ms": (300, 2500), "rate_pct": RATE_PCT, "turn": (0, 2**32 - 1), "samples": (0, REPLY_RATE * 3600)}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can carry half a character; no database or engine takes one
_CHOICES = {"language": ("auto", "en", "zh"), "bargein": ("careful", "normal", "quick")}
_LENGTHS = {"token": 128, "conversation": 64, "live": 64, "text": MAX_TEXT, "client_turn_id": 64}


def parse(raw: str) -> ClientMessage:
    """Read one text frame of the page. Raises WireError on anything that is not exactly one of the messages above."""
    if len(raw) > MAX_MESSAGE:
        raise WireError("The page sent a message that is too long. Reload it.")
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError) as exc:
        raise WireError("The page sent something that is not JSON. Reload it.") from exc
    if not isinstance(data, dict) or (kind := _KINDS.get(str(data.pop("t", "")))) is None:
        raise WireError("The page sent a message this version does not know. Reload it.")
    known = {f.name: f for f in fields(kind)}
    if unknown := data.keys() - known.keys():
        names = ", ".join(sorted(unknown))[:80].encode(errors="replace").decode()  # they are told, and must be text
        raise WireError(f"The page sent unknown fields: {names}. Reload it.")
    for name, value in data.items():
        _check(name, value, str(known[name].type))
    try:
        return kind(**data)
    except TypeError as exc:
        raise WireError("The page left out a field of a message. Reload it.") from exc


def _check(name: str, value: Any, kind: str) -> None:
    expected: Any = {"str": str, "int": int, "bool": bool}[kind.removeprefix("<class '").removesuffix("'>")]
    if type(value) is not expected:  # exactly: True is an int to isinstance
        raise WireError(f"The page sent {name} as the wrong type. Reload it.")
    if isinstance(value, str) and _LONE_SURROGATE.search(value):
        raise WireError(f"The page sent {name} as something that is not text. Reload it.")
    if name in _LIMITS and not _LIMITS[name][0] <= value <= _LIMITS[name][1]:
        raise WireError(f"The page sent {name} out of range. Reload it.")
    if name in _LENGTHS and len(value) > _LENGTHS[name]:
        raise WireError(f"This {name} is too long: at most {_LENGTHS[name]} characters.")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise WireError(f"The page asked for a {name} that is not one of: {', '.join(_CHOICES[name])}.")


def audio_frame(turn: int, pcm16: bytes) -> bytes:
    return struct.pack("<I", turn) + pcm16
