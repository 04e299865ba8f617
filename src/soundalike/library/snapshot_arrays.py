"""What a library holds, as arrays: where the rows of each track are, and the similarities of random pairs.

Everything here is derived from the catalogue. It stays in memory until the catalogue changes, and cached on disk
(`mapped_arrays.py`), so that a new process need not read every track again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from soundalike.core import mapped_arrays
from soundalike.core.counter_hash import random_order, random_shares
from soundalike.core.types import AnyArray, IntArray, Level, Space
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filter_columns import Columns
from soundalike.library.stores.base import Store
from soundalike.library.stores.row_groups import Groups
from soundalike.models import Background, PairSample, Reference, Spaces

__all__ = ["DERIVED", "OWN_REFERENCE_FROM", "SnapshotArrays"]

K = TypeVar("K")
V = TypeVar("V")
DERIVED = "derived"
"""The folder of a library that holds caches; all its files can be computed again."""
OWN_REFERENCE_FROM = 200
"""From this many different recordings on, a library is its own reference."""
_SAMPLED = 4096
"""Recordings of which pairs are drawn."""
_PASSAGES = 4096
"""Passages of which pairs are drawn: several per recording if there are fewer recordings."""
_BACKGROUND = 10_000
"""Tracks in the sample: the standard error is 1 % of a standard deviation for a mean, 0.7 % for a deviation."""
_MOST = 32
"""Sets of spaces, of those that requests name, of which arrays stay in memory; more are computed again."""
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
        self._references: dict[tuple[tuple[str, ...], Level], Reference] = {}
        self._audible: dict[tuple[Level, tuple[str, ...], frozenset[str]], IntArray] = {}
        self._backgrounds: dict[tuple[str, ...], Background] = {}
        self._not_encoded: dict[str, dict[str, IntArray]] = {}
        self._roots: IntArray | None = None
        self._columns: Columns | None = None

    def table(self, model: str, level: Level) -> IntArray:
        """`Catalog.groups`: first row position, number of rows, and id of every available track, (g, 3) int64.

        Of several models, given as `Spaces.name`, the tracks that all of them encoded.
        """
        key = (model, level)
        with self._lock:
            if key not in self._tables:
                first, *others = model.split("+")
                if others:
                    found = self.table(first, level)
                    for other in others:
                        found = found[np.isin(found[:, 2], self.table(other, level)[:, 2], assume_unique=True)]
                else:
                    name = f"groups.{level}.{model}"
                    found = self._cached(name, lambda: {"groups": self._catalog.groups(model, level)})["groups"]
                self._tables[key] = found
            return self._tables[key]

    def groups(self, model: str, level: Level) -> Groups:
        """The first two columns of `table`, prepared for searching."""
        key = (model, level)
        with self._lock:
            if key not in self._groups:
                self._groups[key] = Groups.of(self.table(model, level))
            return self._groups[key]

    def not_encoded(self, model: Spaces) -> Mapping[str, IntArray]:
        """The ids (n,) of the tracks that a model has not encoded, but another one of the same request, by its name."""
        if len(model.models) == 1:
            return {}
        with self._lock:
            if model.name not in self._not_encoded:
                ids = {one.name: self.table(one.name, "track")[:, 2] for one in model.models}
                every = np.unique(np.concatenate(list(ids.values())))
                self._not_encoded[model.name] = {name: np.setdiff1d(every, own) for name, own in ids.items()}
            return self._not_encoded[model.name]

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

    def reference(self, model: Spaces, level: Level) -> Reference:
        """What similarities are measured against: this library from 200 different recordings on, else the model.

        Recordings with the same audio count once, and corrupt ones are left out. Spaces of several models are measured
        on the same pairs.
        """
        key = (_names(model), level)
        with self._lock:
            if key not in self._references:
                cached = self._cached(f"pairs.{level}.{model.name}", lambda: self._sample_pairs(model, level))
                recordings = int(cached["recordings"])
                if recordings < OWN_REFERENCE_FROM:
                    reference = Reference(model.spaces, level, recordings)
                else:
                    similarity = {s.name: cached[f"similarity.{_cache_name(model, s)}"] for s in model.spaces}
                    audible = {s.name: cached[f"audible.{_cache_name(model, s)}"] for s in model.spaces}
                    sample = PairSample(similarity, audible, cached["shifts"], int(cached["sampled"]))
                    reference = Reference.of_library(model.spaces, level, sample, recordings)
                _keep(self._references, key, reference)
            return self._references[key]

    def audible(self, model: Spaces, level: Level, spaces: Iterable[str]) -> IntArray:
        """How many rows of every track of `table` are audible in at least one of some spaces, by name: (g,)."""
        key = (level, _names(model), frozenset(spaces))
        with self._lock:
            if key not in self._audible:
                table, groups = self.table(model.name, level), self.groups(model.name, level)
                counted = np.zeros(len(table), np.int64)
                if len(table):
                    heard = np.zeros(groups.end, np.bool_)
                    for space in model.spaces:
                        if space.name in key[2]:
                            heard |= self._store.audible(level, space.full_name, space.dim, groups.end)
                    before = np.concatenate([[0], np.cumsum(heard)])
                    counted = before[table[:, 0] + table[:, 1]] - before[table[:, 0]]
                _keep(self._audible, key, counted)
            return self._audible[key]

    def background(self, model: Spaces) -> Background:
        """What mutual proximity measures against: a seeded sample of tracks with different audio, or all of a few.

        Corrupt tracks are left out.
        """
        key = _names(model)
        with self._lock:
            if key not in self._backgrounds:

                def moments() -> dict[str, AnyArray]:
                    different, spaces = self._different(model.name, "track")[:, 0], _all_spaces(model)
                    positions = np.sort(different[random_order(0, len(different))[:_BACKGROUND]])
                    ok = [~self._store.corrupt("track", s.full_name, s.dim, positions) for s in spaces.values()]
                    positions = positions[np.logical_and.reduce(ok)]
                    rows = {
                        name: self._store.read("track", s.full_name, s.dim, positions) for name, s in spaces.items()
                    }
                    return Background.from_rows(positions, rows).to_arrays()

                cached = Background.from_arrays(self._cached(f"background.{model.name}", moments))
                found = {s.name: cached.moments[_cache_name(model, s)] for s in model.spaces}
                _keep(self._backgrounds, key, Background(cached.positions, found))
            return self._backgrounds[key]

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

    def _sample_pairs(self, model: Spaces, level: Level) -> dict[str, AnyArray]:
        """Seeded random pairs of rows of different recordings; with fewer than 200 recordings only their number."""
        table, spaces = self._different(model.name, level), _all_spaces(model)
        chosen = table[np.sort(random_order(0, len(table))[:_SAMPLED])]
        repeats = 1 if level == "track" else max(1, -(-_PASSAGES // max(len(chosen), 1)))
        draws = (random_shares(1, len(chosen) * repeats).reshape(repeats, -1) * chosen[:, 1]).astype(np.int64)
        positions = chosen[:, 0] + draws  # (repeats, recordings)
        ok = ~np.isin(chosen[:, 2], self._catalog.database.corrupt_tracks(chosen[:, 2].tolist()))
        for space in spaces.values():
            corrupt = self._store.corrupt(level, space.full_name, space.dim, positions.reshape(-1))
            ok &= ~corrupt.reshape(positions.shape).any(axis=0)
        recordings, positions = len(table) - np.count_nonzero(~ok), positions[:, ok]
        found: dict[str, AnyArray] = {"recordings": np.array(recordings), "sampled": np.array(positions.shape[1])}
        if recordings < OWN_REFERENCE_FROM:
            return found
        order = random_order(2, positions.shape[1])
        places = positions[:, order].reshape(-1)
        rows = {name: self._store.read(level, s.full_name, s.dim, places) for name, s in spaces.items()}
        sample = PairSample.of(rows, positions.shape[1])
        found["shifts"] = sample.shifts
        for name, similarity in sample.similarity.items():
            found |= {f"similarity.{name}": similarity, f"audible.{name}": sample.audible[name]}
        return found

    def _different(self, model: str, level: Level) -> IntArray:
        """The entries of `table`, in the order of their rows, with one entry for all tracks of the same audio."""
        table = self.table(model, level)
        table = table[np.argsort(table[:, 0], kind="stable")]
        same = self._catalog.same_sound()
        same = same[np.argsort(same[:, 0])]
        audio = same[np.searchsorted(same[:, 0], table[:, 2]), 1]
        return table[np.sort(np.unique(audio, return_index=True)[1])]


def _keep(kept: dict[K, V], key: K, value: V) -> None:
    """Keep an array under its key, instead of all others if there are too many."""
    if len(kept) >= _MOST:
        kept.clear()
    kept[key] = value


def _names(model: Spaces) -> tuple[str, ...]:
    """What tells the arrays of some spaces from those of others: the names of the models and of the spaces."""
    return (model.name, *(space.name for space in model.spaces))


def _cache_name(model: Spaces, space: Space) -> str:
    """The name of a space among all spaces of the models."""
    return space.full_name if len(model.models) > 1 else space.name


def _all_spaces(model: Spaces) -> dict[str, Space]:
    """All spaces of the models, by `_cache_name`: which of them a request uses changes neither sample nor cache."""
    return {_cache_name(model, space): space for one in model.models for space in one.spaces}
