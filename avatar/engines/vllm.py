"""A language model on the graphics card through vLLM, in this process: Qwen2.5-7B-Instruct-AWQ, or AVATAR_VLLM_MODEL.

vLLM's engine runs in a process of its own that it starts; here are its client, on an event loop in a thread, and the
tokenizer. How questions of several seats, interruptions and patience are dealt with is the same as with any server, so
that is remote.py's. Run with vllm 0.30.0 and 0.26.0 (docs/benchmarks.md).
"""

import asyncio
import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from avatar import weights
from avatar.engines.base import Message, Progress
from avatar.engines.card_time import CARD_TIME, Rests
from avatar.engines.remote import Patience, Put, RemoteLLM
from avatar.errors import EngineError, WeightsError
from avatar.planner import CONTEXT_TOKENS, Share
from avatar.settings import Settings

log = logging.getLogger(__name__)

WEIGHTS = "qwen2.5-7b-instruct-awq"
SPARE_SEATS = 3  # requests at once beyond the seats: those that are being interrupted, and guesses
LOAD_S = 600.0  # 44 s on an H200 with a warm disk, 21 of them torch.compile, which is kept (2026-11-23)
ANSWER_TOKENS = 320  # an answer is ended by closing it long before
SAMPLING = {
    "temperature": 0.7,
    "top_p": 0.8,
    "top_k": 20,
    "repetition_penalty": 1.05,
}  # Qwen2.5's generation_config.json
NEEDED = ("config.json", "tokenizer_config.json")


def load(settings: Settings, progress: Progress, share: Share | None = None) -> RemoteLLM:
    """Start the engine and have it answer once. Raises WeightsError, EngineError."""
    if share is None:
        raise EngineError("vLLM needs a graphics card, and none was planned for it.", stage="llm", engine="vllm")
    folder = settings.vllm_model or weights.path(WEIGHTS, settings.weights)
    if missing := [name for name in NEEDED if not (folder / name).is_file()]:
        raise WeightsError(f"{folder} is no language model that vLLM can read: it has no {', '.join(missing)}.")
    server = VllmServer(folder, share, settings.seats + SPARE_SEATS)
    engine = RemoteLLM(server, folder.name, Patience(models=LOAD_S, load=120.0))
    try:
        engine.connect(progress)
    except BaseException:
        engine.close()
        raise
    return engine


class VllmServer:
    """remote.py's Server. All of it is called on one event loop, to which vLLM's client belongs."""

    host = "vLLM"

    def __init__(self, folder: Path, share: Share, requests: int) -> None:
        self._folder, self._share, self._requests = folder, share, requests
        self._engine: Any = None
        self._tokenizer: Any = None
        self._rests: Rests | None = None
        self._answers = 0  # that are being written

    async def models(self) -> list[str]:
        """Starts the engine: takes its part of the card at once and for good. Raises what vLLM raises."""
        quiet()
        from transformers import AutoTokenizer
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self._tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
        with only_card(self._share.card):
            self._engine = AsyncLLM.from_engine_args(
                AsyncEngineArgs(
                    model=str(self._folder),
                    # of the card's real total; what others hold is not counted, only what this engine itself takes
                    gpu_memory_utilization=self._share.fraction,
                    max_model_len=CONTEXT_TOKENS,
                    max_num_seqs=self._requests,
                    enable_prefix_caching=True,  # a growing conversation is read from its newest words on
                    disable_log_stats=True,
                    enable_log_requests=False,  # they are words of users
                )
            )
        # "keep": what is being answered goes on where it stood; public, and asks the process only
        self._rests = Rests(
            asyncio.get_running_loop(),
            lambda: self._engine.pause_generation(mode="keep", clear_cache=False),
            lambda: self._engine.resume_generation(),
            lambda: self._answers > 0,
        )
        CARD_TIME.shared(self._share.card, self._rests)
        return [self._folder.name]

    async def answer(self, model: str, messages: Sequence[Message], tokens: int, put: Put) -> None:
        """Cancelling it aborts the request. Raises EngineError."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind
        from vllm.v1.engine.exceptions import EngineDeadError

        params = SamplingParams(max_tokens=min(tokens, ANSWER_TOKENS), output_kind=RequestOutputKind.DELTA, **SAMPLING)
        outputs = self._engine.generate({"prompt_token_ids": self.read(messages)}, params, uuid.uuid4().hex)
        self._answers += 1
        try:
            async for output in outputs:
                if text := output.outputs[0].text:
                    put(text)
        except EngineDeadError as exc:
            sentence = "vLLM has stopped: out of graphics memory, or a fault. It is started again."
            raise EngineError(sentence, stage="llm", engine="vllm", lost=True) from exc
        finally:
            self._answers -= 1
            await outputs.aclose()

    def read(self, messages: Sequence[Message]) -> list[int]:
        """The prompt in the model's own template, as tokens."""
        chat = [{"role": message.role, "content": message.content} for message in messages]
        prompt = self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        ids: list[int] = self._tokenizer(prompt, add_special_tokens=False)["input_ids"]
        return ids[-(CONTEXT_TOKENS - ANSWER_TOKENS) :]

    async def close(self) -> None:
        """Ends vLLM's process, which frees the card."""
        if self._rests is not None:
            CARD_TIME.left(self._rests)
            await self._rests.close()
        if self._engine is not None:
            self._engine.shutdown()


@contextmanager
def only_card(card: int) -> Iterator[None]:
    """vLLM takes the first card that its process can see, so a process that starts in here sees this one only. What
    already runs in ours has its list of cards for good, once CUDA has been asked for it."""
    if not card:
        yield
        return
    import torch

    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    torch.cuda.device_count()  # CUDA reads the variable now, as it is
    torch.cuda.init()
    names = before.split(",") if before else [str(number) for number in range(card + 1)]
    os.environ["CUDA_VISIBLE_DEVICES"] = names[card].strip()
    try:
        yield
    finally:
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def quiet() -> None:
    """What vLLM must know before it is imported: nothing is reported or fetched, and its process is not a copy of this
    one, which may already use the card."""
    for name, value in (
        ("VLLM_NO_USAGE_STATS", "1"),
        ("VLLM_LOGGING_LEVEL", "WARNING"),
        ("VLLM_WORKER_MULTIPROC_METHOD", "spawn"),
        ("HF_HUB_OFFLINE", "1"),
    ):
        os.environ.setdefault(name, value)
