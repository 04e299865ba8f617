"""A path from one track to another in small steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import FloatArray, IntArray, Match, Span, Weights
from soundalike.library import LibraryFolder
from soundalike.library.catalog import Filter, Track
from soundalike.models import Model, explain, mutual_scores, query_terms, resolve_weights
from soundalike.search.journey import Journey, Recording, encode_whole, paths_of, whole_track
from soundalike.search.widest_path import slerp, widest_path

__all__ = ["find_path"]

_PER_POINT = 200
"""Tracks looked at around each point of a path; with the most points, a pool of 2400."""
_POINTS = (4, 12)
"""The fewest and the most points between two tracks around which a path looks for its steps."""


def find_path(
    library: LibraryFolder,
    a: Path,
    b: Path,
    steps: int = 8,
    weights: Mapping[str, float] | None = None,
    model: str | None = None,
    where: Filter | None = None,
) -> Journey:
    """A path from A to B over `steps` tracks of the library in between, each alike to the one before it.

    The tracks around points between A and B on the sphere of each space are the pool; of all paths through it on which
    every track lies further from A towards B (`widest_path`), this is the one whose smallest score is largest. A and
    B may be any recordings; `where` holds for the tracks in between. No two of the tracks are the same recording: of
    copies on the way, the later ones are taken out of the pool, and the path is looked for again. A library with fewer
    tracks on the way gives a shorter path and a `note`. The score of a step is the mean of both directions.

    Raises UsageError for negative weights (a step of opposites leads nowhere), or where A and B are the same recording
    or hold nothing to hear in the spaces asked about; AudioError, ModelError, LibraryError.
    """
    if steps < 1:
        raise UsageError(f"asked for {steps} steps; ask for at least 1")
    with library.snapshot():
        chosen = library.model(model)
        resolved = resolve_weights(weights, chosen.spaces)
        negative = [f"{name} weighs {weight:g}" for name, weight in resolved.items() if weight < 0]
        if negative:
            raise UsageError(f"{negative[0]}: a path goes by what is alike; give weights of 0 or more")
        first, last = (encode_whole(library, path, chosen, resolved) for path in (a, b))
        ends = [Recording(subject.audio_hash, subject.fingerprint) for subject in (first, last)]
        if ends[0].is_any_of(ends[1:]):
            raise UsageError(f"{a} and {b} are the same recording; give two that differ")
        ours = [subject.own.id for subject in (first, last) if subject.own]
        candidates = library.candidates(chosen, "track", where or Filter()).without(ours)
        points = [
            {s.name: slerp(first.track[s.name], last.track[s.name], part) for s in chosen.spaces}
            for part in np.linspace(0, 1, min(max(steps, _POINTS[0]), _POINTS[1]) + 2)[1:-1].tolist()
        ]
        queries = [query_terms(chosen.spaces, point, resolved, "track") for point in points]
        hits = library.store.search_many("track", queries, candidates.groups, _PER_POINT, candidates.wanted)
        pool = candidates.table[np.unique(np.concatenate([found.group for found in hits]))]
        bad = library.find_corrupt(chosen, "track", pool[:, 0], pool[:, 2])
        corrupt, pool = paths_of(library, pool[bad, 2]), pool[~bad]
        # Row 0 is A, the last one B, and the pool lies between.
        rows = {
            name: np.concatenate([first.track[name][None, :], held, last.track[name][None, :]])
            for name, held in library.rows(chosen.spaces, "track", pool[:, 0]).items()
        }
        order, tracks = _without_copies(
            library, ends, mutual_scores(chosen.spaces, rows, resolved, "track"), pool, steps
        )
        spans = [first.span, *(whole_track(track) for track in tracks), last.span]
        route = [0, *order, len(pool) + 1]
        step = _Steps(library, chosen, resolved, rows)
        matches = tuple(step.match(*ab, *ends) for ab, ends in zip(pairwise(route), pairwise(spans), strict=True))
        direct = step.match(0, len(pool) + 1, first.span, last.span)
    note = None
    if len(tracks) < steps:
        met = " that meet the conditions" if where is not None else ""
        note = f"{len(tracks)} of {steps} tracks: the library holds no more between the two{met}"
    known = [*tracks, *(subject.own for subject in (first, last) if subject.own)]
    return Journey(
        first.span,
        last.span,
        chosen.name,
        resolved,
        matches,
        {str(track.path): track for track in known},
        direct,
        note,
        corrupt,
    )


def _without_copies(
    library: LibraryFolder, ends: Sequence[Recording], scores: FloatArray, pool: IntArray, steps: int
) -> tuple[list[int], list[Track]]:
    """The widest path on which no recording comes twice, and its tracks; the ends come first and last in `scores`."""
    left = np.arange(len(scores))
    while True:
        order = [int(left[node]) for node in widest_path(scores[np.ix_(left, left)], steps)]
        tracks = library.catalog.tracks_of(pool[np.array(order, dtype=np.int64) - 1, 2].tolist())
        met, copies = list(ends), []
        for node, track in zip(order, tracks, strict=True):
            sound = Recording(track.audio_hash, library.catalog.fingerprint(track.id))
            if sound.is_any_of(met):
                copies.append(node)
            met.append(sound)
        if not copies:
            return order, tracks
        left = np.setdiff1d(left, copies)


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Explains steps between `rows`, by short name (n, d)."""

    library: LibraryFolder
    model: Model
    weights: Weights
    rows: Mapping[str, FloatArray]

    def match(self, start: int, end: int, query_span: Span, span: Span) -> Match:
        """The step between two rows: the mean of both directions, in the shares too, so that they sum to the score."""
        quantiles = self.library.quantiles(self.model, "track")
        a, b = ({name: rows[node] for name, rows in self.rows.items()} for node in (start, end))
        _, forth = explain(self.model.spaces, a, b, self.weights, "track", quantiles)
        _, back = explain(self.model.spaces, b, a, self.weights, "track", quantiles)
        parts = {name: replace(part, share=(part.share + back[name].share) / 2) for name, part in forth.items()}
        return Match(span, sum(part.share for part in parts.values()), parts, query_span)
