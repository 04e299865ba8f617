"""Estimates with 95 % intervals: bootstrap over groups, Wald, and Clopper-Pearson.

m units (triplets, queries), r rows (spaces).

References: Efron and Tibshirani, An Introduction to the Bootstrap, 1993 (percentile interval, chapter 13); Clopper and
Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial, Biometrika 26, 1934.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.types import FloatArray, IntArray

__all__ = ["Estimate", "bootstrap", "clopper_pearson", "paired", "wald"]

_COVERAGE = 0.95
_NORMAL = 1.959963984540054
"""The 97.5 % quantile of the standard normal distribution."""
_RESAMPLES = 2000
_BLOCK = 1 << 20
"""Numbers per block of resamples, so that memory does not grow with the number of groups."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """One column of a report: `value`, `low` and `high` (r,) float64, and `n` (r,), the number of units per value."""

    value: FloatArray
    low: FloatArray
    high: FloatArray
    n: IntArray


def bootstrap(values: FloatArray, groups: Sequence[str], seed: int, *, resamples: int = _RESAMPLES) -> Estimate:
    """Return the mean of values with its percentile interval from a bootstrap over groups.

    Whole groups are drawn with replacement, because the units of one song are not independent. All rows use the same
    draws. If all values are equal the interval has no width; with few groups this is not a sign of certainty.

    Args:
        values: (m, r).
        groups: m names of groups.
        seed: Seed of the draws.
        resamples: Number of draws.

    Returns:
        Means (r,) with their intervals, NaN if there are fewer than two groups.

    Raises:
        ValueError: There are no values, or the numbers of values and groups differ.

    Example:
        >>> bootstrap(np.array([[1.0], [0.0], [1.0], [1.0]]), ["song 1", "song 1", "song 2", "song 3"], seed=0).value
        array([0.75])
    """
    if values.ndim != 2 or not len(values) or len(values) != len(groups):
        raise ValueError(f"{values.shape} values and {len(groups)} groups; expected (m, r) with m >= 1 and m groups")
    exact = values.astype(np.float64)
    value, count = exact.mean(axis=0), np.full(exact.shape[1], len(exact))
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        no_interval = np.full(exact.shape[1], np.nan)
        return Estimate(value, no_interval, no_interval, count)
    # A resample is a count per group. Its mean is a ratio of two sums over the groups, hence two matrix products.
    sums = np.zeros((len(names), exact.shape[1]))
    np.add.at(sums, member, exact)
    sizes = np.bincount(member, minlength=len(names)).astype(np.float64)
    random = np.random.default_rng(seed)
    means = []
    block = max(1, _BLOCK // len(names))
    for first in range(0, resamples, block):
        drawn = random.multinomial(
            len(names), np.full(len(names), 1 / len(names)), size=min(block, resamples - first)
        ).astype(np.float64)
        means.append((drawn @ sums) / (drawn @ sizes)[:, None])
    low, high = np.quantile(np.concatenate(means), [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2], axis=0)
    return Estimate(value, low, high, count)


def paired(ours: FloatArray, theirs: FloatArray, groups: Sequence[str], seed: int) -> Estimate:
    """Return the mean difference of two measurements of the same units, with its interval from a bootstrap over groups.

    The interval is narrower than a comparison of two separate intervals, because the difficulty of a unit cancels.

    Args:
        ours: (m, r).
        theirs: (m, r).
        groups: m names of groups.
        seed: Seed of the draws.

    Returns:
        Means (r,) of ours - theirs with their intervals.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> gain = paired(triplet_outcome(margins(new, triplets)), triplet_outcome(margins(old, triplets)), songs, 0)
    """
    if ours.shape != theirs.shape:
        raise ValueError(f"{ours.shape} and {theirs.shape} values; expected the same units and rows")
    return bootstrap(ours.astype(np.float64) - theirs.astype(np.float64), groups, seed)


def wald(share: FloatArray, n: IntArray) -> Estimate:
    """Return shares with the Wald interval p ± 1.96 sqrt(p (1 - p) / n), clipped to 0 and 1.

    The interval treats the trials as independent. It is too narrow if they share an anchor.

    Args:
        share: Shares p, 0 to 1, (r,).
        n: Numbers of trials, (r,).

    Returns:
        The shares with their intervals, NaN where n is 0.

    Example:
        >>> wald(np.array([0.5]), np.array([100])).low.round(3)
        array([0.402])
    """
    p, trials = np.asarray(share, dtype=np.float64), np.asarray(n)
    p = np.where(trials > 0, p, np.nan)
    half = _NORMAL * np.sqrt(p * (1 - p) / np.maximum(trials, 1))
    return Estimate(p, np.clip(p - half, 0, 1), np.clip(p + half, 0, 1), trials)


def clopper_pearson(wins: FloatArray, n: IntArray) -> Estimate:
    """Return the shares wins / n with the exact binomial (Clopper-Pearson) interval.

    Args:
        wins: Numbers of wins, (r,); may be fractional, because ties count half.
        n: Numbers of trials, (r,).

    Returns:
        The shares with their intervals, NaN where n is 0.

    Example:
        >>> clopper_pearson(np.array([8]), np.array([10])).high.round(3)
        array([0.975])
    """
    from scipy.stats import beta

    won, trials = np.asarray(wins, dtype=np.float64), np.asarray(n)
    tail = (1 - _COVERAGE) / 2
    has_trials = trials > 0
    safe = np.where(has_trials, trials, 1)
    # The quantiles are undefined for no wins and for no losses, where the interval ends at 0 and at 1.
    lost = safe - won
    low = np.where(won > 0, beta.ppf(tail, np.where(won > 0, won, 1), lost + 1), 0.0)
    high = np.where(lost > 0, beta.ppf(1 - tail, won + 1, np.where(lost > 0, lost, 1)), 1.0)
    value, low, high = (np.where(has_trials, column, np.nan) for column in (won / safe, low, high))
    return Estimate(value, low, high, trials)
