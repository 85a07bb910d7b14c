"""Models of full size with random weights, made from their own configurations, for machines that no hub reaches.

    python -m avatar.bench.gpu_models FOLDER [f5] [whisper] [qwen] [smollm2] [cosyvoice]

They compute exactly what the real ones compute, and so take as long and as much memory; what they say means nothing.
Two are made to say something of a natural length all the same: the recogniser 25 tokens, the language model one fixed
reply, by large weights where a position or a token becomes the next one, and small ones everywhere else.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar.bench.gpu_voice_models import cosyvoice, f5

Array = NDArray[Any]
HEARD_TOKENS = 25  # of 5 s of speech
REPLY = (  # no token twice: each follows from the one before alone
    "Sure, I can help you with that! There are three good places near here; all of them open at noon: my favorite "
    "has very fresh bread."
)


def some(*shape: int, std: float = 0.02, seed: int = 0) -> Array:
    """Random numbers that repeat after a million: a gigabyte of them in a second."""
    block = np.random.default_rng(seed).standard_normal(1_000_003).astype(np.float16) * np.float16(std)
    return np.resize(block, shape)


# -- Whisper -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a Whisper; by default large-v3-turbo's, 809 M."""

    width: int = 1_280
    inner: int = 5_120
    heads: int = 20
    encoder_layers: int = 32
    decoder_layers: int = 4
    mels: int = 128


def whisper(folder: Path, sizes: Sizes | None = None) -> Path:
    """large-v3-turbo for CTranslate2, which always hears HEARD_TOKENS tokens of English."""
    from ctranslate2.specs import WhisperSpec
    from tokenizers import Tokenizer, decoders, models
    from tokenizers.pre_tokenizers import ByteLevel

    from avatar.engines.catalog import WHISPER_LANGUAGES

    folder.mkdir(parents=True, exist_ok=True)
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"Ġw{i}" for i in range(50_256 - len(letters))), ""]
    tags = ["jw" if tag == "jv" else tag for tag in WHISPER_LANGUAGES.split()] + ["yue"]
    names = ["endoftext", "startoftranscript", *tags, "translate", "transcribe", "startoflm", "startofprev"]
    names += ["nospeech", "notimestamps", *(f"{i * 0.02:.2f}" for i in range(1_501))]
    special = [f"<|{name}|>" for name in names]
    sizes = sizes or Sizes()
    spec = WhisperSpec(sizes.encoder_layers, sizes.heads, sizes.decoder_layers, sizes.heads)
    _fill(spec, sizes, len(words) + len(special), len(words))
    spec.register_vocabulary([*words, *special])
    spec.config.lang_ids = [len(words) + 2 + i for i in range(len(tags))]
    spec.config.suppress_ids = list(range(len(words) + 1, len(words) + len(special)))
    spec.config.suppress_ids_begin = [letters.index("Ġ"), len(words)]
    spec.validate()
    spec.optimize(quantization="float16")
    spec.save(str(folder))
    bpe = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.add_special_tokens(special)
    bpe.save(str(folder / "tokenizer.json"))
    features = {
        "feature_size": sizes.mels,
        "sampling_rate": 16_000,
        "hop_length": 160,
        "chunk_length": 30,
        "n_fft": 400,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(features))
    return folder


def _fill(spec: Any, sizes: Sizes, vocabulary: int, end: int) -> None:
    """`end`: the token <|endoftext|>; the one after the next is English."""
    width, inner, mels = sizes.width, sizes.inner, sizes.mels

    def linear(layer: Any, rows: int, columns: int) -> None:
        layer.weight, layer.bias = some(rows, columns), some(rows)

    def norm(layer: Any) -> None:
        layer.gamma, layer.beta = np.ones(width, np.float16), np.zeros(width, np.float16)

    def attention(layer: Any, rows: Sequence[int]) -> None:
        for part, size in zip(layer.linear, rows, strict=True):
            linear(part, size * width, width)
        norm(layer.layer_norm)

    for convolution, depth in ((spec.encoder.conv1, mels), (spec.encoder.conv2, width)):
        convolution.weight, convolution.bias = some(width, depth, 3), some(width)
    spec.encoder.position_encodings.encodings = some(1_500, width)
    positions = some(448, width, std=10.0, seed=1)  # what a position says drowns what was said before
    spec.decoder.position_encodings.encodings = positions
    spec.decoder.embeddings.weight = some(vocabulary, width)
    output = some(vocabulary, width, std=0.001)
    loud = np.float16(6.4 / width)  # a logit of about 64 for what comes next, about 0 for the rest
    first = 4  # behind <|startoftranscript|>, language, task, <|notimestamps|>
    output[end + 2] = positions[0] * loud
    for place in range(HEARD_TOKENS):
        output[300 + place] = positions[first - 1 + place] * loud
    output[end] = positions[first - 1 + HEARD_TOKENS] * loud
    spec.decoder.projection.weight = output
    for stack in (spec.encoder, spec.decoder):
        norm(stack.layer_norm)
        for layer in stack.layer:
            attention(layer.self_attention, (3, 1))
            if stack is spec.decoder:
                attention(layer.attention, (1, 2, 1))
            linear(layer.ffn.linear_0, inner, width)
            linear(layer.ffn.linear_1, width, inner)
            norm(layer.ffn.layer_norm)


