"""Directions in which tracks that are alike differ little, and others much: the start of a network for a concept.

This is Fisher's discriminant analysis with pairs in place of classes, so it serves concepts without classes too, such
as tempo. Let S_1 be the mean of (x - y)(x - y)' over the pairs that are alike, and S_0 the same over those that are
not. Every track has the same weight in both. The directions v solve (S_0 - S_1) v = l M v with M = S_1 + floor * (mean
variance) * I. Each is scaled by the root of l, so that directions that tell little contribute little.

Reference: Fisher, "The use of multiple measurements in taxonomic problems", 1936; as a graph problem: Yan et al.,
"Graph embedding and extensions", 2007.
"""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.train.concepts.labels import Alikeness

__all__ = ["find_discriminants", "pair_scatter"]


def pair_scatter(rows: FloatArray, pairs: FloatArray) -> FloatArray:
    """Return the mean of (x - y)(x - y)' over pairs of rows, in which every row that has a pair has the same weight.

    Args:
        rows: (k, C).
        pairs: (k, k), symmetric, 1 for a pair, else 0.

    Returns:
        (C, C); all zero if there are no pairs.

    Example:
        >>> pair_scatter(np.array([[0.0], [2.0]]), np.array([[0, 1], [1, 0]])).tolist()
        [[4.0]]
    """
    weight = pairs / np.maximum(pairs.sum(axis=1, keepdims=True), 1)
    weight = (weight + weight.T) / 2
    laplacian = np.diag(weight.sum(axis=1)) - weight
    return np.asarray(2 * rows.T @ laplacian @ rows / max(weight.sum(), 1e-12))


def find_discriminants(rows: FloatArray, related: Alikeness, dim: int, floor: float) -> FloatArray:
    """Return the directions that tell alike tracks from others best.

    Args:
        rows: One row per track, (k, C).
        related: Which tracks are alike, (k, k).
        dim: The number of directions.
        floor: What is added to the variance within pairs, in units of its mean; more, if there are few tracks.

    Returns:
        (dim, C) float32; directions beyond those that tell anything are zero.

    Example:
        >>> find_discriminants(rows, alike_matrix("genre", labels), 64, floor=3.0).shape
        (64, 256)
    """
    wide = rows.astype(np.float64)
    alike = (related == 1).astype(np.float64)
    np.fill_diagonal(alike, 0.0)
    within, between = pair_scatter(wide, alike), pair_scatter(wide, (related == 0).astype(np.float64))
    mean_variance = np.trace(within) / len(within)
    values, vectors = np.linalg.eigh(within + (floor * mean_variance + 1e-9) * np.eye(len(within)))
    whitening = vectors / np.sqrt(values)
    gains, turned = np.linalg.eigh(whitening.T @ (between - within) @ whitening)
    order = np.argsort(gains)[::-1][:dim]
    found = np.zeros((dim, rows.shape[1]), np.float32)
    # Of a direction's sign, which is arbitrary, the one with a positive largest number is taken.
    directions = (whitening @ turned[:, order] * np.sqrt(np.maximum(gains[order], 0.0))).T
    signs = np.sign(np.take_along_axis(directions, np.abs(directions).argmax(axis=1)[:, None], axis=1))
    found[: len(order)] = directions * signs
    return found
