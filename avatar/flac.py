"""Recordings that are kept as they were: FLAC, 16 bit, mono. Reads and writes our own files only."""

import io

import numpy as np

from avatar.audio import from_pcm16, pcm16
from avatar.errors import AudioError
from avatar.events import AudioChunk, Samples


def encode(samples: Samples, sample_rate: int) -> bytes:
    """A FLAC file of float32 (n,) in [-1, 1]; 10 s at 48 kHz take 60 ms. Raises ValueError when there is no sample."""
    import av

    if not len(samples):
        raise ValueError("no sound to write")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="flac") as container:
        stream = container.add_stream("flac", rate=sample_rate, layout="mono", format="s16")
        data = np.frombuffer(pcm16(samples), "<i2")
        frame = av.AudioFrame.from_ndarray(data.reshape(1, -1), format="s16", layout="mono")
        frame.rate = sample_rate
        for packet in (*stream.encode(frame), *stream.encode(None)):
            container.mux(packet)
    return buffer.getvalue()


def decode(data: bytes) -> AudioChunk:
    """What `encode` made, bit by bit. Raises AudioError when it is damaged."""
    import av

    parts = []
    try:
        with av.open(io.BytesIO(data), format="flac") as container:
            rate = container.streams.audio[0].rate
            for frame in container.decode(audio=0):
                parts.append(from_pcm16(bytes(frame.planes[0])[: 2 * frame.samples]))
    except (av.FFmpegError, IndexError, EOFError) as exc:
        raise AudioError("The recording of this voice is damaged. Delete the voice, and add it again.") from exc
    if not parts:
        raise AudioError("The recording of this voice is empty. Delete the voice, and add it again.")
    return AudioChunk(np.concatenate(parts), rate)
