"""The scoring function: it turns similarities into a score, and divides a score into the shares of the spaces.

Let q_s and x_s be the rows of query and candidate in space s: unit rows, or zero rows where the space is inaudible. Let
w_s be weights of any sign, and mu_s and sigma_s the mean and standard deviation of the similarity of random pairs at
the level that is searched. Then

    z_s   = (<q_s, x_s> - mu_s) / sigma_s    where both are audible, else 0
    score = sum_s w_s z_s / sum_s |w_s|      over the spaces with w_s != 0 that are audible in the query

With a presence coordinate p_s (1 where audible, else 0), this is one inner product:

    score = sum_s [scale_s <q_s, x_s> + offset_s p_s(x)],
    scale_s = w_s / (sigma_s W),   offset_s = -w_s mu_s / (sigma_s W),   W = sum_s p_s(q) |w_s|

Weights therefore scale the query and never change the index. A weighted sum of several queries is also one inner
product:

    sum_j c_j score_j = sum_s [<sum_j c_j scale_js q_js, x_s> + (sum_j c_j offset_js) p_s(x)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, Calibration, FloatArray, Level, Space, SpaceScore

__all__ = [
    "Term",
    "calibrate",
    "combine_terms",
    "explain",
    "mutual_scores",
    "percentiles",
    "presence",
    "query_terms",
    "score_rows",
]

_IDENTICAL = 1 - 1e-6
"""Unit rows in float32 are identical, up to rounding, from this similarity on."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """The term of one space with a weight in the inner product.

    Attributes:
        space: The space.
        row: Unit row (d,) of the query: float32 as encoded, or float64 if it combines several queries.
        scale: Factor of the similarity.
        offset: Added where the candidate is audible.
    """

    space: Space
    row: FloatArray
    scale: float
    offset: float


def presence(rows: FloatArray) -> BoolArray:
    """Return which rows are audible, that is, not all zero.

    Args:
        rows: Rows (n, d).

    Returns:
        (n,) bool.

    Example:
        >>> presence(np.array([[0.6, 0.8], [0.0, 0.0]])).tolist()
        [True, False]
    """
    return np.asarray(rows.any(axis=1), dtype=np.bool_)


def query_terms(
    spaces: Sequence[Space], query: Mapping[str, FloatArray], weights: Mapping[str, float], level: Level
) -> tuple[Term, ...]:
    """Return the terms of a query.

    Args:
        spaces: The spaces.
        query: The query's rows (d,) per short name.
        weights: Weights per short name. Spaces without a weight have weight 0.
        level: The level that is searched.

    Returns:
        One term per space that has a weight and is audible in the query.

    Raises:
        UsageError: No space with a weight is audible in the query.

    Example:
        >>> terms = query_terms(model.spaces, query_rows, {"melody": 2, "timbre": -1}, "track")
        >>> scores = score_rows(terms, candidate_rows)
    """
    active = [s for s in spaces if weights.get(s.name, 0.0) != 0.0 and query[s.name].any()]
    total = sum(abs(weights[s.name]) for s in active)
    if not active:
        names = ", ".join(s.name for s in spaces if weights.get(s.name, 0.0) != 0.0)
        raise UsageError(
            f"the query has no audible content for {names}; choose a louder passage or give weight to other spaces"
        )
    terms = []
    for space in active:
        calibration = space.calibration[level]
        scale = weights[space.name] / (calibration.sigma * total)
        terms.append(Term(space, query[space.name], scale, -scale * calibration.mu))
    return tuple(terms)


def combine_terms(queries: Sequence[tuple[float, Sequence[Term]]]) -> tuple[Term, ...]:
    """Return the terms of a weighted sum of queries.

    Args:
        queries: The coefficient and the terms of each query.

    Returns:
        One term per space, in order of first appearance.

    Example:
        >>> combine_terms([(1.0, liked_terms), (-0.5, disliked_terms)])
    """
    by_space: dict[str, list[tuple[float, Term]]] = {}
    for coefficient, terms in queries:
        for term in terms:
            by_space.setdefault(term.space.name, []).append((coefficient, term))
    combined = []
    for entries in by_space.values():
        first = entries[0][1]
        total = np.sum([c * term.scale * term.row.astype(np.float64) for c, term in entries], axis=0)
        norm = float(np.linalg.norm(total))
        # Rows that cancel out have no direction. Their scale is 0, so any unit row will do.
        row = total / norm if norm > 0 else first.row
        combined.append(Term(first.space, row, norm, sum(c * term.offset for c, term in entries)))
    return tuple(combined)


def score_rows(terms: Sequence[Term], rows: Mapping[str, FloatArray]) -> FloatArray:
    """Score candidates exactly.

    Args:
        terms: The terms of a query.
        rows: The candidates' rows (m, d) float32 per short name.

    Returns:
        Scores (m,) float64.

    Example:
        >>> score_rows(query_terms(spaces, query, weights, "track"), rows).shape
        (1000,)
    """
    total: FloatArray = np.zeros(len(next(iter(rows.values()))), dtype=np.float64)
    for term in terms:
        candidates = rows[term.space.name]
        similarity = candidates.astype(np.float64) @ term.row.astype(np.float64)
        total += term.scale * similarity + term.offset * presence(candidates)
    return total


def mutual_scores(
    spaces: Sequence[Space], rows: Mapping[str, FloatArray], weights: Mapping[str, float], level: Level
) -> FloatArray:
    """Score all pairs of tracks: the mean of the scores with either track as the query.

    The two scores of a pair differ only if a space is audible in one track and not in the other.

    Args:
        spaces: The spaces.
        rows: The tracks' rows (n, d) float32 per short name.
        weights: Weights per short name.
        level: The level of the rows.

    Returns:
        A symmetric matrix (n, n) float64.

    Raises:
        UsageError: In one of the tracks, no space with a weight is audible.

    Example:
        >>> scores = mutual_scores(model.spaces, rows, {"melody": 1}, "track")
        >>> bool((scores == scores.T).all())
        True
    """
    count = len(next(iter(rows.values())))
    total, audible_weight = np.zeros((count, count)), np.zeros(count)
    for space in spaces:
        weight, calibration = weights.get(space.name, 0.0), space.calibration[level]
        if weight == 0.0:
            continue
        candidates = rows[space.name].astype(np.float64)
        audible = presence(candidates)
        similarity = candidates @ candidates.T
        total += (weight / calibration.sigma) * (similarity - calibration.mu * np.outer(audible, audible))
        audible_weight += abs(weight) * audible
    if not audible_weight.all():
        raise UsageError(
            "one of the tracks has no audible content for the spaces with a weight; give weight to other spaces"
        )
    total *= 0.5 * (1 / audible_weight[:, None] + 1 / audible_weight)
    return total


def explain(
    spaces: Sequence[Space],
    query: Mapping[str, FloatArray],
    candidate: Mapping[str, FloatArray],
    weights: Mapping[str, float],
    level: Level,
    z: Mapping[str, float] | None = None,
) -> tuple[float, dict[str, SpaceScore]]:
    """Score one candidate, and divide the score into the shares of the spaces.

    Args:
        spaces: The spaces. Those with weight 0 are reported too, with share 0.
        query: The query's rows (d,) per short name.
        candidate: The candidate's rows (d,) per short name.
        weights: Weights per short name.
        level: The level of the rows.
        z: z-scores per short name, which replace those of the scoring function (see `mutual_proximity`).

    Returns:
        The score, and the contribution of each space per short name. The shares sum to the score.

    Example:
        >>> score, parts = explain(model.spaces, query, candidate, {"melody": 1}, "track")
        >>> parts["melody"].share == score
        True
    """
    audible = {s.name: bool(query[s.name].any() and candidate[s.name].any()) for s in spaces}
    total = sum(abs(weights.get(s.name, 0.0)) for s in spaces if query[s.name].any())
    parts: dict[str, SpaceScore] = {}
    for space in spaces:
        name, weight, calibration = space.name, weights.get(space.name, 0.0), space.calibration[level]
        source = calibration.source
        if not audible[name]:
            parts[name] = SpaceScore(None, None, weight, 0.0, None, source, audible=False)
            continue
        similarity = float(query[name].astype(np.float64) @ candidate[name].astype(np.float64))
        z_score = z[name] if z is not None else (similarity - calibration.mu) / calibration.sigma
        share = weight * z_score / total if total else 0.0
        percent = float(percentiles(np.array(similarity), calibration))
        # Rounding may bring the inner product of unit rows above 1.
        shown = min(max(similarity, -1.0), 1.0)
        parts[name] = SpaceScore(shown, z_score, weight, share, percent, source, audible=True)
    return sum(part.share for part in parts.values()), parts


def percentiles(similarities: FloatArray, calibration: Calibration) -> FloatArray:
    """Return the percentage of random pairs that are less similar.

    Args:
        similarities: Similarities (n,) of rows.
        calibration: The null distribution, interpolated between its quantiles.

    Returns:
        (n,) float64, 0 to 100; 100 for identical rows.

    Example:
        >>> percentiles(np.array([0.2, 1.0]), model.spaces[0].calibration["track"]).tolist()
        [61.7, 100.0]
    """
    table = calibration.quantiles
    found = np.interp(similarities, table, np.arange(len(table)) * (100.0 / (len(table) - 1)))
    return np.where(similarities >= _IDENTICAL, 100.0, found)


def calibrate(similarities: FloatArray) -> Calibration:
    """Estimate the null distribution of a space.

    Args:
        similarities: Similarities (n,) of random pairs.

    Returns:
        The calibration.

    Raises:
        ValueError: There are fewer than two pairs, or all similarities are equal.

    Example:
        >>> calibrate(np.array([0.1, 0.3])).mu
        0.2
    """
    if len(similarities) < 2:
        raise ValueError(f"{len(similarities)} random pairs; expected at least 2")
    sigma = float(np.std(similarities, dtype=np.float64))
    if not sigma > 0:
        raise ValueError("every random pair is equally similar; calibrate with more varied music")
    quantiles = tuple(float(value) for value in np.quantile(similarities.astype(np.float64), np.linspace(0, 1, 101)))
    return Calibration(mu=float(np.mean(similarities, dtype=np.float64)), sigma=sigma, quantiles=quantiles)
