"""F5-TTS from noise to sound: the flow's Euler steps and the Vocos vocoder, on a GPU as one CUDA graph per length.

Launching the kernels one by one is what takes the time of the library's own `sample`: 330 to 360 ms for a clause of
1.5 s in 7 steps on an H200, whatever its length, against 36 to 46 ms as one graph (2026-11-23, research/gpu.md A). A
graph has fixed shapes, so sequences are filled up to the next of BUCKETS and what is filled in is masked, as the
library does with sequences of unequal length in a batch; without a GPU the same code runs without a graph.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

HOP = 256  # samples per frame
RATE = 24_000  # Hz; F5-TTS v1 with Vocos
FRAMES_PER_S = RATE / HOP
FFT = 1_024
MELS = 100
FLOOR = -11.5129  # log(1e-5): the quietest that a mel spectrogram of Vocos gets
GUIDANCE = 2.0  # cfg_strength and sway_sampling_coef of f5_tts/infer/utils_infer.py
SWAY = -1.0
# Frames of reference and clause together, 94 a second: 3 s and half a second at least, 6 s and 10 s at most.
BUCKETS = (*range(320, 1_024, 64), *range(1_024, 1_537, 128))


class TooLong(ValueError):
    """More frames than the longest bucket."""


@dataclass(slots=True)
class _Shape:
    """The fixed tensors that one graph reads and writes, (1, n, ...), n the bucket's frames."""

    noise: Any
    reference: Any
    text: Any
    mask: Any  # of what is not filled in
    clause: Any  # of what is not the reference either
    order: Any  # of the frames for the vocoder: the clause's first
    sound: Any = None
    replay: Callable[[], None] | None = field(default=None, repr=False)


