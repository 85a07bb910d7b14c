"""Imported by vllm-omni in the processes of its stages, before they look at the model: see cosyvoice_omni.py.

Each stage finds out how long a reference can be by having 30 s of noise heard. For that it would load the speech
tokenizer, fetched from a hub, onto the card, 1 GiB, and never use it again: references are heard in our own process.
"""

from typing import Any

import s3tokenizer
import torch
from vllm_omni.model_executor.models.cosyvoice3.cosyvoice3 import CosyVoice3MultiModalProcessor

FRAMES_A_TOKEN = 4  # of 10 ms


class Lengths:
    """In the place of s3tokenizer's model: as many tokens as it would hear, and all the same."""

    def quantize(self, mels: Any, lengths: Any) -> tuple[Any, Any]:
        """(b, 128, n) and (b,) -> (b, n / 4) and (b,)."""
        return torch.zeros(mels.shape[0], -(-mels.shape[2] // FRAMES_A_TOKEN)), -(-lengths // FRAMES_A_TOKEN)


class Stage:
    """vLLM adds it to its worker, which is why this file is imported."""


CosyVoice3MultiModalProcessor._s3_model = (Lengths(), s3tokenizer, torch.device("cpu"))
