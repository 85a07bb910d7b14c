"""Run by test_f5_solver.py with f5-tts and its kin on the path, but not what only its trainer and its files need.

    python f5_parity.py FOLDER

Prints, as JSON, how far our solver is from the library's own `sample` on a tiny model: relative errors of spectrum and
sound, for a length that fills a bucket and for one that is filled up, whose filling the published model attends to, as
it did in training; seconds of what the adapter says through its real `load`; and what it changes in a clause when
another is made in the middle of it.
"""

import json
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import torch

SMALL = {"dim": 64, "depth": 2, "heads": 1, "text_dim": 32, "conv_layers": 1}
STEPS, SEED = 7, 3


class MelSpectrogram(torch.nn.Module):
    """In the place of torchaudio's, of which there is no build for the CPU: any 100 bands will do here."""

    def __init__(self, n_fft: int = 1024, hop_length: int = 256, n_mels: int = 100, **_: Any) -> None:
        super().__init__()
        self.hop, self.fft = hop_length, n_fft
        self.register_buffer("bands", torch.rand(n_fft // 2 + 1, n_mels, generator=torch.Generator().manual_seed(0)))

    def forward(self, samples: torch.Tensor) -> torch.Tensor:
        window = torch.hann_window(self.fft)
        spectrum = torch.stft(samples, self.fft, self.hop, window=window, return_complex=True).abs()
        return (spectrum.transpose(-1, -2) @ self.bands).transpose(-1, -2)


def absent(name: str, **holds: Any) -> None:
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    module.__path__ = []
    for key, value in holds.items():
        setattr(module, key, value)
    sys.modules[name] = module


def main(folder: Path) -> dict[str, float]:
    anything = type("Anything", (), {})
    for name in ("wandb", "datasets", "accelerate", "accelerate.utils", "ema_pytorch", "librosa", "librosa.filters"):
        absent(name, Accelerator=anything, DistributedDataParallelKwargs=anything, EMA=anything, mel=None)
    sys.modules["datasets"].Dataset = sys.modules["datasets"].load_from_disk = anything  # type: ignore[attr-defined]
    absent("torchaudio.transforms", MelSpectrogram=MelSpectrogram)
    absent("torchaudio.functional")
    absent("torchaudio.functional.functional", _hz_to_mel=None, _mel_to_hz=None)
    absent("torchaudio", transforms=sys.modules["torchaudio.transforms"])
    absent("encodec", EncodecModel=anything)

    from avatar.bench.gpu_voice_models import f5
    from avatar.engines.base import Voice
    from avatar.engines.f5 import files, load
    from avatar.engines.f5_solver import BUCKETS, FLOOR, HOP, Solver
    from avatar.engines.f5_solver import _times as times
    from avatar.settings import Settings

    settings = Settings(f5_model=f5(folder, SMALL))
    engine = load(settings, lambda fraction: None)
    said = sum(len(chunk.samples) for chunk in engine.speak("The kettle is on.", Voice(), "en")) / 24_000
    solver = engine._solver
    assert isinstance(solver, Solver) and files(settings)[0].is_file() and len(times(STEPS)) == STEPS + 1
    reference = solver.mel(torch.randn(24_000, generator=torch.Generator().manual_seed(1)) * 0.1)
    heard = reference.shape[1]
    text = engine._encode("Some call me nature. The kettle is on.")

    def error(found: torch.Tensor, wanted: torch.Tensor) -> float:
        return float((found - wanted).norm() / wanted.norm())

    def errors(frames: int) -> tuple[float, float]:
        ours = solver.speak(reference, text, frames, STEPS, SEED)
        shape = solver._shapes[min(bucket for bucket in BUCKETS if bucket >= heard + frames)]
        with torch.inference_mode():
            theirs, _ = solver._model.sample(
                cond=reference,
                text=text[None],
                duration=heard + frames,
                steps=STEPS,
                cfg_strength=2.0,
                sway_sampling_coef=-1.0,
                seed=SEED,
            )
            clause = theirs[:, heard:]
            filled = torch.nn.functional.pad(clause, (0, 0, 0, 16), value=FLOOR).permute(0, 2, 1)
            sound = solver._vocoder.decode(filled)[0, : (frames - 16) * HOP]
        return error(shape.flow[:, heard : heard + frames], clause), error(ours[: len(sound)], sound)

    def interrupted() -> float:
        """The larger difference between two clauses of one length that are made one in the middle of the other, and the
        same two by themselves."""
        frames, other, more = BUCKETS[0] - heard - 8, engine._encode("Some call me nature. So is the tea."), []
        alone = [solver.speak(reference, words, frames, STEPS, SEED) for words in (text, other)]
        asked = iter(range(STEPS + 1))

        def before() -> Callable[[], None] | None:
            if next(asked, 0) != STEPS // 2:
                return None
            return lambda: more.append(solver.speak(reference, other, frames, STEPS, SEED))

        found = solver.speak(reference, text, frames, STEPS, SEED, before)
        return max(error(found, alone[0]), error(more[0], alone[1]))

    spectrum, sound = errors(BUCKETS[0] - heard)
    filled, _ = errors(BUCKETS[0] - heard - 40)
    cut = interrupted()
    engine.close()
    return {"spectrum": spectrum, "sound": sound, "filled": filled, "said_s": said, "interrupted": cut}


if __name__ == "__main__":
    torch.set_num_threads(2)
    print(json.dumps(main(Path(sys.argv[1]))))
