"""A search of a library, from a query to its results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from soundalike.audio import same_recording
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import Level, Match, Weights
from soundalike.library import SHORT, Candidates, LibraryFolder, Subject, is_there, span_of
from soundalike.library.catalog import Track
from soundalike.library.stores import Hits
from soundalike.models import CORRECTIONS, RESCORED
from soundalike.search.collapse import FamilyCollapser
from soundalike.search.compiled_query import CompiledQuery, resolve_examples
from soundalike.search.query import Query, as_filter, as_weights
from soundalike.search.results import SearchResults, describe_match

__all__ = ["Search", "search_library"]


class Search:
    """One query to a library. To be used inside the library's snapshot."""

    def __init__(self, library: LibraryFolder, query: Query, subjects: Sequence[Subject] = ()) -> None:
        """Encode the query and its examples, unless `subjects` has them already.

        Raises UsageError, AudioError, ModelError or LibraryError.
        """
        if query.k < 1:
            raise UsageError(f"asked for {query.k} matches; ask for at least 1")
        if query.hubness not in CORRECTIONS:
            raise UsageError(f"unknown correction of hubness {query.hubness!r}; known: {', '.join(CORRECTIONS)}")
        self._library, self._catalog, self._store = library, library.catalog, library.store
        self._query, self._where = query, as_filter(query.where)
        self._model = library.model(query.model)
        self._examples = resolve_examples(query, self._model.spaces)
        self._subjects = subjects or self._encode()
        self._compiled = self._compile()

    def answer(self) -> SearchResults:
        """The k best matches, and what was left out before them."""
        query, model, compiled = self._query, self._model, self._compiled
        level, query_span = compiled.level, self._subjects[0].span
        likes = [subject for example, subject in zip(self._examples, self._subjects, strict=True) if example.like]
        artists = tuple(dict.fromkeys(artist for subject in likes for artist in subject.artists))
        candidates = self._library.candidates(model, level, self._where, artists if query.exclude_same_artist else ())
        table = candidates.table
        own = set() if query.include_self else {subject.own.id for subject in self._subjects if subject.own}
        matches: list[Match] = []
        copies: list[str] = []
        corrupt: list[str] = []
        missing: list[str] = []
        tracks: dict[str, Track] = {}
        families = FamilyCollapser.of(self._catalog) if query.collapse else None
        k = query.k + len(own)
        rescored = self._rescore(candidates, max(RESCORED, 2 * k))
        checked = 0
        # Copies of the examples, and versions, drop out before the list is cut: ask for more until k matches are left.
        while True:
            hits = rescored.first(k) if rescored else self._scan(candidates, k)
            groups, positions = hits.group[checked:], hits.row[checked:]
            bad_rows = self._library.find_corrupt(model, level, positions, table[groups, 2])
            held = self._library.rows(model.spaces, level, positions)
            found = self._catalog.tracks_of(table[groups, 2].tolist())
            for number, (group, row, track, bad) in enumerate(zip(groups, positions, found, bad_rows, strict=True)):
                if len(matches) == query.k:
                    break
                if track.id in own:
                    continue
                if not is_there(track.path):
                    missing.append(str(track.path))
                    continue
                if bad:
                    corrupt.append(str(track.path))
                    continue
                if not query.include_self and self._is_copy(track):
                    copies.append(str(track.path))
                    continue
                if families is not None and not families.is_first(track):
                    continue
                span = span_of(track, level, int(row - table[group, 0]))
                rows = {name: part[number] for name, part in held.items()}
                quantiles = self._library.quantiles(model, level)
                match = compiled.match(span, query_span, int(row), rows, quantiles)
                matches.append(describe_match(match, len(matches) + 1, track))
                tracks[span.track] = track
            checked = len(hits.group)
            if len(matches) == query.k or checked < k:
                break
            k += query.k + checked - len(matches)
        return SearchResults(
            query=query_span,
            level=level,
            model=model.name,
            weights=Weights(as_weights(self._examples[0].weights) or {}),
            matches=tuple(matches),
            tracks=tracks,
            copies=tuple(copies),
            searched=candidates.count(own),
            artists=artists,
            examples=self._examples if query.examples else (),
            hubness=query.hubness,
            corrupt=tuple(corrupt),
            missing=tuple(dict.fromkeys(missing)),
            absent_folders=tuple(map(str, self._library.absent_roots().values())),
            versions=families.others(candidates.ids(own).tolist(), copies) if families else None,
            warnings=tuple((one.span.track, one.warning) for one in self._subjects if one.warning),
        )

    def _scan(self, candidates: Candidates, k: int) -> Hits:
        return self._store.search(self._compiled.level, self._compiled.terms, candidates.groups, k, candidates.wanted)

    def _rescore(self, candidates: Candidates, k: int) -> Hits | None:
        """The k best by score, in the order of mutual proximity; None if the query asks for no correction."""
        compiled = self._compiled
        if compiled.background is None:
            return None
        hits = self._scan(candidates, k)
        held = self._library.rows([term.space for term in compiled.terms], compiled.level, hits.row)
        return compiled.corrected(hits, held)

    def _encode(self) -> list[Subject]:
        """The query and its examples, encoded; errors name the file."""
        query = self._query
        regions = [(query.path, query.start, query.end), *((example.path, None, None) for example in query.examples)]
        subjects = []
        for path, start, end in regions:
            try:
                subjects.append(self._library.subject(Path(path), self._model, start, end))
            except AudioError as error:
                raise AudioError(f"{path}: {error}") from error
        return subjects

    def _compile(self) -> CompiledQuery:
        """Choose the level: passages if the query is a region or any example is short."""
        query, spaces, subjects = self._query, self._model.spaces, self._subjects
        region = query.start is not None or query.end is not None
        short = any(subject.span.end - subject.span.start < SHORT for subject in subjects)
        level: Level = query.by or ("passage" if region or short else "track")
        if query.hubness == "none":
            return CompiledQuery.of(spaces, level, self._examples, subjects, [-1] * len(subjects))
        if level != "track":
            raise UsageError(
                f"{query.hubness} compares whole tracks, and this query compares passages; ask with --by track, "
                "or without it"
            )
        own = [self._position(subject) for subject in subjects]
        background = self._library.arrays.background(self._model)
        return CompiledQuery.of(spaces, level, self._examples, subjects, own, background)

    def _position(self, subject: Subject) -> int:
        """The position of a recording's row at the track level; -1 if the library has none, or another one."""
        if subject.own is None or not self._catalog.is_encoded(subject.own.id, self._model.name):
            return -1
        position, _ = self._catalog.rows_of(subject.own.id, "track")
        held = self._library.rows(self._model.spaces, "track", np.array([position]))
        return position if all(np.array_equal(held[name][0], row) for name, row in subject.track.items()) else -1

    def _is_copy(self, track: Track) -> bool:
        """Whether a track is the same audio or recording as the query or an example, whatever their similarity."""
        return any(
            subject.audio_hash == track.audio_hash
            or same_recording(subject.fingerprint, self._catalog.fingerprint(track.id))
            for subject in self._subjects
        )


def search_library(library: LibraryFolder, query: Query, *subjects: Subject) -> SearchResults:
    """Find the k tracks, or best passages of tracks, most like a query.

    With a hubness correction, the 2,000 best tracks by score (or twice as many as asked for) are rescored; in a library
    of at most that many, the answer is exact.

    Args:
        library: The library to search.
        query: What to search for.
        subjects: The encoded query and its examples, from an earlier search. Pass them to change weights without
            encoding again.

    Raises:
        UsageError: The query asks for something impossible, such as an unknown space.
        AudioError: A recording of the query cannot be read.
        ModelError: The library does not hold the model.
    """
    with library.snapshot():
        return Search(library, query, subjects).answer()
