"""What a library holds, as arrays: where the rows of each track are, and the similarities of random pairs.

Everything here is derived from the catalogue. It stays in memory until the catalogue changes, and cached on disk
(`mapped_arrays.py`), so that a new process need not read every track again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from soundalike.core import mapped_arrays
from soundalike.core.types import AnyArray, IntArray, Level
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filter_columns import Columns
from soundalike.library.stores.base import Store
from soundalike.library.stores.row_groups import Groups, positions_of
from soundalike.models import Background, Model, Quantiles, presence

__all__ = ["DERIVED", "SnapshotArrays"]

DERIVED = "derived"
"""The folder of a library that holds caches; all its files can be computed again."""
_OWN_QUANTILES_FROM = 200
_PAIRS = 2000
_BACKGROUND = 10_000
"""Tracks in the sample: the standard error is 1 % of a standard deviation for a mean, 0.7 % for a deviation."""
_WORTH_KEEPING = 5000
"""From this many tracks on, reading from disk is faster than computing."""


class SnapshotArrays:
    """The arrays of one generation of a library, computed on first use. Threads may share them.

    To be used inside `LibraryFolder.snapshot`.
    """

    def __init__(self, path: Path, catalog: Catalog, store: Store, generation: int) -> None:
        self._folder, self._catalog, self._store, self._generation = path / DERIVED, catalog, store, generation
        self._lock = threading.RLock()
        self._tables: dict[tuple[str, Level], IntArray] = {}
        self._groups: dict[tuple[str, Level], Groups] = {}
        self._quantiles: dict[tuple[str, Level], Quantiles | None] = {}
        self._backgrounds: dict[str, Background] = {}
        self._roots: IntArray | None = None
        self._columns: Columns | None = None

    def table(self, model: str, level: Level) -> IntArray:
        """`Catalog.groups`: first row position, number of rows, and id of every available track, (g, 3) int64."""
        key = (model, level)
        with self._lock:
            if key not in self._tables:
                cached = self._cached(f"groups.{level}.{model}", lambda: {"groups": self._catalog.groups(model, level)})
                self._tables[key] = cached["groups"]
            return self._tables[key]

    def groups(self, model: str, level: Level) -> Groups:
        """The first two columns of `table`, prepared for searching."""
        key = (model, level)
        with self._lock:
            if key not in self._groups:
                self._groups[key] = Groups.of(self.table(model, level))
            return self._groups[key]

    def root_ids(self, ids: IntArray) -> IntArray:
        """The ids (n,) of the roots of tracks, given their ids (n,)."""
        with self._lock:
            if self._roots is None:
                self._roots = self._cached("roots", lambda: {"roots": self._catalog.paths.root_ids()})["roots"]
            return self._roots[np.searchsorted(self._roots[:, 0], ids), 1]

    def columns(self) -> Columns:
        """The fields that filters test."""
        with self._lock:
            if self._columns is None:
                self._check_generation()
                self._columns = Columns(self._catalog, self._folder)
            return self._columns

    def quantiles(self, model: Model, level: Level) -> Quantiles | None:
        """Similarities of seeded random pairs of this library's tracks; None where it holds fewer than 200.

        Tracks with the same audio count once. A space in which fewer than 200 of the pairs are audible is left out.
        """
        key = (model.name, level)
        with self._lock:
            if key not in self._quantiles:
                table = self.table(model.name, level)

                def sample() -> dict[str, AnyArray]:
                    different = table[np.isin(table[:, 2], self._catalog.distinct_audio())]
                    return self._sample_pairs(model, level, different) if len(different) >= _OWN_QUANTILES_FROM else {}

                cached = self._cached(f"chance.{level}.{model.name}", sample)
                tables = {space: tuple(values.tolist()) for space, values in cached.items()}
                self._quantiles[key] = tables if len(table) >= _OWN_QUANTILES_FROM and tables else None
            return self._quantiles[key]

    def background(self, model: Model) -> Background:
        """What mutual proximity measures against: a seeded sample of tracks with different audio, or all of a few.

        Corrupt tracks are left out.
        """
        name = model.name
        with self._lock:
            if name not in self._backgrounds:

                def moments() -> dict[str, AnyArray]:
                    table = self.table(name, "track")
                    different = np.unique(table[np.isin(table[:, 2], self._catalog.distinct_audio()), 0])
                    positions = np.sort(np.random.default_rng(0).permutation(different)[:_BACKGROUND])
                    ok = [~self._store.corrupt("track", s.full_name, s.dim, positions) for s in model.spaces]
                    positions = positions[np.logical_and.reduce(ok)]
                    rows = {s.name: self._store.read("track", s.full_name, s.dim, positions) for s in model.spaces}
                    return Background.from_rows(positions, rows).to_arrays()

                self._backgrounds[name] = Background.from_arrays(self._cached(f"background.{name}", moments))
            return self._backgrounds[name]

    def _check_generation(self) -> None:
        """Refuse to compute from another generation: other threads would get arrays that do not match their rows."""
        if (found := self._catalog.generation) != self._generation:
            raise RuntimeError(f"arrays of generation {self._generation} were requested in a snapshot of {found}")

    def _cached(self, name: str, make: Callable[[], dict[str, AnyArray]]) -> dict[str, AnyArray]:
        """Arrays of this generation from their file, or computed, and saved where that is worth it."""
        self._check_generation()
        found = mapped_arrays.load(self._folder, name, self._generation)
        if found is None:
            found = make()
            if len(self._catalog.ids()) >= _WORTH_KEEPING:
                mapped_arrays.save(self._folder, name, self._generation, found)
        return found

    def _sample_pairs(self, model: Model, level: Level, groups: IntArray) -> dict[str, AnyArray]:
        """Per space, the 101 quantiles of the similarity of random pairs."""
        random = np.random.default_rng(0)
        pairs = _PAIRS if level == "track" else _PAIRS // 4
        left = random.integers(len(groups), size=pairs)
        right = (left + random.integers(1, len(groups), size=pairs)) % len(groups)
        query_rows = groups[left, 0] + random.integers(groups[left, 1])
        starts = np.cumsum(groups[right, 1]) - groups[right, 1]
        match_rows = positions_of(groups[right])
        owner = np.repeat(np.arange(pairs), groups[right, 1])
        tables: dict[str, AnyArray] = {}
        for space in model.spaces:
            queries = self._store.read(level, space.full_name, space.dim, query_rows)
            rows = self._store.read(level, space.full_name, space.dim, match_rows)
            similarity = np.einsum("nd,nd->n", queries[owner], rows)
            similarity[~(presence(queries)[owner] & presence(rows))] = -np.inf
            best = np.maximum.reduceat(similarity, starts)
            audible = best[best > -np.inf]
            if len(audible) >= _OWN_QUANTILES_FROM:
                tables[space.name] = np.quantile(audible.astype(np.float64), np.linspace(0, 1, 101))
        return tables
