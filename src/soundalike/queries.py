"""Questions to a library, and their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from soundalike.catalog import Track
from soundalike.filters import Filter
from soundalike.fingerprint import Words
from soundalike.groups import Groups
from soundalike.hubness import Correction
from soundalike.types import BoolArray, FloatArray, IntArray, Level, Match, Span, Weights

__all__ = ["Candidates", "Example", "Query", "Result", "Subject"]


@dataclass(frozen=True, slots=True)
class Example:
    """A recording that answers are to be like, or unlike; `weights` None are those of the query it belongs to."""

    path: Path
    like: bool = True
    weights: Mapping[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `start` and `end` in seconds choose a region; `by` None lets the lengths decide the level.

    `examples` are asked with beside `path`, which is the first like. `hubness` says how to do without hubs, among whole
    tracks.

    With `collapse` only the best match of every version family is listed (`families.keep` made them).
    """

    path: Path
    start: float | None = None
    end: float | None = None
    weights: Mapping[str, float] | None = None
    by: Level | None = None
    k: int = 10
    where: Filter = field(default_factory=Filter)
    exclude_same_artist: bool = False
    include_self: bool = False
    model: str | None = None
    examples: tuple[Example, ...] = ()
    hubness: Correction = "none"
    collapse: bool = False


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
class Result:
    """The answer to a query: matches best first, the copies of the query that were left out, and how it was asked.

    `artists` are those of the likes, as tagged. `examples` are all of them with their weights, the query itself first;
    none where it is alone. `damaged` are tracks that would have been matches, but of which something is not what was
    written. `versions` has, for the path of a match that stands for its family, the paths of the others; None if not
    collapsed.
    """

    query: Span
    level: Level
    model: str
    weights: Weights
    matches: tuple[Match, ...]
    tracks: Mapping[str, Track]
    copies: tuple[str, ...]
    searched: int
    artists: tuple[str, ...]
    examples: tuple[Example, ...] = ()
    hubness: Correction = "none"
    damaged: tuple[str, ...] = ()
    versions: Mapping[str, tuple[str, ...]] | None = None


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
