"""Several examples as one question: recordings to be like and to be unlike, each by its own weights.

    score(x) = sum_j s_j score_j(x) / n        s_j = 1 for a like, -1 for a dislike, of n examples

with score_j(x) as of the law (`score.py`): a mean, so it stays on the scale of the law. A space that is silent in one
example says nothing for that one, and counts for the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import ExampleScore, FloatArray, IntArray, Level, Match, Space, SpaceScore, Span, Weights
from soundalike.library import Subject
from soundalike.library.stores import Hits
from soundalike.models import (
    Background,
    Quantiles,
    Term,
    combine_terms,
    explain,
    mean_rows,
    query_terms,
    resolve_weights,
)
from soundalike.search.query import Example, Query

__all__ = ["CompiledQuery", "ExampleTerms", "resolve_examples"]


def resolve_examples(query: Query, spaces: Sequence[Space]) -> tuple[Example, ...]:
    """All examples of a query, itself first, with weights for every space.

    Raises UsageError for an unknown space, or if every weight of one is 0; naming the example, if it is not the first.
    """
    weights = resolve_weights(query.weights, spaces)
    found = [Example(query.path, weights=weights)]
    for example in query.examples:
        try:
            own = weights if example.weights is None else resolve_weights(example.weights, spaces)
        except UsageError as error:
            raise UsageError(f"{'like' if example.like else 'unlike'} {example.path}: {error}") from error
        found.append(replace(example, weights=own))
    return tuple(found)


@dataclass(frozen=True, slots=True, eq=False)
class ExampleTerms:
    """What one example says: `rows` by short space name (d,), at the level asked about.

    `position` is that of its own row in the library; -1: not in it.
    """

    path: str
    like: bool
    weights: Weights
    rows: Mapping[str, FloatArray]
    position: int = -1

    @property
    def sign(self) -> int:
        """1 for a like, -1 for a dislike."""
        return 1 if self.like else -1


@dataclass(frozen=True, slots=True, eq=False)
class CompiledQuery:
    """Examples, heard: the `terms` to scan with, and how matches are explained. `background` is there to do without
    hubs (`hubness.py`).
    """

    spaces: tuple[Space, ...]
    level: Level
    voices: tuple[ExampleTerms, ...]
    terms: tuple[Term, ...]
    background: Background | None = None

    @classmethod
    def of(
        cls,
        spaces: tuple[Space, ...],
        level: Level,
        examples: Sequence[Example],
        subjects: Sequence[Subject],
        positions: Sequence[int],
        background: Background | None = None,
    ) -> Self:
        """From resolved examples and what they sound like; `positions` are those of their own rows, -1 for none.

        Raises UsageError, naming the example, if no space that it weighs is audible in it.
        """
        voices, queries = [], []
        for example, subject, position in zip(examples, subjects, positions, strict=True):
            rows = subject.track if level == "track" else mean_rows(subject.passages)
            voice = ExampleTerms(str(example.path), example.like, Weights(example.weights or {}), rows, position)
            try:
                queries.append((voice.sign / len(examples), query_terms(spaces, rows, voice.weights, level)))
            except UsageError as error:
                raise UsageError(f"{example.path}: {error}") from error
            voices.append(voice)
        terms = combine_terms(queries) if len(queries) > 1 else queries[0][1]
        return cls(spaces, level, tuple(voices), terms, background)

    def corrected(self, hits: Hits, rows: Mapping[str, FloatArray]) -> Hits:
        """Hits (m) and their rows in the spaces of the terms, by short name (m, d), scored anew by mutual proximity.

        Best first; without a background they stay as they are.
        """
        scores = np.zeros(len(hits.row))
        for voice in self.voices:
            z = self._mutual(voice, rows, hits.row)
            if z is None:
                return hits
            heard = {name: weight for name, weight in voice.weights.items() if weight and voice.rows[name].any()}
            total = sum(abs(weight) for weight in heard.values()) * len(self.voices) * voice.sign
            for name, weight in heard.items():
                scores += weight / total * z[name]
        # As in a store, what is no number is damaged and goes to the top, where checksums are looked at.
        scores = np.where(np.isfinite(scores), scores, np.inf)
        order = np.lexsort((hits.row, -scores))
        return Hits(hits.group[order], hits.row[order], scores[order])

    def match(
        self, span: Span, query_span: Span, position: int, rows: Mapping[str, FloatArray], library: Quantiles | None
    ) -> Match:
        """The candidate at a position, with its rows by short space name (d,), explained: shares sum to the score."""
        told = []
        for voice in self.voices:
            found = self._mutual(voice, {name: row[None, :] for name, row in rows.items()}, np.array([position]))
            z = None if found is None else {name: float(values[0]) for name, values in found.items()}
            score, parts = explain(self.spaces, voice.rows, rows, voice.weights, self.level, library, z)
            told.append(ExampleScore(voice.path, voice.like, score, parts))
        if len(told) == 1:
            return Match(span, told[0].score, told[0].spaces, query_span)
        parts = {space.name: self._mean_part([one.spaces[space.name] for one in told]) for space in self.spaces}
        return Match(span, sum(part.share for part in parts.values()), parts, query_span, examples=tuple(told))

    def _mean_part(self, parts: Sequence[SpaceScore]) -> SpaceScore:
        """What all examples together say in one space, from what each says."""
        signed = [(voice.sign / len(parts), part) for voice, part in zip(self.voices, parts, strict=True)]
        weight = sum(sign * part.weight for sign, part in signed)
        share = sum(sign * part.share for sign, part in signed)
        audible = any(part.audible for part in parts)
        return SpaceScore(None, None, weight, share, None, parts[0].percentile_source, audible=audible)

    def _mutual(
        self, voice: ExampleTerms, rows: Mapping[str, FloatArray], positions: IntArray
    ) -> dict[str, FloatArray] | None:
        """z of candidates by mutual proximity in the spaces of `rows`, (m,); None where the law's z counts."""
        if self.background is None:
            return None
        # Rows that are damaged may hold anything.
        with np.errstate(invalid="ignore", over="ignore"):
            return {
                s.name: self.background.mutual(
                    s.name, s.calibration[self.level], voice.rows[s.name], voice.position, rows[s.name], positions
                )
                for s in self.spaces
                if s.name in rows
            }
