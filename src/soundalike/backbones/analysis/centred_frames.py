"""Frames of a segment that are centred on every hop, with zeros beyond its ends, as librosa has them by default."""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray

__all__ = ["centred_frames", "periodic_hann"]


def centred_frames(samples: FloatArray, size: int, hop: int) -> FloatArray:
    """Return the frames of a segment (t,) as a view (1 + t // hop, size). Frame k is centred on sample `k * hop`.

    Example:
        >>> centred_frames(np.array([1.0, 2.0, 3.0]), 4, 2).tolist()
        [[0.0, 0.0, 1.0, 2.0], [1.0, 2.0, 3.0, 0.0]]
    """
    padded = np.pad(samples, size // 2)
    return np.lib.stride_tricks.sliding_window_view(padded, size)[::hop][: 1 + len(samples) // hop]


def periodic_hann(size: int) -> FloatArray:
    """Return the periodic Hann window (size,) float32.

    Example:
        >>> periodic_hann(4).tolist()
        [0.0, 0.5, 1.0, 0.5]
    """
    return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size), np.float32)
