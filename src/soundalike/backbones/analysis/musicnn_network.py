"""The network of musicnn in numpy, from log-mel patches to the layer before the tags.

Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", 2019. In shapes, p counts
frames, m bands and c channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.types import FloatArray

__all__ = ["BANDS", "DIM", "Musicnn"]

BANDS = 96
"""Mel bands of the input."""
DIM = 200
"""Dimensions of the embedding."""
_EPSILON = 1e-3  # of batch normalisation
_FRONT, _MIDDLE, _TIMBRAL, _TEMPORAL = 561, 64, 204, 51  # channels
_KERNELS: Mapping[str, tuple[int, ...]] = {
    "conv2d": (7, 38, 1, _TIMBRAL),
    "conv2d_1": (7, 67, 1, _TIMBRAL),
    "conv2d_2": (128, 1, 1, _TEMPORAL),
    "conv2d_3": (64, 1, 1, _TEMPORAL),
    "conv2d_4": (32, 1, 1, _TEMPORAL),
    "conv2d_5": (7, _FRONT, 1, _MIDDLE),
    "conv2d_6": (7, _MIDDLE, 1, _MIDDLE),
    "conv2d_7": (7, _MIDDLE, 1, _MIDDLE),
    "dense": (2 * (_FRONT + 3 * _MIDDLE), DIM),
}
_NORMS = (1, _TIMBRAL, _TIMBRAL, *[_TEMPORAL] * 3, *[_MIDDLE] * 3, 2 * (_FRONT + 3 * _MIDDLE), DIM)


class Musicnn:
    """The network.

    Args:
        tensors: Its tensors, by the names of `musicnn_checkpoint.read_checkpoint`.
        path: Their file, for messages.

    Raises:
        ModelError: A tensor is missing, has another shape, or is not finite.
    """

    def __init__(self, tensors: Mapping[str, FloatArray], path: Path) -> None:
        def take(name: str, shape: tuple[int, ...]) -> FloatArray:
            tensor = tensors.get(name)
            found = "no tensor" if tensor is None else f"{tensor.shape} for"
            if tensor is None or tensor.shape != shape or not np.isfinite(tensor).all():
                raise ModelError(
                    f"{path} is not the network of musicnn: it has {found} {name}, expected {shape} and finite; "
                    "convert it from the package musicnn 0.1.0 again"
                )
            return np.ascontiguousarray(tensor, np.float32)

        self._kernels = {
            name: (take(f"{name}/kernel", shape).reshape(-1, shape[-1]), take(f"{name}/bias", shape[-1:]), shape)
            for name, shape in _KERNELS.items()
        }
        self._norms = []
        for number, size in enumerate(_NORMS):
            name = f"batch_normalization_{number}" if number else "batch_normalization"
            gamma, beta, mean, variance = (
                take(f"{name}/{part}", (size,)) for part in ("gamma", "beta", "moving_mean", "moving_variance")
            )
            scale = gamma / np.sqrt(variance + np.float32(_EPSILON))
            self._norms.append((scale, beta - mean * scale))

    def embed(self, patch: FloatArray) -> FloatArray:
        """Embed one patch (p, 96) of log10(1 + 10,000 power) float32 as (200,) float32."""
        levels = self._normalise(0, patch)
        front = [self._timbral(0, levels), self._timbral(1, levels)]
        front += [self._temporal(number, levels) for number in (2, 3, 4)]
        layers = [np.hstack(front)]
        first = self._normalise(6, self._across_time("conv2d_5", layers[0]))
        second = first + self._normalise(7, self._across_time("conv2d_6", first))
        third = second + self._normalise(8, self._across_time("conv2d_7", second))
        everything = np.hstack([*layers, first, second, third])
        pooled = np.stack([everything.max(axis=0), everything.mean(axis=0)], axis=1).ravel()
        return self._normalise(10, self._dense("dense", self._normalise(9, pooled)))

    def _timbral(self, number: int, levels: FloatArray) -> FloatArray:
        """Convolve over time and bands, and keep the maximum over bands: (p, 204)."""
        height, width = self._kernels[_convolution(number)][2][:2]
        padded = np.pad(levels, ((height // 2, height // 2), (0, 0)))
        view = np.lib.stride_tricks.sliding_window_view(padded, (height, width))
        return self._peaks(number, view.reshape(len(levels), -1, height * width))

    def _temporal(self, number: int, levels: FloatArray) -> FloatArray:
        """Convolve each band over time, and keep the maximum over bands: (p, 51)."""
        length = self._kernels[_convolution(number)][2][0]
        padded = np.pad(levels, (((length - 1) // 2, length // 2), (0, 0)))
        return self._peaks(number, np.lib.stride_tricks.sliding_window_view(padded, length, axis=0))

    def _peaks(self, number: int, rows: FloatArray) -> FloatArray:
        """Return the maximum over bands of the normalised layer of `rows` (p, m, inputs): (p, c).

        The layer is monotonic: it grows with its input, or falls where the scale of its normalisation is negative. So
        the maximum is taken first.
        """
        weight, bias, _ = self._kernels[_convolution(number)]
        out = (rows.reshape(-1, rows.shape[2]) @ weight).reshape(*rows.shape[:2], -1)
        ends = np.where(self._norms[number + 1][0] < 0, out.min(axis=1), out.max(axis=1))
        return self._normalise(number + 1, np.maximum(ends + bias, 0.0))

    def _across_time(self, name: str, layer: FloatArray) -> FloatArray:
        """Convolve all channels (p, c) over 7 frames: (p, 64)."""
        view = np.lib.stride_tricks.sliding_window_view(np.pad(layer, ((3, 3), (0, 0))), 7, axis=0)
        return self._dense(name, view.transpose(0, 2, 1).reshape(len(layer), -1))

    def _dense(self, name: str, rows: FloatArray) -> FloatArray:
        """Return relu(rows @ kernel + bias)."""
        weight, bias, _ = self._kernels[name]
        out = rows @ weight
        out += bias
        return np.maximum(out, 0.0, out=out)

    def _normalise(self, number: int, values: FloatArray) -> FloatArray:
        """Apply batch normalisation `number` to the last axis; the first one has one channel for all bands."""
        scale, shift = self._norms[number]
        return values * scale + shift


def _convolution(number: int) -> str:
    """Return the name of convolution `number` in the checkpoint."""
    return f"conv2d_{number}" if number else "conv2d"
