"""Search a library by stems without rows of stems: the mix chooses a shortlist, and only its stems are encoded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.files import absolute
from soundalike.core.types import Level, Match, Weights
from soundalike.library import LibraryFolder, encode_stems, is_current, load_encoding
from soundalike.library.catalog import Track
from soundalike.models import (
    Encoding,
    Model,
    Reference,
    SearchSpaces,
    encode_with,
    join_encodings,
    mean_rows,
    query_terms,
)
from soundalike.search.compare import compare_encodings
from soundalike.search.query import Query, as_weights
from soundalike.search.results import SearchResults
from soundalike.search.search import search_library

__all__ = ["SHORTLIST", "search_shortlist"]

SHORTLIST = 50
"""Tracks whose stems are compared, unless another number is asked for."""
Progress: TypeAlias = Callable[[int, int], None]


def search_shortlist(
    library: LibraryFolder,
    query: Query,
    on_stems: Model,
    *,
    shortlist: int = SHORTLIST,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> SearchResults:
    """Find what is most like a query by its stems among the tracks that are most like it by their mixes.

    The weights may name spaces of the stem model and of the model of mixes. Those of mixes choose the shortlist, each
    with weight 1 if none is named; all of them make the score. Tracks that are not on the shortlist are never found.

    Args:
        library: The library. It holds the model of mixes.
        query: What to search for. Without weights, every space of stems has weight 1. Bounds concern the mix.
        on_stems: The stem model.
        shortlist: How many tracks to separate and encode.
        jobs: The number of worker processes; None starts one per core.
        progress: Called with tracks done and all tracks of the shortlist.

    Returns:
        The k best matches. `shortlist` is the number of tracks that were compared by their stems, and `warnings` has
        those that could not be separated.

    Raises:
        UsageError: The query has further examples, no space of stems has a weight, or the query has no audible content.
        AudioError: The query cannot be read or separated.
        ModelError: The library does not hold the model of mixes, or the separator is not there.

    Example:
        >>> on_stems = load_once("compact-spleeter")
        >>> search_shortlist(library, Query("song.mp3", weights="vocals.melody"), on_stems).shortlist
        50
    """
    if query.examples:
        raise UsageError("further examples need the stems of every track; index them with: soundalike index --stems")
    base = library.model(query.model)
    given = as_weights(query.weights) or {space.name: 1.0 for space in on_stems.spaces}
    held = {one.name: [space.name for space in one.spaces] for one in (base, on_stems)}
    spaces = SearchSpaces.find(base, given, lambda: held, lambda _: on_stems)
    weights = spaces.weights(given)
    if len(spaces.models) == 1:
        raise UsageError(f"no space of stems has a weight; name one, such as -w {on_stems.spaces[0].name}=2")
    of_mix = {space.name: weights[space.name] for space in base.spaces if weights[space.name]}
    found = search_library(library, replace(query, weights=of_mix or None, k=shortlist))
    tracks = [found.tracks[match.path] for match in found]
    tracks = [track for track in tracks if is_current(track)]
    own = _own_track(library, query)
    encoded, failures = encode_stems([*tracks, *([own] if own else [])], on_stems, jobs=jobs, progress=progress)
    if own and own.id in failures:
        raise AudioError(f"{query.path}: {failures[own.id]}")
    asked = _encode_query(library, query, spaces, encoded.get(own.id) if own else None)
    query_terms(spaces.spaces, mean_rows(asked.passages.rows), weights, found.level)  # refuses a silent query
    failed = tuple((str(track.path), failures[track.id]) for track in tracks if track.id in failures)
    tracks = [track for track in tracks if track.id in encoded]
    scored = _score(library, spaces, asked, tracks, encoded, weights, found.level)
    by_path = {match.path: match for match in found}
    matches = [
        replace(
            by_path[str(track.path)],
            rank=rank,
            span=match.span,
            score=match.score,
            spaces=match.spaces,
            query_span=match.query_span,
            percentile=match.percentile,
        )
        for rank, (track, match) in enumerate(scored[: query.k], start=1)
    ]
    return replace(
        found,
        model=base.name,
        models=tuple(one.name for one in spaces.models),
        weights=weights,
        matches=tuple(matches),
        tracks={match.path: found.tracks[match.path] for match in matches},
        reference="model",
        recordings=0,
        shortlist=len(tracks),
        warnings=(*found.warnings, *failed),
    )


def _own_track(library: LibraryFolder, query: Query) -> Track | None:
    """The track of the library that the query is, if it is a whole file that has not changed."""
    track = library.catalog.track_at(absolute(Path(query.path)))
    whole = query.start is None and query.end is None
    return track if track is not None and whole and is_current(track) else None


def _encode_query(library: LibraryFolder, query: Query, spaces: SearchSpaces, on_stems: Encoding | None) -> Encoding:
    """The query in all spaces."""
    path = absolute(Path(query.path))
    try:
        if on_stems is not None and (of_mix := load_encoding(library, path, spaces.models[0])) is not None:
            return join_encodings(spaces, [of_mix, on_stems])
        return join_encodings(spaces, encode_with(spaces.models, path, start=query.start or 0.0, end=query.end))
    except AudioError as error:
        raise AudioError(f"{query.path}: {error}") from error


def _score(
    library: LibraryFolder,
    spaces: SearchSpaces,
    asked: Encoding,
    tracks: Sequence[Track],
    encoded: Mapping[int, Encoding],
    weights: Weights,
    level: Level,
) -> list[tuple[Track, Match]]:
    """The tracks that are audible in a space with a weight, best first."""
    reference, scored = Reference(spaces.spaces, level), []
    for track in tracks:
        of_mix = load_encoding(library, track.path, spaces.models[0])
        if of_mix is None:  # it has changed meanwhile
            continue
        joined = join_encodings(spaces, [of_mix, encoded[track.id]])
        with suppress(UsageError):  # nothing is audible that the query has
            match = compare_encodings(spaces, asked, joined, weights, level=level, reference=reference).match
            scored.append((track, match))
    return sorted(scored, key=lambda one: (-(one[1].percentile or 0.0) if level == "passage" else 0.0, -one[1].score))
