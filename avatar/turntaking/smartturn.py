"""Smart Turn v3.2: how likely it is that the speaker has finished, from the sound alone.

Knows nothing of words. Weights: pipecat-ai/smart-turn v3.2, BSD-2-Clause, 8.7 MB; see avatar/weights/table.py.
"""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatar import mel
from avatar.errors import WeightsError
from avatar.events import Samples
from avatar.onnx_session import session

RATE = 16_000  # Hz
WINDOW = 8 * RATE  # the model hears the last 8 s, zero-padded in front
_FFT, _HOP, _MELS = 400, 160, 80


class SmartTurn:
    """Thread-safe: `probability` keeps no state and onnxruntime sessions may be run from several threads."""

    def __init__(self, session: Any) -> None:
        self._session = session

    @classmethod
    def load(cls, path: Path, threads: int = 1) -> "SmartTurn":
        """Blocks for about 0.2 s. Raises WeightsError when `path` is not the model."""
        try:
            return cls(session(path, threads=threads, spinning=False))  # spinning would take a core from STT
        except Exception as exc:
            raise WeightsError(f"Smart Turn could not be loaded from {path}: fetch it again.") from exc

    def probability(self, samples: Samples) -> float:
        """samples: float32 (n,) at 16 kHz, the utterance with its silence at the end; only the last 8 s count.

        Returns the probability in [0, 1] that the turn is over. Blocks for about 45 ms on one core.
        """
        (output,) = self._session.run(None, {"input_features": log_mel(samples)[None]})
        return float(output.reshape(-1)[0])


class NeverSure:
    """In the place of SmartTurn where its weights are not here: the whole patience is waited."""

    def probability(self, samples: Samples) -> float:
        return 0.0


def log_mel(samples: Samples) -> NDArray[np.float32]:
    """Whisper's log-mel features of the last 8 s, zero-padded in front: float32 (80, 800).

    The arithmetic of transformers' WhisperFeatureExtractor(chunk_length=8, do_normalize=True), which Smart Turn was
    trained with (pipecat src/pipecat/audio/turn/smart_turn/_whisper_features.py). Frames that lie wholly in the padding
    are all alike, so one stands for them.
    """
    speech = samples[-WINDOW:]
    padded = np.zeros(WINDOW, np.float32)
    padded[WINDOW - len(speech) :] = speech
    padded = (padded - padded.mean()) / np.sqrt(padded.var() + 1e-7)
    framed = np.pad(padded, _FFT // 2, mode="reflect")
    quiet = max(0, (WINDOW - len(speech) - _FFT // 2) // _HOP - 1)  # frames that see nothing but padding
    frames = np.lib.stride_tricks.sliding_window_view(framed, _FFT)[:WINDOW:_HOP][quiet:]
    spectrum = np.fft.rfft(frames * mel.hann(_FFT), axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    bands = np.log10(np.maximum(mel.filters(_MELS, _FFT, RATE) @ power.T, 1e-10))
    bands = (np.maximum(bands, bands.max() - 8) + 4) / 4
    features: NDArray[np.float32] = np.concatenate(
        [np.repeat(bands[:, :1], quiet, axis=1), bands], axis=1, dtype=np.float32
    )
    return features
