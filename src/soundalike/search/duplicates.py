"""Duplicates of a whole library: copies of one recording, and recordings that share audio without being copies.

Equal audio is always found. Fingerprints are compared between each recording and its ten nearest, if those sound alike
at all. An album image or a DJ set, as a whole, need not sound like any song in it. So the longest tracks are also
searched section by section, until there are as many sections as recordings, or 2,000 in a small library. The number of
comparisons grows with the library, and not with its square.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.audio import Relation
from soundalike.core.types import FloatArray, IntArray
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Track
from soundalike.library.stores import Groups
from soundalike.models import Model, Spaces, mean_rows, presence, query_terms
from soundalike.search.alike import JoinedRows
from soundalike.search.copies import Sound, group_copies, quality, why_best
from soundalike.search.recordings import ROWS, Recordings, blocks, check_rows, different_recordings, read_rows

__all__ = [
    "DuplicateGroup",
    "Duplicates",
    "Progress",
    "RelatedPair",
    "RelatedRecordings",
    "find_duplicates",
    "nearest_recordings",
    "recordings_in_sections",
    "related_recordings",
]

Progress = Callable[[int, int], None]
"""Called with the tracks whose neighbours have been searched, and all tracks."""

_NEIGHBOURS = 10
_BLOCK = 256
_SECTION, _STEP = 4, 2
"""Passages of a section, which are 25 s, and between the starts of two sections. Of three songs of 17 to 36 s, the most
similar section of the file that holds them all had a cosine of 0.83 to 0.96, and the whole file 0.46 to 0.78."""
_SECTIONS = 2000
"""Sections after which no further track is searched, in libraries of fewer recordings."""


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
        for pair in recordings_in_sections(library, chosen, weights, recordings):
            found.compare(*pair)
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
    library: LibraryFolder, model: Spaces, weights: Mapping[str, float], rows: IntArray, progress: Progress | None
) -> tuple[IntArray, IntArray]:
    """Every recording with its nearest others: the numbers (m,) of the queries, and (m,) of their matches."""
    nearest = _Nearest(library, model, weights, rows)
    sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for part in blocks(len(rows), _BLOCK):
        left, right = nearest.to({space.name: read_rows(library, space, rows[part]) for space in nearest.spaces})
        others = left + part.start != right
        sources.append(left[others] + part.start)
        targets.append(right[others])
        if progress:
            progress(part.stop, len(rows))
    return np.concatenate(sources), np.concatenate(targets)


class _Nearest:
    """Finds the recordings whose rows are nearest to given rows."""

    def __init__(self, library: LibraryFolder, model: Spaces, weights: Mapping[str, float], rows: IntArray) -> None:
        self._library, self._weights = library, weights
        self._order = np.argsort(rows)  # a store reads fastest in the order of rows
        self._groups = Groups.of(np.stack([rows[self._order], np.ones_like(rows)], axis=1))
        self.spaces = [space for space in library.reference(model, "track").spaces if weights[space.name]]

    def to(self, rows: Mapping[str, FloatArray]) -> tuple[IntArray, IntArray]:
        """Pairs (m,), (m,) of the place of a row in `rows` (n, d) and the number of a recording near it."""
        audible = np.flatnonzero(np.any([presence(rows[space.name]) for space in self.spaces], axis=0))
        queries = [
            query_terms(self.spaces, {space.name: rows[space.name][n] for space in self.spaces}, self._weights, "track")
            for n in audible
        ]
        found = self._library.store.search_many("track", queries, self._groups, _NEIGHBOURS + 1)
        targets = [self._order[hits.group] for hits in found]
        sources = [np.full(len(near), n) for n, near in zip(audible, targets, strict=True)]
        none = np.zeros(0, np.int64)
        return np.concatenate([none, *sources]), np.concatenate([none, *targets])


def recordings_in_sections(
    library: LibraryFolder, model: Model, weights: Mapping[str, float], recordings: Recordings
) -> list[tuple[int, int]]:
    """Pairs of a long recording and one that sounds like a section of it, by their numbers, the lower one first.

    Raises LibraryError if passages of a long recording are corrupt.
    """
    nearest = _Nearest(library, model, weights, recordings.rows)
    table = library.arrays.table(model.name, "passage")
    table = table[np.argsort(table[:, 2])]
    ids = np.array([members[0] for members in recordings.members], dtype=np.int64)
    passages, has_passages = np.zeros((len(ids), 3), np.int64), np.isin(ids, table[:, 2])
    passages[has_passages] = table[np.searchsorted(table[:, 2], ids[has_passages])]
    sections = np.maximum(0, -(-(passages[:, 1] - _SECTION) // _STEP)) + 1
    longest = np.argsort(-passages[:, 1], kind="stable")
    longest = longest[np.cumsum(sections[longest]) - sections[longest] < max(_SECTIONS, len(ids))]
    pairs = set()
    for number in longest[sections[longest] > 1].tolist():
        first, count, track_id = passages[number].tolist()
        positions = np.arange(first, first + count)
        check_rows(library, model, "passage", positions, np.full(count, track_id))
        rows = library.rows(model.spaces, "passage", positions)
        starts = np.minimum(np.arange(sections[number]) * _STEP, count - _SECTION)
        means = [mean_rows({name: one[at : at + _SECTION] for name, one in rows.items()}) for at in starts.tolist()]
        joined = {name: np.stack([mean[name] for mean in means]) for name in rows}
        for part in blocks(len(means), _BLOCK):
            some = {name: one[part] for name, one in joined.items()}
            left, right = nearest.to(some)
            others = JoinedRows.of(library.rows(model.spaces, "track", recordings.rows[right]))
            alike = JoinedRows.of({name: one[left] for name, one in some.items()}).alike(others)
            pairs |= {(min(number, other), max(number, other)) for other in right[alike].tolist() if other != number}
    return sorted(pairs)


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
        """Compare two recordings, unless they have been compared."""
        if (a, b) in self.relations:
            return
        sounds = [
            Sound.of_track(self.tracks[n], self.library.catalog.fingerprints.get(self.tracks[n].id)) for n in (a, b)
        ]
        self.relations[a, b] = sounds[0].relation_of(sounds[1])

    def _relation(self, a: int, b: int) -> Relation | None:
        pair = (min(a, b), max(a, b))
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
