"""The different recordings of a library: tracks with the same audio count once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.types import FloatArray, IntArray, Level, Space
from soundalike.library import LibraryFolder
from soundalike.models import Spaces, presence

__all__ = ["ROWS", "Recordings", "audible_recordings", "blocks", "check_rows", "different_recordings", "read_rows"]

ROWS = 8192
"""Rows that are read at a time."""


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """Different recordings: the row (n,) of each, and the ids of its tracks. `now` maps old numbers to new ones."""

    rows: IntArray
    members: tuple[tuple[int, ...], ...]
    now: IntArray

    def only(self, wanted: IntArray) -> Recordings:
        """The recordings numbered `wanted` (m,)."""
        return Recordings(self.rows[wanted], tuple(self.members[n] for n in wanted), np.arange(len(wanted)))

    def merged(self, pairs: Sequence[tuple[int, int]]) -> Recordings:
        """The two recordings of every pair merged into one, under the lower number."""
        lead = list(range(len(self.rows)))
        for a, b in pairs:
            low, high = sorted((_root(lead, a), _root(lead, b)))
            lead[high] = low
        leads = np.array([_root(lead, n) for n in range(len(lead))], dtype=np.int64)
        first, now = np.unique(leads, return_inverse=True)
        members: list[tuple[int, ...]] = [()] * len(first)
        for old, new in enumerate(now.tolist()):
            members[new] = tuple(sorted(members[new] + self.members[old]))
        return Recordings(self.rows[first], tuple(members), now)


def _root(lead: list[int], n: int) -> int:
    while lead[n] != n:
        lead[n] = n = lead[lead[n]]
    return n


def different_recordings(library: LibraryFolder, model: Spaces) -> Recordings:
    """Every recording that the models encoded and of which a file is there, by `audio_hash`; copies share one."""
    groups = library.arrays.table(model.name, "track")
    groups = groups[~library.find_absent(groups[:, 2])]
    check_rows(library, model, "track", groups[:, 0], groups[:, 2])
    first_of = dict(library.catalog.same_sound().tolist())
    sound = np.array([first_of[one] for one in groups[:, 2].tolist()], dtype=np.int64)
    _, first, number = np.unique(sound, return_index=True, return_inverse=True)
    members: list[list[int]] = [[] for _ in first]
    for n, track_id in zip(number.tolist(), groups[:, 2].tolist(), strict=True):
        members[n].append(track_id)
    return Recordings(groups[first, 0], tuple(tuple(sorted(ids)) for ids in members), np.arange(len(first)))


def check_rows(library: LibraryFolder, model: Spaces, level: Level, rows: IntArray, ids: IntArray) -> None:
    """Raise LibraryError if rows at positions (m,), of the tracks with ids (m,), are corrupt."""
    corrupt = np.unique(ids[library.find_corrupt(model, level, rows, ids)])
    if len(corrupt):
        raise LibraryError(
            f"{library.catalog.tracks_of(corrupt[:1].tolist())[0].path} is corrupt in the library at {library.path}"
            f"{f' and {len(corrupt) - 1} more' if len(corrupt) > 1 else ''}; see: soundalike library check --repair"
        )


def read_rows(library: LibraryFolder, space: Space, positions: IntArray) -> FloatArray:
    """The rows (m, d) of a space at positions (m,) of the track level."""
    return library.store.read("track", space.full_name, space.dim, positions)


def audible_recordings(library: LibraryFolder, model: Spaces, weights: Mapping[str, float], rows: IntArray) -> IntArray:
    """The numbers (m,) of the recordings that are audible in a space with a weight."""
    audible = np.zeros(len(rows), dtype=bool)
    for space in model.spaces:
        for part in blocks(len(rows), ROWS) if weights[space.name] else ():
            audible[part] |= presence(read_rows(library, space, rows[part]))
    return np.flatnonzero(audible)


def blocks(count: int, size: int) -> Iterator[slice]:
    """Slices of at most `size` over `count` items."""
    return (slice(first, min(first + size, count)) for first in range(0, count, size))
