"""A scripted assistant behind the real page: no engines, and a socket whose server side the test speaks itself."""

import asyncio
import json
import secrets
import socket as socketlib
import struct
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import WebSocket
from fastapi.responses import Response
from gradio import Blocks
from starlette.routing import Route, WebSocketRoute

from avatar.engines.hindrance import Hindrance
from avatar.errors import AvatarError, NotFound, ServerFull
from avatar.events import Notice
from avatar.metrics import Snapshot, Stage, TurnTimes
from avatar.settings import Settings
from avatar.store import Hit, Kept, Score, TurnRow, Wanted
from avatar.turntaking.reasons import Reason
from avatar.ui.page import build, launch_options
from avatar.voice_choice import VoiceChoice
from avatar.voice_routes import voice_routes
from avatar.weights.downloads import Downloads

ID = "0f" * 16


@dataclass(frozen=True)
class Line:
    role: str
    text: str
    turn_id: str | None = None
    number: int = 0
    interrupted_s: float | None = None
    timings_ms: Mapping[str, float] | None = None
    over: bool = True
    hq: bool = False
    rating: int | None = None


@dataclass(frozen=True)
class Step:
    conversation_id: str
    lines: list[Line]
    audio: Any = None
    notice: Notice | None = None


@dataclass(frozen=True)
class Rung:
    stage: str
    name: str
    label: str
    state: str = "ready"
    fraction: float | None = None
    sentence: str = ""
    hindrance: Hindrance | None = None
    again_s: float = 0.0
    serving: bool = False
    languages: tuple[str, ...] = ("en",)
    clones: bool = False
    voices: tuple[str, ...] = ()
    licence: str = "MIT"
    memory_mib: int = 150
    demo: bool = False
    slower: bool = False
    hq: bool = False
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    id: str
    title: str
    created_at: str = "2026-11-20T14:02:00+00:00"
    turns: int = 3
    forked_at: int | None = None
    voices: tuple[str, ...] = ("default",)


MOONSHINE = Rung("stt", "moonshine", "Moonshine tiny", serving=True)
WHISPER = Rung(
    "stt", "whisper", "faster-whisper base", "absent", hindrance=Hindrance("WEIGHTS", "", {
        "name": "faster-whisper base", "weights": "whisper-base", "mb": "145", "first": "whisper-base"}),
    languages=("*",),
)  # fmt: skip
SMOLLM = Rung("llm", "llamacpp", "SmolLM2 135M", serving=True, demo=True, licence="Apache-2.0", memory_mib=400)
BROKEN = Hindrance("FAILED", "Out of memory.", {"name": "faster-whisper base", "code": "ENGINE_FAILED"})
ESPEAK = Rung("tts", "espeak", "eSpeak NG", serving=True, languages=("*",), licence="GPL-3.0", memory_mib=30)
TIMES = {"eot": 212.0, "stt": 96.0, "llm": 58.0, "tts": 96.0}
TEA = [
    Line("user", "How long should I steep oolong tea?", ID, 1),
    Line("assistant", "About three minutes, in water just under boiling.", ID, 1, None, TIMES),
    Line("user", "And a rolled one, like Dong Ding?", ID, 2),
    Line("assistant", "Rolled leaves open slowly, so rinse them first, then", ID, 2, 2.1, TIMES),
]


TURNS = [
    TurnRow(id=f"{n}f" * 16, conversation="a1", number=n, user_text="x", reply_text="y", state=state, created_at="",
            engines={"stt": "moonshine", "tts": "<b>espeak"}, timings_ms=TIMES)
    for n, state in ((1, "done"), (2, "interrupted"))
]  # fmt: skip


@dataclass
class Search:
    """Finds the conversations whose titles hold the words."""

    store: "Store"
    asked: list[tuple[str, Wanted, int]] = field(default_factory=list)

    def find(self, owner: str, wanted: Wanted, limit: int) -> list[Hit]:
        self.asked.append((owner, wanted, limit))
        found = [row for row in self.store.rows if wanted.words in row.title]
        found = [row for row in found if wanted.voice in (None, *row.voices)]
        return [Hit(row.id, "t", 2, f"<i>{row.title}", "reply") for row in found][:limit]

    def voices(self, owner: str) -> list[str]:
        return list(dict.fromkeys(voice for row in self.store.rows for voice in row.voices))


@dataclass
class Keeping:
    store: "Store"

    def all(self, owner: str) -> list[Kept]:
        return [Kept(row.id, row.title, "2026-11-20", row.turns, 10**6) for row in self.store.rows]

    def plan(self, owner: str, days: float, max_bytes: float, now: float, in_use: set[str]) -> list[Kept]:
        return [one for one in self.all(owner) if days and one.id not in in_use]


