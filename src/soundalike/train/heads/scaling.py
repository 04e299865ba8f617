"""The scaling of features before a head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundalike.core.types import FloatArray, IntArray
from soundalike.train.heads.settings import Scaling

__all__ = ["CHUNK", "Scaler", "measure_scaling"]

CHUNK = 2048
"""Rows to scale or project at once."""


@dataclass(frozen=True, slots=True, eq=False)
class Scaler:
    """The scaling (x - mean) * inverse of features, and their standard `deviation`; (D,) float64 each."""

    mean: FloatArray
    inverse: FloatArray
    deviation: FloatArray


def measure_scaling(features: FloatArray, rows: IntArray, scaling: Scaling) -> Scaler:
    """Measure some rows of features, in chunks, because a copy of all may not fit into memory.

    Args:
        features: (n, D) float32.
        rows: (m,), the rows to measure, at least one.
        scaling: "standard" scales to mean 0 and variance 1, and columns that are constant in these rows to 0, because
            nothing can be learned about them. "none" changes nothing.

    Returns:
        The scaling.

    Example:
        >>> measure_scaling(np.eye(2, dtype=np.float32), np.array([0, 1]), "standard").inverse
        array([2., 2.])
    """
    chunks = [rows[start : start + CHUNK] for start in range(0, len(rows), CHUNK)]
    mean = sum(features[chunk].sum(axis=0, dtype=np.float64) for chunk in chunks) / len(rows)
    squares = sum(np.square(features[chunk] - mean).sum(axis=0) for chunk in chunks)
    deviation = np.sqrt(squares / len(rows))
    if scaling == "none":
        return Scaler(np.zeros_like(mean), np.ones_like(mean), deviation)
    constant = deviation <= 1e-6 * np.abs(mean)
    return Scaler(mean, np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation)), deviation)
