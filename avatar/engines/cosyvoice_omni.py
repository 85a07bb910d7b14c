"""CosyVoice 3 inside vllm-omni: two stages, each in a process of its own that it starts. Runs on a graphics card only.

The talker writes speech tokens, 25 a second, and code2wav makes sound of them while it still writes. What is read out
of the reference (its speech tokens, spectrum and speaker) is made here, in this process, and kept under the voice's
name by vllm-omni itself. Run with vllm-omni 0.30.0 (docs/benchmarks.md).
"""

import copy
import os
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np

from avatar.engines.cosyvoice import BLANK, SPEECH_TOKENIZER, Request
from avatar.engines.vllm import quiet
from avatar.errors import EngineError
from avatar.events import Samples
from avatar.planner import CONTEXT_TOKENS, Share

START_S = 600  # both stages: 100 s with a cold disk; torch.compile of the talker is kept
# The tokens of speech for each of text, as CosyVoice3Config has them: less is broken off, more is babble.
LEAST_RATIO, MOST_RATIO, MOST_TOKENS = 2, 20, 2_048


class OmniStages:
    """cosyvoice.py's Stages. All of it is called on one event loop, to which vllm-omni's client belongs."""

    def __init__(self, folder: Path, share: Share, requests: int) -> None:
        self._folder, self._share, self._requests = folder, share, requests
        self._engine: Any = None
        self._tokenizer: Any = None

    async def start(self) -> None:
        """Takes its part of the card at once and for good. Raises what vllm-omni raises."""
        quiet()
        os.environ.setdefault("COSYVOICE3_TRT", "0")  # TensorRT is in no requirement, and would be fetched from a hub
        import s3tokenizer
        import torch
        from vllm_omni.entrypoints.async_omni import AsyncOmni
        from vllm_omni.model_executor.models.cosyvoice3.cosyvoice3 import CosyVoice3MultiModalProcessor
        from vllm_omni.model_executor.models.cosyvoice3.tokenizer import get_qwen_tokenizer

        self._tokenizer = get_qwen_tokenizer(str(self._folder / BLANK), skip_special_tokens=True, version="cosyvoice3")
        # Its own would be fetched from a hub, and take 1 GiB of the card. It hears each voice once: the CPU will do.
        heard_by = s3tokenizer.load_model(str(self._folder / SPEECH_TOKENIZER)).eval()
        CosyVoice3MultiModalProcessor._s3_model = (heard_by, s3tokenizer, torch.device("cpu"))
        self._engine = AsyncOmni(
            model=str(self._folder),
            stage_overrides={
                str(number): {
                    "gpu_memory_utilization": fraction,
                    "devices": str(self._share.card),
                    "max_num_seqs": self._requests,
                    "worker_extension_cls": "avatar.engines.cosyvoice_stage.Stage",
                    **more,
                }
                for number, (fraction, more) in enumerate(zip(self._share.stage_fractions, _STAGES, strict=True))
            },
            stage_init_timeout=START_S,
            init_timeout=START_S,
            log_stats=False,
        )

    async def say(self, request: Request) -> AsyncGenerator[Samples, None]:
        """The sound of `request`, in pieces as they come. Closing it aborts the request. Raises EngineError."""
        from vllm.v1.engine.exceptions import EngineDeadError

        outputs = self._engine.generate(
            {
                "prompt": request.text,
                "multi_modal_data": {"audio": (request.reference, request.sample_rate)},
                "mm_processor_kwargs": {
                    "prompt_text": request.reference_text,
                    "sample_rate": request.sample_rate,
                    "voice_name": request.voice_name,
                },
            },
            request_id=uuid.uuid4().hex,
            sampling_params_list=self._params(request.text),
        )
        try:
            async for output in outputs:
                found = (output.multimodal_output or {}).get("audio")
                for piece in found if isinstance(found, list) else [found]:
                    if piece is not None and piece.numel():
                        yield np.asarray(piece.float().cpu().reshape(-1), np.float32)
        except EngineDeadError as exc:
            sentence = "CosyVoice 3 has stopped: out of graphics memory, or a fault. It is started again."
            raise EngineError(sentence, stage="tts", engine="cosyvoice", lost=True) from exc
        finally:
            await outputs.aclose()

    def _params(self, text: str) -> list[Any]:
        """Those of its deployment, with as many tokens as the text may take, and each piece of sound told once."""
        from vllm.sampling_params import RequestOutputKind

        params = copy.deepcopy(list(self._engine.default_sampling_params_list))
        words = len(self._tokenizer.encode(text))
        params[0].min_tokens = max(1, words * LEAST_RATIO)
        params[0].max_tokens = min(MOST_TOKENS, words * MOST_RATIO)
        for stage in params:
            stage.output_kind = RequestOutputKind.DELTA
        return params

    def forget(self, voice_name: str) -> None:
        from vllm_omni.utils.speaker_cache import get_speaker_cache

        get_speaker_cache().clear(voice_name)

    async def close(self) -> None:
        """Ends both processes, which frees the card."""
        if self._engine is not None:
            self._engine.shutdown()


# Beside their memory. The talker: a reference of 12 s is 300 tokens and MOST_TOKENS are the answer, so a context of
# 32,768, the model's own, would only take memory.
_STAGES: tuple[dict[str, Any], ...] = ({"max_model_len": CONTEXT_TOKENS, "max_num_batched_tokens": CONTEXT_TOKENS}, {})
