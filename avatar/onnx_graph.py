"""Writes a small ONNX model, so that onnxruntime can run weights that came in another format. Knows no model.

Only what it takes: the field numbers are those of onnx/onnx.proto, the encoding is protobuf's. (The onnx package is not
needed to run a model, and is 15 MB.)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

IR_VERSION, OPSET = 6, 11
_FLOAT, _INT, _INTS = 1, 2, 7  # TensorProto.FLOAT, AttributeProto.INT and INTS
Shape = Sequence[int | str]  # a name stands for a size that is known when the model runs


@dataclass(frozen=True, slots=True)
class Node:
    """One operator; an input called "" is left out. Attributes are integers or lists of them."""

    operator: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: Mapping[str, int | Sequence[int]] = field(default_factory=dict)


def model(
    nodes: Sequence[Node],
    tensors: Mapping[str, NDArray[np.float32]],
    inputs: Mapping[str, Shape],
    outputs: Mapping[str, Shape],
) -> bytes:
    """A serialised ModelProto in which everything is float32. onnxruntime judges whether it makes sense."""
    graph = b"".join(
        [
            *(_message(1, _node(node)) for node in nodes),
            _text(2, "graph"),
            *(_message(5, _tensor(name, values)) for name, values in tensors.items()),
            *(_message(11, _value(name, shape)) for name, shape in inputs.items()),
            *(_message(12, _value(name, shape)) for name, shape in outputs.items()),
        ]
    )
    return _number(1, IR_VERSION) + _message(7, graph) + _message(8, _text(1, "") + _number(2, OPSET))


def _node(node: Node) -> bytes:
    names = [_text(1, name) for name in node.inputs] + [_text(2, name) for name in node.outputs]
    attributes = [_message(5, _attribute(name, value)) for name, value in node.attributes.items()]
    return b"".join([*names, _text(4, node.operator), *attributes])


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, _INT)
    return _text(1, name) + b"".join(_number(8, item) for item in value) + _number(20, _INTS)


def _tensor(name: str, values: NDArray[np.float32]) -> bytes:
    dims = b"".join(_number(1, size) for size in values.shape)
    return dims + _number(2, _FLOAT) + _text(8, name) + _message(9, values.astype("<f4").tobytes())


def _value(name: str, shape: Shape) -> bytes:
    dims = [_message(1, _text(2, size) if isinstance(size, str) else _number(1, size)) for size in shape]
    return _text(1, name) + _message(2, _message(1, _number(1, _FLOAT) + _message(2, b"".join(dims))))


def _number(tag: int, value: int) -> bytes:
    return _varint(tag << 3) + _varint(value)


def _text(tag: int, value: str) -> bytes:
    return _message(tag, value.encode())


def _message(tag: int, content: bytes) -> bytes:
    return _varint(tag << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits at a time, the lowest first. `value` is not negative."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])
