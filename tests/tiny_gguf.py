"""A language model of Qwen's architecture that fits in a test: two layers, letters for tokens, one fixed reply."""

from pathlib import Path

from avatar.bench.gguf_models import Sizes, Tokenizer, write

REPLY = "Hi, You!"  # no letter twice
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TINY = Sizes(width=256, inner=256, layers=2, heads=4, shared=2, vocabulary=512)


def tiny_gguf(file: Path) -> Path:
    """Blocks for some milliseconds."""
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [byte for byte in range(256) if byte not in visible]
    letters = {byte: chr(byte) for byte in visible} | {byte: chr(256 + n) for n, byte in enumerate(hidden)}  # GPT-2's
    tokens = [*(letters[byte] for byte in range(256)), *SPECIAL]
    types = [1] * 256 + [3] * len(SPECIAL)  # ordinary, control
    end = tokens.index("<|im_end|>")
    chain = [ord("\n"), *REPLY.encode(), end]
    return write(file, Tokenizer("qwen2", tokens, types, ["Ġ Ġ"], end, chain), TINY)