@dataclass
class Store:
    rows: list[Row] = field(default_factory=list)
    owners: list[str] = field(default_factory=list)
    sayings: "Sayings" = field(default_factory=lambda: Sayings())
    ratings: "Ratings" = field(default_factory=lambda: Ratings())
    personas: dict[tuple[str, str], str] = field(default_factory=dict)
    qualities: dict[tuple[str, str], str] = field(default_factory=dict)
    chosen: dict[str, str] = field(default_factory=dict)  # conversation -> choice of voice

    def voice(self, owner: str, conversation_id: str) -> str:
        return self.chosen.get(conversation_id, "")

    def persona(self, owner: str, conversation_id: str) -> str:
        return self.personas.get((owner, conversation_id), "")

    def quality(self, owner: str, conversation_id: str) -> str:
        return self.qualities.get((owner, conversation_id), "fast")

    def conversations(self, owner: str, limit: int = 50, before: str | None = None) -> list[Row]:
        self.owners.append(owner)
        return self.rows[:limit]

    def conversation(self, owner: str, conversation_id: str) -> Row:
        for row in self.rows:
            if row.id == conversation_id:
                return row
        raise NotFound("There is no such conversation.")

    def __post_init__(self) -> None:
        self.search, self.keeping = Search(self), Keeping(self)

    def delete_conversations(self, owner: str, ids: list[str]) -> int:
        self.rows = [row for row in self.rows if row.id not in ids]
        return len(ids)

    def conversations_of(self, owner: str, ids: list[str]) -> dict[str, Row]:
        return {row.id: row for row in self.rows if row.id in ids}

    def turns(self, owner: str, conversation_id: str, last: int | None = None) -> list[TurnRow]:
        return TURNS[-(last or 0) :]

    def turn(self, owner: str, turn_id: str) -> TurnRow:
        for turn in TURNS:
            if turn.id == turn_id:
                return turn
        raise NotFound("There is no such turn.")

    def rename(self, owner: str, conversation_id: str, title: str) -> None:
        self.rows = [replace(r, title=title) if r.id == conversation_id else r for r in self.rows]

    def delete_conversation(self, owner: str, conversation_id: str) -> None:
        self.conversation(owner, conversation_id)
        self.rows = [r for r in self.rows if r.id != conversation_id]


@dataclass
class Sayings:
    kept: dict[str, str] = field(default_factory=dict)

    def of(self, owner: str) -> dict[str, str]:
        return dict(self.kept)


@dataclass
class Ratings:
    kept: list[Score] = field(default_factory=list)
    trouble: AvatarError | None = None

    def scores(self, owner: str) -> list[Score]:
        if self.trouble:
            raise self.trouble
        return self.kept


@dataclass
class Voices:
    choices: list[VoiceChoice] = field(
        default_factory=lambda: [VoiceChoice(name, name, "Pocket TTS") for name in ("alba", "marius")]
    )

    def of(self, owner: str) -> list[VoiceChoice]:
        return self.choices

    def default_name(self, owner: str) -> str:
        return ""


@dataclass
class Studio:
    """Of the profiles, real or not, that History names."""

    voices: Any


@dataclass
class Seats:
    taken: int = 1

    def count(self) -> int:
        return self.taken

    def check(self, owner: str) -> None:
        if self.taken >= 5:
            raise ServerFull("All 5 seats are taken. A seat frees up when someone ends or closes the page.")


@dataclass
class Metrics:
    parts: dict[str, tuple[float, float]] = field(default_factory=dict)
    totals: list[float] = field(default_factory=list)

    def snapshot(self) -> Snapshot:
        return Snapshot({name: Stage(9, *times) for name, times in self.parts.items()}, {}, {})

    def recent(self, n: int) -> list[TurnTimes]:
        return [TurnTimes(i + 1, {"total": ms}, {}, "done") for i, ms in enumerate(self.totals)][-n:]


@dataclass
class Pool:
    rungs: list[Rung] = field(default_factory=lambda: [WHISPER, MOONSHINE, SMOLLM, ESPEAK])

    retried: list[str] = field(default_factory=list)

    def status(self) -> list[Rung]:
        return self.rungs

    def retry(self, name: str) -> None:
        self.retried.append(name)


