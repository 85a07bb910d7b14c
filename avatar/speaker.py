"""Whose voice is it? Resemblyzer's speaker encoder. Knows neither consent nor profiles; finds no speech.

The model of resemble-ai/Resemblyzer 0.1.4 (Apache-2.0): 40 mel bands, three LSTM layers of 256, a linear layer, ReLU;
the mean of windows of 1.6 s, L2-normalised. Its wheel asks for torch, librosa and a webrtcvad that must be compiled, so
only its weights are used; what they give here is what its own code gives (tests/test_speaker.py).
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar import mel, weights
from avatar.audio import level_dbfs
from avatar.checkpoint import Tensors, read_tensors
from avatar.errors import WeightsError
from avatar.events import Samples
from avatar.onnx_graph import Node, model
from avatar.onnx_session import session
from avatar.settings import Settings

Embedding = NDArray[np.float32]  # (256,), L2-normalised, no value below 0

RATE = 16_000  # Hz
SIZE = 256
WINDOW = 160  # frames of one partial embedding: 1.6 s
MIN_S = 0.5  # of speech: less is mostly padding, and says little
LEVEL_DBFS = -30.0  # quieter sound is raised to it, as in training
LONGEST_S = 60.0  # more adds nothing but time
_FFT, _HOP, _BANDS, _LAYERS = 400, 160, 40, 3
_STEP = 77  # frames from window to window: the original's 1.3 windows a second
_COVERAGE = 0.75  # of the last window that must be filled, or it is left out

# Provisional: see docs/voices.md for the pairs that they come from.
SAME = 0.77
NEAR_DUPLICATE = 0.90


class SpeakerEncoder:
    """Thread-safe: keeps no state between calls, and runs on the caller's thread alone.

    In numpy the same LSTM took 1 s instead of 0.1 s when the other core was busy: OpenBLAS shares every one of its
    480 small products among all cores, and waits for the slowest (2026-11-25).
    """

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def load(cls, path: Path) -> "SpeakerEncoder":
        """Raises WeightsError when `path` is not the model."""
        try:
            return cls(session(_graph(read_tensors(path, "model_state"))))
        except Exception as exc:
            raise WeightsError(f"The speaker encoder could not be loaded from {path}: fetch it again.") from exc

    def embed(self, speech: Samples) -> Embedding:
        """The voice in `speech`: float32 (n,) at RATE, pauses cut out (voiced.py); what is after LONGEST_S is ignored.

        Raises ValueError below MIN_S and for silence.
        """
        return normalised(self.partials(speech).mean(axis=0))

    def partials(self, speech: Samples) -> NDArray[np.float32]:
        """One embedding for each 1.6 s, 0.77 s apart: (windows, 256). Raises ValueError like `embed`."""
        if len(speech) < MIN_S * RATE or not np.isfinite(speech).all() or not speech.any():
            raise ValueError("too little speech for a speaker embedding")
        speech = _raised(speech[: int(LONGEST_S * RATE)])
        starts = _starts(len(speech))
        needed = (starts[-1] + WINDOW) * _HOP
        frames = _mel_frames(np.pad(speech, (0, max(0, needed - len(speech)))))
        windows = np.stack([frames[start : start + WINDOW] for start in starts], axis=1)
        (raw,) = self._session.run(None, {"frames": windows})
        rows: NDArray[np.float32] = raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)
        return rows


def load(settings: Settings) -> SpeakerEncoder:
    """Blocks for about 0.05 s. Raises WeightsError that says what to run when the weights are not there."""
    return SpeakerEncoder.load(weights.path("resemblyzer", settings.weights))


def similarity(one: Embedding, other: Embedding) -> float:
    """The cosine of two embeddings, in [0, 1]: SAME and more is taken for one voice."""
    return float(np.clip(np.dot(one, other), 0.0, 1.0))


def normalised(vector: NDArray[np.float32]) -> Embedding:
    unit: Embedding = (vector / max(float(np.linalg.norm(vector)), 1e-12)).astype(np.float32)
    return unit


def to_bytes(embedding: Embedding) -> bytes:
    """256 float32, little endian: what the database keeps."""
    return embedding.astype("<f4").tobytes()


def from_bytes(data: bytes) -> Embedding:
    """Raises ValueError when these are not 256 finite float32."""
    embedding = np.frombuffer(data, "<f4").astype(np.float32) if len(data) == 4 * SIZE else np.zeros(0, np.float32)
    if len(embedding) != SIZE or not np.isfinite(embedding).all():
        raise ValueError("not a speaker embedding")
    return embedding


def _starts(samples: int) -> list[int]:
    """The first frames of the windows (Resemblyzer's compute_partial_slices with its defaults)."""
    frames = math.ceil((samples + 1) / _HOP)
    starts = list(range(0, max(1, frames - WINDOW + _STEP + 1), _STEP))
    if len(starts) > 1 and (samples / _HOP - starts[-1]) / WINDOW < _COVERAGE:
        starts.pop()
    return starts


def _raised(speech: Samples) -> Samples:
    """Louder, never softer, so that it has LEVEL_DBFS."""
    gain = 10 ** (max(0.0, LEVEL_DBFS - level_dbfs(speech)) / 20)
    return speech * np.float32(gain)


def _mel_frames(samples: Samples) -> NDArray[np.float32]:
    """Mel power, not its logarithm: (1 + n // 160, 40), as librosa.feature.melspectrogram gives it."""
    framed = np.pad(samples, _FFT // 2)
    windows = np.lib.stride_tricks.sliding_window_view(framed, _FFT)[::_HOP]
    spectrum = np.fft.rfft(windows * mel.hann(_FFT), axis=-1)
    power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32)
    bands: NDArray[np.float32] = power @ mel.filters(_BANDS, _FFT, RATE).T
    return bands


def _graph(tensors: Tensors) -> bytes:
    """The model for onnxruntime: frames (160, windows, 40) to raw embeddings (windows, 256), none below 0.

    Raises KeyError or ValueError when `tensors` are not those of the model.
    """
    nodes, weights_of, values = [], dict[str, NDArray[np.float32]](), "frames"
    for layer in range(_LAYERS):
        named = {"w": f"lstm.weight_ih_l{layer}", "r": f"lstm.weight_hh_l{layer}"}
        for short, name in named.items():
            weights_of[f"{short}{layer}"] = _onnx_gates(tensors[name])[None]
        biases = [_onnx_gates(tensors[f"lstm.bias_{side}_l{layer}"]) for side in ("ih", "hh")]
        weights_of[f"b{layer}"] = np.concatenate(biases)[None]
        outputs = [f"all{layer}", f"last{layer}"]
        inputs = [values, f"w{layer}", f"r{layer}", f"b{layer}"]
        nodes.append(Node("LSTM", inputs, outputs, {"hidden_size": SIZE}))
        values = f"values{layer}"
        nodes.append(Node("Squeeze", [outputs[0]], [values], {"axes": [1]}))  # of directions there is one
    weights_of |= {"linear": tensors["linear.weight"], "linear_bias": tensors["linear.bias"]}
    nodes += [
        Node("Squeeze", [f"last{_LAYERS - 1}"], ["last"], {"axes": [0]}),
        Node("Gemm", ["last", "linear", "linear_bias"], ["projected"], {"transB": 1}),
        Node("Relu", ["projected"], ["raw"]),
    ]
    return model(nodes, weights_of, {"frames": (WINDOW, "windows", _BANDS)}, {"raw": ("windows", SIZE)})


def _onnx_gates(torch_gates: NDArray[np.float32]) -> NDArray[np.float32]:
    """torch orders an LSTM's gates input, forget, cell, output; ONNX input, output, forget, cell."""
    input_gate, forget, cell, output = torch_gates.reshape(4, SIZE, -1)
    return np.concatenate([input_gate, output, forget, cell]).reshape(torch_gates.shape)
