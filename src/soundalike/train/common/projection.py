"""Linear projections fitted on folders of clips that share one factor, and measures of how well they separate folders.

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
    """Mean (D,) of the clips, `total` covariance (D, D), and covariance `within` folders (D, D)."""

    mean: _Float64
    total: _Float64
    within: _Float64


def measure_scatter(features: FloatArray, folders: IntArray) -> Scatter:
    """Measure how clips vary, in all and within folders.

    Args:
        features: (n, D), one row per clip.
        folders: (n,), number of the folder of each clip. Clips with the same number >= 0 share the factor; -1 marks
            clips that count towards the mean and the total covariance only.

    Returns:
        The scatter, float64.

    Example:
        >>> scatter = measure_scatter(np.eye(4), np.array([0, 0, 1, -1]))
        >>> scatter.total.shape
        (4, 4)
    """
    wide = features.astype(np.float64)
    mean = wide.mean(axis=0)
    return Scatter(mean, _covariance(wide - mean), _within(wide, folders))


def fit_projection(scatter: Scatter, *, dims: int, shrink: float, floor: float) -> Projection:
    """Fit a projection that attenuates the directions in which clips of one folder differ.

    With T the covariance of all clips and W that within folders, the metric is the inverse of (1 - shrink) W + shrink T
    + floor tr(T)/D I. This is within-class covariance normalisation (Hatch, Kajarekar and Stolcke, "Within-class
    covariance normalization for SVM-based speaker recognition", 2006) with shrinkage (Ledoit and Wolf, "A
    well-conditioned estimator for large-dimensional covariance matrices", 2004): directions in which folders do not
    vary are whitened.

    Args:
        scatter: Means and covariances of the clips.
        dims: Number of directions to keep, at most D: those with the largest ratio of total variance to the metric.
        shrink: Weight of the total covariance, 0 to 1.
        floor: Variance added to every direction, in units of the mean variance tr(T)/D; > 0 unless the rest has full
            rank.

    Returns:
        The projection, float32. The variances of its outputs have a mean of 1.

    Example:
        >>> projection = fit_projection(measure_scatter(features, folders), dims=128, shrink=0.0, floor=0.3)
        >>> rows = (features - projection.mean) @ projection.weight.T
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
    # An eigenvector's sign is arbitrary and differs between BLAS libraries and thread counts.
    largest = np.take_along_axis(weight, np.abs(weight).argmax(axis=1)[:, None], axis=1)
    weight *= np.sign(largest)
    return Projection(scatter.mean.astype(np.float32), np.ascontiguousarray(weight, np.float32))


def _covariance(centred: _Float64) -> _Float64:
    return np.asarray(centred.T @ centred / max(len(centred), 1), np.float64)


def _within(features: _Float64, folders: IntArray) -> _Float64:
    inside = folders >= 0
    _, index, sizes = np.unique(folders[inside], return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), features.shape[1]))
    np.add.at(sums, index, features[inside])
    deviations = features[inside] - (sums / sizes[:, None])[index]
    # Unbiased: the mean of each folder takes one degree of freedom.
    return _covariance(deviations) * (len(deviations) / max(len(deviations) - len(sizes), 1))


def triplet_accuracy(rows: FloatArray, triplets: IntArray) -> float:
    """Return the fraction of triplets whose anchor is closer to the positive than to the negative.

    Args:
        rows: (n, d), unit.
        triplets: (m, 3), positions in `rows` of anchor, positive and negative.

    Returns:
        0 to 1, chance level 0.5; ties count half. NaN if there are no triplets.

    Example:
        >>> triplet_accuracy(np.eye(2), np.array([[0, 0, 1]]))
        1.0
    """
    a, p, n = rows[triplets.T]
    margin = np.einsum("nd,nd->n", a, p - n)
    return float(np.mean(np.heaviside(margin, 0.5))) if len(a) else float("nan")


def folder_accuracy(rows: FloatArray, folders: IntArray) -> float:
    """Return how often a clip is closer to a clip of its own folder than to one of another, over all such triplets.

    Args:
        rows: (n, d), unit.
        folders: (n,), number of the folder of each row, >= 0.

    Returns:
        0 to 1, chance level 0.5; ties count half. NaN if no folder has two clips or there is only one folder.

    Example:
        >>> folder_accuracy(np.eye(2)[[0, 0, 1, 1]], np.array([0, 0, 1, 1]))
        1.0
    """
    similarity = rows @ rows.T
    correct, total = 0.0, 0
    for anchor in range(len(rows)):
        same = folders == folders[anchor]
        negatives = np.sort(similarity[anchor, ~same])
        same[anchor] = False
        for positive in similarity[anchor, same]:
            below, upto = np.searchsorted(negatives, positive), np.searchsorted(negatives, positive, "right")
            correct += 0.5 * float(below + upto)
            total += len(negatives)
    return correct / total if total else float("nan")
