"""Audio files for tests, made when needed: good ones, and ones made to hurt. Not a test itself."""

import io
import random
import struct
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def tone(seconds: float, rate: int = RATE, hz: float = 440.0) -> NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pitch(samples: NDArray[np.float32], rate: int) -> float:
    """Of the loudest tone, in Hz."""
    return float(np.argmax(np.abs(np.fft.rfft(samples)))) * rate / len(samples)


def read_tags(path: Path) -> dict[str, str]:
    """The Vorbis comments of an Ogg file."""
    with av.open(str(path), format="ogg") as container:
        return dict(container.streams.audio[0].metadata)


def encode(
    container_format: str,
    codec: str,
    seconds: float = 1.0,
    rate: int = 48_000,
    layout: str = "mono",
    video: bool = False,
    silent: bool = False,
) -> bytes:
    """A file of `seconds` of a tone, block by block, so that hours of silence need no memory."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container_format) as out:
        stream = out.add_stream(codec, rate=rate, layout=layout)
        picture = out.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p") if video else None
        channels = stream.codec_context.layout.nb_channels
        step = rate // 10 if not silent else 1 << 18  # a tenth of a second is 44 whole periods
        sound = tone(step / rate, rate) if not silent else np.zeros(step, np.float32)
        resampler = av.AudioResampler(format=stream.codec_context.format.name, layout=layout, rate=rate)
        left = round(seconds * rate)
        while left > 0:
            block = np.repeat(sound[: min(left, step)], channels)
            frame = av.AudioFrame.from_ndarray((block * 32767).astype(np.int16)[None], format="s16", layout=layout)
            frame.rate = rate
            left -= step
            for ready in resampler.resample(frame):
                ready.pts = None
                for packet in stream.encode(ready):
                    out.mux(packet)
        for packet in stream.encode(None):
            out.mux(packet)
        if picture is not None:
            _film(out, picture, round(seconds * 10))
    return buffer.getvalue()


def _film(out: Any, stream: Any, pictures: int) -> None:
    for number in range(pictures):
        image = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 9 * number % 256, np.uint8), format="rgb24")
        image.pts, image.time_base = number, Fraction(1, 10)
        for packet in stream.encode(image):
            out.mux(packet)
    for packet in stream.encode(None):
        out.mux(packet)


def silent_film() -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as out:
        _film(out, out.add_stream("mpeg4", rate=10, width=64, height=48, pix_fmt="yuv420p"), 10)
    return buffer.getvalue()


def wav(data: bytes, rate: int = RATE, channels: int = 1, kind: int = 1, bits: int = 16, length: int = -1) -> bytes:
    """A WAV whose header says whatever it is told to. kind: 1 PCM, 3 float."""
    length = len(data) if length < 0 else length
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels, rate, rate * block & 0xFFFFFFFF, block & 0xFFFF, bits)
    return (
        b"RIFF" + struct.pack("<I", min(36 + length, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack("<I", 16) + head
        + b"data" + struct.pack("<I", length) + data
    )  # fmt: skip


def pcm(seconds: float, rate: int = RATE) -> bytes:
    return (tone(seconds, rate) * 32767).astype("<i2").tobytes()


def flac_claiming(flac: bytes, samples: int) -> bytes:
    """Change the total of samples in the STREAMINFO block: the low 36 bits of bytes 18 to 25."""
    (packed,) = struct.unpack(">Q", flac[18:26])
    return flac[:18] + struct.pack(">Q", packed >> 36 << 36 | samples) + flac[26:]


def not_finite() -> bytes:
    data = tone(1).astype("<f4")
    data[100:600], data[600:1100], data[5000] = np.nan, np.inf, -np.inf
    return wav(data.tobytes(), kind=3, bits=32)


GOOD: dict[str, Callable[[], bytes]] = {
    "pcm16.wav": lambda: wav(pcm(1)),
    "float.wav": lambda: wav(tone(1).astype("<f4").tobytes(), kind=3, bits=32),
    "pcm24.wav": lambda: encode("wav", "pcm_s24le"),
    "stereo.wav": lambda: encode("wav", "pcm_s16le", layout="stereo"),
    "8k.wav": lambda: wav(pcm(1, 8000), rate=8000),
    "192k-8-channels.flac": lambda: encode("flac", "flac", rate=192_000, layout="7.1"),
    "a.flac": lambda: encode("flac", "flac"),
    "a.mp3": lambda: encode("mp3", "libmp3lame", rate=44_100),
    "a.ogg": lambda: encode("ogg", "libopus"),
    "a.webm": lambda: encode("webm", "libopus"),
    "a.m4a": lambda: encode("ipod", "aac"),
    "a.aac": lambda: encode("adts", "aac"),
    "video.mp4": lambda: encode("mp4", "aac", video=True),
    "really-flac.mp3": lambda: encode("flac", "flac"),
    "no-extension": lambda: encode("webm", "libopus"),
    "streamed.wav": lambda: wav(pcm(1), length=0xFFFFFFFF),
    "length-lie-of-2-GB.wav": lambda: wav(pcm(1), length=0x7FFFFFF0),
    "not-finite.wav": not_finite,
}

_SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
_M3U8 = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
_CUE = b"ffconcat version 1.0\nfile /etc/passwd\n"

HOSTILE: dict[str, tuple[str, Callable[[], bytes]]] = {
    "empty.wav": ("AUDIO_UNREADABLE", lambda: b""),
    "random.wav": ("AUDIO_UNREADABLE", lambda: np.random.default_rng(7).bytes(100_000)),
    "polyglot.svg": ("AUDIO_UNREADABLE", lambda: _SVG * 50),
    "polyglot.html": ("AUDIO_UNREADABLE", lambda: b"<html><body>RIFF WAVEfmt " + _SVG + b"</body></html>"),
    "playlist.m3u8": ("AUDIO_UNREADABLE", lambda: _M3U8),
    "concat.wav": ("AUDIO_UNREADABLE", lambda: _CUE),
    "silent-film.mp4": ("AUDIO_UNREADABLE", silent_film),
    "2-GHz.wav": ("AUDIO_UNREADABLE", lambda: wav(pcm(1), rate=2**31)),
    "rate-0.wav": ("AUDIO_UNREADABLE", lambda: wav(pcm(1), rate=0)),
    "4-kHz.wav": ("AUDIO_UNREADABLE", lambda: wav(pcm(1), rate=4000)),
    "65535-channels.wav": ("AUDIO_UNREADABLE", lambda: wav(pcm(1), channels=65_535)),
    "no-channel.wav": ("AUDIO_UNREADABLE", lambda: wav(pcm(1), channels=0)),
    "9-channels.wav": ("AUDIO_UNREADABLE", lambda: wav(pcm(9), channels=9)),
    "no-samples.wav": ("AUDIO_TOO_SHORT", lambda: wav(b"")),
    "one-click.wav": ("AUDIO_TOO_SHORT", lambda: wav(pcm(0.05))),
    "70-s.wav": ("AUDIO_TOO_LONG", lambda: wav(pcm(70))),
    "70-s.mp3": ("AUDIO_TOO_LONG", lambda: encode("mp3", "libmp3lame", 70, rate=16_000, silent=True)),
    "says-10-h.flac": ("AUDIO_TOO_LONG", lambda: flac_claiming(encode("flac", "flac"), 36_000 * 48_000)),
    "70-s-says-1-s.flac": (
        "AUDIO_TOO_LONG",
        lambda: flac_claiming(encode("flac", "flac", 70, rate=16_000, silent=True), 16_000),
    ),
    "8-channel-bomb.flac": (
        "AUDIO_TOO_LONG",
        lambda: flac_claiming(encode("flac", "flac", 70, rate=192_000, layout="7.1", silent=True), 0),
    ),
}


@cache
def ten_hours() -> bytes:
    return encode("flac", "flac", 36_000, rate=16_000, silent=True)


SLOW: dict[str, tuple[str, Callable[[], bytes]]] = {
    "10-h.flac": ("AUDIO_TOO_LONG", ten_hours),
    "10-h-says-1-s.flac": ("AUDIO_TOO_LONG", lambda: flac_claiming(ten_hours(), 16_000)),
    "1-h.webm": ("AUDIO_TOO_LONG", lambda: encode("webm", "libopus", 3_600, rate=48_000, silent=True)),
    "10-min-8-channels.flac": (
        "AUDIO_TOO_LONG",
        lambda: encode("flac", "flac", 600, rate=192_000, layout="7.1", silent=True),
    ),
}


def mutated(seed: bytes, rng: random.Random) -> bytes:
    """`seed` with a few bytes changed, cut off or repeated; the same for the same `rng`."""
    data = bytearray(seed)
    for _ in range(rng.choice((1, 3, 20))):
        match rng.randrange(5):
            case 0:
                data[rng.randrange(len(data))] = rng.randrange(256)
            case 1:  # headers are where it hurts
                data[rng.randrange(min(200, len(data)))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                at = rng.randrange(len(data))
                data[at : at + 4] = rng.randbytes(4)
            case 3:
                del data[rng.randrange(len(data) // 2, len(data)) :]
            case 4:
                at = rng.randrange(len(data))
                data[at:at] = data[: rng.randrange(1, 300)]
        if len(data) < 8:
            break
    return bytes(data)
