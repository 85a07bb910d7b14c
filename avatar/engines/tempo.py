"""Speech at another pace and the same pitch, for engines that have no pace of their own: FFmpeg's `atempo`, which comes
with PyAV. It streams: sound goes out as it comes in, less a window of some 60 ms.
"""

from collections.abc import Generator
from contextlib import closing
from typing import cast

import av
import numpy as np
from av.filter import Graph

from avatar.events import AudioChunk


def paced(chunks: Generator[AudioChunk, None, None], rate: float) -> Generator[AudioChunk, None, None]:
    """`chunks`, all of one sample rate, said `rate` times as fast (0.5 to 2). Closing it closes `chunks`."""
    graph: Graph | None = None
    with closing(chunks):
        for chunk in chunks:
            graph = graph or _graph(chunk.sample_rate, rate)
            frame = av.AudioFrame.from_ndarray(chunk.samples.reshape(1, -1), format="flt", layout="mono")
            frame.sample_rate = chunk.sample_rate
            graph.push(frame)
            yield from _ready(graph)
    if graph is not None:
        graph.push(None)
        yield from _ready(graph)


def _graph(sample_rate: int, rate: float) -> Graph:
    graph = Graph()
    source = graph.add_abuffer(sample_rate=sample_rate, format="flt", layout="mono", name="source")
    graph.link_nodes(source, graph.add("atempo", str(rate)), graph.add("abuffersink")).configure()
    return graph


def _ready(graph: Graph) -> Generator[AudioChunk, None, None]:
    while True:
        try:
            frame = cast(av.AudioFrame, graph.pull())
        except (av.BlockingIOError, av.EOFError):  # no more until more is pushed, or ever
            return
        yield AudioChunk(np.clip(frame.to_ndarray().reshape(-1), -1.0, 1.0).astype(np.float32), frame.sample_rate)