class FakeAssistant:
    """What the page needs of the assistant. `live` is the running conversation; `trouble` is raised by every turn."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.pool, self.store, self.seats, self.metrics = Pool(), Store(), Seats(), Metrics()
        self.downloads, self.voices = Downloads(Path("/nowhere")), Voices()
        self.wishes = self  # one fake is enough for both
        self.studio: Any = None
        self.previews: Any = None
        self.live: list[Line] = []
        self.past: list[Line] = TEA
        self.rated_in = "new1"
        self.trouble: AvatarError | None = None
        self.tokens: set[str] = set()
        self.asked: list[tuple[Any, ...]] = []
        self.why: list[tuple[float, Reason]] = []

    async def set_persona(self, owner: str, conversation_id: str, live_id: str, text: str) -> str:
        self.asked.append(("persona", owner, conversation_id, live_id, text))
        if self.trouble:
            raise self.trouble
        self.store.personas[owner, conversation_id] = text
        return conversation_id or "c1"

    async def set_quality(self, owner: str, conversation_id: str, live_id: str, quality: str) -> str:
        self.asked.append(("quality", owner, conversation_id, live_id, quality))
        if self.trouble:
            raise self.trouble
        self.store.qualities[owner, conversation_id or "c1"] = quality
        return conversation_id or "c1"

    async def set_voice(self, owner: str, conversation_id: str, live_id: str, choice: str) -> str:
        self.asked.append(("voice", owner, conversation_id, live_id, choice))
        if self.trouble:
            raise self.trouble
        self.store.chosen[conversation_id or "c1"] = choice
        return conversation_id or "c1"

    def reasons(self, owner: str, live_id: str) -> list[tuple[float, Reason]]:
        if owner != "local" or live_id not in ("L", "live1"):
            raise NotFound("This session has ended.", code="SESSION_ENDED")
        return self.why

    def issue_token(self, owner: str) -> str:
        self.tokens.add(token := secrets.token_urlsafe(8))
        return token

    def say_as(self, owner: str, written: str, spoken: str) -> None:
        self.asked.append(("say_as", owner, written, spoken))
        if self.trouble:
            raise self.trouble
        self.store.sayings.kept[written] = spoken

    def unsay(self, owner: str, written: str) -> None:
        if self.store.sayings.kept.pop(written, None) is None:
            raise NotFound("There is no such word.")

    def fork(self, owner: str, turn_id: str, voice: str, quality: str) -> str:
        turn = self.store.turn(owner, turn_id)
        self.asked.append(("fork", owner, turn_id, voice, quality))
        self.store.rows.append(Row("fork", self.store.rows[0].title, turns=turn.number, forked_at=turn.number))
        return "fork"

    def in_use(self, owner: str) -> set[str]:
        return {"a2"}

    def erase(self, owner: str) -> None:
        self.asked.append(("erase", owner))

    def lines(self, owner: str, conversation_id: str, last: int | None = None) -> list[Line]:
        self.store.conversation(owner, conversation_id)
        newest = max((line.number for line in self.past), default=0)
        return [line for line in self.past if last is None or line.number > newest - last]

    async def rate(self, owner: str, turn_id: str, rating: int | None) -> str:
        """Of a turn in `live`, which the page has as its conversation, or in `past`, which the history has."""
        self.asked.append(("rate", owner, turn_id, rating))
        if self.trouble:
            raise self.trouble
        self.live, self.past = (
            [replace(x, rating=rating) if x.turn_id == turn_id else x for x in lines]
            for lines in (self.live, self.past)
        )
        return self.rated_in

    async def current(self, owner: str, conversation_id: str) -> list[Line]:
        return self.live

    async def follow(self, owner: str, live_id: str) -> AsyncIterator[list[Line]]:
        yield self.live

    async def say(self, owner: str, live_id: str, text: str, client_turn_id: str) -> None:
        self.asked.append(("say", owner, live_id, text, client_turn_id))
        if self.trouble:
            raise self.trouble

    async def again(self, owner: str, live_id: str) -> None:
        self.asked.append(("again", owner, live_id))
        if self.trouble:
            raise self.trouble

    async def answer(
        self, owner: str, conversation_id: str, asked: Path | str | None, turn: str, language: str, rate_pct: float
    ) -> AsyncIterator[Step]:
        if isinstance(asked, Path):
            self.asked.append(("recorded", owner, conversation_id, asked.suffix, turn, language, rate_pct))
        else:
            self.asked.append(("typed", owner, conversation_id, asked, turn, language, rate_pct))
        asked = asked or "What was asked before?"
        if self.trouble:
            raise self.trouble
        if isinstance(asked, Path):
            yield Step("c1", TEA, (24000, tone(0.3)), Notice("TOO_LONG", "That was a minute without a pause."))
            return
        lines = [Line("user", asked)]
        yield Step("c1", lines)
        lines = [*lines, Line("assistant", "Three minutes.", ID, 1, None, {"llm": 60.0, "tts": 90.0})]
        yield Step("c1", lines, (24000, tone(0.3)))


def tone(seconds: float, hertz: float = 440, rate: int = 24000) -> np.ndarray:
    return (8000 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype("<i2")


class FakeSocket:
    """The server side of the socket. The test says what is sent; what the page sent is kept."""

    def __init__(self, assistant: FakeAssistant) -> None:
        self.assistant = assistant
        self.got: list[dict[str, Any]] = []
        self.frames: list[bytes] = []
        self.full = self.deaf = False
        self.beats, self.answers = 0, True  # signs of life, and whether they are answered
        self.opened = 0
        self.paths: list[str] = []

    async def __call__(self, ws: WebSocket) -> None:
        self.ws, self.loop = ws, asyncio.get_running_loop()
        self.paths.append(str(ws.url))
        await ws.accept()
        if self.deaf:
            await asyncio.sleep(4)
            return
        hello = json.loads(await ws.receive_text())
        self.got.append(hello)
        if hello["token"] not in self.assistant.tokens:
            await ws.close(4401)
            return
        self.assistant.tokens.remove(hello["token"])
        if self.full:
            await ws.send_text(
                json.dumps({"t": "error", "code": "SERVER_FULL", "text": "All seats are taken.", "n": 5, "of": 5})
            )
            await ws.close(4429)
            return
        self.opened += 1
        ready = {"t": "ready", "live": f"live{self.opened}", "n": 2, "of": 5}
        await ws.send_text(json.dumps(ready | {"conversation": hello["conversation"] or f"new{self.opened}"}))
        await ws.send_text(json.dumps({"t": "state", "state": "listening", "patience_ms": 900}))
        while (message := await ws.receive())["type"] != "websocket.disconnect":
            if message.get("bytes") is not None:
                self.frames.append(message["bytes"])
            elif (said := json.loads(message["text"]))["t"] != "alive":
                self.got.append(said)
            else:
                self.beats += 1
                if self.answers:
                    await ws.send_text('{"t": "alive"}')

    def send(self, t: str, **fields: Any) -> None:
        self._run(self.ws.send_text(json.dumps({"t": t, **fields})))

    def audio(self, turn: int, samples: np.ndarray, frame: int = 1920) -> None:
        for i in range(0, len(samples), frame):
            self._run(self.ws.send_bytes(struct.pack("<I", turn) + samples[i : i + frame].tobytes()))

    def drop(self, code: int = 1011) -> None:
        self._run(self.ws.close(code))

    def _run(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(5)

    def said(self, t: str) -> list[dict[str, Any]]:
        return [m for m in self.got if m["t"] == t]


def owner_of(request: object) -> str:
    return "local"


def built(assistant: FakeAssistant, gpu_memory: Callable[[], tuple[float, float] | None] = lambda: None) -> Blocks:
    """Gradio makes locks while it builds; without a running loop it makes a loop for each and never closes it. In a
    thread, because Playwright's loop runs in the test's."""

    async def inside() -> Blocks:
        return build(assistant, owner_of, gpu_memory)  # type: ignore[arg-type]

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(inside())).result()


@contextmanager
def served(assistant: FakeAssistant) -> Iterator[tuple[str, FakeSocket]]:
    """The page on a free port of the loopback: (address, socket)."""
    socket = FakeSocket(assistant)
    page = built(assistant)
    with closing(socketlib.socket()) as free:  # Gradio's own search leaves a socket open at each port that is taken
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app, address, _ = page.queue().launch(
        server_name="127.0.0.1", server_port=port, prevent_thread_lock=True, quiet=True, **launch_options()
    )

    async def sound(request: Any) -> Response:
        return Response(wav(tone(0.4)), media_type="audio/wav")

    async def endpoint(ws: WebSocket) -> None:
        await socket(ws)

    app.router.routes.insert(0, WebSocketRoute("/avatar/ws", endpoint))
    app.router.routes.insert(0, Route("/avatar/audio/{turn}/{side}", sound))
    if assistant.studio is not None and assistant.previews is not None:
        app.router.routes[:0] = voice_routes(assistant.studio, assistant.previews, owner_of)
    try:
        yield address, socket
    finally:
        page.close()


def wav(samples: np.ndarray, rate: int = 24000) -> bytes:
    data = samples.tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16,
                       b"data", len(data))  # fmt: skip
    return head + data


def with_an_hq_voice() -> FakeAssistant:
    """The switch between Fast and HQ is there."""
    made = FakeAssistant()
    made.pool.rungs = [Rung("tts", "cosyvoice", "CosyVoice 3", hq=True), *made.pool.rungs]
    return made
