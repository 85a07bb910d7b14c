"""The child process that decodes untrusted audio: `python -m avatar.audio_worker`. Knows only paths and limits.

Requests come on stdin, one JSON object a line: `path` and the fields of audio.Limits. Each reply on stdout is a JSON
line, {"code": "", "bytes": n} followed by n bytes of int16 mono PCM, or {"code": "AUDIO_..."}. The first line says
that the process is ready. It ends when stdin does, so it never outlives its server. Running out of memory is not
caught: the process dies, the server says that the file is unreadable and starts another.
"""

import json
import math
import os
import resource
import sys
from typing import Any

FORMATS = "wav,flac,ogg,matroska,webm,mp3,mov,mp4,aac"  # research/reliability.md section 4
# Only sound is decoded: FFmpeg probes the other streams of a video with these too, so its big video decoders,
# where most of its security bugs are found, never see the file.
CODECS = (
    "pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_alaw,"
    "pcm_mulaw,adpcm_ms,adpcm_ima_wav,flac,alac,mp3,mp3float,aac,opus,libopus,vorbis"
)
ESTIMATED = ("mp3", "aac")  # no header says how long these are; FFmpeg's guess was up to 10 times the truth for VBR
US = 1_000_000  # FFmpeg's unit of container.duration, per second


class Refused(Exception):
    """The file is not decoded; the argument is the code."""


def decode(path: str, limits: dict[str, Any]) -> bytes:
    """Decode the best audio stream of a file to int16 mono PCM. Raises Refused, or whatever PyAV raises."""
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "codec_whitelist": CODECS}
    with av.open(f"file:{path}", options=options, metadata_errors="replace") as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise Refused("AUDIO_UNREADABLE")
        declared_s = container.duration / US if container.duration else 0.0
        if declared_s > limits["max_s"] and container.format.name not in ESTIMATED:
            # A WAV's length field is often a placeholder; what the file holds cannot be longer than its bytes.
            held_s = container.size * 8 / stream.bit_rate if _is_pcm(stream) and stream.bit_rate else math.inf
            if held_s > limits["max_s"]:
                raise Refused("AUDIO_TOO_LONG")
        pcm16 = bytearray()
        for part in _resampled(container, stream, limits):
            pcm16 += part
            if len(pcm16) > 2 * limits["max_s"] * limits["sample_rate"]:  # headers lie, so count
                raise Refused("AUDIO_TOO_LONG")
    if len(pcm16) < 2 * limits["min_s"] * limits["sample_rate"]:
        raise Refused("AUDIO_TOO_SHORT")
    return bytes(pcm16)


def _is_pcm(stream: Any) -> bool:
    return bool(stream.codec_context.name.startswith("pcm_"))


def _resampled(container: Any, stream: Any, limits: dict[str, Any]) -> Any:
    import av

    made_for: tuple[Any, ...] | None = None
    resampler: Any = None
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # a damaged packet: play on, as players do
            continue
        for frame in frames:
            _check(frame, limits)
            if made_for != (frame.rate, frame.layout.name, frame.format.name):  # may change within a file
                if resampler:
                    yield from _pcm16(resampler.resample(None))
                made_for = (frame.rate, frame.layout.name, frame.format.name)
                resampler = av.AudioResampler(format="s16", layout="mono", rate=limits["sample_rate"])
            frame.pts = None  # a gap in the time stamps would be filled with silence, hours of it if they lie
            yield from _pcm16(resampler.resample(frame))
    if resampler:
        yield from _pcm16(resampler.resample(None))


def _check(frame: Any, limits: dict[str, Any]) -> None:
    if not limits["min_rate"] <= frame.rate <= limits["max_rate"]:
        raise Refused("AUDIO_UNREADABLE")
    if not 1 <= frame.layout.nb_channels <= limits["max_channels"]:
        raise Refused("AUDIO_UNREADABLE")


def _pcm16(frames: Any) -> Any:
    for frame in frames:
        yield bytes(frame.planes[0])[: 2 * frame.samples]  # the plane is padded beyond its samples


def answer(request: dict[str, Any]) -> tuple[str, bytes]:
    """(code, PCM) of one request; the code is empty when the file could be decoded."""
    try:
        return "", decode(request.pop("path"), request)
    except Refused as refused:
        return str(refused), b""
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - PyAV on hostile files: UnicodeDecodeError, AttributeError, EOFError were seen
        return "AUDIO_UNREADABLE", b""


def _limit(name: str, soft: int) -> None:
    try:
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))
    except (AttributeError, ValueError, OSError):  # macOS has no working RLIMIT_AS; the deadline still holds
        sys.stderr.write(f"{name} is not supported here\n")


def main() -> None:
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not be taken for a reply
    _limit("RLIMIT_CORE", 0)
    _limit("RLIMIT_FSIZE", 0)  # it never writes a file
    import av

    av.logging.set_level(None)
    replies.write(b'{"code": "READY"}\n')
    replies.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        used = resource.getrusage(resource.RUSAGE_SELF)
        _limit("RLIMIT_CPU", math.ceil(used.ru_utime + used.ru_stime + request["wall_s"]) + 1)
        _limit("RLIMIT_AS", request["memory_mib"] << 20)
        code, pcm16 = answer(request)
        replies.write(json.dumps({"code": code, "bytes": len(pcm16)}).encode() + b"\n" + pcm16)
        replies.flush()


if __name__ == "__main__":
    main()
