"""Samples: bounded decoding of untrusted files, resampling, PCM, WAV and Opus. Knows no engine and no page."""

import asyncio
import hashlib
import io
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import wave
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
from numpy.typing import NDArray

from avatar.durable import sync_folder
from avatar.errors import AudioError
from avatar.events import AudioChunk, Samples

OPUS_BIT_RATE = 32_000  # bit/s: speech in mono is transparent to most listeners from about 24 kbit/s
MAX_OPUS_S = 1800  # our own files: a reply or an utterance, never half an hour
FLOOR_DBFS = -120.0
PAYLOAD = "payload_sha256"  # a tag


def pcm16(samples: Samples) -> bytes:
    """float32 (n,) in [-1, 1] to int16, little endian; louder is clipped, NaN and infinity become 0."""
    finite = np.nan_to_num(np.asarray(samples, np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    scaled: NDArray[np.int16] = np.clip(np.rint(finite * 32768.0), -32768, 32767).astype("<i2")
    return scaled.tobytes()


def from_pcm16(data: bytes) -> Samples:
    """int16, little endian, to float32 (n,) in [-1, 1). Half a sample at the end is dropped."""
    return np.frombuffer(data, "<i2", len(data) // 2).astype(np.float32) / np.float32(32768.0)


def level_dbfs(samples: Samples) -> float:
    """RMS level in dB relative to full scale, -120 for silence and for nothing."""
    rms = math.sqrt(float(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0
    return max(FLOOR_DBFS, 20 * math.log10(rms)) if rms > 0 else FLOOR_DBFS


def wav_bytes(samples: Samples, sample_rate: int) -> bytes:
    """A 16-bit mono WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm16(samples))
    return buffer.getvalue()


def resample(samples: Samples, rate: int, to_rate: int) -> Samples:
    """samples: float32 (n,) at `rate` Hz; returns (m,), m = round(n * to_rate / rate)."""
    return Resampler(rate, to_rate).push(samples, last=True)


class Resampler:
    """Resamples a stream chunk by chunk, without seams. Not thread-safe; of no use after `last`."""

    def __init__(self, rate: int, to_rate: int) -> None:
        import soxr

        self._stream = None if rate == to_rate else soxr.ResampleStream(rate, to_rate, 1, dtype="float32")

    def push(self, samples: Samples, last: bool = False) -> Samples:
        """float32 (n,) in, what is ready out; the filter holds back some samples until `last`."""
        samples = np.ascontiguousarray(samples, np.float32)
        return samples if self._stream is None else cast(Samples, self._stream.resample_chunk(samples, last=last))


def write_opus(path: Path, samples: Samples, sample_rate: int, tags: Mapping[str, str]) -> None:
    """Write Ogg/Opus, mono, with `tags` as Vorbis comments, and if there are any, PAYLOAD: what they are about. Blocks
    until the file and its name are on the disk.

    Either the whole file appears under `path` or nothing does. Raises OSError when the disk refuses, ValueError when
    there is no sample.
    """
    import av

    if not len(samples):
        raise ValueError("no sound to write")

    rate = 24_000 if sample_rate <= 24_000 else 48_000
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="ogg") as container:
        stream = container.add_stream("libopus", rate=rate, layout="mono")
        stream.bit_rate = OPUS_BIT_RATE
        data = np.frombuffer(pcm16(resample(samples, sample_rate, rate)), "<i2")
        frame = av.AudioFrame.from_ndarray(data.reshape(1, -1), format="s16", layout="mono")
        frame.rate = rate
        packets = [*stream.encode(frame), *stream.encode(None)]
        if tags:
            container.metadata.update({**tags, PAYLOAD: payload_sha256(packets)})
        for packet in packets:
            container.mux(packet)
    _write_durably(path, buffer.getvalue())


def payload_sha256(packets: Iterable[Any]) -> str:
    """Of the coded sound, packet by packet; whatever container it is in, and whatever its tags say."""
    digest = hashlib.sha256()
    for packet in packets:
        digest.update(bytes(packet))
    return digest.hexdigest()


def _write_durably(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".writing-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    sync_folder(path.parent)


def read_opus(path: Path) -> AudioChunk:
    """Decode a file that write_opus wrote, at Opus' own 48 kHz. Raises AudioError (a damaged or foreign file)."""
    import av

    parts: list[Samples] = []
    count = 0
    with _own_file(path) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48_000)
        for frame in (*container.decode(audio=0), None):
            for ready in resampler.resample(frame):
                parts.append(ready.to_ndarray()[0])
                count += len(parts[-1])
            if count > MAX_OPUS_S * 48_000:
                raise AudioError("This recording is longer than any that AVATAR writes.", code="AUDIO_TOO_LONG")
    return AudioChunk(np.concatenate(parts) if parts else np.zeros(0, np.float32), 48_000)


@contextmanager
def _own_file(path: Path) -> Iterator[Any]:
    import av

    try:
        with av.open(f"file:{path}", format="ogg", options={"protocol_whitelist": "file"}) as container:
            yield container
    except (av.FFmpegError, IndexError) as exc:
        raise AudioError("This saved recording is missing or damaged and cannot be played.") from exc


@dataclass(frozen=True, slots=True)
class Limits:
    """What a stranger's file may cost; the values are those of research/reliability.md section 4."""

    max_bytes: int = 25 << 20
    min_s: float = 0.1
    max_s: float = 60.0
    max_channels: int = 8
    min_rate: int = 8_000
    max_rate: int = 192_000
    sample_rate: int = 16_000  # of the result
    wall_s: float = 5.0  # one decode; also its CPU time
    start_s: float = 20.0  # the child's own start: 0.1 s on two idle cores, more on a cold disk
    memory_mib: int = 512  # address space of the child; 140 with the libraries and ordinary files
    max_decodes: int = 100  # then a fresh child, whatever it may have leaked
    max_waiting: int = 16


class Decoder:
    """Decodes untrusted files in one reused child process that can be killed, so none of them can hang or bloat us.

    Safe to call from any event loop or task; files are decoded one at a time, in the order of the calls.
    """

    def __init__(
        self, limits: Limits | None = None, command: Sequence[str] = (sys.executable, "-m", "avatar.audio_worker")
    ) -> None:
        self.limits = limits or Limits()
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._decodes = 0
        self._waiting = 0
        self._thread = ThreadPoolExecutor(1, "decode")  # one thread: a queue that is fair and needs no lock

    async def decode(self, path: Path) -> Samples:
        """float32 (n,) mono at `limits.sample_rate`, finite, min_s to max_s long. Raises AudioError with these codes:

        AUDIO_UNREADABLE, AUDIO_TIMEOUT, AUDIO_TOO_LONG, AUDIO_TOO_SHORT, AUDIO_TOO_LARGE, AUDIO_BUSY. Cancelling
        gives up the place in the queue; a decode that already runs goes on for at most `wall_s`.
        """
        if self._waiting >= self.limits.max_waiting:
            raise self._error("AUDIO_BUSY")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._decode, path)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the child. Blocks until a running decode is through; later calls of decode fail."""
        self._thread.submit(self._stop)
        self._thread.shutdown(wait=True)

    def _decode(self, path: Path) -> Samples:
        try:
            if path.stat().st_size > self.limits.max_bytes:
                raise self._error("AUDIO_TOO_LARGE")
        except OSError as exc:
            raise self._error("AUDIO_UNREADABLE") from exc
        if self._child is None or self._child.poll() is not None:  # the kernel may have killed it while idle
            self._stop()
            self._start()
        request = {"path": str(path.resolve()), **asdict(self.limits)}
        code, data = self._ask(json.dumps(request).encode() + b"\n", self.limits.wall_s)
        self._decodes += 1
        if self._decodes >= self.limits.max_decodes:
            self._stop()
        if code:
            raise self._error(code)
        return from_pcm16(data)

    def _start(self) -> None:
        # Its environment holds no secrets of ours, and it gets no file descriptor but these three.
        kept = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")
        self._decodes = 0
        self._child = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=Path(__file__).parent.parent,
            env={name: os.environ[name] for name in kept if name in os.environ} | {"PYTHONUTF8": "1"},
        )
        self._ask(b"", self.limits.start_s)

    def _ask(self, request: bytes, timeout_s: float) -> tuple[str, bytes]:
        """Blocks for at most `timeout_s`: the child is killed then, which ends the read. A child that fails is gone."""
        child = cast("subprocess.Popen[bytes]", self._child)
        late = threading.Event()

        def kill() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(timeout_s, kill)
        timer.start()
        try:
            stdin, stdout = cast(IO[bytes], child.stdin), cast(IO[bytes], child.stdout)
            stdin.write(request)
            stdin.flush()
            return self._reply(stdout)
        except (OSError, ValueError, KeyError, TypeError) as exc:  # it died, or does not keep to the protocol
            self._stop()
            raise self._error("AUDIO_TIMEOUT" if late.is_set() else "AUDIO_UNREADABLE") from exc
        finally:
            timer.cancel()
            timer.join()
            if late.is_set():
                self._stop()

    def _reply(self, stdout: IO[bytes]) -> tuple[str, bytes]:
        head = json.loads(stdout.readline(4096))
        code, size = str(head["code"]), int(head.get("bytes", 0))
        if not 0 <= size <= 2 * self.limits.max_s * self.limits.sample_rate:
            raise ValueError(f"a reply of {size} bytes")
        data = stdout.read(size)
        if len(data) != size:
            raise ValueError("a reply that ends early")
        return code, data

    def _stop(self) -> None:
        if (child := self._child) is not None:
            self._child = None
            with suppress(OSError), child:  # closing its pipes may find that it no longer reads; then it is waited for
                child.kill()

    def _error(self, code: str) -> AudioError:
        limits = self.limits
        sentence = {
            "AUDIO_TOO_LONG": f"This recording is longer than {limits.max_s:g} seconds. Send a shorter one.",
            "AUDIO_TOO_SHORT": f"This recording is shorter than {limits.min_s:g} seconds. Record again, a bit longer.",
            "AUDIO_TOO_LARGE": f"This file is larger than {limits.max_bytes >> 20} MiB. Send a shorter or an mp3 one.",
            "AUDIO_TIMEOUT": "This file took too long to read. Save it as wav or mp3 and try again.",
            "AUDIO_BUSY": "Too many recordings are being read at once. Wait a few seconds and try again.",
        }.get(code, "This file has no sound I can read. Try wav, mp3, m4a, ogg or a video.")
        return AudioError(sentence, code=code if code.startswith("AUDIO_") else None)
