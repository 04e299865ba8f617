"""The features that a library keeps: what backbones heard in every passage, before any head.

Other heads on the same backbone, a new version of a model or another model, are given these instead of the sound. A row
of the store's table `feature` holds the D numbers of a feature in one passage, and 1 where it is audible, 0 where not:
(n, D + 1) float32, exactly as heard, for rows may be zero and audible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.backbones import Backbone, FeatureRows
from soundalike.core.errors import LibraryError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.feature_tables import KeptFeature
from soundalike.library.stores.base import Store

__all__ = ["FeatureCost", "KeptFeatures", "feature_costs"]

_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class FeatureCost:
    """What the features of one backbone take: `bytes` on disk for the `passages` of so many `tracks`.

    Tracks that share rows, as copies do, are paid for once.
    """

    backbone: str
    version: int
    tracks: int
    passages: int
    bytes: int


def feature_costs(catalog: Catalog) -> list[FeatureCost]:
    """The cost of what is kept, a line a backbone."""
    costs = []
    for backbone, some in _by_backbone(catalog).items():
        places = catalog.features.places(backbone)
        _, first = np.unique(places[:, 0], return_index=True)
        passages = int(places[first, 1].sum())
        row_bytes = sum(one.dim * np.dtype(np.float32).itemsize + _CHECKSUM_BYTES for one in some)
        costs.append(FeatureCost(backbone, some[0].version, len(places), passages, passages * row_bytes))
    return costs


def _by_backbone(catalog: Catalog) -> dict[str, list[KeptFeature]]:
    """The features that are kept, of each backbone that has any."""
    kept: dict[str, list[KeptFeature]] = {}
    for feature in catalog.features.features():
        kept.setdefault(feature.backbone, []).append(feature)
    return kept


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """`FeatureRows` that were kept."""

    rows: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]


class KeptFeatures:
    """Reads and writes what is kept of these backbones, as they are now."""

    def __init__(self, catalog: Catalog, store: Store, backbones: Iterable[Backbone]) -> None:
        self._catalog, self._store = catalog, store
        self._features = {
            backbone.name: [
                KeptFeature(backbone.name, backbone.version, name, dim + 1)
                for name, dim in sorted(backbone.dims.items())
            ]
            for backbone in backbones
        }

    def prepare(self, *, keep: bool) -> None:
        """Forget what other versions of the backbones heard; make ready to keep what these do. Inside a transaction."""
        kept = _by_backbone(self._catalog)
        for backbone, features in self._features.items():
            if backbone in kept and kept[backbone] != features:
                self._catalog.features.drop(backbone)
                del kept[backbone]
            if keep and backbone not in kept:
                self._catalog.features.put(features)

    def write(self, backbone: str, first: int, heard: FeatureRows) -> None:
        """Put what a backbone heard at the positions `first`... of a track's passages. Raises LibraryError."""
        for feature in self._features[backbone]:
            rows, audible = heard.rows[feature.name], heard.audible[feature.name]
            self._store.write("feature", feature.full_name, first, np.column_stack([rows, audible.astype(np.float32)]))

    def read(self, backbone: str, track_id: int) -> FeatureRows | None:
        """What was kept of a track; None where it is not what was written, or cannot be read."""
        first, count = self._catalog.rows_of(track_id, "passage")
        positions = np.arange(first, first + count)
        rows, audible = {}, {}
        try:
            for feature in self._features[backbone]:
                if self._store.corrupt("feature", feature.full_name, feature.dim, positions).any():
                    return None
                kept = self._store.read("feature", feature.full_name, feature.dim, positions)
                rows[feature.name] = np.ascontiguousarray(kept[:, :-1])
                audible[feature.name] = kept[:, -1] != 0
        except LibraryError:
            return None
        return _Rows(rows, audible)
