"""Several examples compiled into one query: recordings to be like or unlike, each with its own weights.

    score(x) = sum_j s_j score_j(x) / n        s_j = 1 to be like, -1 to be unlike, over n examples

where score_j(x) is the scoring function of `models/score.py`. The mean keeps the scale of a single score. A space that
is inaudible in one example is neutral for that example and counts for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import ExampleScore, FloatArray, IntArray, Level, Match, Space, SpaceScore, Span, Weights
from soundalike.library import Subject
from soundalike.library.stores import BestOf, Hits
from soundalike.models import (
    Background,
    Reference,
    SearchSpaces,
    Term,
    combine_terms,
    explain,
    mean_rows,
    query_terms,
)
from soundalike.search.query import Example, Query, as_weights

__all__ = ["CompiledQuery", "ExampleTerms", "resolve_examples"]


def resolve_examples(query: Query, spaces: SearchSpaces) -> tuple[Example, ...]:
    """All examples of a query, the query first, with weights for every space.

    Raises:
        UsageError: A space is unknown, or every weight of an example is 0; the message names the example.
    """
    weights = spaces.weights(as_weights(query.weights))
    found = [Example(query.path, weights=weights)]
    for example in query.examples:
        try:
            own = weights if example.weights is None else spaces.weights(as_weights(example.weights))
        except UsageError as error:
            raise UsageError(f"{'like' if example.like else 'unlike'} {example.path}: {error}") from error
        found.append(replace(example, weights=own))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class ExampleTerms:
    """One example: its weights, and its `rows` by short space name (d,) at the level of the query.

    `position` is that of its row in the library; -1 if it has none.
    """

    path: str
    like: bool
    weights: Weights
    rows: Mapping[str, FloatArray]
    position: int = -1

    @property
    def sign(self) -> int:
        """1 to be like, -1 to be unlike."""
        return 1 if self.like else -1


@dataclass(frozen=True, slots=True, eq=False)
class CompiledQuery:
    """Encoded examples: the `terms` to scan with, and how matches are explained.

    `queries` are the coefficients and terms of the examples, of which `terms` is the sum. `background` is set if the
    query asks for a correction of hubs (`models/mutual_proximity.py`).
    """

    reference: Reference
    examples: tuple[ExampleTerms, ...]
    queries: tuple[tuple[float, tuple[Term, ...]], ...]
    terms: tuple[Term, ...]
    background: Background | None = None

    @classmethod
    def of(
        cls,
        reference: Reference,
        examples: Sequence[Example],
        subjects: Sequence[Subject],
        positions: Sequence[int],
        background: Background | None = None,
    ) -> Self:
        """Compile resolved examples.

        Args:
            reference: The calibrated spaces of the request, at the level of the query.
            examples: The examples, with weights for every space.
            subjects: The encoded examples.
            positions: The positions of their rows in the library, -1 for none.
            background: What mutual proximity is measured against.

        Raises:
            UsageError: No space with a weight is audible in an example; the message names it.
        """
        compiled, queries, level = [], [], reference.level
        for example, subject, position in zip(examples, subjects, positions, strict=True):
            rows = subject.track if level == "track" else mean_rows(subject.passages)
            weights = Weights(as_weights(example.weights) or {})
            try:
                terms = query_terms(reference.spaces, rows, weights, level)
            except UsageError as error:
                raise UsageError(f"{example.path}: {error}") from error
            compiled.append(ExampleTerms(str(example.path), example.like, weights, rows, position))
            queries.append((compiled[-1].sign / len(examples), terms))
        combined = combine_terms(queries) if len(queries) > 1 else queries[0][1]
        return cls(reference, tuple(compiled), tuple(queries), combined, background)

    @property
    def spaces(self) -> tuple[Space, ...]:
        """The calibrated spaces of the request."""
        return self.reference.spaces

    @property
    def level(self) -> Level:
        """The level that is searched."""
        return self.reference.level

    def best_of(self, counts: IntArray) -> BestOf:
        """The order of tracks with `counts` (g,) passages that are audible in a space with a weight."""
        return BestOf(self.reference.null(self.queries), counts)

    def corrected(self, hits: Hits, rows: Mapping[str, FloatArray]) -> Hits:
        """Rescore hits (m) by mutual proximity, given their rows by short name (m, d); best first.

        Without a background the hits stay as they are.
        """
        scores = np.zeros(len(hits.row))
        for example in self.examples:
            z = self._mutual(example, rows, hits.row)
            if z is None:
                return hits
            active = {name: weight for name, weight in example.weights.items() if weight and example.rows[name].any()}
            total = sum(abs(weight) for weight in active.values()) * len(self.examples) * example.sign
            for name, weight in active.items():
                scores += weight / total * z[name]
        # As in a store, NaN and infinity go to the top, where checksums are compared: the row may be corrupt.
        scores = np.where(np.isfinite(scores), scores, np.inf)
        order = np.lexsort((hits.row, -scores))
        return Hits(hits.group[order], hits.row[order], scores[order])

    def match(
        self,
        span: Span,
        query_span: Span,
        position: int,
        rows: Mapping[str, FloatArray],
        count: int = 1,
    ) -> Match:
        """Explain a candidate: the shares sum to the score.

        Args:
            span: The candidate.
            query_span: The query.
            position: The position of the candidate's row.
            rows: Its rows (d,) by short space name.
            count: Of how many passages that are audible in a space with a weight it is the best.
        """
        explained = []
        for example in self.examples:
            found = self._mutual(example, {name: row[None, :] for name, row in rows.items()}, np.array([position]))
            z = None if found is None else {name: float(values[0]) for name, values in found.items()}
            score, by_space = explain(self.spaces, example.rows, rows, example.weights, self.level, z)
            explained.append(ExampleScore(example.path, example.like, score, by_space))
        if len(explained) == 1:
            one = explained[0]
            return Match(span, one.score, one.spaces, query_span, percentile=self._percentile(one.score, count))
        by_space = {
            space.name: self._mean_score([one.spaces[space.name] for one in explained]) for space in self.spaces
        }
        score = sum(one.share for one in by_space.values())
        percent = self._percentile(score, count)
        return Match(span, score, by_space, query_span, examples=tuple(explained), percentile=percent)

    def _percentile(self, score: float, count: int) -> float | None:
        """The percentage of random tracks with a lower score; None where hubs are corrected."""
        if self.background is not None:
            return None
        return float(100 * np.exp(count * self.reference.null(self.queries).log_cdf(np.array(score))))

    def _mean_score(self, scores: Sequence[SpaceScore]) -> SpaceScore:
        """The score of all examples together in one space."""
        signed = [(example.sign / len(scores), one) for example, one in zip(self.examples, scores, strict=True)]
        weight = sum(sign * one.weight for sign, one in signed)
        share = sum(sign * one.share for sign, one in signed)
        audible = any(one.audible for one in scores)
        return SpaceScore(None, None, weight, share, None, scores[0].percentile_source, audible=audible)

    def _mutual(
        self, example: ExampleTerms, rows: Mapping[str, FloatArray], positions: IntArray
    ) -> dict[str, FloatArray] | None:
        """The z-scores (m,) of candidates by mutual proximity in the spaces of `rows`; None without a correction."""
        if self.background is None:
            return None
        # Corrupt rows may hold any value.
        with np.errstate(invalid="ignore", over="ignore"):
            return {
                s.name: self.background.z_scores(
                    s.name, s.calibration[self.level], example.rows[s.name], example.position, rows[s.name], positions
                )
                for s in self.spaces
                if s.name in rows
            }
