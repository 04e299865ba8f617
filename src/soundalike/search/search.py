"""One search of a library, from a query to its answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soundalike.audio import same_recording
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import Level, Match, Weights
from soundalike.library import SHORT, Candidates, LibraryFolder, Subject, span_of
from soundalike.library.catalog import Track
from soundalike.library.stores import Hits
from soundalike.models import CORRECTIONS, RESCORED
from soundalike.search.collapse import FamilyCollapser
from soundalike.search.compiled_query import CompiledQuery, resolve_examples
from soundalike.search.query import Query, Result

__all__ = ["Search", "search_library"]


class Search:
    """A query to a library, inside its snapshot; whoever has heard the query and its examples hands that in."""

    def __init__(self, library: LibraryFolder, query: Query, heard: Sequence[Subject] = ()) -> None:
        """Listen. Raises UsageError, AudioError, ModelError, LibraryError."""
        if query.k < 1:
            raise UsageError(f"asked for {query.k} matches; ask for at least 1")
        if query.hubness not in CORRECTIONS:
            raise UsageError(f"unknown correction of hubness {query.hubness!r}; known: {', '.join(CORRECTIONS)}")
        self._library, self._catalog, self._store = library, library.catalog, library.store
        self._query = query
        self._model = library.model(query.model)
        self._examples = resolve_examples(query, self._model.spaces)
        self._subjects = heard or self._hear()
        self._question = self._ask()

    def answer(self) -> Result:
        """The k best, and what was left out on the way to them."""
        query, model, question = self._query, self._model, self._question
        level, query_span = question.level, self._subjects[0].span
        likes = [subject for example, subject in zip(self._examples, self._subjects, strict=True) if example.like]
        artists = tuple(dict.fromkeys(subject.artist for subject in likes if subject.artist))
        candidates = self._library.candidates(model, level, query.where, artists if query.exclude_same_artist else ())
        table = candidates.table
        own = set() if query.include_self else {subject.own.id for subject in self._subjects if subject.own}
        matches: list[Match] = []
        copies: list[str] = []
        corrupt: list[str] = []
        tracks: dict[str, Track] = {}
        kin = FamilyCollapser.of(self._catalog) if query.collapse else None
        k = query.k + len(own)
        anew = self._scored_anew(candidates, max(RESCORED, 2 * k))
        checked = 0
        # Copies of the examples, and versions, are folded away before the list is cut: ask for more until k are left.
        while True:
            hits = anew.first(k) if anew else self._best(candidates, k)
            groups, positions = hits.group[checked:], hits.row[checked:]
            bad_rows = self._library.find_corrupt(model, level, positions, table[groups, 2])
            held = self._library.rows(model.spaces, level, positions)
            found = self._catalog.tracks_of(table[groups, 2].tolist())
            for number, (group, row, track, bad) in enumerate(zip(groups, positions, found, bad_rows, strict=True)):
                if len(matches) == query.k:
                    break
                if track.id in own:
                    continue
                if bad:
                    corrupt.append(str(track.path))
                    continue
                if not query.include_self and self._is_copy(track):
                    copies.append(str(track.path))
                    continue
                if kin is not None and not kin.is_first(track):
                    continue
                span = span_of(track, level, int(row - table[group, 0]))
                rows = {name: part[number] for name, part in held.items()}
                quantiles = self._library.quantiles(model, level)
                matches.append(question.match(span, query_span, int(row), rows, quantiles))
                tracks[span.track] = track
            checked = len(hits.group)
            if len(matches) == query.k or checked < k:
                break
            k += query.k + checked - len(matches)
        return Result(
            query=query_span,
            level=level,
            model=model.name,
            weights=Weights(self._examples[0].weights or {}),
            matches=tuple(matches),
            tracks=tracks,
            copies=tuple(copies),
            searched=candidates.count(own),
            artists=artists,
            examples=self._examples if query.examples else (),
            hubness=query.hubness,
            corrupt=tuple(corrupt),
            versions=kin.others(candidates.ids(own).tolist(), copies) if kin else None,
        )

    def _best(self, candidates: Candidates, k: int) -> Hits:
        return self._store.search(self._question.level, self._question.terms, candidates.groups, k, candidates.wanted)

    def _scored_anew(self, candidates: Candidates, k: int) -> Hits | None:
        """The k best by the law in the order of mutual proximity; None where it was not asked for."""
        question = self._question
        if question.background is None:
            return None
        hits = self._best(candidates, k)
        held = self._library.rows([term.space for term in question.terms], question.level, hits.row)
        return question.corrected(hits, held)

    def _hear(self) -> list[Subject]:
        """What a query and its examples sound like; errors name the file."""
        query = self._query
        regions = [(query.path, query.start, query.end), *((example.path, None, None) for example in query.examples)]
        subjects = []
        for path, start, end in regions:
            try:
                subjects.append(self._library.subject(path, self._model, start, end))
            except AudioError as error:
                raise AudioError(f"{path}: {error}") from error
        return subjects

    def _ask(self) -> CompiledQuery:
        """Passages are asked about if any example is short, or the query is a region."""
        query, spaces, subjects = self._query, self._model.spaces, self._subjects
        region = query.start is not None or query.end is not None
        short = any(subject.span.end - subject.span.start < SHORT for subject in subjects)
        level: Level = query.by or ("passage" if region or short else "track")
        if query.hubness == "none":
            return CompiledQuery.of(spaces, level, self._examples, subjects, [-1] * len(subjects))
        if level != "track":
            raise UsageError(
                f"{query.hubness} is for whole tracks, and passages are asked about; ask with --by track, or without it"
            )
        own = [self._position(subject) for subject in subjects]
        background = self._library.arrays.background(self._model)
        return CompiledQuery.of(spaces, level, self._examples, subjects, own, background)

    def _position(self, subject: Subject) -> int:
        """Where the row of a whole recording lies; -1 if the library has none, or one of something else by now."""
        if subject.own is None or not self._catalog.is_encoded(subject.own.id, self._model.name):
            return -1
        position, _ = self._catalog.rows_of(subject.own.id, "track")
        held = self._library.rows(self._model.spaces, "track", np.array([position]))
        return position if all(np.array_equal(held[name][0], row) for name, row in subject.track.items()) else -1

    def _is_copy(self, track: Track) -> bool:
        """The same sound or the same recording as the query or an example: never for being alike."""
        return any(
            subject.audio_hash == track.audio_hash
            or same_recording(subject.fingerprint, self._catalog.fingerprint(track.id))
            for subject in self._subjects
        )


def search_library(library: LibraryFolder, query: Query, *subjects: Subject) -> Result:
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
