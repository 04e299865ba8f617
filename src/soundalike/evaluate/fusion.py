"""Several spaces as one: the combinations that MERIT compares, of similarities and of vectors.

n pairs or clips, s spaces, d dims of a space.

On *scores*, each pair has its cosine in every space, and the cosines are combined: mean, weighted mean, product and
maximum. A fusion of scores explains itself, for its terms are those of the spaces. Cosines are taken as they are, not
standardised, as published; a pair of which one side is inaudible in a space brings whatever cosine the caller has for
chance.

On *vectors*, each clip has a row in every space, and the rows are combined into one unit row: mean, weighted mean,
product and maximum of each coordinate, and concatenation. This is what MERIT's code does in all its fusions, though the
paper speaks of scores. But for the concatenation it adds up coordinates of spaces that were trained apart, in which
coordinate 7 of one has nothing to do with coordinate 7 of another: a baseline, not advice. The concatenation is sound:
where every space is audible, its cosine is the mean of the cosines of the spaces.

A row of zeros is inaudible. It is left out of mean, maximum and concatenation, so that a clip is what the other spaces
hear; a clip of which one space hears nothing has no product. A fused row is all zero where nothing is left.

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
    """The mean of (n, s) cosines over the spaces, or sum_s w_s cos_s / sum_s |w_s| with `weights` (s,): (n,) float64.

    Weights may have any sign, as in a search. Raises ValueError if there are not s of them, or all are 0.
    """
    weight = _normalised(weights, cosines.shape[1])
    # Not a matrix product, whose rounding depends on the row: equal pairs have to tie.
    return (cosines.astype(np.float64) * weight).sum(axis=1)


def product_scores(cosines: FloatArray) -> FloatArray:
    """The product over the spaces of (1 + cos) / 2, for (n, s) cosines: (n,) float64, 0 to 1.

    Not of the cosines themselves, for two spaces that both find a pair opposite would call it alike.
    """
    return np.prod((1 + cosines.astype(np.float64)) / 2, axis=1)


def max_scores(cosines: FloatArray) -> FloatArray:
    """The cosine of the space that finds a pair most alike, for (n, s) cosines: (n,) float64."""
    return cosines.astype(np.float64).max(axis=1)


# Vectors ------------------------------------------------------------------------------------------------------------


def mean_vectors(rows: Sequence[FloatArray], weights: Sequence[float] | None = None) -> FloatArray:
    """The direction of the mean of s spaces' rows, (n, d) each, or of sum_s w_s x_s with `weights` (s,).

    MERIT's weights are 0.4, 0.4 and 0.2 for melody, rhythm and timbre. Returns (n, d) float32, unit or zero. Raises
    UsageError if the spaces have different dims, ValueError if there are not s weights or all are 0.
    """
    weight = _normalised(weights, len(rows))
    return unit_rows(np.tensordot(weight, _stack(rows), axes=1))


def product_vectors(rows: Sequence[FloatArray]) -> FloatArray:
    """The direction of the coordinate-wise product of s spaces' rows, (n, d) each: (n, d) float32, unit or zero.

    Raises UsageError if the spaces have different dims.
    """
    stacked = _stack(rows)
    # Coordinates of about 1, not of 1 / sqrt(d): the product of many spaces would be too short to have a direction.
    return unit_rows(np.prod(stacked * np.sqrt(stacked.shape[2]), axis=0))


def max_vectors(rows: Sequence[FloatArray]) -> FloatArray:
    """The direction of the coordinate-wise maximum of s spaces' rows, (n, d) each: (n, d) float32, unit or zero.

    Raises UsageError if the spaces have different dims.
    """
    stacked = _stack(rows)
    heard = stacked.any(axis=2, keepdims=True)
    highest = np.where(heard, stacked, -np.inf).max(axis=0)
    return unit_rows(np.where(heard.any(axis=0), highest, 0.0))


def concatenate_vectors(rows: Sequence[FloatArray]) -> FloatArray:
    """The rows of s spaces side by side, (n, d_s) each, at length 1: (n, sum of d_s) float32, unit or zero.

    The cosine of two of them is the sum of the spaces' cosines / sqrt(k l), where k and l spaces are audible: the mean
    of the cosines where all are.
    """
    return unit_rows(np.concatenate(rows, axis=1))


SCORE_FUSIONS: Mapping[str, Callable[[FloatArray], FloatArray]] = MappingProxyType(
    {"mean": mean_scores, "product": product_scores, "max": max_scores}
)
"""From (n, s) cosines to (n,) scores, by name; without weights."""

VECTOR_FUSIONS: Mapping[str, Callable[[Sequence[FloatArray]], FloatArray]] = MappingProxyType(
    {"mean": mean_vectors, "product": product_vectors, "max": max_vectors, "concatenation": concatenate_vectors}
)
"""From s spaces' rows (n, d) to (n, d) rows, by name; without weights."""


def _normalised(weights: Sequence[float] | None, count: int) -> FloatArray:
    """Weights (s,) float64 whose sizes sum to 1; all equal where none are given."""
    weight = np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64)
    total = np.abs(weight).sum()
    if weight.shape != (count,) or not total > 0:
        raise ValueError(f"weights {weights}; expected {count}, not all 0")
    return weight / total


def _stack(rows: Sequence[FloatArray]) -> FloatArray:
    """The rows of spaces of equal dims as (s, n, d) float64."""
    dims = [part.shape[1] for part in rows]
    if len(set(dims)) > 1:
        raise UsageError(
            f"the spaces have {', '.join(map(str, dims))} dims; a mean, product or max needs vectors of equal dims: "
            "fuse their scores, or concatenate them"
        )
    return np.stack(rows).astype(np.float64)
