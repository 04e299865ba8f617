"""The null distribution of a score: how often a random pair scores lower, far into the tail too.

A track with n audible passages answers a search with the best of them. If a random passage scores lower than t with
probability F(t), the best of n random passages scores lower with probability F(t)^n. Long tracks have high best scores
by draws alone, so matches are compared by F(score)^n and not by the score. The comparison uses log F, since F is almost
1 for every good match: n log F(t) tells scores apart where F(t)^n would round to 1.

F is the empirical distribution of a seeded sample of random pairs up to a high threshold. Beyond it, exceedances are
exponential (the generalised Pareto distribution of shape 0, Davison and Smith, "Models for Exceedances over High
Thresholds", JRSS B 52, 1990), cut off at the highest possible score. The scale is fitted to the scores between a lower
threshold and that one, because some random pairs of a library are versions of each other, and lie beyond it (see
`search/significance.py`, which fits the shape too).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from soundalike.core.types import FloatArray

__all__ = ["NullDistribution"]

_KNOTS, _HIGH_KNOTS = 512, 48
_HIGHEST_SHARE = 0.1
_WIDTH = 10.0
"""The scale is fitted from the score that ten times as many pairs exceed as the threshold, or a tenth of all pairs."""


@dataclass(frozen=True, slots=True, eq=False)
class NullDistribution:
    """The distribution function F of the scores of random pairs. It increases strictly up to `bound`, where it is 1.

    Attributes:
        scores: (m,) float64, ascending: scores at which log F is tabulated.
        log_shares: (m,) float64, ascending: log F there; linear in between, and below.
        share: The share of random pairs that score higher than the last of `scores`.
        scale: The mean exceedance beyond it.
        bound: The highest possible score.
    """

    scores: FloatArray
    log_shares: FloatArray
    share: float
    scale: float
    bound: float

    @classmethod
    def of(cls, sample: FloatArray, bound: float, last: float) -> Self:
        """Fit a sample.

        Args:
            sample: Scores (n,) of random pairs, at least 2.
            bound: The highest possible score.
            last: The share of the sample that may be higher because the pairs are not random, such as versions; above
                0 and below 0.1.

        Example:
            >>> null = NullDistribution.of(random_scores, bound=5.0, last=5e-4)
            >>> float(np.exp(47 * null.log_cdf(np.array([2.5]))[0]))  # the best of 47 passages
            0.93
        """
        ordered = np.sort(sample.astype(np.float64))
        first = min(_WIDTH * last, _HIGHEST_SHARE)
        low = np.linspace(0.5 / len(ordered), 1 - first, _KNOTS)
        shares = np.concatenate([low, 1 - np.geomspace(first, last, _HIGH_KNOTS)[1:]])
        at = np.interp(shares, (np.arange(len(ordered)) + 0.5) / len(ordered), ordered)
        begin, end = float(at[_KNOTS - 1]), float(at[-1])
        # Equal scores have the highest of their shares.
        at, places = np.unique(at[::-1], return_index=True)
        shares = shares[::-1][places]
        inside = ordered[(ordered > begin) & (ordered <= end)] - begin
        scale = _exponential_scale(float(inside.mean()), end - begin) if len(inside) and end > begin else 0.0
        spread = float(ordered[-1] - ordered[0])
        scale = max(scale, 1e-3 * spread, 1e-9)
        if len(at) == 1:  # all equal: a step of one scale
            at, shares = np.array([end - scale, end]), np.array([shares[0] / 2, shares[0]])
        return cls(at, np.log(shares), last, scale, max(bound, end + 1e-3 * scale))

    def log_cdf(self, scores: FloatArray) -> FloatArray:
        """log F (n,) float64 of scores (n,): at most 0, and -inf for a score of -inf."""
        x = np.asarray(scores, dtype=np.float64)
        start = self.scores[-1]
        slope = (self.log_shares[1] - self.log_shares[0]) / (self.scores[1] - self.scores[0])
        body = np.interp(x, self.scores, self.log_shares) + slope * np.minimum(x - self.scores[0], 0.0)
        with np.errstate(invalid="ignore"):
            width = (self.bound - start) / self.scale
            left = np.clip((self.bound - x) / self.scale, 0.0, width)
            # exp(-beyond) - exp(-width), over 1 - exp(-width), without cancellation near the bound.
            above = -np.exp(left - width) * np.expm1(-left) / -np.expm1(-width)
        return np.where(x > start, np.log1p(-self.share * np.minimum(above, 1.0)), body)

    def score_at(self, log_share: float) -> float:
        """The score at which log F is `log_share`, up to rounding: the inverse of `log_cdf`."""
        if log_share >= 0:
            return self.bound
        if log_share > self.log_shares[-1]:
            width = (self.bound - self.scores[-1]) / self.scale
            above = -np.expm1(log_share) / self.share
            # Solve exp(left - width) (1 - exp(-left)) = above (1 - exp(-width)) for left.
            return float(self.bound - self.scale * (np.log1p(above * np.expm1(width)) if width < 700 else
                                                    width + np.log(above)))  # fmt: skip
        if log_share < self.log_shares[0]:
            slope = (self.log_shares[1] - self.log_shares[0]) / (self.scores[1] - self.scores[0])
            return float(self.scores[0] + (log_share - self.log_shares[0]) / slope)
        return float(np.interp(log_share, self.log_shares, self.scores))


def _exponential_scale(mean: float, width: float) -> float:
    """The scale of an exponential distribution truncated at `width`, from its mean: the maximum of the likelihood.

    The mean of the truncated distribution is scale - width / (exp(width / scale) - 1). From half the width on, no scale
    is large enough, and five times the width is as good as uniform.
    """
    low, high = mean, 5 * width
    if mean >= high - width / np.expm1(width / high):
        return high
    for _ in range(60):
        scale = (low + high) / 2
        ratio = width / scale
        found = scale - (width / np.expm1(ratio) if ratio < 700 else 0.0)
        low, high = (scale, high) if found < mean else (low, scale)
    return (low + high) / 2
