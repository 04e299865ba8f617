"""Duplicates of a whole library: copies of one recording, and recordings that share audio without being copies.

Equal audio is always found. Fingerprints are compared between each recording and its ten nearest, if those sound alike
at all. So the number of comparisons grows with the library, and not with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.audio import Relation
from soundalike.core.types import IntArray
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Track
from soundalike.library.stores import Groups
from soundalike.models import Model, presence, query_terms
from soundalike.search.alike import JoinedRows
from soundalike.search.copies import Sound, group_copies, quality, why_best
from soundalike.search.recordings import ROWS, Recordings, blocks, different_recordings, read_rows

__all__ = [
    "DuplicateGroup",
    "Duplicates",
    "Progress",
    "RelatedPair",
    "RelatedRecordings",
    "find_duplicates",
    "nearest_recordings",
    "related_recordings",
]

Progress = Callable[[int, int], None]
"""Called with the tracks whose neighbours have been searched, and all tracks."""

_NEIGHBOURS = 10
_BLOCK = 256


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Files of one recording. `reasons` say why the best file is better than each copy, such as "lossless"."""

    best: Track
    copies: tuple[Track, ...]
    reasons: tuple[str, ...]

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All files, the best one first."""
        return self.best, *self.copies


@dataclass(frozen=True, slots=True)
class RelatedPair:
    """Two tracks that share audio without being copies. `relation` is what `b` is to `a`: such as "contains"."""

    a: Track
    b: Track
    relation: Relation


@dataclass(frozen=True, slots=True)
class Duplicates:
    """What a library holds more than once.

    Attributes:
        groups: Copies. Every copy agrees with the best file of its group, so each of them is to spare.
        related: Excerpts and other mixes, which are not.
    """

    groups: tuple[DuplicateGroup, ...]
    related: tuple[RelatedPair, ...]


def find_duplicates(library: LibraryFolder, model: str | None = None, progress: Progress | None = None) -> Duplicates:
    """Find tracks that are copies of one recording, whatever their format, level or leading silence.

    Args:
        library: The library.
        model: The name of the model that finds the nearest tracks; None takes the default one.
        progress: Called with tracks done and all tracks.

    Returns:
        Groups of copies, and pairs of excerpts and other mixes, in the order in which their tracks were added.

    Raises:
        LibraryError: Rows of the library are corrupt.
        ModelError: The library does not hold the model.

    Example:
        >>> [[track.path.name for track in group.tracks] for group in find_duplicates(library).groups]
        [['song.flac', 'song.mp3']]
    """
    with library.snapshot():
        chosen = library.model(model)
        recordings = different_recordings(library, chosen)
        weights = dict.fromkeys((space.name for space in chosen.spaces), 1.0)
        left, right = nearest_recordings(library, chosen, weights, recordings.rows, progress)
        found = related_recordings(library, chosen, recordings, left, right)
        groups = []
        for units in found.groups():
            best = found.tracks[units[0]]
            ids = [one for unit in units for one in recordings.members[unit] if one != best.id]
            if ids:
                copies = sorted(library.catalog.tracks_of(ids), key=quality, reverse=True)
                groups.append(DuplicateGroup(best, tuple(copies), tuple(why_best(best, one) for one in copies)))
        related = [
            RelatedPair(found.tracks[a], found.tracks[b], relation)
            for (a, b), relation in sorted(found.relations.items())
            if relation is not None and relation != "copy"
        ]
    groups.sort(key=lambda group: min(track.id for track in group.tracks))
    return Duplicates(tuple(groups), tuple(related))


def nearest_recordings(
    library: LibraryFolder, model: Model, weights: Mapping[str, float], rows: IntArray, progress: Progress | None
) -> tuple[IntArray, IntArray]:
    """Every recording with its nearest others: the numbers (m,) of the queries, and (m,) of their matches."""
    order = np.argsort(rows)  # a store reads fastest in the order of rows
    groups = Groups.of(np.stack([rows[order], np.ones_like(rows)], axis=1))
    sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    active = [space for space in library.reference(model, "track").spaces if weights[space.name]]
    for part in blocks(len(rows), _BLOCK):
        block = {space.name: read_rows(library, space, rows[part]) for space in active}
        audible = np.flatnonzero(np.any([presence(one) for one in block.values()], axis=0))
        queries = [
            query_terms(active, {name: one[n] for name, one in block.items()}, weights, "track") for n in audible
        ]
        found = library.store.search_many("track", queries, groups, _NEIGHBOURS + 1)
        for n, hits in zip(audible + part.start, found, strict=True):
            nearest = order[hits.group]
            others = nearest != n
            sources.append(np.full(np.count_nonzero(others), n))
            targets.append(nearest[others])
        if progress:
            progress(part.stop, len(rows))
    return np.concatenate(sources), np.concatenate(targets)


@dataclass(slots=True, eq=False)
class RelatedRecordings:
    """The relations between recordings, by their numbers; `tracks` has the best file of each.

    Relations of pairs that were not compared are computed when they are needed.
    """

    library: LibraryFolder
    tracks: Sequence[Track]
    relations: dict[tuple[int, int], Relation | None]

    def groups(self) -> list[list[int]]:
        """The recordings (numbers) of every group of copies, those with the best file first."""
        near: dict[int, set[int]] = {}
        for pair in self.relations:
            if self.relations[pair] == "copy":
                joined = near.get(pair[0], {pair[0]}) | near.get(pair[1], {pair[1]})
                near.update(dict.fromkeys(joined, joined))
        return group_copies(self.tracks, lambda a, b: self._relation(a, b) == "copy", lambda n: near.get(n, ()))

    def copies(self) -> list[tuple[int, int]]:
        """The pairs of a best file and each of its copies."""
        return [(best, one) for best, *others in self.groups() for one in others]

    def compare(self, a: int, b: int) -> None:
        """Compare two recordings."""
        sounds = [
            Sound.of_track(self.tracks[n], self.library.catalog.fingerprints.get(self.tracks[n].id)) for n in (a, b)
        ]
        self.relations[a, b] = sounds[0].relation_of(sounds[1])

    def _relation(self, a: int, b: int) -> Relation | None:
        pair = (min(a, b), max(a, b))
        if pair not in self.relations:
            self.compare(*pair)
        return self.relations[pair]


def related_recordings(
    library: LibraryFolder, model: Model, recordings: Recordings, left: IntArray, right: IntArray
) -> RelatedRecordings:
    """Compare the pairs of recordings (left, right) (m,), (m,) that sound alike by their fingerprints."""
    best = [max(library.catalog.tracks_of(ids), key=lambda one: (quality(one), -one.id)) for ids in recordings.members]
    found = RelatedRecordings(library, best, {})
    pairs = np.unique(np.sort(np.stack([left, right], axis=1), axis=1), axis=0)
    for part in blocks(len(pairs), ROWS):
        one, other = (
            JoinedRows.of(library.rows(model.spaces, "track", recordings.rows[side])) for side in pairs[part].T
        )
        for a, b in pairs[part][one.alike(other)].tolist():
            found.compare(a, b)
    return found
