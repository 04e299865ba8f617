"""How much each stem moves decisions: shares that fits on different features can be compared by.

The part of a stem in a decision is the sum of w_k f_k over its terms. Its share is the standard deviation of this part
over the triplets, with the sign of what it has in common with the decisions, divided by the sum of all magnitudes.

m triplets, k terms, g stems.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.evaluate.estimates import Estimate
from soundalike.models import Method, fitter

__all__ = ["shares", "shares_with_intervals"]

_RESAMPLES = 300


def shares(features: FloatArray, weights: FloatArray, sources: Sequence[str], stems: Sequence[str]) -> FloatArray:
    """Return the share of each stem, (g,); the magnitudes sum to 1, or all are 0.

    Args:
        features: (m, k).
        weights: (k,).
        sources: The stem of each term.
        stems: g names.

    Example:
        >>> shares(np.array([[2.0, 0], [0, 1.0]]), np.array([1.0, -1.0]), ["drums", "bass"], ["drums", "bass"]).round(2)
        array([ 0.67, -0.33])
    """
    parts = features * weights
    columns = np.stack([parts[:, [one == stem for one in sources]].sum(axis=1) for stem in stems], axis=1)
    signs = [np.sign(weights[[one == stem for one in sources]].sum()) for stem in stems]
    spread = columns.std(axis=0) * signs
    total = float(np.abs(spread).sum())
    return spread / total if total > 0 else spread


def shares_with_intervals(
    features: FloatArray,
    answers: FloatArray,
    groups: Sequence[str],
    sources: Sequence[str],
    stems: Sequence[str],
    method: Method,
    *,
    penalty: float,
    seed: int,
    resamples: int = _RESAMPLES,
) -> Estimate:
    """Fit weights, and return the shares with 95 % percentile intervals from a bootstrap over groups.

    Args:
        features: (m, k).
        answers: (m,) of ±1.
        groups: m names of what is drawn with replacement.
        sources: The stem of each term.
        stems: g names.
        method: How to fit.
        penalty: The penalty of ridge regression.
        seed: Seed of the draws.
        resamples: Number of draws.

    Returns:
        (g,) values and bounds; n is the number of triplets.
    """
    fit = fitter(method, penalty)
    value = shares(features, fit(features, answers), sources, stems)
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    of_group = [np.flatnonzero(member == group) for group in range(len(names))]
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([of_group[group] for group in random.integers(0, len(names), len(names))])
        drawn.append(shares(features[rows], fit(features[rows], answers[rows]), sources, stems))
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    return Estimate(value, low, high, np.full(len(stems), len(answers)))
