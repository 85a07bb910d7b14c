"""Pipecat's pipeline as its quickstart builds it, around the engines of AVATAR's lowest rungs. Only `peer.py` uses it.

Defaults of pipecat 1.14: Silero VAD (0.2 s), Smart Turn v3.2 (3 s where it says no), sentences of its own aggregator.
Left out is what only costs: its protocol for web clients, metrics, logs. Its own service hears, with Moonshine's
library; it has none for a llama.cpp in its process, nor for eSpeak NG: those are AVATAR's adapters.
"""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

from loguru import logger
from moonshine_voice import ModelArch, Transcriber
from pipecat.audio.vad.silero import SileroVADAnalyzer
from pipecat.frames.frames import (
    BotStoppedSpeakingFrame,
    Frame,
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    OutputAudioRawFrame,
    StartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.processors.frame_processor import FrameDirection
from pipecat.services.llm_service import LLMService
from pipecat.services.moonshine.stt import MoonshineSTTService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import SegmentedSTTService, STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import TransportParams
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

from avatar import weights
from avatar.aio import in_thread
from avatar.audio import from_pcm16, pcm16
from avatar.bench.clips import RATE
from avatar.bench.peer import Ears, Line
from avatar.engines import espeak, llamacpp, moonshine
from avatar.engines.base import LLM, OWN_VOICE, STT, SYSTEM_PROMPT, TTS, Message
from avatar.settings import Settings
from avatar.wire import REPLY_RATE

DOWN = FrameDirection.DOWNSTREAM
START_S = 10.0


class Microphone(BaseInputTransport):
    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def hear(self, pcm: bytes) -> None:
        await self.push_audio_frame(InputAudioRawFrame(pcm, RATE, 1))


class Loudspeaker(BaseOutputTransport):
    """Plays at once and in real time, into nothing."""

    def __init__(self, line: Line, params: TransportParams) -> None:
        super().__init__(params)
        self._line, self._played_at = line, 0.0
        self.ready = asyncio.Event()

    async def start(self, frame: StartFrame) -> None:
        await super().start(frame)
        await self.set_transport_ready(frame)
        self.ready.set()

    async def write_audio_frame(self, frame: OutputAudioRawFrame) -> bool:
        now = time.perf_counter()
        await self._line.sound(frame.audio)
        self._played_at = max(now, self._played_at) + len(frame.audio) / 2 / REPLY_RATE
        await asyncio.sleep(self._played_at - now)
        return True

    async def push_frame(self, frame: Frame, direction: FrameDirection = DOWN) -> None:
        if isinstance(frame, InterruptionFrame):
            await self._line.cut()
        elif isinstance(frame, BotStoppedSpeakingFrame) and direction is DOWN:
            await self._line.over()
        await super().push_frame(frame, direction)


class _Timed(STTService):
    """Tells when the detector found an end, and when its words are there."""

    line: Line

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self.line.stopped(frame.stop_secs)
        await super().process_frame(frame, direction)

    async def push_frame(self, frame: Frame, direction: FrameDirection = DOWN) -> None:
        if isinstance(frame, TranscriptionFrame):
            self.line.heard()
        await super().push_frame(frame, direction)


class OwnEars(_Timed, MoonshineSTTService):
    """Pipecat's service; only the weights are those of the wheel, where it would ask a hub."""

    def _load(self) -> Transcriber:
        folder = weights.path("moonshine-tiny-en", Settings.from_env().weights)
        return Transcriber(str(folder), ModelArch.TINY)


class AvatarEars(_Timed, SegmentedSTTService):
    """AVATAR's adapter where pipecat's service would call the library."""

    wants_wav_segments = False

    def __init__(self, engine: STT) -> None:
        super().__init__(sample_rate=RATE, settings=unset(STTSettings))
        self._engine = engine

    async def run_stt(self, audio: bytes) -> AsyncGenerator[Frame, None]:
        async for transcript in in_thread(self._engine.transcribe(from_pcm16(audio), None)):
            if transcript.final and transcript.text:
                yield TranscriptionFrame(transcript.text, self._user_id, time_now_iso8601())


class Model(LLMService):
    """As pipecat's own services: a start, the text as it comes, an end. An interruption cancels it."""

    def __init__(self, line: Line, engine: LLM) -> None:
        super().__init__(settings=unset(LLMSettings))
        self._line, self._engine = line, engine

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        await super().process_frame(frame, direction)
        if not isinstance(frame, LLMContextFrame):
            await self.push_frame(frame, direction)
            return
        asked = [Message(m["role"], m["content"]) for m in frame.context.messages]
        await self._line.began(question(asked))
        await self.push_frame(LLMFullResponseStartFrame())
        reply = in_thread(self._engine.reply([Message("system", SYSTEM_PROMPT), *asked], 0))
        try:
            async for delta in reply:
                await self._push_llm_text(delta)
        finally:
            await reply.aclose()
            await self.push_frame(LLMFullResponseEndFrame())


class Voice(TTSService):
    """As pipecat's service for Piper, the nearest that it has."""

    def __init__(self, line: Line, engine: TTS) -> None:
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=unset(TTSSettings))
        self._line, self._engine = line, engine

    async def run_tts(self, text: str, context_id: str) -> AsyncGenerator[Frame, None]:
        await self._line.clause(text)
        async for chunk in in_thread(self._engine.speak(text, OWN_VOICE, "en")):
            self._line.made(len(chunk.samples))
            yield TTSAudioRawFrame(pcm16(chunk.samples), chunk.sample_rate, 1, context_id=context_id)