class Solver:
    """Not thread-safe, and every call must come from one thread: cuBLAS and cuDNN keep handles for each, and the
    library's own habit of a new thread per call costs about 200 ms."""

    def __init__(self, model: Any, vocoder: Any) -> None:
        """`model`: f5_tts.model.CFM with a DiT; `vocoder`: vocos.Vocos, on the same device."""
        self._model, self._vocoder, self._dit = model, vocoder, model.transformer
        parameter = next(model.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self._shapes: dict[tuple[int, int], _Shape] = {}
        self._pool: Any = None  # graphs run one after the other, so that they can share what they need in between

    def warm(self, steps: tuple[int, ...], told: Callable[[float], None] = lambda fraction: None) -> None:
        """Make every graph now: 0.4 to 4.7 s each on an H200, most of it for the first. The largest first, because the
        others then need no memory of their own."""
        every = [(bucket, count) for bucket in reversed(BUCKETS) for count in sorted(set(steps))]
        for number, (bucket, count) in enumerate(every, 1):
            self._shape(bucket, count)
            told(number / len(every))

    def mel(self, samples: Any) -> Any:
        """Log-mel frames (1, m, MELS) of float32 samples (n,) at RATE."""
        with torch.inference_mode():
            return self._model.mel_spec(samples[None].to(self.device)).permute(0, 2, 1).to(self._dtype)

    def speak(self, reference: Any, text: Any, frames: int, steps: int, seed: int) -> Any:
        """Sound of the last `frames` frames behind the frames of `reference` (see `mel`); float32 (frames * HOP,) on
        the CPU. `text`: int64 (t,), indices into the model's vocabulary of all that is said. Raises TooLong."""
        with torch.inference_mode():
            heard = reference.shape[1]
            whole = heard + frames
            bucket = next((bucket for bucket in BUCKETS if bucket >= whole), None)
            if bucket is None:
                raise TooLong(f"{whole} frames")
            shape = self._shape(bucket, steps)
            generator = torch.Generator("cpu").manual_seed(seed)
            noise = torch.randn(whole, MELS, generator=generator)  # on the CPU: the same on every device
            shape.noise.zero_()
            shape.noise[0, :whole].copy_(noise)
            shape.reference.zero_()
            shape.reference[:, :heard].copy_(reference)
            shape.text.fill_(-1)
            shape.text[0, : len(text)].copy_(text[:bucket])
            shape.mask.zero_()
            shape.mask[:, :whole] = True
            shape.clause.copy_(shape.mask)
            shape.clause[:, :heard] = False
            torch.arange(bucket, out=shape.order).add_(heard).remainder_(bucket)
            if shape.replay is None:
                self._run(shape, bucket, steps)
            else:
                shape.replay()
            return shape.sound[0, : frames * HOP].float().cpu()

    def _shape(self, bucket: int, steps: int) -> _Shape:
        if (shape := self._shapes.get((bucket, steps))) is not None:
            return shape
        with torch.inference_mode():
            made = {"device": self.device, "dtype": self._dtype}
            shape = _Shape(
                noise=torch.zeros(1, bucket, MELS, **made),
                reference=torch.zeros(1, bucket, MELS, **made),
                text=torch.full((1, bucket), -1, dtype=torch.long, device=self.device),
                mask=torch.ones(1, bucket, dtype=torch.bool, device=self.device),
                clause=torch.ones(1, bucket, dtype=torch.bool, device=self.device),
                order=torch.arange(bucket, device=self.device),
            )
            if self.device.type == "cuda":
                self._capture(shape, bucket, steps)
        self._shapes[bucket, steps] = shape
        return shape

    def _capture(self, shape: _Shape, bucket: int, steps: int) -> None:
        beside = torch.cuda.Stream(self.device)
        beside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(beside):
            for _ in range(1 if self._shapes else 3):  # libraries choose their kernels and take their workspaces
                self._run(shape, bucket, steps)
        torch.cuda.current_stream(self.device).wait_stream(beside)
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        # other threads go on with theirs: recognition, another voice
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            self._run(shape, bucket, steps)
        self._pool = self._pool or graph.pool()
        shape.replay = graph.replay

    def _run(self, shape: _Shape, bucket: int, steps: int) -> None:
        mel = self._flow(shape, bucket, steps).float()
        mel = torch.where(shape.clause[..., None], mel, FLOOR)  # the clause is all that sounds
        shape.sound = self._vocode(mel.index_select(1, shape.order).permute(0, 2, 1))

    def _flow(self, shape: _Shape, bucket: int, steps: int) -> Any:
        """Euler's method over the library's own times, conditional and unconditional side by side."""
        dit, times = self._dit, _times(steps)
        said = dit.text_embed(shape.text, seq_len=bucket, drop_text=False)
        unsaid = dit.text_embed(shape.text, seq_len=bucket, drop_text=True)
        rope = dit.rotary_embed.forward_from_seq_len(bucket)
        unheard = torch.zeros_like(shape.reference)
        mask = torch.cat((shape.mask, shape.mask))
        flow = shape.noise
        for now, then in zip(times, times[1:], strict=False):
            # filled by a kernel: torch.tensor would copy from the host, which a capture forbids
            time = dit.time_embed(torch.full((2,), now, device=self.device, dtype=self._dtype))
            x = torch.cat(
                (
                    dit.input_embed(flow, shape.reference, said, audio_mask=shape.mask),
                    dit.input_embed(flow, unheard, unsaid, audio_mask=shape.mask),
                )
            )
            for block in dit.transformer_blocks:
                x = block(x, time, mask=mask, rope=rope)
            guided, free = dit.proj_out(dit.norm_out(x, time)).chunk(2)
            flow = flow + (then - now) * (guided + (guided - free) * GUIDANCE)
        return flow

    def _vocode(self, mel: Any) -> Any:
        """Vocos.decode with an overlap-add of its own: torch.istft looks at its window on the host."""
        head = self._vocoder.head
        magnitude, phase = head.out(self._vocoder.backbone(mel)).transpose(1, 2).chunk(2, dim=1)
        magnitude = torch.exp(magnitude).clamp(max=1e2)
        spectrum = torch.complex(magnitude * torch.cos(phase), magnitude * torch.sin(phase))
        window = head.istft.window
        frames = torch.fft.irfft(spectrum, FFT, dim=1) * window[:, None]
        count = frames.shape[-1]
        length = (count - 1) * HOP + FFT

        def added(pieces: Any) -> Any:
            return torch.nn.functional.fold(pieces, (1, length), (1, FFT), stride=(1, HOP))[:, 0, 0]

        envelope = added((window**2)[None, :, None].expand(1, FFT, count))
        sound = added(frames) / envelope.clamp(min=1e-11)
        return torch.nn.functional.pad(sound[:, FFT // 2 : length - FFT // 2], (0, HOP))


def _times(steps: int) -> list[float]:
    """From 0 to 1: the pruned steps of EPSS (arXiv 2505.19931) where the library has them, then swayed."""
    from f5_tts.model.utils import get_epss_timesteps

    times = get_epss_timesteps(steps, device="cpu", dtype=torch.float32)
    swayed: list[float] = (times + SWAY * (torch.cos(torch.pi / 2 * times) - 1 + times)).tolist()
    return swayed
