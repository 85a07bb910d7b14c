"""A replica of the cluster: one engine behind HTTP and lanes, frames in and frames out. Knows no ladder, and of Ray two
calls.
"""

import asyncio
import io
import ipaddress
import logging
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import asdict
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from avatar import gpu
from avatar.aio import in_thread
from avatar.asked import KnownVoices, Load, Seating
from avatar.engines.base import LLM, STT, TTS, Abilities, Begins, Engine, Message
from avatar.engines.catalog import CATALOG, allowed
from avatar.engines.cluster_client import KEY, error_head, knows
from avatar.engines.frames import Head, item, messages_of, pack, samples_of, unpack
from avatar.engines.lane_server import Answer, LaneServer
from avatar.engines.lanes import HEADER
from avatar.engines.loading import Loader
from avatar.engines.pool import import_and_load
from avatar.engines.slots import Copy, Instance
from avatar.errors import AvatarError, EngineError, OutOfMemory
from avatar.events import Samples
from avatar.planner import NO_CARD, Plan, Share
from avatar.scaling import QUESTIONS
from avatar.settings import Settings

log = logging.getLogger(__name__)

ITEM_S = 20.0  # the longest that one item may take: then the replica is replaced
DRAIN_S = 15.0  # for what came by lane, of the 30 s that Ray Serve gives to a replica that ends
END = pack({"is": "end"})