# -- Qwen2.5-7B-Instruct-AWQ -------------------------------------------------------------------------------------------
QWEN: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 3_584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "vocab_size": 152_064,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-6,
    "rope_theta": 1_000_000.0,
    "max_position_embeddings": 32_768,
    "max_window_layers": 28,
    "use_sliding_window": False,
    "tie_word_embeddings": False,
    "torch_dtype": "float16",
    "initializer_range": 0.02,
    "attention_dropout": 0.0,
    "use_cache": True,
    "quantization_config": {
        "quant_method": "awq",
        "bits": 4,
        "group_size": 128,
        "zero_point": True,
        "version": "gemm",
        "modules_to_not_convert": None,
    },
}


def qwen(folder: Path, tokenizer: Path, small: dict[str, int] | None = None) -> Path:
    """Qwen2.5-7B-Instruct-AWQ (5.4 GB) that says REPLY, with the tokenizer and chat template of `tokenizer`: Qwen's own
    is in no wheel. `small`: other sizes, for tests."""
    from safetensors.numpy import save_file
    from transformers import AutoTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    words = AutoTokenizer.from_pretrained(tokenizer)
    words.save_pretrained(folder)
    config = {**QWEN, **(small or {})}
    width, inner, layers, vocabulary = (
        config[name] for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    )
    shared = width // config["num_attention_heads"] * config["num_key_value_heads"]
    end = words.convert_tokens_to_ids("<|im_end|>")
    config.update(bos_token_id=words.bos_token_id, eos_token_id=end)
    (folder / "config.json").write_text(json.dumps(config))
    for layer in range(layers):
        at = f"model.layers.{layer}."
        state: dict[str, Array] = {}
        for name, rows, columns in (
            ("self_attn.q_proj", width, width),
            ("self_attn.k_proj", width, shared),
            ("self_attn.v_proj", width, shared),
            ("self_attn.o_proj", width, width),
            ("mlp.gate_proj", width, inner),
            ("mlp.up_proj", width, inner),
            ("mlp.down_proj", inner, width),
        ):
            state |= _awq(at + name, rows, columns, layer)
            if name[10:] in ("q_proj", "k_proj", "v_proj"):
                state[f"{at}{name}.bias"] = np.zeros(columns, np.float16)
        for name in ("input_layernorm", "post_attention_layernorm"):
            state[f"{at}{name}.weight"] = np.ones(width, np.float16)
        save_file(state, folder / f"model-{layer:05}.safetensors")
    embedding = some(vocabulary, width, std=1.0)
    chain = [words("assistant\n", add_special_tokens=False)["input_ids"][-1]]
    chain += [*words(REPLY, add_special_tokens=False)["input_ids"], end]
    if len(set(chain)) != len(chain):
        raise ValueError("A token of the reply comes twice.")
    output = some(vocabulary, width, std=0.001)
    for before, after in zip(chain, chain[1:], strict=False):
        output[after] = embedding[before] * np.float16(0.02)
    state = {"model.embed_tokens.weight": embedding, "lm_head.weight": output}
    state["model.norm.weight"] = np.ones(width, np.float16)
    save_file(state, folder / "model-outer.safetensors")
    return folder


def _awq(name: str, rows: int, columns: int, seed: int) -> dict[str, Array]:
    """Eight numbers of four bits in each 32, a zero and a scale for 128 rows; so small that little is added."""
    packed = np.random.default_rng(seed).integers(-(2**31), 2**31 - 1, 1_000_003, np.int32)
    return {
        f"{name}.qweight": np.resize(packed, (rows, columns // 8)),
        f"{name}.qzeros": np.resize(packed[::-1], (rows // 128, columns // 8)),
        f"{name}.scales": np.full((rows // 128, columns), 1e-4, np.float16),
    }


# -- SmolLM2 -----------------------------------------------------------------------------------------------------------
def smollm2(folder: Path, gguf: Path) -> Path:
    """The bundled SmolLM2-135M with its real weights, for vLLM, which reads no GGUF: takes 20 s."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)
    model.hf_quantizer, model.is_quantized = None, False  # or it refuses to be saved
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)
    return folder


MAKERS = ("f5", "whisper", "smollm2", "qwen", "cosyvoice")


def make(root: Path, names: Sequence[str], gguf: Path | None = None) -> dict[str, Path]:
    """Make what is not there yet; the folders by name. qwen and cosyvoice take their tokenizer from
    smollm2, which comes before them."""
    made: dict[str, Path] = {}
    for name in MAKERS:
        folder = root / name
        if name in names:
            if not (folder / "made").is_file():
                if name == "f5":
                    f5(folder)
                elif name == "whisper":
                    whisper(folder)
                elif name == "smollm2" and gguf is not None:
                    smollm2(folder, gguf)
                elif name == "qwen":
                    qwen(folder, root / "smollm2")
                elif name == "cosyvoice":
                    cosyvoice(folder, root / "smollm2")
                (folder / "made").touch()
            made[name] = folder
    return made


def main(argv: list[str] | None = None) -> int:
    from avatar import weights
    from avatar.settings import Settings

    parser = argparse.ArgumentParser(prog="python -m avatar.bench.gpu_models", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*", choices=MAKERS, default=MAKERS)
    options = parser.parse_args(argv)
    gguf = weights.path("smollm2-135m", Settings.from_env().weights) if "smollm2" in options.names else None
    for name, folder in make(options.folder, options.names, gguf).items():
        print(f"{name}: {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
