"""A linear head in closed form from triplet folders: what a folder's clips differ in is turned down.

n clips, D dims of a feature, d dims of a space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.errors import UsageError
from soundalike.heads import Head
from soundalike.train.projection import Projection, fit_projection
from soundalike.train.sampling import TripletSet
from soundalike.train.settings import HeadSettings
from soundalike.types import FloatArray, IntArray

__all__ = ["FLOORS", "LinearHead", "train_linear"]

FLOORS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""Strengths of the floor of `fit_projection` among which the validation folders choose."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """What came out: mean (D,) and weight (d, D), the chosen floor, and {floor: accuracy on validation triplets}."""

    projection: Projection
    floor: float
    accuracies: Mapping[float, float]

    @property
    def tensors(self) -> dict[str, FloatArray]:
        """As a model's weights hold them."""
        return {"mean": self.projection.mean, "weight": self.projection.weight}


def train_linear(
    rows: FloatArray,
    blocks: Sequence[int],
    sets: Sequence[TripletSet],
    own: TripletSet,
    validation: TripletSet,
    settings: HeadSettings,
) -> LinearHead:
    """Fit the head of one factor to `rows` (n, D): `own` says what to ignore, all of `sets` how music varies.

    `blocks` are the sizes of the features that stand side by side; each counts alike, whatever its numbers' scale.
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
    given = rows[heard]
    spreads = [_spread(part) for part in np.split(given, np.cumsum(blocks)[:-1], axis=1)]
    scale = np.repeat(1.0 / np.maximum(spreads, 1e-9), blocks).astype(np.float32)
    accuracies, fitted = {}, {}
    for floor in FLOORS:
        found = fit_projection(
            given * scale, folders[heard], dims=min(settings.out, rows.shape[1]), shrink=0.0, floor=floor
        )
        fitted[floor] = Projection(found.mean / scale, found.weight * scale)
        accuracies[floor] = _accuracy(rows, fitted[floor], judged)
    best = max(FLOORS, key=lambda floor: accuracies[floor])
    return LinearHead(fitted[best], best, accuracies)


def _spread(part: FloatArray) -> float:
    return float(np.sqrt(part.var(axis=0, dtype=np.float64).mean()))


def _accuracy(rows: FloatArray, projection: Projection, triplets: IntArray) -> float:
    """Share of triplets (m, 3) that are right; ties count half."""
    used, places = np.unique(triplets, return_inverse=True)
    projected = Head(projection.mean, projection.weight)(rows[used], np.ones(len(used), np.bool_))
    a, p, n = projected[places.reshape(triplets.shape).T]
    margin = np.einsum("nd,nd->n", a, p - n)
    return float(np.mean(np.where(margin == 0, 0.5, margin > 0)))
