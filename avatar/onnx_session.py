"""Runs ONNX models on the CPU. Knows no model."""

from pathlib import Path
from typing import Any


def session(model: Path | bytes, *, threads: int = 1, spinning: bool = True) -> Any:
    """An onnxruntime session on `threads` cores, which may be run from several threads at once. Blocks while it loads.

    Without `spinning` its threads sleep while they wait, and leave their core to others. Imports onnxruntime; raises
    what that raises for a file that is no model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
