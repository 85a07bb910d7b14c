"""F5-TTS from noise to sound: the flow's Euler steps and the Vocos vocoder, on a GPU as three CUDA graphs per length.

Launching the kernels one by one is what takes the time of the library's own `sample`: 330 to 360 ms for a clause of
1.5 s in 7 steps on an H200, whatever its length, against 36 to 46 ms as a graph (2026-11-23, research/gpu.md A). One
graph reads the text, one makes a step and is replayed for each, one makes the sound: any number of steps, and a
23rd of the nodes that graphs of all steps have. A graph has fixed shapes, so sequences are filled up to the next of
BUCKETS and what is filled in is masked, as the library does with sequences of unequal length in a batch; without a GPU
the same code runs without graphs.
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

HOP = 256  # samples per frame
RATE = 24_000  # Hz; F5-TTS v1 with Vocos
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
    """The fixed tensors that the graphs of one length read and write, (1, n, ...), n the bucket's frames."""

    flow: Any  # the noise, and at the end the spectrum
    reference: Any
    text: Any
    mask: Any  # of what is not filled in
    clause: Any  # of what is not the reference either
    order: Any  # of the frames for the vocoder: the clause's first
    rope: Any
    step: Any  # float32 (2,): the time now, and that to the next
    said: Any = None
    unsaid: Any = None
    sound: Any = None
    parts: tuple[Callable[[], None], ...] = field(default=(), repr=False)  # text, step, sound


