"""Questions to a library, and their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.audio import Words
from soundalike.core.types import BoolArray, FloatArray, IntArray, Span
from soundalike.library.catalog.catalog import Track
from soundalike.library.stores.row_groups import Groups

__all__ = ["Candidates", "Subject"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a query sounds like: rows by short space name, (n, d) a passage and (d,) for the whole."""

    span: Span
    passages: Mapping[str, FloatArray]
    track: Mapping[str, FloatArray]
    audio_hash: str
    fingerprint: Words
    artist: str | None
    own: Track | None


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """What a search looks at: `table` (g, 3) as of `Holdings.table`, and which lines are `wanted` (g,); None: all."""

    table: IntArray
    groups: Groups
    wanted: BoolArray | None = None

    def count(self, without: Collection[int] = ()) -> int:
        """How many tracks there are to find, without those of these ids."""
        number = len(self.table) if self.wanted is None else int(np.count_nonzero(self.wanted))
        for one in without:
            there = self.table[:, 2] == one
            number -= bool((there if self.wanted is None else there & self.wanted).any())
        return number

    def ids(self, without: Collection[int] = ()) -> IntArray:
        """The tracks (n,) that there are to find, without those of these ids."""
        ids = self.table[:, 2] if self.wanted is None else self.table[self.wanted, 2]
        return ids[~np.isin(ids, list(without))] if without else ids

    def without(self, ids: Sequence[int]) -> Candidates:
        """Some tracks less."""
        there = ~np.isin(self.table[:, 2], ids)
        return Candidates(self.table, self.groups, there if self.wanted is None else self.wanted & there)
