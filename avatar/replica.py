"""A replica of the cluster: one engine behind HTTP, frames in and frames out. Knows no ladder, and of Ray one call."""

import asyncio
import io
import logging
import threading
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, contextmanager
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from avatar import gpu
from avatar.aio import in_thread
from avatar.engines.base import LLM, STT, TTS, Abilities, Begins, Engine, Message, Voice
from avatar.engines.catalog import CATALOG, allowed
from avatar.engines.cluster_client import KEY, error_head, knows
from avatar.engines.frames import Head, item, messages_of, pack, samples_of, unpack, voice_of
from avatar.engines.loading import Loader
from avatar.engines.pool import import_and_load
from avatar.errors import AvatarError, EngineError, OutOfMemory
from avatar.events import Samples
from avatar.planner import NO_CARD, Plan, Share
from avatar.settings import Settings

log = logging.getLogger(__name__)

ITEM_S = 20.0  # the longest that one item may take: then the replica is replaced
VOICES, VOICE_S = 16, 600.0  # cloned voices that a replica remembers, and for how long nobody may have asked


class Replica:
    """One engine behind HTTP. Frames in, frames out; what is closed at the other end ends here."""

    def __init__(self, rung: str, share: dict[str, Any] | None = None, loader: Loader = import_and_load) -> None:
        """Blocks while the engine loads. `share`: its part of the card that Ray gives to this process."""
        settings = Settings.from_env()
        row = next(row for row in CATALOG if row.name == rung)
        made = NO_CARD if share is None else Plan(shares={rung: _share(share)})
        self._rung = next(one for one in allowed([row], settings, made) if one.name == rung)
        self._engine: Engine = loader(self._rung, settings, lambda fraction: None)
        self._key = settings.ray_key
        self._free = threading.BoundedSemaphore(self._rung.parallel)  # held until the engine's generator is closed
        self._seating, self._voices = Seating(settings.seats), KnownVoices()
        self._fault = ""
        self._telling: set[asyncio.Task[Any]] = set()

    def check_health(self) -> None:
        """Ray Serve asks; a replica that raises is replaced. Raises RuntimeError."""
        for profile in self._voices.unused():
            self.forget(profile)
        if self._fault:
            raise RuntimeError(f"{self._rung.name}: {self._fault}")

    def forget(self, profile: str) -> bool:
        """Of a profile that was deleted, or that nobody has asked for."""
        self._voices.forget(profile)
        if self._rung.stage == "tts":
            _as(TTS, self._engine).forget(profile)
        return True

    async def __call__(self, request: Request) -> Response:
        if not knows(self._key, request.headers.get(KEY, "")):
            return PlainTextResponse("This cluster has a key: AVATAR_RAY_KEY.\n", 403)
        try:
            head, blob = unpack(io.BytesIO(await request.body()).read)
            if head["do"] == "forget":
                self._tell_all(str(head["profile"]))
                return Response(pack({"is": "end"}))
            work = self._work(head, blob)
        except (ValueError, KeyError, TypeError):
            return PlainTextResponse("That is no question.\n", 400)
        return StreamingResponse(self._stream(work), media_type="application/octet-stream")

    def _tell_all(self, profile: str) -> None:
        """Every replica, this one too; what comes of it is not waited for: this replica is busy with the question."""
        from ray import serve

        context = serve.get_replica_context()
        results = serve.get_deployment_handle(context.deployment, context.app_name).broadcast("forget", profile)
        telling = asyncio.create_task(results.results_async())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _stream(self, work: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        """`work` frame by frame, and how it ended: an AvatarError is the question's fault or the moment's, anything
        else the engine's, which is then replaced."""
        end = pack({"is": "end"})
        try:
            async with aclosing(in_thread(work, ITEM_S)) as packed:
                async for frame in packed:
                    yield frame
        except EngineError as error:
            end = pack(error_head(error))
        except AvatarError as error:
            end = pack(error_head(self._error(error.sentence, code=error.code)))
        except Exception as exc:  # noqa: BLE001 - a foreign engine may raise anything
            log.warning("%s failed: %s", self._rung.name, type(exc).__name__)
            full = gpu.out_of_memory(exc)
            self._fault = "" if full else type(exc).__name__
            sentence = f"{self._rung.label} {'ran out of memory' if full else 'stopped with an error'}."
            end = pack(error_head(self._error(sentence, code=OutOfMemory.code if full else EngineError.code)))
        yield end

    def _error(self, sentence: str, code: str) -> EngineError:
        return EngineError(sentence, stage=self._rung.stage, engine=self._rung.name, code=code)

    def _work(self, head: Head, blob: bytes) -> Generator[bytes, None, None]:
        """What `head` asks for, as frames, to be run on a thread. Raises KeyError, ValueError, TypeError for what is no
        question: here, where it is not yet taken for a failure of the engine."""
        language, engine = head.get("language"), self._engine
        match head["do"]:
            case "abilities":
                return self._told()
            case "transcribe":
                return self._run(_as(STT, engine).transcribe(samples_of(blob), language))
            case "plausible":
                return self._run(_verdict(_as(STT, engine), samples_of(blob), str(head["text"])))
            case "reply" | "prefill":
                work = self._answer if head["do"] == "reply" else self._read
                return work(_as(LLM, engine), str(head["session"]), messages_of(head["messages"]))
            case "speak" | "begin":
                return self._say(head, blob, language)
        raise ValueError("no such thing to do")

    def _run(self, items: Generator[Any, None, None]) -> Generator[bytes, None, None]:
        with self._free:
            try:
                for one in items:
                    yield item(one)
            finally:
                items.close()

    def _told(self) -> Generator[bytes, None, None]:
        row = self._rung
        of_row = Abilities(row.languages, row.clones, pitch=row.pitch)
        yield pack(asdict(getattr(self._engine, "abilities", of_row)) | {"is": "abilities"})

    def _answer(self, llm: LLM, session: str, messages: list[Message]) -> Generator[bytes, None, None]:
        with self._seating.seat(session) as seat:
            yield from self._run(llm.reply(messages, seat))

    def _read(self, llm: LLM, session: str, messages: list[Message]) -> Generator[bytes, None, None]:
        with self._seating.seat(session) as seat, self._free:
            llm.prefill(messages, seat)
        yield from ()

    def _say(self, head: Head, blob: bytes, language: str | None) -> Generator[bytes, None, None]:
        tts, text = _as(TTS, self._engine), str(head["text"])
        voice = self._voices.voice(head["voice"], blob)
        if voice is None:
            return (pack(frame) for frame in [{"is": "voice"}])
        speak = tts.begin if head["do"] == "begin" and isinstance(tts, Begins) else tts.speak
        return self._run(speak(text, voice, language))


class Seating:
    """Which of an engine's seats each conversation has: seats are numbered in every front alike, here by who came."""

    def __init__(self, seats: int) -> None:
        self._seats, self._lock = seats, threading.Lock()
        self._seat: dict[str, int] = {}  # who asked last is last
        self._asking: dict[str, int] = {}

    @contextmanager
    def seat(self, session: str) -> Generator[int, None, None]:
        """The seat of a conversation while it asks. A new one gets that of the one that has not asked for longest."""
        with self._lock:
            seat = self._seat.pop(session, None)
            self._seat[session] = seat = self._new() if seat is None else seat
            self._asking[session] = self._asking.get(session, 0) + 1
        try:
            yield seat
        finally:
            with self._lock:
                self._asking[session] -= 1
                if not self._asking[session]:
                    del self._asking[session]

    def _new(self) -> int:
        taken = set(self._seat.values())
        if (free := next((n for n in range(self._seats) if n not in taken), None)) is not None:
            return free
        if (left := next((one for one in self._seat if one not in self._asking), None)) is not None:
            return self._seat.pop(left)
        return max(taken) + 1


class KnownVoices:
    """The voices that a replica was sent in full, for as long as they are asked for. In memory only."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, tuple[Voice, float]] = {}  # by the SHA-256 of what is large of it; oldest first

    def voice(self, head: Head, blob: bytes) -> Voice | None:
        """None where its large part is needed and not known. Raises KeyError, ValueError."""
        name, plain = str(head["sha256"]), voice_of(head, blob)
        with self._lock:
            known, _ = self._known.pop(name, (None, 0.0))
            voice = plain if blob or not name or known is None else known
            if not name:
                return plain
            if not blob and known is None:
                return None
            self._known[name] = voice, time.monotonic()
            while len(self._known) > VOICES:
                self._known.pop(next(iter(self._known)))
        return voice

    def forget(self, profile: str) -> None:
        with self._lock:
            self._known = {name: one for name, one in self._known.items() if one[0].profile_id != profile}

    def unused(self) -> list[str]:
        """The profiles that nobody has asked for lately."""
        with self._lock:
            old = [voice for voice, at in self._known.values() if time.monotonic() - at > VOICE_S]
        return [voice.profile_id for voice in old if voice.profile_id]


def _verdict(stt: STT, samples: Samples, text: str) -> Generator[bool, None, None]:
    yield stt.plausible(samples, text)


def _as(kind: type[Any], engine: Engine) -> Any:
    """`engine`, of the stage that was asked for; the route says which."""
    if not hasattr(engine, {STT: "transcribe", LLM: "reply", TTS: "speak"}[kind]):
        raise ValueError("another stage is served here")
    return engine


def _share(given: dict[str, Any]) -> Share:
    """Of the only card that this process can see."""
    memory = gpu.Gpu().memory()
    return Share(
        **given | {"stages": tuple(given["stages"])}, card=0, of=given["bytes"] if memory is None else memory.card
    )
