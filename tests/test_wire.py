import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatar.turntaking.bargein import SENSITIVITIES
from avatar.wire import (
    MAX_TEXT,
    Alive,
    Bye,
    Hello,
    Hold,
    Interrupt,
    Mute,
    New,
    Played,
    Preferences,
    Say,
    WireError,
    audio_frame,
    parse,
)

KINDS = ["hello", "settings", "say", "interrupt", "mute", "hold", "played", "new", "alive", "bye"]
HELLO = ["token", "conversation", "patience_ms", "language", "half_duplex", "bargein"]
NAMES = [*HELLO, "t", "text", "client_turn_id", "on", "turn", "samples"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ('{"t": "hello", "token": "x"}', Hello("x")),
        (
            '{"t": "hello", "token": "x", "conversation": "c", "patience_ms": 300,'
            ' "language": "zh", "half_duplex": true, "bargein": "quick"}',
            Hello("x", "c", 300, "zh", True, "quick"),
        ),
        ('{"t": "settings", "patience_ms": 2500}', Preferences(2500)),
        ('{"t": "say", "text": "你好", "client_turn_id": "7"}', Say("你好", "7")),
        ('{"t": "interrupt"}', Interrupt()),
        ('{"t": "mute", "on": true}', Mute(True)),
        ('{"t": "hold", "on": false}', Hold(False)),
        ('{"t": "played", "turn": 4294967295, "samples": 0}', Played(2**32 - 1, 0)),
        ('{"t": "new"}', New()),
        ('{"t": "alive"}', Alive()),
        ('{"t": "bye"}', Bye()),
    ],
)
def test_every_message_is_understood(raw: str, message: object) -> None:
    assert parse(raw) == message


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 60_000, "not JSON"),
        ("[" * 100_000, "too long"),
        ('{"t": "played", "turn": ' + "9" * 5000 + ', "samples": 0}', "not JSON"),  # CPython refuses such integers
        ("[]", "does not know"),
        ("null", "does not know"),
        ('{"text": "hi"}', "does not know"),
        ('{"t": "shout"}', "does not know"),
        ('{"t": ["say"]}', "does not know"),
        ('{"t": "say"}', "left out"),
        ('{"t": "say", "text": "hi", "owner": "ann"}', "unknown fields: owner"),
        ('{"t": "alive", "\\ud800": 1}', r"unknown fields: \?\."),  # what is told must be text
        ('{"t": "say", "text": 5}', "wrong type"),
        ('{"t": "say", "text": null}', "wrong type"),
        ('{"t": "mute", "on": 1}', "wrong type"),
        ('{"t": "played", "turn": true, "samples": 0}', "wrong type"),
        ('{"t": "played", "turn": 1.0, "samples": 0}', "wrong type"),
        ('{"t": "played", "turn": NaN, "samples": 0}', "wrong type"),
        ('{"t": "played", "turn": -1, "samples": 0}', "out of range"),
        ('{"t": "played", "turn": 4294967296, "samples": 0}', "out of range"),
        ('{"t": "settings", "patience_ms": 299}', "out of range"),
        ('{"t": "settings", "language": "fr"}', "one of: auto, en, zh"),
        ('{"t": "settings", "bargein": "never"}', "one of: careful, normal, quick"),
        (json.dumps({"t": "say", "text": "x" * (MAX_TEXT + 1)}), "too long"),
        (json.dumps({"t": "hello", "token": "x" * 129}), "too long"),
        ('{"t": "say", "text": "\\ud800"}', "not text"),  # half a character: the database refuses it
        ('{"t": "hello", "token": "x", "conversation": "\\udfff"}', "not text"),
    ],
)
def test_anything_else_is_refused_in_words(raw: str, words: str) -> None:
    with pytest.raises(WireError, match=words) as refused:
        parse(raw)
    assert refused.value.code == "BAD_MESSAGE"


def test_every_wish_of_the_page_is_one_that_the_rules_know() -> None:
    for wish in SENSITIVITIES:
        assert parse(json.dumps({"t": "settings", "bargein": wish})) == Preferences(bargein=wish)


def understood_or_refused(raw: str) -> None:
    try:
        message = parse(raw)
    except WireError as error:
        assert error.sentence
        return
    for name in getattr(message, "__slots__", ()):
        value = getattr(message, name)
        assert type(value) in (str, int, bool)
        if isinstance(value, str):
            value.encode()


@given(st.text(st.characters(exclude_categories=[])))
def test_no_text_breaks_the_parser(raw: str) -> None:
    understood_or_refused(raw)


@given(JSON)
def test_no_json_breaks_the_parser(value: Any) -> None:
    understood_or_refused(json.dumps(value))


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(NAMES), JSON))
def test_no_field_breaks_the_parser(kind: str, values: dict[str, Any]) -> None:
    understood_or_refused(json.dumps({**values, "t": kind}))


@given(st.integers(0, 2**32 - 1), st.binary())
def test_an_audio_frame_is_the_turn_and_the_samples(turn: int, pcm16: bytes) -> None:
    frame = audio_frame(turn, pcm16)
    assert struct.unpack_from("<I", frame) == (turn,) and frame[4:] == pcm16
