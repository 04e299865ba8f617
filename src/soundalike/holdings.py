"""What a library holds, as arrays: whose rows are where, and what chance looks like in it.

All of it follows from the catalogue. It is kept until the catalogue changes, and on disk (`derived.py`) so that a new
process need not ask for every track again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from soundalike import derived
from soundalike.catalog import Catalog
from soundalike.columns import Columns
from soundalike.groups import Groups, positions_of
from soundalike.hubness import Background
from soundalike.model import Model
from soundalike.score import Quantiles, presence
from soundalike.stores import Store
from soundalike.types import AnyArray, IntArray, Level

__all__ = ["DERIVED", "Holdings"]

DERIVED = "derived"
"""The folder in a library whose files can all be made again."""
_OWN_QUANTILES_FROM = 200
_PAIRS = 2000
_BACKGROUND = 10_000
"""Tracks that similarities are measured against: 1 % of a spread is off in a mean, and 0.7 % in a spread."""
_WORTH_KEEPING = 5000
"""From so many tracks on, reading is quicker than making."""


class Holdings:
    """Of one open library; every question is answered as of the catalogue's current snapshot."""

    def __init__(self, path: Path, catalog: Catalog, store: Callable[[], Store]) -> None:
        self._folder, self._catalog, self._store = path / DERIVED, catalog, store
        self._generation: int | None = None
        self._tables: dict[tuple[str, Level], IntArray] = {}
        self._groups: dict[tuple[str, Level], Groups] = {}
        self._quantiles: dict[tuple[str, Level], Quantiles | None] = {}
        self._backgrounds: dict[str, Background] = {}
        self._columns: Columns | None = None

    def _refresh(self) -> None:
        """Forget what is of an older catalogue."""
        generation = self._catalog.generation
        if generation != self._generation:
            self._generation, self._columns = generation, None
            for kept in (self._tables, self._groups, self._quantiles, self._backgrounds):
                kept.clear()

    def table(self, model: str, level: Level) -> IntArray:
        """`Catalog.groups`: first position, number of rows, and id of every track that is there, (g, 3) int64."""
        self._refresh()
        key = (model, level)
        if key not in self._tables:
            kept = self._kept(f"groups.{level}.{model}", lambda: {"groups": self._catalog.groups(model, level)})
            self._tables[key] = kept["groups"]
        return self._tables[key]

    def groups(self, model: str, level: Level) -> Groups:
        """The first two columns of `table`, prepared for searching."""
        table, key = self.table(model, level), (model, level)
        if key not in self._groups:
            self._groups[key] = Groups.of(table)
        return self._groups[key]

    def columns(self) -> Columns:
        """The fields that filters ask about."""
        self._refresh()
        if self._columns is None:
            self._columns = Columns(self._catalog, self._folder)
        return self._columns

    def quantiles(self, model: Model, level: Level) -> Quantiles | None:
        """Similarities of seeded random pairs of this library's own tracks; None where it holds fewer than 200.

        Tracks of the same sound count once, and spaces in which fewer than 200 of the pairs are audible are left out.
        """
        self._refresh()
        key = (model.name, level)
        if key not in self._quantiles:
            table = self.table(model.name, level)

            def chance() -> dict[str, AnyArray]:
                different = table[np.isin(table[:, 2], self._catalog.one_of_each())]
                return self._sample_pairs(model, level, different) if len(different) >= _OWN_QUANTILES_FROM else {}

            kept = self._kept(f"chance.{level}.{model.name}", chance)
            tables = {space: tuple(values.tolist()) for space, values in kept.items()}
            self._quantiles[key] = tables if len(table) >= _OWN_QUANTILES_FROM and tables else None
        return self._quantiles[key]

    def background(self, model: Model) -> Background:
        """What mutual proximity measures against: a seeded sample of tracks of different sound, or all of a few.

        Tracks that are damaged are not among them.
        """
        self._refresh()
        key = model.name
        if key not in self._backgrounds:

            def moments() -> dict[str, AnyArray]:
                table = self.table(key, "track")
                different = np.unique(table[np.isin(table[:, 2], self._catalog.one_of_each()), 0])
                positions = np.sort(np.random.default_rng(0).permutation(different)[:_BACKGROUND])
                whole = [~self._store().damaged("track", s.full_name, s.dim, positions) for s in model.spaces]
                positions = positions[np.logical_and.reduce(whole)]
                rows = {s.name: self._store().read("track", s.full_name, s.dim, positions) for s in model.spaces}
                return Background.of(positions, rows).arrays()

            self._backgrounds[key] = Background.of_arrays(self._kept(f"background.{key}", moments))
        return self._backgrounds[key]

    def _kept(self, name: str, make: Callable[[], dict[str, AnyArray]]) -> dict[str, AnyArray]:
        """Arrays of this generation from their file, or made, and kept where that is worth it."""
        generation = self._catalog.generation
        kept = derived.load(self._folder, name, generation)
        if kept is None:
            kept = make()
            if len(self._catalog.ids()) >= _WORTH_KEEPING:
                derived.save(self._folder, name, generation, kept)
        return kept

    def _sample_pairs(self, model: Model, level: Level, groups: IntArray) -> dict[str, AnyArray]:
        """Per space, the 101 quantiles of the similarity of random pairs."""
        random = np.random.default_rng(0)
        pairs = _PAIRS if level == "track" else _PAIRS // 4
        left = random.integers(len(groups), size=pairs)
        right = (left + random.integers(1, len(groups), size=pairs)) % len(groups)
        asked = groups[left, 0] + random.integers(groups[left, 1])
        starts = np.cumsum(groups[right, 1]) - groups[right, 1]
        answers = positions_of(groups[right])
        owner = np.repeat(np.arange(pairs), groups[right, 1])
        tables: dict[str, AnyArray] = {}
        for space in model.spaces:
            queries = self._store().read(level, space.full_name, space.dim, asked)
            rows = self._store().read(level, space.full_name, space.dim, answers)
            similarity = np.einsum("nd,nd->n", queries[owner], rows)
            similarity[~(presence(queries)[owner] & presence(rows))] = -np.inf
            best = np.maximum.reduceat(similarity, starts)
            heard = best[best > -np.inf]
            if len(heard) >= _OWN_QUANTILES_FROM:
                tables[space.name] = np.quantile(heard.astype(np.float64), np.linspace(0, 1, 101))
        return tables