class Replica:
    """One engine behind HTTP. Frames in, frames out; what is closed at the other end ends here."""

    def __init__(
        self, rung: str, share: dict[str, Any] | None = None, host: str = "", loader: Loader = import_and_load
    ) -> None:
        """Blocks while the engine loads. `share`: its part of the card that Ray gives to this process. `host`: where
        the proxies listen, and it too; "" is nowhere."""
        settings = Settings.from_env()
        row = next(row for row in CATALOG if row.name == rung)
        made = NO_CARD if share is None else Plan(shares={rung: _share(share)})
        self._rung = next(one for one in allowed([row], settings, made) if one.name == rung)
        self._engine: Engine = loader(self._rung, settings, lambda fraction: None)
        self._key = settings.ray_key
        # the same line as in an app's own process; left when the engine's generator is closed
        self._line = Instance(Copy(self._engine), self._rung.parallel, self._rung.beside)
        self._load = Load()
        self._seating, self._voices = Seating(settings.seats), KnownVoices(self._drop)
        self._fault = ""
        self._telling: set[asyncio.Task[Any]] = set()
        self._lanes = _lanes(host, self._by_lane)
        self._headers = {} if self._lanes is None else {HEADER: str(self._lanes.address)}

    def __del__(self) -> None:
        """Ray Serve calls this before it ends a replica, once what came through proxies is answered."""
        if (lanes := getattr(self, "_lanes", None)) is not None:  # its engine was not loaded
            lanes.close(DRAIN_S)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Ray Serve asks every few seconds, for avatar/scaling.py."""
        return {QUESTIONS: self._load.mean()}

    def check_health(self) -> None:
        """Ray Serve asks; a replica that raises is replaced. Raises RuntimeError."""
        self._voices.forget_unused()
        if self._load.longest_s() > ITEM_S:
            self._fault = "it hangs"
        if self._fault:
            raise RuntimeError(f"{self._rung.name}: {self._fault}")

    def forget(self, profile: str) -> bool:
        """Of a profile that was deleted."""
        self._voices.forget(profile)
        return True

    def _drop(self, profile_id: str) -> None:
        _as(TTS, self._engine).forget(profile_id)

    async def __call__(self, request: Request) -> Response:
        if not knows(self._key, request.headers.get(KEY, "")):
            return PlainTextResponse("This cluster has a key: AVATAR_RAY_KEY.\n", 403)
        try:
            head, blob = unpack(io.BytesIO(await request.body()).read)
            if head["do"] == "forget":
                self._tell_all(str(head["profile"]))
                return Response(END)
            if head["do"] == "where":
                return Response(END, headers=self._headers)
            work = self._work(head, blob)
        except (ValueError, KeyError, TypeError):
            return PlainTextResponse("That is no question.\n", 400)
        return StreamingResponse(self._stream(work), headers=self._headers, media_type="application/octet-stream")

    def _tell_all(self, profile: str) -> None:
        """Every replica, this one too; what comes of it is not waited for: this replica is busy with the question."""
        from ray import serve

        context = serve.get_replica_context()
        results = serve.get_deployment_handle(context.deployment, context.app_name).broadcast("forget", profile)
        telling = asyncio.create_task(results.results_async())
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _stream(self, work: Generator[bytes, None, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(in_thread(self._whole(work))) as packed:
            async for frame in packed:
                yield frame

    def _by_lane(self, head: Head, blob: bytes) -> Generator[bytes, None, None]:
        """Raises KeyError, ValueError, TypeError."""
        if self._fault or self._load.now >= self._most(head) or head["do"] == "forget":
            return (frame for frame in [pack({"is": "elsewhere"})])  # Ray Serve knows who has room, and who is well
        return self._whole(self._work(head, blob))

    def _most(self, head: Head) -> int:
        """How many questions may be here for this one to be taken too."""
        return self._rung.parallel + (self._rung.beside if self._urgent(head) else 0)

    def _urgent(self, head: Head) -> bool:
        """Whether somebody waits in silence for it: a reply's first clause."""
        return head["do"] == "begin" and isinstance(self._engine, Begins)

    def _whole(self, work: Generator[bytes, None, None]) -> Generator[bytes, None, None]:
        """`work` frame by frame, and how it ended: an AvatarError is the question's fault or the moment's, anything
        else the engine's, which is then replaced."""
        end = END
        with self._load.one(), closing(work):
            try:
                yield from work
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

    @contextmanager
    def _turn(self, urgent: bool = False) -> Iterator[None]:
        copy = self._line.acquire(self._rung, urgent)
        try:
            yield
        finally:
            self._line.release(copy)

    def _run(self, items: Generator[Any, None, None], urgent: bool = False) -> Generator[bytes, None, None]:
        with self._turn(urgent), closing(items):
            while True:
                with self._load.item():
                    one = next(items, None)
                if one is None:
                    return
                yield item(one)

    def _told(self) -> Generator[bytes, None, None]:
        row = self._rung
        of_row = Abilities(row.languages, row.clones, pitch=row.pitch)
        yield pack(asdict(getattr(self._engine, "abilities", of_row)) | {"is": "abilities"})

    def _answer(self, llm: LLM, session: str, messages: list[Message]) -> Generator[bytes, None, None]:
        with self._seating.seat(session) as seat:
            yield from self._run(llm.reply(messages, seat))

    def _read(self, llm: LLM, session: str, messages: list[Message]) -> Generator[bytes, None, None]:
        with self._seating.seat(session) as seat, self._turn(), self._load.item():
            llm.prefill(messages, seat)
        yield from ()

    def _say(self, head: Head, blob: bytes, language: str | None) -> Generator[bytes, None, None]:
        tts, text = _as(TTS, self._engine), str(head["text"])
        voice = self._voices.voice(head["voice"], blob)
        if voice is None:
            return (pack(frame) for frame in [{"is": "voice"}])
        urgent = self._urgent(head)
        speak = tts.begin if urgent else tts.speak
        return self._run(speak(text, voice, language), urgent)


def _verdict(stt: STT, samples: Samples, text: str) -> Generator[bool, None, None]:
    yield stt.plausible(samples, text)


def _as(kind: type[Any], engine: Engine) -> Any:
    """`engine`, of the stage that was asked for; the route says which."""
    if not hasattr(engine, {STT: "transcribe", LLM: "reply", TTS: "speak"}[kind]):
        raise ValueError("another stage is served here")
    return engine


def _lanes(host: str, answer: Answer) -> LaneServer | None:
    """None where it cannot listen: then all goes through proxies."""
    if not host:
        return None
    try:
        if ipaddress.ip_address(host).is_unspecified:
            import ray

            me = ray.get_runtime_context().get_node_id()
            host = next(node["NodeManagerAddress"] for node in ray.nodes() if node["NodeID"] == me)
        return LaneServer(host, answer)
    except (OSError, ValueError) as exc:
        log.warning("no lanes at %s: %s", host, type(exc).__name__)
        return None


def _share(given: dict[str, Any]) -> Share:
    """Of the only card that this process can see."""
    memory = gpu.Gpu().memory()
    return Share(
        **given | {"stages": tuple(given["stages"])}, card=0, of=given["bytes"] if memory is None else memory.card
    )
