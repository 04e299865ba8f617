"""The order in which tracks leave a library, and which of them share rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.core.types import LEVELS, BoolArray, IntArray, Level
from soundalike.library.catalog.catalog import Catalog

__all__ = ["TrackOrder", "track_order"]


@dataclass(frozen=True, slots=True, eq=False)
class TrackOrder:
    """The row positions of n tracks, in the order of the export: by row position, so that reading is sequential, then
    by id. Tracks that no model encoded come last.

    Attributes:
        ids: (n,) ids of the tracks.
        owner: (n,) the number of the first track with the same rows.
        places: Per level, (n, 2) first position and number of rows.
        encoded: Per model, (n,) whether it encoded the track.
        held: Per model, (n,) whether it encoded a track with the same rows.
    """

    ids: IntArray
    owner: IntArray
    places: Mapping[Level, IntArray]
    encoded: Mapping[str, BoolArray]
    held: Mapping[str, BoolArray]

    def owners(self) -> BoolArray:
        """Which tracks (n,) are the first ones with their rows."""
        return self.owner == np.arange(len(self.ids))


def track_order(catalog: Catalog, models: Iterable[str]) -> TrackOrder:
    """The order of all tracks of a library, given its models. To be used inside a snapshot."""
    ids = catalog.ids()
    places = {level: np.zeros((len(ids), 2), np.int64) for level in LEVELS}
    encoded = {model: np.zeros(len(ids), np.bool_) for model in models}
    for model, flags in encoded.items():
        for level in LEVELS:
            groups = catalog.groups(model, level, absent=True)
            at = np.searchsorted(ids, groups[:, 2])
            places[level][at] = groups[:, :2]
            flags[at] = True
    first, none = places["track"][:, 0], places["track"][:, 1] == 0
    order = np.lexsort((ids, first, none))
    first, none = first[order], none[order]
    begins = none | (np.diff(first, prepend=-1) != 0)
    starts = np.flatnonzero(begins)
    group = np.cumsum(begins) - 1
    encoded = {model: flags[order] for model, flags in encoded.items()}
    return TrackOrder(
        ids=ids[order],
        owner=starts[group],
        places={level: rows[order] for level, rows in places.items()},
        encoded=encoded,
        held={model: np.logical_or.reduceat(flags, starts)[group] for model, flags in encoded.items()},
    )
