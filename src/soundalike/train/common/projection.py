"""Linear projections learned from folders of clips that share one factor, and how well they tell folders apart.

n clips (or windows), D dims of a feature, d dims of a space.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from soundalike.core.types import FloatArray, IntArray

__all__ = ["Projection", "Scatter", "fit_projection", "folder_accuracy", "measure_scatter", "triplet_accuracy"]

_Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A linear head: `mean` (D,) and `weight` (d, D), float32."""

    mean: FloatArray
    weight: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Scatter:
    """How clips vary: their `mean` (D,), `total` covariance (D, D), and `within` (D, D), that inside folders."""

    mean: _Float64
    total: _Float64
    within: _Float64


def measure_scatter(features: FloatArray, folders: IntArray) -> Scatter:
    """The scatter of `features` (n, D) in `folders` (n,): clips with the same number >= 0 share the factor, -1 marks
    clips that only say how music varies.
    """
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    return Scatter(mean, _covariance(wide - mean), _within(wide, folders))


def fit_projection(scatter: Scatter, *, dims: int, shrink: float, floor: float) -> Projection:
    """Turn down the directions in which clips of one folder differ, keep the `dims` strongest of the rest.

    With T the covariance of all clips and W that within folders, the metric is the inverse of (1 - shrink) W + shrink T
    + floor tr(T)/D I: within-class covariance normalisation (Hatch, Kajarekar and Stolcke, "Within-class covariance
    normalization for SVM-based speaker recognition", 2006), shrunk (Ledoit and Wolf, "A well-conditioned estimator for
    large-dimensional covariance matrices", 2004) so that directions the folders say nothing about are treated as plain
    whitening treats them.
    """
    total = scatter.total
    metric = shrink * total + floor * np.trace(total) / len(total) * np.eye(len(total))
    if shrink < 1.0:
        metric += (1.0 - shrink) * scatter.within
    values, vectors = np.linalg.eigh(metric)
    whitening = (vectors / np.sqrt(np.maximum(values, 1e-12 * values[-1]))).T
    values, vectors = np.linalg.eigh(whitening @ total @ whitening.T)
    keep = np.argsort(values)[::-1][:dims]
    weight = vectors[:, keep].T @ whitening
    weight /= np.sqrt(np.mean(np.square(weight @ total @ weight.T).diagonal() ** 0.5))
    return Projection(scatter.mean.astype(np.float32), np.ascontiguousarray(weight, np.float32))


def _covariance(centred: _Float64) -> _Float64:
    return np.asarray(centred.T @ centred / max(len(centred), 1), np.float64)


def _within(features: _Float64, folders: IntArray) -> _Float64:
    inside = folders >= 0
    _, index, sizes = np.unique(folders[inside], return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), features.shape[1]))
    np.add.at(sums, index, features[inside])
    spread = features[inside] - (sums / sizes[:, None])[index]
    # Unbiased: each folder has used up one degree of freedom for its own mean.
    return _covariance(spread) * (len(spread) / max(len(spread) - len(sizes), 1))


def triplet_accuracy(rows: FloatArray, triplets: IntArray) -> float:
    """Share of `triplets` (m, 3), anchor, positive, negative among unit `rows` (n, d), that are right; ties count half.

    NaN without triplets.
    """
    a, p, n = rows[triplets.T]
    margin = np.einsum("nd,nd->n", a, p - n)
    return float(np.mean(np.heaviside(margin, 0.5))) if len(a) else float("nan")


def folder_accuracy(rows: FloatArray, folders: IntArray) -> float:
    """How often a clip is closer to one of its own folder than to one of another, over all such triplets; ties 1/2.

    `rows` (n, d) unit, `folders` (n,) all >= 0. Chance is 0.5.
    """
    similarity = rows @ rows.T
    won, asked = 0.0, 0
    for anchor in range(len(rows)):
        same = folders == folders[anchor]
        negatives = np.sort(similarity[anchor, ~same])
        same[anchor] = False
        for positive in similarity[anchor, same]:
            below, upto = np.searchsorted(negatives, positive), np.searchsorted(negatives, positive, "right")
            won += 0.5 * float(below + upto)
            asked += len(negatives)
    return won / asked if asked else float("nan")
