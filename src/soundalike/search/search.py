"""A search of a library, from a query to its results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from soundalike.audio import Relation
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import Level, LevelReason, Weights
from soundalike.library import Candidates, LibraryFolder, Subject, is_there, span_of
from soundalike.library.catalog import Track
from soundalike.library.stores import Hits
from soundalike.models import RESCORED
from soundalike.search.answer_list import AnswerList, Entry
from soundalike.search.bounds import bounds_of
from soundalike.search.collapse import FamilyCollapser
from soundalike.search.compiled_query import CompiledQuery, resolve_examples
from soundalike.search.copies import CopyFinder, Sound, relation_text
from soundalike.search.levels import choose_level
from soundalike.search.passage_order import PassageOrder
from soundalike.search.query import Query, as_filter, as_weights, relative_to
from soundalike.search.results import SearchResults, describe_match

__all__ = ["Search", "search_library"]


_MORE = 20
"""Matches that are looked at beyond twice as many as asked for, since a short list may hold many copies."""


class Search:
    """One query to a library. To be used inside the library's snapshot."""

    def __init__(self, library: LibraryFolder, query: Query, subjects: Sequence[Subject] = ()) -> None:
        """Encode the query and its examples, unless `subjects` has them already.

        Raises UsageError, AudioError, ModelError or LibraryError.
        """
        self._library, self._catalog, self._store = library, library.catalog, library.store
        self._query = query
        self._spaces = library.spaces(query.model, query.named_spaces)
        self._examples = resolve_examples(query, self._spaces)
        self._bounds = bounds_of(query, self._spaces)
        self._subjects = subjects or self._encode()
        self._where = relative_to(as_filter(query.where), self._subjects[0])
        self._sounds = [Sound.of_subject(subject) for subject in self._subjects]
        self._compiled = self._compile()

    def answer(self) -> SearchResults:
        """The k best matches, and what was left out before them."""
        query, spaces, compiled = self._query, self._spaces, self._compiled
        level, query_span, reference = compiled.level, self._subjects[0].span, compiled.reference
        likes = [subject for example, subject in zip(self._examples, self._subjects, strict=True) if example.like]
        artists = tuple(dict.fromkeys(artist for subject in likes for artist in subject.artists))
        candidates = self._library.candidates(spaces, level, self._where, artists if query.exclude_same_artist else ())
        table = candidates.table
        order = None
        if level == "passage":
            order = PassageOrder(self._library, spaces, compiled, candidates, self._itself())
        own = set() if query.include_self else {subject.own.id for subject in self._subjects if subject.own}
        answer = AnswerList(None if query.all_copies else CopyFinder(self._library, spaces.models[0]), query.k)
        copies: list[str] = []
        corrupt: list[str] = []
        missing: list[str] = []
        families = FamilyCollapser.of(self._catalog) if query.collapse else None
        # Matches beyond the k-th are needed too, because they may be copies of those before, and better files.
        k = 2 * query.k + _MORE + len(own)
        rescored = self._rescore(candidates, max(RESCORED, 2 * k)) if compiled.background is not None else None
        checked = 0
        # Copies of the examples, and versions, drop out before the list is cut: ask for more until k matches are left.
        while True:
            hits = rescored.first(k) if rescored else order.first(k) if order else self._scan(candidates, k)
            groups, positions = hits.group[checked:], hits.row[checked:]
            bad_rows = self._library.find_corrupt(spaces, level, positions, table[groups, 2])
            held = self._library.rows(spaces.spaces, level, positions)
            if order:
                order.replace_itself(groups, held)
            # Only what meets the bounds is looked up. Bounds say nothing about corrupt rows.
            wanted = np.flatnonzero(self._bounds.met(compiled, held) | bad_rows)
            found = self._catalog.tracks_of(table[groups[wanted], 2].tolist())
            for number, offered, track in zip(wanted.tolist(), answer.offer(found), found, strict=True):
                group, row = groups[number], positions[number]
                if track.id in own:
                    continue
                if not is_there(track.path):
                    if not answer.is_full:
                        missing.append(str(track.path))
                    continue
                if bad_rows[number]:
                    if not answer.is_full:
                        corrupt.append(str(track.path))
                    continue
                twins = answer.copies_of(offered)
                if not twins and answer.is_full:
                    continue
                relation = self._relation(track)
                if relation == "copy" and not query.include_self:
                    copies.append(str(track.path))
                    continue
                if not twins and families is not None and not families.is_first(track):
                    continue
                whole = order is not None and order.is_itself(group)
                span = span_of(track, "track" if whole else level, int(row - table[group, 0]))
                rows = {name: part[number] for name, part in held.items()}
                match = compiled.match(span, query_span, int(row), rows, order.count(group) if order else 1)
                answer.add(offered, Entry(track, match, relation_text(relation)), twins)
            checked = len(hits.group)
            if answer.is_full or checked < k:
                break
            # With bounds, any number may drop out: the next scan asks for four times as many.
            k = max(k + query.k + checked, 4 * k if self._bounds else 0)
        asked = self._subjects[0].description
        matches = [
            replace(describe_match(one.match, rank, one.track, asked), copies=one.copies, relation=one.relation)
            for rank, one in enumerate(answer.listed(), start=1)
        ]
        tracks = {str(track.path): track for track in answer.tracks()}
        return SearchResults(
            query=query_span,
            level=level,
            model=spaces.models[0].name,
            models=tuple(one.name for one in spaces.models),
            weights=Weights(as_weights(self._examples[0].weights) or {}),
            matches=tuple(matches),
            tracks=tracks,
            copies=tuple(copies),
            searched=candidates.count(own),
            not_encoded=candidates.not_encoded,
            artists=artists,
            examples=self._examples if query.examples else (),
            hubness=query.hubness,
            corrupt=tuple(corrupt),
            missing=tuple(dict.fromkeys(missing)),
            absent_folders=tuple(map(str, self._library.absent_roots().values())),
            versions=answer.of_best(families.others(candidates.ids(own).tolist(), copies)) if families else None,
            warnings=tuple((one.span.track, one.warning) for one in self._subjects if one.warning),
            reference=reference.source,
            recordings=reference.recordings,
            level_reason=self._level()[1],
            at_least=self._bounds.at_least,
            at_most=self._bounds.at_most,
        )

    def _scan(self, candidates: Candidates, k: int) -> Hits:
        return self._store.search(self._compiled.level, self._compiled.terms, candidates.groups, k, candidates.wanted)

    def _rescore(self, candidates: Candidates, k: int) -> Hits:
        """The k best by score, in the order of mutual proximity."""
        compiled = self._compiled
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
                subjects.append(self._library.subject(Path(path), self._spaces, start, end))
            except AudioError as error:
                raise AudioError(f"{path}: {error}") from error
        return subjects

    @property
    def _is_region(self) -> bool:
        return self._query.start is not None or self._query.end is not None

    def _level(self) -> tuple[Level, LevelReason]:
        """The level, and why: passages if the query is a region or any example is short."""
        shortest = min(subject.span.end - subject.span.start for subject in self._subjects)
        return choose_level(self._query.by, region=self._is_region, seconds=shortest)

    def _compile(self) -> CompiledQuery:
        query, subjects = self._query, self._subjects
        level, _ = self._level()
        reference = self._library.reference(self._spaces, level)
        if query.hubness == "none":
            return CompiledQuery.of(reference, self._examples, subjects, [-1] * len(subjects))
        if level != "track":
            raise UsageError(
                f"{query.hubness} compares whole tracks, and this query compares passages; ask with --by track, "
                "or without it"
            )
        own = [self._position(subject) for subject in subjects]
        background = self._library.arrays.background(self._spaces)
        return CompiledQuery.of(reference, self._examples, subjects, own, background)

    def _itself(self) -> Subject | None:
        """The query, if tracks with the same audio are to be compared with it as a whole."""
        if self._is_region or len(self._subjects) > 1 or not self._query.include_self:
            return None
        return self._subjects[0]

    def _position(self, subject: Subject) -> int:
        """The position of a recording's row at the track level; -1 if the library has none, or another one."""
        own = subject.own
        if own is None or not all(self._catalog.is_encoded(own.id, one.name) for one in self._spaces.models):
            return -1
        position, _ = self._catalog.rows_of(own.id, "track")
        held = self._library.rows(self._spaces.spaces, "track", np.array([position]))
        return position if all(np.array_equal(held[name][0], row) for name, row in subject.track.items()) else -1

    def _relation(self, track: Track) -> Relation | None:
        """What a track is to the query or to an example: a copy of any, or else the first relation."""
        if any(subject.audio_hash == track.audio_hash for subject in self._subjects) and not track.silent:
            return "copy"
        sound = Sound.of_track(track, self._catalog.fingerprints.get(track.id))
        relations = [one.relation_of(sound) for one in self._sounds]
        return "copy" if "copy" in relations else next((one for one in relations if one), None)


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
