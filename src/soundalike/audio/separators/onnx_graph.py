"""Build a network for onnxruntime from arrays, without the package onnx.

A model is a protocol buffer (onnx/onnx.proto), of which this module writes the few messages that a chain of layers
needs.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from soundalike.core.types import AnyArray

__all__ = ["OnnxGraph"]

_IR_VERSION, _OPSET = 8, 17
_FLOAT = 1  # TensorProto.DataType
_TYPES = {"float": 1, "int": 2, "text": 3, "ints": 7}  # AttributeProto.AttributeType


class OnnxGraph:
    """A graph of float32 tensors in the making. Every method that adds a node returns the name of its output.

    Args:
        source: The name of the input.
        shape: Its dims; a text is the name of a dim of any size.

    Example:
        >>> graph = OnnxGraph("x", ["n", 4])
        >>> content = graph.finish(graph.node("Relu", "x"))
    """

    def __init__(self, source: str, shape: Sequence[int | str]) -> None:
        self._nodes: list[bytes] = []
        self._tensors: list[bytes] = []
        self._input = _value(source, shape)
        self._rank = len(shape)

    def tensor(self, values: AnyArray) -> str:
        """Add a constant, and return its name."""
        name = f"w{len(self._tensors)}"
        data = np.ascontiguousarray(values, np.float32)
        dims = b"".join(_number(1, size) for size in data.shape)
        self._tensors.append(dims + _number(2, _FLOAT) + _bytes(8, name.encode()) + _bytes(9, data.tobytes()))
        return name

    def node(self, kind: str, *inputs: str | AnyArray, **attributes: float | str | Sequence[int]) -> str:
        """Add a node.

        Args:
            kind: The operator, such as "Conv".
            *inputs: Names, or arrays, which become constants.
            **attributes: Its attributes: whole numbers, numbers, texts or lists of whole numbers.

        Returns:
            The name of its output.
        """
        names = [one if isinstance(one, str) else self.tensor(one) for one in inputs]
        output = f"v{len(self._nodes)}"
        message = b"".join(_bytes(1, name.encode()) for name in names) + _bytes(2, output.encode())
        message += _bytes(4, kind.encode())
        message += b"".join(_bytes(5, _attribute(name, value)) for name, value in attributes.items())
        self._nodes.append(message)
        return output

    def finish(self, output: str) -> bytes:
        """Return the model with one output, as `onnxruntime.InferenceSession` reads it."""
        graph = b"".join(_bytes(1, node) for node in self._nodes) + _bytes(2, b"network")
        graph += b"".join(_bytes(5, tensor) for tensor in self._tensors)
        graph += _bytes(11, self._input) + _bytes(12, _value(output, [f"d{axis}" for axis in range(self._rank)]))
        return _number(1, _IR_VERSION) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _number(2, _OPSET))


def _value(name: str, shape: Sequence[int | str]) -> bytes:
    """Return a ValueInfoProto: the name, type and shape of an input or output."""
    dims = [_number(1, size) if isinstance(size, int) else _bytes(2, size.encode()) for size in shape]
    tensor = _number(1, _FLOAT) + _bytes(2, b"".join(_bytes(1, dim) for dim in dims))
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, tensor))


def _attribute(name: str, value: float | str | Sequence[int]) -> bytes:
    """Return an AttributeProto."""
    if isinstance(value, str):
        kind, content = "text", _bytes(4, value.encode())
    elif isinstance(value, int):
        kind, content = "int", _number(3, value)
    elif isinstance(value, float):
        kind, content = "float", _varint(2 << 3 | 5) + struct.pack("<f", value)
    else:
        kind, content = "ints", b"".join(_number(8, one) for one in value)
    return _bytes(1, name.encode()) + content + _number(20, _TYPES[kind])


def _number(field: int, value: int) -> bytes:
    """Return a field with a whole number, at least 0."""
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, content: bytes) -> bytes:
    """Return a field with bytes, a text or a message."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return a number in seven bits per byte from the lowest, as protocol buffers have it."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