class Solver:
    """Not thread-safe, and every call must come from one thread: cuBLAS and cuDNN keep handles for each, and the
    library's own habit of a new thread per call costs about 200 ms."""

    def __init__(self, model: Any, vocoder: Any) -> None:
        """`model`: f5_tts.model.CFM with a DiT; `vocoder`: vocos.Vocos, on the same device."""
        self._model, self._vocoder, self._dit = model, vocoder, model.transformer
        parameter = next(model.parameters())
        self.device, self._dtype = parameter.device, parameter.dtype
        self._shapes: dict[int, _Shape] = {}
        self._steps: dict[int, Any] = {}  # by their count, float32 (count, 2): see _Shape.step
        self._pool: Any = None  # graphs run one after the other, so that they can share what they need in between

    def warm(self, told: Callable[[float], None] = lambda fraction: None) -> None:
        """Make every graph now. The largest first, because the others then need no memory of their own."""
        for number, bucket in enumerate(reversed(BUCKETS), 1):
            self._shape(bucket)
            told(number / len(BUCKETS))

    def mel(self, samples: Any) -> Any:
        """Log-mel frames (1, m, MELS) of float32 samples (n,) at RATE."""
        with torch.inference_mode():
            return self._model.mel_spec(samples[None].to(self.device)).permute(0, 2, 1).to(self._dtype)

    def speak(
        self,
        reference: Any,
        text: Any,
        frames: int,
        steps: int,
        seed: int,
        before: Callable[[], Callable[[], None] | None] | None = None,
    ) -> Any:
        """Sound of the last `frames` frames behind the frames of `reference` (see `mel`); float32 (frames * HOP,) on
        the CPU. `text`: int64 (t,), indices into the model's vocabulary of all that is said. `before` is asked before
        every step what else is to be done first, another clause perhaps. Raises TooLong."""
        with torch.inference_mode():
            heard = reference.shape[1]
            whole = heard + frames
            bucket = next((bucket for bucket in BUCKETS if bucket >= whole), None)
            if bucket is None:
                raise TooLong(f"{whole} frames")
            shape = self._shape(bucket)
            generator = torch.Generator("cpu").manual_seed(seed)
            noise = torch.randn(whole, MELS, generator=generator)  # on the CPU: the same on every device
            shape.flow.zero_()
            shape.flow[0, :whole].copy_(noise)
            shape.reference.zero_()
            shape.reference[:, :heard].copy_(reference)
            shape.text.fill_(-1)
            shape.text[0, : len(text)].copy_(text[:bucket])
            shape.mask.zero_()
            shape.mask[:, :whole] = True
            shape.clause.copy_(shape.mask)
            shape.clause[:, :heard] = False
            torch.arange(bucket, out=shape.order).add_(heard).remainder_(bucket)
            read, step, sing = shape.parts
            read()
            for now in self._times(steps):
                self._let(before, shape)
                shape.step.copy_(now)
                step()
            self._let(before, shape)
            sing()
            return shape.sound[0, : frames * HOP].float().cpu()

    def _let(self, before: Callable[[], Callable[[], None] | None] | None, shape: _Shape) -> None:
        """Do what comes before us. Launched steps are waited for: the card would do them all first."""
        if before is None:
            return
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        while (other := before()) is not None:
            with _kept(shape):
                other()

    def _times(self, steps: int) -> Any:
        if steps not in self._steps:
            times = torch.tensor(_times(steps))
            self._steps[steps] = torch.stack((times[:-1], times.diff()), dim=1).to(self.device)
        return self._steps[steps]

    def _shape(self, bucket: int) -> _Shape:
        if (shape := self._shapes.get(bucket)) is not None:
            return shape
        with torch.inference_mode():
            made = {"device": self.device, "dtype": self._dtype}
            shape = _Shape(
                flow=torch.zeros(1, bucket, MELS, **made),
                reference=torch.zeros(1, bucket, MELS, **made),
                text=torch.full((1, bucket), -1, dtype=torch.long, device=self.device),
                mask=torch.ones(1, bucket, dtype=torch.bool, device=self.device),
                clause=torch.ones(1, bucket, dtype=torch.bool, device=self.device),
                order=torch.arange(bucket, device=self.device),
                rope=self._dit.rotary_embed.forward_from_seq_len(bucket),
                step=torch.zeros(2, device=self.device),
            )
            shape.parts = tuple(partial(part, shape) for part in (self._read, self._step, self._sing))
            if self.device.type == "cuda":
                shape.parts = self._captured(shape.parts)
        self._shapes[bucket] = shape
        return shape

    def _captured(self, parts: tuple[Callable[[], None], ...]) -> tuple[Callable[[], None], ...]:
        beside = torch.cuda.Stream(self.device)
        beside.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(beside):
            for _ in range(1 if self._shapes else 3):  # libraries choose their kernels and take their workspaces
                for part in parts:
                    part()
        torch.cuda.current_stream(self.device).wait_stream(beside)
        torch.cuda.synchronize(self.device)
        replays = []
        for part in parts:
            graph = torch.cuda.CUDAGraph()
            # other threads go on with theirs: recognition, another voice
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                part()
            self._pool = self._pool or graph.pool()
            replays.append(graph.replay)
        return tuple(replays)

    def _read(self, shape: _Shape) -> None:
        """The text, with it and without it."""
        bucket = shape.text.shape[1]
        said = self._dit.text_embed(shape.text, seq_len=bucket, drop_text=False)
        unsaid = self._dit.text_embed(shape.text, seq_len=bucket, drop_text=True)
        if shape.said is None:  # not in the graphs' own memory, where another graph may write
            shape.said, shape.unsaid = torch.empty_like(said), torch.empty_like(unsaid)
        shape.said.copy_(said)
        shape.unsaid.copy_(unsaid)

    def _step(self, shape: _Shape) -> None:
        """One step of Euler's method, conditional and unconditional side by side."""
        dit = self._dit
        time = dit.time_embed(shape.step[0].to(self._dtype).expand(2))
        x = torch.cat(
            (
                dit.input_embed(shape.flow, shape.reference, shape.said, audio_mask=shape.mask),
                dit.input_embed(shape.flow, torch.zeros_like(shape.reference), shape.unsaid, audio_mask=shape.mask),
            )
        )
        mask = torch.cat((shape.mask, shape.mask))
        for block in dit.transformer_blocks:
            x = block(x, time, mask=mask, rope=shape.rope)
        guided, free = dit.proj_out(dit.norm_out(x, time)).chunk(2)
        direction = guided + (guided - free) * GUIDANCE
        shape.flow.copy_(shape.flow.float() + shape.step[1] * direction.float())

    def _sing(self, shape: _Shape) -> None:
        mel = torch.where(shape.clause[..., None], shape.flow.float(), FLOOR)  # the clause is all that sounds
        sound = self._vocode(mel.index_select(1, shape.order).permute(0, 2, 1))
        if shape.sound is None:
            shape.sound = torch.empty_like(sound)
        shape.sound.copy_(sound)

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


@contextmanager
def _kept(shape: _Shape) -> Generator[None, None, None]:
    """Another clause may have the same length, and then writes to the same tensors."""
    state = [shape.flow, shape.reference, shape.text, shape.mask, shape.clause, shape.order, shape.said, shape.unsaid]
    copies = [tensor.clone() for tensor in state]
    yield
    with torch.inference_mode():
        for tensor, copy in zip(state, copies, strict=True):
            tensor.copy_(copy)


def _times(steps: int) -> list[float]:
    """From 0 to 1: the pruned steps of EPSS (arXiv 2505.19931) where the library has them, then swayed."""
    from f5_tts.model.utils import get_epss_timesteps

    times = get_epss_timesteps(steps, device="cpu", dtype=torch.float32)
    swayed: list[float] = (times + SWAY * (torch.cos(torch.pi / 2 * times) - 1 + times)).tolist()
    return swayed
