"""The order of tracks by their best passages, in which long tracks have no advantage.

See `models/null_distribution.py`: tracks are ordered by n log F(score), where n is the number of passages of a track
that are audible in a space with a weight.
"""

from __future__ import annotations

import numpy as np

from soundalike.core.types import FloatArray, IntArray
from soundalike.library import Candidates, LibraryFolder, Subject
from soundalike.library.stores import Hits
from soundalike.models import Spaces, score_rows
from soundalike.search.compiled_query import CompiledQuery

__all__ = ["PassageOrder"]


class PassageOrder:
    """The tracks of a search of passages, best first. To be used inside the library's snapshot.

    A track with the same audio as the whole query (`itself`) is compared as a whole, because the mean of its passages
    is no single passage of it: a recording is identical to itself.
    """

    def __init__(
        self,
        library: LibraryFolder,
        model: Spaces,
        compiled: CompiledQuery,
        candidates: Candidates,
        itself: Subject | None = None,
    ) -> None:
        self._library, self._compiled, self._candidates = library, compiled, candidates
        counts = library.arrays.audible(model, "passage", [term.space.name for term in compiled.terms])
        self._itself = np.zeros(0, np.int64)
        if itself is not None and itself.audio_hash:
            ids = library.catalog.with_audio(itself.audio_hash)
            same = np.isin(candidates.table[:, 2], ids)
            self._itself = np.flatnonzero(same if candidates.wanted is None else same & candidates.wanted)
            self._rows = itself.track
            counts = counts.copy()
            counts[self._itself] = 1
        self._best_of = compiled.best_of(counts)

    def first(self, k: int) -> Hits:
        """The first k tracks, each with its best passage."""
        candidates, compiled = self._candidates, self._compiled
        others = candidates
        if len(self._itself):
            others = candidates.without(candidates.table[self._itself, 2].tolist())
        hits = self._library.store.search("passage", compiled.terms, others.groups, k, others.wanted, self._best_of)
        if not len(self._itself):
            return hits
        score = score_rows(compiled.terms, {name: row[None] for name, row in self._rows.items()})
        group = np.concatenate([hits.group, self._itself])
        row = np.concatenate([hits.row, candidates.table[self._itself, 0]])
        scores = np.concatenate([hits.score, np.repeat(score, len(self._itself))])
        order = np.lexsort((row, -scores, -self._best_of.keys(group, scores)))
        return Hits(group[order], row[order], scores[order]).first(k)

    def count(self, group: int) -> int:
        """Of how many passages a track has the best one."""
        return int(self._best_of.counts[group])

    def is_itself(self, group: int) -> bool:
        """Whether a track is compared as a whole."""
        return bool((self._itself == group).any())

    def replace_itself(self, groups: IntArray, rows: dict[str, FloatArray]) -> None:
        """Put the rows of the whole query into `rows` (m, d) where tracks (m,) are compared as a whole."""
        whole = np.isin(groups, self._itself)
        if whole.any():
            for name, part in rows.items():
                part[whole] = self._rows[name]
