"""Linear heads, fitted in closed form: a projection attenuates the directions in which clips of one folder differ.

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
"""Candidates for the floor of `fit_projection`. The one with the highest validation accuracy is used."""


@dataclass(frozen=True, slots=True, eq=False)
class LinearHead:
    """A fitted linear head.

    Attributes:
        projections: The projection of each part of the feature.
        floors: The floor chosen for each part.
        accuracies: Accuracy on validation triplets, {part: {floor: 0..1}}.
    """

    projections: Mapping[str, Projection]
    floors: Mapping[str, float]
    accuracies: Mapping[str, Mapping[float, float]]

    @property
    def tensors(self) -> dict[str, FloatArray]:
        """The tensors that a model stores: "mean" and "weight", with the prefix "<part>." if there are several."""
        single = len(self.projections) == 1
        tensors: dict[str, FloatArray] = {}
        for part, projection in self.projections.items():
            prefix = "" if single else f"{part}."
            tensors |= {f"{prefix}mean": projection.mean, f"{prefix}weight": projection.weight}
        return tensors


def train_linear(
    rows: FloatArray,
    blocks: Sequence[tuple[str, int]],
    sets: Sequence[TripletSet],
    own: TripletSet,
    validation: TripletSet,
    settings: HeadSettings,
) -> LinearHead:
    """Fit the linear head of one factor.

    Each part of the feature has a projection of its own. The floor of each is the one with the highest accuracy on the
    validation triplets.

    Args:
        rows: Features (n, D).
        blocks: Name and size of each part of the feature. The sizes sum to D.
        sets: Training folders of all factors. Their clips determine the total covariance.
        own: Training folders of this factor. They determine the covariance within folders.
        validation: Validation folders of this factor.
        settings: Training settings, of which `out` and `negatives` are used.

    Returns:
        The projections, the floors chosen, and the accuracy at every floor.

    Raises:
        UsageError: No training clip of the factor is audible, or no validation folder has a complete triplet.

    Example:
        >>> head = train_linear(rows, [("melody", 500)], [melody, rhythm], melody, validation, HeadSettings())
        >>> head.tensors["weight"].shape
        (128, 500)
    """
    folders = np.full(len(rows), -1)
    for number, table in enumerate(own.folders):
        members = table[:-2]
        folders[members[members >= 0]] = number
    audible = np.unique(np.concatenate([table.folders[table.folders >= 0] for table in sets]))
    if not (folders[audible] >= 0).any():
        raise UsageError("no clip of the training folders is audible; give folders with sound")
    triplets = validation.expand("both" if settings.negatives == "in-batch" else settings.negatives).rows
    dims = linear_dim([size for _, size in blocks], settings.out) // len(blocks)
    projections, floors, accuracies = {}, {}, {}
    columns = np.split(rows, np.cumsum([size for _, size in blocks])[:-1], axis=1)
    for (name, _), part in zip(blocks, columns, strict=True):
        scatter = measure_scatter(part[audible], folders[audible])
        fitted = {floor: fit_projection(scatter, dims=dims, shrink=0.0, floor=floor) for floor in FLOORS}
        accuracies[name] = {floor: _accuracy(part, projection, triplets) for floor, projection in fitted.items()}
        floors[name] = max(FLOORS, key=accuracies[name].__getitem__)
        projections[name] = fitted[floors[name]]
    return LinearHead(projections, floors, accuracies)


def linear_dim(sizes: Sequence[int], out: int) -> int:
    """Return the dims of the space of a linear head.

    Args:
        sizes: Dims of the parts of the feature.
        out: Dims requested. They are divided evenly among the parts.

    Returns:
        At most `out`: all parts get the same number of dims, and no part more than the smallest one has.

    Example:
        >>> linear_dim([500, 40], 128)
        80
    """
    return len(sizes) * min(out // len(sizes), *sizes)


def _accuracy(rows: FloatArray, projection: Projection, triplets: IntArray) -> float:
    """Return the accuracy on triplets (m, 3) after projecting rows (n, D)."""
    used, positions = np.unique(triplets, return_inverse=True)
    projected = Head(projection.mean, projection.weight)(rows[used], np.ones(len(used), np.bool_))
    return triplet_accuracy(projected, positions.reshape(triplets.shape))
