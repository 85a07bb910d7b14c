"""Qwen2.5-1.5B-Instruct through llama.cpp: the mind of a laptop that its user has fetched. Many languages.

What it costs on two cores: docs/benchmarks.md. It is never loaded unless somebody got it.
"""

from avatar import weights
from avatar.engines.base import Progress
from avatar.engines.llamacpp import LlamaCppLLM, serve, threads
from avatar.settings import Settings


def load(settings: Settings, progress: Progress) -> LlamaCppLLM:
    """Raises WeightsError."""
    return serve(weights.path("qwen2.5-1.5b", settings.weights), settings, progress, threads(settings))
