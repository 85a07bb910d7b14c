"""A tiny Whisper with random weights, as the files that faster-whisper loads: the real layout, and no sense."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models
from tokenizers.pre_tokenizers import ByteLevel

from avatar.engines.catalog import WHISPER_LANGUAGES
from avatar.engines.whisper import WhisperSTT
from avatar.events import Samples, Transcript

if TYPE_CHECKING:
    from ctranslate2.specs import WhisperSpec

RATE = 16_000
WIDTH, HEADS, MELS, FRAMES, TEXT = 16, 2, 80, 1_500, 448
TEXT_TOKENS = 50_257  # of all multilingual Whispers; the last is empty, by which CTranslate2 knows them


def make(folder: Path, *, multilingual: bool = True, certain: bool = True) -> Path:
    """Write the files of Systran/faster-whisper-base into `folder`: 9 MB in 0.3 s. `certain`: of what it says."""
    folder.mkdir(parents=True)
    letters = sorted(ByteLevel.alphabet())
    words = [*letters, *(f"Ġw{i}" for i in range(TEXT_TOKENS - 1 - len(letters))), "" if multilingual else "Ġlast"]
    tags = ["jw" if tag == "jv" else tag for tag in WHISPER_LANGUAGES.split()]
    names = ["endoftext", "startoftranscript", *tags, "translate", "transcribe", "startoflm", "startofprev"]
    names += ["nospeech", "notimestamps", *(f"{i * 0.02:.2f}" for i in range(1_501))]
    special = [f"<|{name}|>" for name in names]
    spec = weights(len(words) + len(special))
    if certain:  # random logits of some size: one token has all of the probability
        spec.decoder.projection.weight = spec.decoder.embeddings.weight * 100
    spec.register_vocabulary([*words, *special])
    spec.config.lang_ids = [TEXT_TOKENS + 2 + i for i in range(len(tags))]
    spec.config.suppress_ids = list(range(TEXT_TOKENS + 1, len(words) + len(special)))  # all but text and its end
    spec.config.suppress_ids_begin = [letters.index("Ġ"), TEXT_TOKENS]
    spec.validate()
    spec.save(str(folder))
    bpe = Tokenizer(models.BPE(vocab={word: i for i, word in enumerate(words)}, merges=[]))
    bpe.pre_tokenizer, bpe.decoder = ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    bpe.add_special_tokens(special)
    bpe.save(str(folder / "tokenizer.json"))
    return folder


def weights(vocabulary: int) -> "WhisperSpec":
    from ctranslate2.specs import WhisperSpec  # imports torch where it is installed: 1.5 s of every worker

    random = np.random.default_rng(0)

    def some(*shape: int) -> NDArray[np.float32]:
        return random.standard_normal(shape).astype(np.float32) * 0.1

    def linear(layer: object, rows: int, columns: int) -> None:
        layer.weight, layer.bias = some(rows, columns), some(rows)  # type: ignore[attr-defined]

    def norm(layer: object) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), some(WIDTH)  # type: ignore[attr-defined]

    def attention(layer: object, rows: Sequence[int]) -> None:
        for part, size in zip(layer.linear, rows, strict=True):  # type: ignore[attr-defined]
            linear(part, size * WIDTH, WIDTH)
        norm(layer.layer_norm)  # type: ignore[attr-defined]

    spec = WhisperSpec(1, HEADS, 1, HEADS)
    encoder, decoder = spec.encoder, spec.decoder
    for conv, depth in ((encoder.conv1, MELS), (encoder.conv2, WIDTH)):
        conv.weight, conv.bias = some(WIDTH, depth, 3), some(WIDTH)
    encoder.position_encodings.encodings = some(FRAMES, WIDTH)
    decoder.position_encodings.encodings = some(TEXT, WIDTH) * 10  # another word at each step, not one for ever
    decoder.embeddings.weight = decoder.projection.weight = some(vocabulary, WIDTH)
    for stack in (encoder, decoder):
        norm(stack.layer_norm)
        attention(stack.layer[0].self_attention, (3, 1))
        linear(stack.layer[0].ffn.linear_0, 4 * WIDTH, WIDTH)
        linear(stack.layer[0].ffn.linear_1, WIDTH, 4 * WIDTH)
        norm(stack.layer[0].ffn.layer_norm)
    attention(decoder.layer[0].attention, (1, 2, 1))
    return spec


def noise(seconds: float) -> Samples:
    return np.random.default_rng(0).standard_normal(int(seconds * RATE)).astype(np.float32) * 0.05


def last(engine: WhisperSTT, samples: Samples, language: str | None = None) -> Transcript:
    *partial, final = engine.transcribe(samples, language)
    assert final.final and not any(transcript.final for transcript in partial)
    return final
