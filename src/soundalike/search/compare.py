"""Two recordings side by side: every space's score, the passages that match best, and how they line up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import Level, LevelReason, Match, PercentileSource, SpaceScore, Span, Weights
from soundalike.models import (
    Encoding,
    Reference,
    Spaces,
    explain,
    mean_rows,
    presence,
    query_terms,
    resolve_weights,
    score_rows,
)

__all__ = ["Comparison", "PassagePair", "compare_encodings"]


@dataclass(frozen=True, slots=True)
class PassagePair:
    """The most similar passages of two recordings in one space, and their cosine similarity."""

    a: Span
    b: Span
    similarity: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """How similar two recordings are.

    Attributes:
        match: The score of B as a match of A, as a search would give it, with the share of every space.
        level: Whether whole tracks or passages were compared.
        model: The name of the model.
        weights: The weights of the spaces.
        pairs: The most similar passages per space; None where nothing is audible.
        warnings: Paths of recordings that could be decoded in part, and what is missing.
        reference: What the score and percentiles are measured against: random pairs of the library, or of the model.
        recordings: The number of different recordings of the library; 0 without one.
        level_reason: Why this level was compared.
        models: The names of all models whose spaces are compared, `model` first.
    """

    match: Match
    level: Level
    model: str
    weights: Weights
    pairs: Mapping[str, PassagePair | None]
    warnings: tuple[tuple[str, str], ...] = ()
    reference: PercentileSource = "model"
    recordings: int = 0
    level_reason: LevelReason = "requested"
    models: tuple[str, ...] = ()

    def renamed(self, names: Mapping[str, str]) -> Self:
        """The same comparison with its recordings under other names: {old: new}."""

        def rename(span: Span) -> Span:
            return replace(span, track=names.get(span.track, span.track))

        query = self.match.query_span
        match = replace(self.match, span=rename(self.match.span), query_span=query and rename(query))
        pairs = {name: pair and replace(pair, a=rename(pair.a), b=rename(pair.b)) for name, pair in self.pairs.items()}
        warnings = tuple((names.get(path, path), text) for path, text in self.warnings)
        return replace(self, match=match, pairs=pairs, warnings=warnings)


def compare_encodings(
    model: Spaces,
    a: Encoding,
    b: Encoding,
    weights: Mapping[str, float] | None = None,
    *,
    level: Level,
    aligned: bool = False,
    reference: Reference | None = None,
    level_reason: LevelReason = "requested",
) -> Comparison:
    """Score B as a match of A, as a search would.

    At the passage level, a recording is compared with itself as a whole: the mean of its passages is no single one.

    Args:
        model: The model that encoded both, or the spaces of several.
        a: The query.
        b: The recording to score; at the passage level its best passage is scored.
        weights: Weights by the names of the spaces; None weighs each of the first model 1.
        level: "track" or "passage".
        aligned: Also align the passages that most spaces find similar, unless neither melody nor harmony is audible in
            both recordings: onsets alone line up with anything.
        reference: What to measure against; None takes the model.
        level_reason: Why this level was chosen.

    Raises:
        UsageError: No space with a weight is audible in A, or in B.
    """
    resolved = resolve_weights(weights, model.spaces)
    query = mean_rows(a.passages.rows)
    reference = reference or Reference(model.spaces, level)
    for name, encoding, region in (("first", a, "--region"), ("second", b, "--region-b")):
        _check_audible(name, encoding, resolved, region)
    terms = query_terms(reference.spaces, query, resolved, level)
    span, found = b.track.spans[0], {name: rows[0] for name, rows in b.track.rows.items()}
    count = 1
    if level == "passage" and not _identical(a, b):
        # A passage that is audible in no active space is no match, though its score of 0 may be the highest.
        audible = np.any([presence(b.passages.rows[term.space.name]) for term in terms], axis=0)
        best = int(np.where(audible, score_rows(terms, b.passages.rows), -np.inf).argmax())
        span, found = b.passages.spans[best], {name: rows[best] for name, rows in b.passages.rows.items()}
        count = int(np.count_nonzero(audible))
    if not any(found[term.space.name].any() for term in terms):
        names = ", ".join(term.space.name for term in terms)
        raise UsageError(
            f"the second recording has no audible content for {names}, which the first one has; "
            "give weight to other spaces, such as -w rhythm"
        )
    score, parts = explain(reference.spaces, query, found, resolved, level)
    percentile = float(100 * np.exp(count * reference.null([(1.0, terms)]).log_cdf(np.array(score))))
    pairs = {space.name: _best_pair(space.name, a, b) for space in model.spaces}
    alignment = None
    if aligned and _has_pitch(parts):
        from soundalike.search.align import align  # brings scipy.fft, which takes 0.2 s to import

        active = [pair for name, pair in pairs.items() if pair and resolved[name] != 0]
        alignment = align(*_passages_to_align(a, b, active))
    warnings = tuple((one.track.spans[0].track, one.warning) for one in (a, b) if one.warning)
    match = Match(span, score, parts, a.track.spans[0], alignment, percentile=percentile)
    models = tuple(one.name for one in model.models)
    used = reference.source, reference.recordings, level_reason
    return Comparison(match, level, models[0], resolved, pairs, warnings, *used, models)


def _check_audible(name: str, encoding: Encoding, weights: Weights, region: str) -> None:
    """Raise UsageError if a recording has no audible content in the weighted spaces."""
    audible = {space for space, rows in encoding.passages.rows.items() if rows.any()}
    if not audible:
        raise UsageError(
            f"the {name} recording has no audible content: it is silent, or one constant value; "
            f"give a recording with sound, or a louder part of it with {region}"
        )
    weighted = [space for space, weight in weights.items() if weight]
    if weighted and not audible.intersection(weighted):
        raise UsageError(
            f"the {name} recording has no audible content for {', '.join(weighted)}; give weight to what it has, "
            f"{', '.join(space for space in encoding.passages.rows if space in audible)}, or another part with {region}"
        )


def _has_pitch(parts: Mapping[str, SpaceScore]) -> bool:
    """Whether melody or harmony is audible in both recordings; a model with neither space cannot tell."""
    pitched = [parts[name].audible for name in ("melody", "harmony") if name in parts]
    return any(pitched) or not pitched


def _identical(a: Encoding, b: Encoding) -> bool:
    """Whether two recordings have the same passages."""
    left, right = a.passages.rows, b.passages.rows
    return len(a.passages) == len(b.passages) and all(np.array_equal(left[name], right[name]) for name in left)


def _best_pair(space: str, a: Encoding, b: Encoding) -> PassagePair | None:
    left, right = a.passages.rows[space], b.passages.rows[space]
    similarity = left.astype(np.float64) @ right.astype(np.float64).T
    similarity[~presence(left)] = -np.inf
    similarity[:, ~presence(right)] = -np.inf
    first, second = np.unravel_index(int(similarity.argmax()), similarity.shape)
    if not np.isfinite(similarity[first, second]):
        return None
    return PassagePair(a.passages.spans[first], b.passages.spans[second], float(similarity[first, second]))


def _passages_to_align(a: Encoding, b: Encoding, pairs: list[PassagePair]) -> tuple[Span, Span]:
    """The pair of passages that most spaces agree on; the first passages if nothing is audible."""
    if not pairs:
        return a.passages.spans[0], b.passages.spans[0]
    spans = [(pair.a, pair.b) for pair in pairs]
    return max(spans, key=spans.count)
