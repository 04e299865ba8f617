"""Tensors and sounds from formulas, the same in every environment: what recorded outputs of other programs are of."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


def formula_tensor(name: str, shape: Sequence[int]) -> np.ndarray:
    """The float32 weights of a layer: waves, scaled so that signals keep their size; variances are positive."""
    size = int(np.prod(shape))
    number = zlib.crc32(name.encode()) % 1009
    waves = np.sin(np.arange(size) * (0.37 + number / 1009) + number) + np.sin(np.arange(size) * 0.0137 * (1 + number))
    if name.endswith(("variance", "running_var")):
        return (1.0 + 0.2 * waves).reshape(shape).astype(np.float32)
    if len(shape) == 1:
        return (0.3 * waves + 0.7 * name.endswith(("gamma", "1.weight"))).reshape(shape).astype(np.float32)
    # torch stores the outputs first, TensorFlow last; a kernel has more inputs than outputs can tell.
    fan_in = size / shape[-1] if "kernel" in name else size / shape[0]
    return (waves * np.sqrt(1.5 / fan_in)).reshape(shape).astype(np.float32)


def formula_sound(seconds: float, rate: int) -> np.ndarray:
    """(t,) float32: a gliding chord with a beat, at any sample rate."""
    time = np.arange(round(seconds * rate)) / rate
    glide = 2 * np.pi * (time + 0.05 * np.sin(1.7 * time))
    chord = sum(np.sin(pitch * glide) / k for k, pitch in enumerate((110.0, 277.2, 659.3, 1480.0, 3322.4), 1))
    return (0.2 * chord * (0.3 + 0.7 * np.exp(-6.0 * (time % 0.5)))).astype(np.float32)
