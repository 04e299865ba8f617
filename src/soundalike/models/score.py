"""The one law: how similarities become a score, and how a score explains itself.

With unit rows q_s, x_s (or zero rows: nothing to hear), weights w_s of any sign, and the mean mu_s and spread
sigma_s of the similarity of random pairs at the level that is searched:

    z_s   = (<q_s, x_s> - mu_s) / sigma_s    where both are audible, else 0
    score = sum_s w_s z_s / sum_s |w_s|      over the spaces audible in the query with w_s != 0

which is one inner product over rows with a presence coordinate:

    score = sum_s [scale_s <q_s, x_s> + offset_s p_s(x)],
    scale_s = w_s / (sigma_s W),   offset_s = -w_s mu_s / (sigma_s W),   W = sum_s p_s(q) |w_s|

so sliders scale the query and never touch the index. Several queries at once are still one inner product:

    sum_j c_j score_j = sum_s [<sum_j c_j scale_js q_js, x_s> + (sum_j c_j offset_js) p_s(x)]
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import UsageError
from soundalike.core.types import BoolArray, Calibration, FloatArray, Level, PercentileSource, Space, SpaceScore

__all__ = [
    "Quantiles",
    "Term",
    "calibrate",
    "combine_terms",
    "explain",
    "mutual_scores",
    "presence",
    "query_terms",
    "score_rows",
]

Quantiles = Mapping[str, tuple[float, ...]]
"""Per space, the similarities at 0, 1, ..., 100 % of random pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One active space of a query: `row` (d,) unit, and the two coefficients of the inner product.

    The row is float32, as encoded; float64 where it stands for several queries.
    """

    space: Space
    row: FloatArray
    scale: float
    offset: float


def presence(rows: FloatArray) -> BoolArray:
    """Which rows of (n, d) are audible: those not all zero. Returns (n,) bool."""
    return np.asarray(rows.any(axis=1), dtype=np.bool_)


def query_terms(
    spaces: Sequence[Space], query: Mapping[str, FloatArray], weights: Mapping[str, float], level: Level
) -> tuple[Term, ...]:
    """The active terms of a query: `query` maps short names to (d,) rows, `weights` to slider positions.

    Raises UsageError if no space with a weight is audible in the query.
    """
    active = [s for s in spaces if weights.get(s.name, 0.0) != 0.0 and query[s.name].any()]
    total = sum(abs(weights[s.name]) for s in active)
    if not active:
        asked = ", ".join(s.name for s in spaces if weights.get(s.name, 0.0) != 0.0)
        raise UsageError(f"nothing to hear in the query for {asked}; ask with a louder passage or weigh other spaces")
    terms = []
    for space in active:
        chance = space.calibration[level]
        scale = weights[space.name] / (chance.sigma * total)
        terms.append(Term(space, query[space.name], scale, -scale * chance.mu))
    return tuple(terms)


def combine_terms(queries: Sequence[tuple[float, Sequence[Term]]]) -> tuple[Term, ...]:
    """The terms of a weighted sum of queries, each a coefficient and its terms: one a space, in order of appearance."""
    by_space: dict[str, list[tuple[float, Term]]] = {}
    for coefficient, terms in queries:
        for term in terms:
            by_space.setdefault(term.space.name, []).append((coefficient, term))
    combined = []
    for entries in by_space.values():
        first = entries[0][1]
        total = np.sum([c * term.scale * term.row.astype(np.float64) for c, term in entries], axis=0)
        norm = float(np.linalg.norm(total))
        # Rows that cancel out have no direction, and a scale of 0 asks for none: any unit row will do.
        row = total / norm if norm > 0 else first.row
        combined.append(Term(first.space, row, norm, sum(c * term.offset for c, term in entries)))
    return tuple(combined)


def score_rows(terms: Sequence[Term], rows: Mapping[str, FloatArray]) -> FloatArray:
    """Exact scores of candidates: `rows` maps short names to (m, d) float32. Returns (m,) float64."""
    total: FloatArray = np.zeros(len(next(iter(rows.values()))), dtype=np.float64)
    for term in terms:
        candidates = rows[term.space.name]
        similarity = candidates.astype(np.float64) @ term.row.astype(np.float64)
        total += term.scale * similarity + term.offset * presence(candidates)
    return total


def mutual_scores(
    spaces: Sequence[Space], rows: Mapping[str, FloatArray], weights: Mapping[str, float], level: Level
) -> FloatArray:
    """The score of every pair of rows, (n, n) float64 and symmetric: the mean of either as the query.

    `rows` maps short names to (n, d) float32. The two directions differ only where a space is audible on one side.
    Raises UsageError if no space with a weight is audible in one of the rows.
    """
    count = len(next(iter(rows.values())))
    total, heard = np.zeros((count, count)), np.zeros(count)
    for space in spaces:
        weight, chance = weights.get(space.name, 0.0), space.calibration[level]
        if weight == 0.0:
            continue
        candidates = rows[space.name].astype(np.float64)
        on = presence(candidates)
        total += (weight / chance.sigma) * (candidates @ candidates.T - chance.mu * np.outer(on, on))
        heard += abs(weight) * on
    if not heard.all():
        raise UsageError("nothing to hear in one of the tracks for the spaces with a weight; weigh other spaces")
    total *= 0.5 * (1 / heard[:, None] + 1 / heard)
    return total


def explain(
    spaces: Sequence[Space],
    query: Mapping[str, FloatArray],
    candidate: Mapping[str, FloatArray],
    weights: Mapping[str, float],
    level: Level,
    library: Quantiles | None = None,
    z: Mapping[str, float] | None = None,
) -> tuple[float, dict[str, SpaceScore]]:
    """Score one candidate and say what each space contributed: shares sum to the score.

    `query` and `candidate` map short names to (d,) rows; `library` are the library's own quantiles, used in place
    of the model's where given, and so is `z` (see `hubness.py`). Spaces with weight 0 are reported too, with share 0.
    """
    audible = {s.name: bool(query[s.name].any() and candidate[s.name].any()) for s in spaces}
    total = sum(abs(weights.get(s.name, 0.0)) for s in spaces if query[s.name].any())
    parts: dict[str, SpaceScore] = {}
    for space in spaces:
        name, weight, chance = space.name, weights.get(space.name, 0.0), space.calibration[level]
        source: PercentileSource = "library" if library is not None and name in library else "model"
        if not audible[name]:
            parts[name] = SpaceScore(None, None, weight, 0.0, None, source, audible=False)
            continue
        similarity = float(query[name].astype(np.float64) @ candidate[name].astype(np.float64))
        above = z[name] if z is not None else (similarity - chance.mu) / chance.sigma
        quantiles = library[name] if library is not None and name in library else chance.quantiles
        share = weight * above / total if total else 0.0
        parts[name] = SpaceScore(
            similarity, above, weight, share, _percentile(similarity, quantiles), source, audible=True
        )
    return sum(part.share for part in parts.values()), parts


def _percentile(similarity: float, quantiles: Sequence[float]) -> float:
    """How many per cent of random pairs are less alike, 0 to 100, between the steps of the table linearly."""
    return float(np.interp(similarity, quantiles, np.arange(len(quantiles)) * (100.0 / (len(quantiles) - 1))))


def calibrate(similarities: FloatArray, best: FloatArray) -> Calibration:
    """What chance looks like: `similarities` (n,) of random pairs, `best` (m,) as a search would report them.

    Raises ValueError for fewer than two pairs of either, or pairs that are all alike (no spread).
    """
    if len(similarities) < 2 or len(best) < 2:
        raise ValueError(f"{len(similarities)} and {len(best)} random pairs; expected at least 2 of each")
    sigma = float(np.std(similarities, dtype=np.float64))
    if not sigma > 0:
        raise ValueError("every random pair is equally similar; calibrate with more varied music")
    quantiles = tuple(float(value) for value in np.quantile(best.astype(np.float64), np.linspace(0, 1, 101)))
    return Calibration(mu=float(np.mean(similarities, dtype=np.float64)), sigma=sigma, quantiles=quantiles)
