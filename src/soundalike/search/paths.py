"""A path from one track to another in small steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from soundalike.core.arguments import as_count
from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, Match, Span, Weights
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Filter
from soundalike.models import Reference, explain, mutual_scores, query_terms
from soundalike.search.copies import CopyFinder, Sound
from soundalike.search.journey import Journey, Recording, encode_whole, paths_of, whole_track
from soundalike.search.results import describe_match
from soundalike.search.widest_path import slerp, widest_path

__all__ = ["find_path"]

_PER_POINT = 200
"""Tracks taken around each point of a path; 2,400 with the largest number of points."""
_POINTS = (4, 12)
"""The smallest and largest number of points between two tracks around which a path takes its candidates."""


def find_path(
    library: LibraryFolder,
    a: Path,
    b: Path,
    steps: int = 8,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    where: Filter | None = None,
) -> Journey:
    """Find a path from A to B in small steps over tracks of the library.

    Candidates are the tracks around points between A and B on the sphere of each space. Of all paths through them on
    which each track is nearer to B than the one before (`widest_path`), this is the one whose smallest score is
    largest. No recording comes twice, and each is listed by its best file: its other files and the copies of A and B
    leave the pool, and the search is repeated. The score of a step is the mean of both directions.

    Args:
        library: The library.
        a: Where to start; need not be in the library.
        b: Where to arrive; likewise.
        steps: The number of tracks in between.
        weights: Weights of the spaces, 0 or more; None weighs each 1.
        model: The name of the model.
        where: Conditions on the tracks in between.

    Returns:
        One match per step, the last one being B; fewer, and a `note`, if the library has too few tracks in between.

    Raises:
        UsageError: A weight is negative, A and B are the same recording, or one has no audible content in the weighted
            spaces.
        AudioError: A recording cannot be read.
        ModelError: The library does not hold the model.

    Example:
        >>> find_path(library, Path("calm.mp3"), Path("wild.mp3"), steps=4).smallest
        0.8
    """
    steps = as_count(steps, "steps")
    for condition in (where or Filter()).query_conditions():
        told = f"{condition.field} {condition.operator} query"
        raise UsageError(f"'{told}' needs one query, and a path has two ends; write a value instead of query")
    with library.snapshot():
        chosen = library.spaces(model, weights or ())
        resolved = chosen.weights(weights)
        negative = [f"{name} weighs {weight:g}" for name, weight in resolved.items() if weight < 0]
        if negative:
            raise UsageError(f"{negative[0]}; a path needs weights of 0 or more")
        first, last = (encode_whole(library, path, chosen, resolved) for path in (a, b))
        if Sound.of_subject(first).relation_of(Sound.of_subject(last)) == "copy":
            raise UsageError(f"{a} and {b} are the same recording; give two that differ")
        ours = [subject.own.id for subject in (first, last) if subject.own]
        candidates = library.candidates(chosen, "track", where or Filter()).without(ours)
        points = [
            {s.name: slerp(first.track[s.name], last.track[s.name], part) for s in chosen.spaces}
            for part in np.linspace(0, 1, min(max(steps, _POINTS[0]), _POINTS[1]) + 2)[1:-1].tolist()
        ]
        reference = library.reference(chosen, "track")
        queries = [query_terms(reference.spaces, point, resolved, "track") for point in points]
        hits = library.store.search_many("track", queries, candidates.groups, _PER_POINT, candidates.wanted)
        pool = candidates.table[np.unique(np.concatenate([found.group for found in hits]))]
        bad = library.find_corrupt(chosen, "track", pool[:, 0], pool[:, 2])
        corrupt, pool = paths_of(library, pool[bad, 2]), pool[~bad]
        absent = library.find_absent(pool[:, 2])
        missing, pool = paths_of(library, pool[absent, 2]), pool[~absent]
        finder = CopyFinder(library, chosen.models[0])
        finder.add(library.catalog.tracks_of(pool[:, 2].tolist()))
        of_ends = sorted({number for subject in (first, last) for number in finder.copies_of_subject(subject)})
        # Row 0 is A, the last row is B, and the pool is in between.
        rows = {
            name: np.concatenate([first.track[name][None, :], held, last.track[name][None, :]])
            for name, held in library.rows(chosen.spaces, "track", pool[:, 0]).items()
        }
        found = _without_copies(finder, of_ends, mutual_scores(reference.spaces, rows, resolved, "track"), steps)
        recordings = [Recording.of(finder.tracks, numbers) for numbers in found]
        spans = [first.span, *(whole_track(one.best) for one in recordings), last.span]
        route = [0, *(numbers[0] + 1 for numbers in found), len(pool) + 1]
        step = _Steps(reference, resolved, rows)
        matches = tuple(step.match(*ab, *ends) for ab, ends in zip(pairwise(route), pairwise(spans), strict=True))
        direct = step.match(0, len(pool) + 1, first.span, last.span)
    note = None
    if len(recordings) < steps:
        filtered = " that meet the conditions" if where is not None else ""
        note = f"{len(recordings)} of {steps} tracks: the library holds no more between the two{filtered}"
    known = [*(one.best for one in recordings), *(subject.own for subject in (first, last) if subject.own)]
    held = {str(track.path): track for track in known}
    # The last match is B.
    listed = [*(one.copies for one in recordings), ()]
    played = [first.description, *(one.best for one in recordings)]
    return Journey(
        first.span,
        chosen.models[0].name,
        resolved,
        tuple(
            replace(describe_match(match, rank, held.get(match.path), before), copies=copies)
            for rank, (match, before, copies) in enumerate(zip(matches, played, listed, strict=True), start=1)
        ),
        held,
        corrupt,
        missing,
        tuple(map(str, library.absent_roots().values())),
        reference.source,
        reference.recordings,
        tuple(one.name for one in chosen.models),
        candidates.not_encoded,
        end=last.span,
        direct=direct,
        note=note,
        copies=tuple(str(finder.tracks[number].path) for number in of_ends),
    )


def _without_copies(finder: CopyFinder, left_out: Sequence[int], scores: FloatArray, steps: int) -> list[list[int]]:
    """The widest path on which no recording comes twice: the files (numbers) of each recording, the best one first.

    `scores` starts and ends with the two ends; in between, row n + 1 is track n of `finder`.
    """
    pool = set(range(len(finder.tracks))) - set(left_out)
    remaining = np.setdiff1d(np.arange(len(scores)), np.array(left_out, np.int64) + 1)
    while True:
        order = [int(remaining[node]) - 1 for node in widest_path(scores[np.ix_(remaining, remaining)], steps)]
        groups = [finder.group_of(number, pool) for number in order]
        others = {other for group in groups for other in group[1:]}
        if not others.intersection((remaining - 1).tolist()):
            return groups
        remaining = np.setdiff1d(remaining, np.array(sorted(others)) + 1)


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Explain steps between `rows`, by short name (n, d)."""

    reference: Reference
    weights: Weights
    rows: Mapping[str, FloatArray]

    def match(self, start: int, end: int, query_span: Span, span: Span) -> Match:
        """The step between two rows: the mean of both directions, in the shares too, so that they sum to the score."""
        a, b = ({name: rows[node] for name, rows in self.rows.items()} for node in (start, end))
        _, forth = explain(self.reference.spaces, a, b, self.weights, "track")
        _, back = explain(self.reference.spaces, b, a, self.weights, "track")
        parts = {name: replace(part, share=(part.share + back[name].share) / 2) for name, part in forth.items()}
        return Match(span, sum(part.share for part in parts.values()), parts, query_span)
