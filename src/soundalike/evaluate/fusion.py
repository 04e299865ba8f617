"""Fusions: combinations of several spaces into one, of their scores and of their vectors, as MERIT compares them.

n pairs or clips, s spaces, d dimensions of a space.

A fusion of *scores* combines the cosines that a pair has in every space: mean, weighted mean, product or maximum. It
explains itself, because its terms are those of the spaces. Cosines are used as they are, not standardised, as
published. If one side of a pair is inaudible in a space, the caller chooses the value of the cosine.

A fusion of *vectors* combines the rows that a clip has in every space into one unit row: mean, weighted mean, product
or maximum of each coordinate, or concatenation. MERIT's code does this in all its fusions, although the paper describes
scores. Except for concatenation, it combines coordinates of spaces that were trained separately, in which coordinate 7
of one space is unrelated to coordinate 7 of another. These fusions are baselines and not recommended. Concatenation is
well defined: if every space is audible, its cosine is the mean of the cosines of the spaces.

A row of zeros is inaudible. Mean, maximum and concatenation ignore it, so the clip is described by its other spaces.
The product of a clip with an inaudible space is zero. A fused row is zero if no space is audible.

Reference: MERIT: Learning Disentangled Music Representations for Audio Similarity, 2026, section 4.7 and figure 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray
from soundalike.models import unit_rows

__all__ = [
    "SCORE_FUSIONS",
    "VECTOR_FUSIONS",
    "concatenate_vectors",
    "max_scores",
    "max_vectors",
    "mean_scores",
    "mean_vectors",
    "product_scores",
    "product_vectors",
]


# Scores -------------------------------------------------------------------------------------------------------------


def mean_scores(cosines: FloatArray, weights: Sequence[float] | None = None) -> FloatArray:
    """Return the mean of cosines over the spaces, or sum_s w_s cos_s / sum_s |w_s| with weights.

    Args:
        cosines: (n, s).
        weights: s weights of any sign, as in a search; by default equal.

    Returns:
        (n,) float64.

    Raises:
        ValueError: The number of weights is not s, or all weights are 0.

    Example:
        >>> mean_scores(np.array([[0.8, 0.2]]), [3.0, 1.0]).round(2).tolist()
        [0.65]
    """
    weight = _normalised(weights, cosines.shape[1])
    # The rounding of a matrix product depends on the row, but equal pairs have to tie.
    return (cosines.astype(np.float64) * weight).sum(axis=1)


def product_scores(cosines: FloatArray) -> FloatArray:
    """Return the product over the spaces of (1 + cos) / 2, for (n, s) cosines: (n,) float64, 0 to 1.

    In a product of the cosines themselves, two negative cosines would count as similar.

    Example:
        >>> product_scores(np.array([[1.0, 0.0]])).tolist()
        [0.5]
    """
    return np.prod((1 + cosines.astype(np.float64)) / 2, axis=1)


def max_scores(cosines: FloatArray) -> FloatArray:
    """Return the largest cosine of each pair over the spaces, for (n, s) cosines: (n,) float64."""
    return cosines.astype(np.float64).max(axis=1)


# Vectors ------------------------------------------------------------------------------------------------------------


def mean_vectors(rows: Sequence[FloatArray], weights: Sequence[float] | None = None) -> FloatArray:
    """Return the normalised mean of the rows of s spaces, or of sum_s w_s x_s with weights.

    Args:
        rows: s arrays (n, d).
        weights: s weights of any sign; by default equal. MERIT uses 0.4, 0.4 and 0.2 for melody, rhythm and timbre.

    Returns:
        (n, d) float32, unit or zero rows.

    Raises:
        UsageError: The spaces differ in dimension.
        ValueError: The number of weights is not s, or all weights are 0.

    Example:
        >>> fused = mean_vectors([melody_rows, rhythm_rows, timbre_rows], [0.4, 0.4, 0.2])
    """
    weight = _normalised(weights, len(rows))
    return unit_rows(np.tensordot(weight, _stack(rows), axes=1))


def product_vectors(rows: Sequence[FloatArray]) -> FloatArray:
    """Return the normalised coordinate-wise product of the rows of s spaces, (n, d) each.

    Returns (n, d) float32, unit or zero rows. Raises UsageError if the spaces differ in dimension.
    """
    stacked = _stack(rows)
    # Coordinates are scaled from about 1 / sqrt(d) to about 1. Otherwise the product of many spaces would underflow.
    return unit_rows(np.prod(stacked * np.sqrt(stacked.shape[2]), axis=0))


def max_vectors(rows: Sequence[FloatArray]) -> FloatArray:
    """Return the normalised coordinate-wise maximum of the rows of s spaces, (n, d) each.

    Returns (n, d) float32, unit or zero rows. Raises UsageError if the spaces differ in dimension.
    """
    stacked = _stack(rows)
    audible = stacked.any(axis=2, keepdims=True)
    highest = np.where(audible, stacked, -np.inf).max(axis=0)
    return unit_rows(np.where(audible.any(axis=0), highest, 0.0))


def concatenate_vectors(rows: Sequence[FloatArray]) -> FloatArray:
    """Return the normalised concatenation of the rows of s spaces, (n, d_s) each.

    If k spaces of one clip and l of another are audible, the cosine of their fused rows is the sum of the cosines of
    the spaces divided by sqrt(k l). This is the mean of the cosines if all spaces are audible.

    Returns (n, sum of d_s) float32, unit or zero rows.
    """
    return unit_rows(np.concatenate(rows, axis=1))


SCORE_FUSIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"mean": mean_scores, "product": product_scores, "max": max_scores}
)
"""Fusions of scores without weights, by name: from (n, s) cosines to (n,) scores."""

VECTOR_FUSIONS: Mapping[str, Callable[[Sequence[FloatArray]], FloatArray]] = MappingProxyType(
    {"mean": mean_vectors, "product": product_vectors, "max": max_vectors, "concatenation": concatenate_vectors}
)
"""Fusions of vectors without weights, by name: from the rows of s spaces, (n, d) each, to unit rows."""


def _normalised(weights: Sequence[float] | None, count: int) -> FloatArray:
    """Weights (s,) float64 whose absolute values sum to 1; equal weights by default."""
    weight = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    total = np.abs(weight).sum()
    if weight.shape != (count,) or not total > 0:
        raise ValueError(f"weights {weights}; expected {count} weights, not all 0")
    return weight / total


def _stack(rows: Sequence[FloatArray]) -> FloatArray:
    """Stack the rows of spaces of equal dimension: (s, n, d) float64."""
    dims = [space_rows.shape[1] for space_rows in rows]
    if len(set(dims)) > 1:
        raise UsageError(
            f"the spaces have {', '.join(map(str, dims))} dimensions; a mean, product or maximum of vectors "
            "needs equal dimensions: fuse their scores, or concatenate them"
        )
    return np.stack(rows).astype(np.float64)
