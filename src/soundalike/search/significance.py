"""Significance of scores: p-values from the null distribution, beyond the largest sample too, and q-values.

Scores beyond a high threshold follow a generalised Pareto distribution (Davison and Smith, "Models for Exceedances
over High Thresholds", JRSS B 52, 1990), which extends p-values beyond the sample. There are two changes, because
the sample comes from the library itself, where some random pairs *are* versions of each other:

- Only scores between two thresholds are fitted, by the likelihood of the distribution truncated above. Scores beyond
  the upper threshold are left out, because the true pairs are there.
- The shape is at least 0 (an exponential tail). A shorter tail would give high scores the probability 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundalike.core.types import FloatArray

__all__ = ["Tail", "fit_tail", "q_values"]


@dataclass(frozen=True, slots=True)
class Tail:
    """P(score > t) = share (1 + shape (t - start) / scale)^(-1 / shape) beyond `start`; fitted up to `end`."""

    start: float
    end: float
    share: float
    scale: float
    shape: float

    def p_values(self, scores: FloatArray) -> FloatArray:
        """The probability (n,) that a random pair scores higher than each of `scores` (n,); 1 below the tail."""
        beyond = np.maximum(np.asarray(scores, dtype=np.float64) - self.start, 0.0) / self.scale
        return np.where(beyond > 0, self.share * np.exp(-_hazard(beyond, self.shape)), 1.0)


def fit_tail(scores: FloatArray, *, first: float, last: float) -> Tail:
    """Fit the tail of `scores` (n,) between the scores that the shares `first` and `last` of them exceed.

    Raises:
        ValueError: Not 0 < last < first < 1, or these two scores are equal.

    Example:
        >>> tail = fit_tail(np.random.default_rng(0).normal(size=100_000), first=0.02, last=0.002)
        >>> bool(tail.p_values(np.array([5.0]))[0] < 1e-4)
        True
    """
    from scipy.optimize import minimize

    if not 0 < last < first < 1:
        raise ValueError(f"shares {first} and {last}; expected 0 < last < first < 1")
    start, end = np.quantile(scores.astype(np.float64), [1 - first, 1 - last])
    if not end > start:
        raise ValueError(
            f"the scores that {first:.1%} and {last:.1%} of all scores exceed are equal: there is no tail to fit"
        )
    inside = scores[(scores > start) & (scores <= end)].astype(np.float64) - start
    unit = float(inside.mean())
    inside, width = inside / unit, (end - start) / unit

    def loss(parameters: FloatArray) -> float:
        """The negative mean log likelihood of the distribution truncated at the upper threshold."""
        scale, shape = np.exp(parameters[0]), parameters[1]
        density = (_hazard(inside / scale, shape) + np.log1p(shape * inside / scale)).mean() + parameters[0]
        return float(density + np.log(-np.expm1(-_hazard(width / scale, shape))))

    found = minimize(loss, x0=(0.0, 0.1), bounds=((-5.0, 5.0), (0.0, 2.0)), method="L-BFGS-B")
    return Tail(float(start), float(end), first, unit * float(np.exp(found.x[0])), float(found.x[1]))


def _hazard(beyond: FloatArray | float, shape: float) -> FloatArray:
    """-log P(exceeding by more than `beyond` scales): log(1 + shape x) / shape, or x if the shape is 0."""
    x = np.asarray(beyond, dtype=np.float64)
    return np.log1p(shape * x) / shape if shape > 1e-9 else x


def q_values(p: FloatArray, tests: int) -> FloatArray:
    """The smallest false-discovery rate at which each p-value is found.

    Benjamini and Hochberg, "Controlling the False Discovery Rate", JRSS B 57, 1995: the q-value of the r-th smallest p
    is the minimum of p' tests / r' over all p' >= p.

    Args:
        p: P-values (m,).
        tests: The number of tests, at least m; tests that are not in `p` count as p = 1.

    Returns:
        (m,) float64.

    Example:
        >>> q_values(np.array([0.001, 0.04]), tests=2).tolist()
        [0.002, 0.04]
    """
    order = np.argsort(p, kind="stable")
    steps = p[order].astype(np.float64) * tests / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0)
    return q
