"""Linear heads in closed form from triplet folders: what a folder's clips differ in is turned down.

n clips, D dims of a feature, d dims of a space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.models import Head
from soundalike.train.common.projection import Projection, fit_projection, measure_scatter, triplet_accuracy
from soundalike.train.data.sampling import TripletSet
from soundalike.train.heads.settings import HeadSettings

__all__ = ["FLOORS", "LinearHead", "linear_dim", "train_linear"]

FLOORS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Strengths of the floor of `fit_projection` among which the validation folders choose."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """What came out: for each part of the feature, by name, its projection, the chosen floor, and {floor: accuracy on
    validation triplets}.
    """

    projections: Mapping[str, Projection]
    floors: Mapping[str, float]
    accuracies: Mapping[str, Mapping[float, float]]

    @property
    def tensors(self) -> dict[str, FloatArray]:
        """As a model's weights hold them: "mean" and "weight", of several parts with their names before."""
        alone = len(self.projections) == 1
        found: dict[str, FloatArray] = {}
        for part, projection in self.projections.items():
            before = "" if alone else f"{part}."
            found |= {f"{before}mean": projection.mean, f"{before}weight": projection.weight}
        return found


def train_linear(
    rows: FloatArray,
    blocks: Sequence[tuple[str, int]],
    sets: Sequence[TripletSet],
    own: TripletSet,
    validation: TripletSet,
    settings: HeadSettings,
) -> LinearHead:
    """Fit the head of one factor to `rows` (n, D): `own` says what to ignore, all of `sets` how music varies.

    `blocks` are the parts of the feature and their sizes; each is projected by itself, to as many dims as fit.
    Raises UsageError where there is nothing to fit, or to judge by.
    """
    folders = np.full(len(rows), -1)
    for number, table in enumerate(own.folders):
        members = table[:-2]
        folders[members[members >= 0]] = number
    heard = np.unique(np.concatenate([one.folders[one.folders >= 0] for one in sets]))
    if not (folders[heard] >= 0).any():
        raise UsageError("no clip of the training folders is audible; give folders with sound")
    judged = validation.expand("both" if settings.negatives == "in-batch" else settings.negatives).rows
    dims = linear_dim([size for _, size in blocks], settings.out) // len(blocks)
    projections, floors, accuracies = {}, {}, {}
    columns = np.split(rows, np.cumsum([size for _, size in blocks])[:-1], axis=1)
    for (name, _), part in zip(blocks, columns, strict=True):
        scatter = measure_scatter(part[heard], folders[heard])
        fitted = {floor: fit_projection(scatter, dims=dims, shrink=0.0, floor=floor) for floor in FLOORS}
        accuracies[name] = {floor: _accuracy(part, one, judged) for floor, one in fitted.items()}
        floors[name] = max(FLOORS, key=accuracies[name].__getitem__)
        projections[name] = fitted[floors[name]]
    return LinearHead(projections, floors, accuracies)


def linear_dim(sizes: Sequence[int], out: int) -> int:
    """Dims of the space: `out`, divided evenly among the parts, of which none can have more than it has."""
    return len(sizes) * min(out // len(sizes), *sizes)


def _accuracy(rows: FloatArray, projection: Projection, triplets: IntArray) -> float:
    """That of triplets (m, 3) of rows (n, D), projected."""
    used, places = np.unique(triplets, return_inverse=True)
    projected = Head(projection.mean, projection.weight)(rows[used], np.ones(len(used), np.bool_))
    return triplet_accuracy(projected, places.reshape(triplets.shape))
