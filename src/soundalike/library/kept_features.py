"""Cached backbone features, one row per passage, before any head.

Other heads on the same backbone, of a new version or of another model, project these instead of encoding the audio
again. A row of the store's table `feature` holds the D numbers of a feature in one passage, and 1 where it is audible,
0 where it is not: (n, D + 1) float32. The flag is needed because an audible row may be zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from soundalike.backbones import Backbone, FeatureRows
from soundalike.core.errors import LibraryError
from soundalike.core.types import BoolArray, FloatArray
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.feature_tables import StoredFeature
from soundalike.library.stores.base import Store

__all__ = ["FeatureCost", "KeptFeatures", "feature_costs"]

_CHECKSUM_BYTES = 4


@dataclass(frozen=True, slots=True)
class FeatureCost:
    """The size of the stored features of one backbone: `bytes` on disk for `passages` of `tracks`.

    The rows that copies share count once.
    """

    backbone: str
    version: int
    tracks: int
    passages: int
    bytes: int


def feature_costs(catalog: Catalog) -> list[FeatureCost]:
    """The size of the stored features, one record per backbone."""
    costs = []
    for backbone, features in _by_backbone(catalog).items():
        places = catalog.features.places(backbone)
        _, first = np.unique(places[:, 0], return_index=True)
        passages = int(places[first, 1].sum())
        row_bytes = sum(feature.dim * np.dtype(np.float32).itemsize + _CHECKSUM_BYTES for feature in features)
        costs.append(FeatureCost(backbone, features[0].version, len(places), passages, passages * row_bytes))
    return costs


def _by_backbone(catalog: Catalog) -> dict[str, list[StoredFeature]]:
    """The stored features of each backbone."""
    stored: dict[str, list[StoredFeature]] = {}
    for feature in catalog.features.features():
        stored.setdefault(feature.backbone, []).append(feature)
    return stored


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """`FeatureRows` that were read from the store."""

    rows: Mapping[str, FloatArray]
    audible: Mapping[str, BoolArray]


class KeptFeatures:
    """Read and write the stored features of the current versions of some backbones."""

    def __init__(self, catalog: Catalog, store: Callable[[], Store], backbones: Iterable[Backbone]) -> None:
        """Begin with the features of some backbones. `store` returns the current store, which `prepare` may change."""
        self._catalog, self._store = catalog, store
        self._features = {
            backbone.name: [
                StoredFeature(backbone.name, backbone.version, name, dim + 1)
                for name, dim in sorted(backbone.dims.items())
            ]
            for backbone in backbones
        }

    def prepare(self, *, keep: bool) -> None:
        """Drop features of other versions; with `keep`, add the tables for these. Inside a transaction.

        The rows of other versions stay in their files, where readers of older snapshots find them.
        """
        stored = _by_backbone(self._catalog)
        for backbone, features in self._features.items():
            if backbone in stored and stored[backbone] != features:
                self._catalog.features.drop(backbone)
                del stored[backbone]
            if keep and backbone not in stored:
                self._catalog.features.put(features)

    def write(self, backbone: str, first: int, features: FeatureRows) -> None:
        """Write the features of a track's passages at positions `first`... Raises LibraryError."""
        for feature in self._features[backbone]:
            rows, audible = features.rows[feature.name], features.audible[feature.name]
            self._store().write(
                "feature", feature.full_name, first, np.column_stack([rows, audible.astype(np.float32)])
            )

    def read(self, backbone: str, track_id: int) -> FeatureRows | None:
        """The stored features of a track; None if they are corrupt or cannot be read."""
        first, count = self._catalog.rows_of(track_id, "passage")
        positions = np.arange(first, first + count)
        rows, audible = {}, {}
        try:
            for feature in self._features[backbone]:
                if self._store().corrupt("feature", feature.full_name, feature.dim, positions).any():
                    return None
                rows_and_flag = self._store().read("feature", feature.full_name, feature.dim, positions)
                rows[feature.name] = np.ascontiguousarray(rows_and_flag[:, :-1])
                audible[feature.name] = rows_and_flag[:, -1] != 0
        except LibraryError:
            return None
        return _Rows(rows, audible)
