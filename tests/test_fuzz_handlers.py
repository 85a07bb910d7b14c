"""What JSON can carry and no page sends, to every handler of the page over HTTP: NaN, infinities, half a character.

Each is answered, or refused in words: an exception of ours ends an event without a sentence.
"""

import asyncio
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from voice_attempts import anns_page

from avatar.assistant import Assistant

HALF, MIXED, LONG = "\ud800", "a \udc00 b", "\ud83d" * 500
NUMBERS = [float("nan"), float("inf"), float("-inf")]
WORDS = [HALF, MIXED, LONG]
FIELDS = ("conversation", "live", "turn", "name", "act", "id", "rating", "text", "kind")
AT_ONCE = 6


def sent(component: Any, number: float, words: str) -> object:
    """Of the type that this input has."""
    kind = type(component).__name__
    if kind in ("Slider", "Number"):
        return number
    if kind in ("Audio", "UploadButton", "File", "State"):
        return None
    if kind in ("Dropdown", "Radio"):  # Gradio refuses what is not among their choices
        return component.choices[0][1] if component.choices else None
    if kind == "HTML":
        return {"conversation": words[:64], "live": words[:64]}
    return True if kind == "Checkbox" else words


async def told(http: httpx.AsyncClient, handler: int, data: list[object], event: object, session: str) -> str:
    """How one call ended: "" when it was answered, or refused with a sentence."""
    body = {"data": data, "fn_index": handler, "session_hash": session, "event_data": event, "trigger_id": None}
    headers = {"x-owner": "bob", "content-type": "application/json"}
    joined = await http.post("/gradio_api/queue/join", content=json.dumps(body), headers=headers)
    if joined.status_code != 200:
        return "" if joined.status_code in (400, 422) else joined.text
    async with http.stream("GET", f"/gradio_api/queue/data?session_hash={session}", headers=headers) as stream:
        async for line in stream.aiter_lines():
            message = json.loads(line[5:]) if line.startswith("data:") else {"msg": ""}
            if message["msg"] == "process_completed":
                refused = not message["success"] and not message["output"].get("error")
                return "no sentence" if refused else ""
            if message["msg"] == "unexpected_error":
                return str(message["message"])
    return "cut off"


async def fuzzed(address: str, blocks: Any) -> list[str]:
    """The calls that met a bug."""
    calls = [(n, name, b) for n, b in blocks.fns.items() if (name := getattr(b.fn, "__qualname__", "?")) and b.fn]
    some, met = asyncio.Semaphore(AT_ONCE), list[str]()

    async def one(http: httpx.AsyncClient, handler: int, name: str, block: Any, number: float, words: str) -> None:
        for odd in (number, words) if block.collects_event_data else (number,):  # others see nothing of the event
            data = [sent(component, number, words) for component in block.inputs]
            async with some:
                if end := await told(http, handler, data, dict.fromkeys(FIELDS, odd), uuid.uuid4().hex):
                    met.append(f"{name} {odd!r}: {end}")

    async with httpx.AsyncClient(base_url=address, timeout=60) as http:
        pairs = list(zip(NUMBERS, WORDS, strict=True))
        await asyncio.gather(*(one(http, *call, number, words) for call in calls for number, words in pairs))
    return met


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*no_silent_downcasting")  # both in Gradio
@pytest.mark.filterwarnings("ignore:The copy keyword is deprecated")
async def test_no_number_or_half_a_character_breaks_a_handler(
    tmp_path: Path, make_pool: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with anns_page(tmp_path, make_pool, monkeypatch) as (address, assistant, blocks):
        assert sorted(set(await fuzzed(address, blocks))) == []
        await unharmed(assistant)


async def unharmed(assistant: Assistant) -> None:
    """No engine was taken from anybody, no seat is held, and a turn is answered."""
    assert {rung.state for rung in assistant.pool.status()} <= {"ready", "cold"} and assistant.seats.count() == 0
    updates = [update async for update in assistant.answer("ann", "", "hello", "t1", "auto")]
    assert updates[-1].audio is not None