class Pipecat:
    """See peer.Pipe."""

    def __init__(self, microphone: Microphone, context: LLMContext) -> None:
        self._microphone, self._context = microphone, context

    async def hear(self, pcm: bytes) -> None:
        await self._microphone.hear(pcm)

    async def interrupt(self) -> None:
        await self._microphone.broadcast_interruption()

    def forget(self) -> None:
        self._context.set_messages([])


def unset(kind: Any) -> Any:
    """Settings that the engine has no use for: pipecat wants each of them named."""
    return kind(**{field.name: None for field in fields(kind) if field.name != "extra"})


def question(messages: list[Message]) -> str:
    """All that was said since the last answer: of a turn that was answered too early, both pieces."""
    words: list[str] = []
    for message in reversed(messages):
        if message.role != "user":
            break
        words.insert(0, message.content)
    return " ".join(words)


@asynccontextmanager
async def piped(ears: Ears) -> AsyncIterator[Line]:
    """A pipeline that runs until the block ends, its engines loaded and asked once."""
    logger.remove()
    logger.add(sys.stderr, level="ERROR")  # its lines of debugging would cost it time
    settings = Settings.from_env()
    model, voice = llamacpp.load(settings, lambda _: None), espeak.load(settings, lambda _: None)
    hearing = "its own service" if ears == "own" else "AVATAR's adapter"
    line = Line({"stt": f"Moonshine tiny, {hearing}", "llm": "SmolLM2 135M", "tts": "eSpeak NG", "eot": "Smart Turn"})
    stt = OwnEars() if ears == "own" else AvatarEars(moonshine.load(settings, lambda _: None))
    stt.line = line
    context = LLMContext()
    user, assistant = LLMContextAggregatorPair(
        context, user_params=LLMUserAggregatorParams(vad_analyzer=SileroVADAnalyzer())
    )
    params = TransportParams(audio_in_enabled=True, audio_out_enabled=True)
    microphone, loudspeaker = Microphone(params), Loudspeaker(line, params)
    line.pipe = Pipecat(microphone, context)
    stages = [microphone, stt, user, Model(line, model), Voice(line, voice), loudspeaker, assistant]
    worker = PipelineWorker(Pipeline(stages), enable_rtvi=False)
    runner = WorkerRunner(handle_sigint=False)
    await runner.add_workers(worker)
    running = asyncio.create_task(runner.run())
    try:
        async with asyncio.timeout(START_S):
            await loudspeaker.ready.wait()
        yield line
    finally:
        await runner.cancel()
        await running
        model.close()
        voice.close()
