"""Weights of spaces from the judgements of listeners: linear regression without an intercept.

A triplet (X, A, B) has one number per term k, such as a stem or a space of a model:

    f_k = cos(X_k, A_k) - cos(X_k, B_k)

and the answer y = 1 if listeners find A more like X, and -1 if they find B. The prediction is the sign of
sum_k w_k f_k. There is no intercept: if A and B are swapped, f and y change their signs, and the weights stay the same.

m triplets, k terms.

Reference: Vohra and Akama, Interpretable and Perceptually-Aligned Music Similarity with Pretrained Embeddings, 2026,
equations 2 and 3. The paper prints neither the penalty of its ridge regression nor errors of its weights; non-negative
weights, errors and intervals are additions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from soundalike.core.types import FloatArray, IntArray

__all__ = [
    "METHODS",
    "Fit",
    "Method",
    "WeightFit",
    "bootstrap_weights",
    "fit_nonnegative",
    "fit_ridge",
    "fit_weights",
    "fitter",
    "predicted_right",
    "split_by_song",
    "stratified_splits",
]

Method: TypeAlias = Literal["OLS", "ridge", "non-negative"]
METHODS: tuple[Method, ...] = ("OLS", "ridge", "non-negative")
Fit: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]
"""Takes features (m, k) and answers (m,), and returns weights (k,)."""

_RESAMPLES = 500
_ROUNDS = 3
_CONVERGED = 1e-12
_TINY = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class WeightFit:
    """Fitted weights.

    Attributes:
        weights: (k,) float64.
        errors: Their standard errors (k,), robust to unequal variances, which answers of ±1 always have.
    """

    weights: FloatArray
    errors: FloatArray


def fit_weights(features: FloatArray, answers: FloatArray, penalty: float = 0.0) -> WeightFit:
    """Fit weights by least squares without an intercept, with standard errors.

    Args:
        features: (m, k), as in the module's description. A term that is 0 in all triplets gets the weight 0.
        answers: (m,) numbers, such as ±1.
        penalty: The penalty of ridge regression, lambda in |y - F w|^2 + lambda |w|^2, at least 0. With 0 it is
            ordinary least squares (OLS).

    Returns:
        The weights, and the square roots of the diagonal of the sandwich estimate of their covariance,
        (F'F + lambda)^-1 F' diag(r^2) F (F'F + lambda)^-1 m / (m - k) with residuals r. For ridge regression they are
        errors around the shrunken weights.

    Raises:
        ValueError: There are no triplets, the shapes differ, or the penalty is negative.

    Example:
        >>> fit_weights(np.array([[0.2, 0.0], [0.0, 0.1]]), np.array([1.0, -1.0])).weights.round(3).tolist()
        [5.0, -10.0]
    """
    rows, y = _checked(features, answers, penalty)
    inverse = np.linalg.pinv(rows.T @ rows + penalty * np.eye(rows.shape[1]), hermitian=True)
    weights = inverse @ (rows.T @ y)
    residuals = y - rows @ weights
    scale = len(y) / max(1, len(y) - rows.shape[1])
    covariance = inverse @ (rows.T * residuals**2) @ rows @ inverse * scale
    return WeightFit(weights, np.sqrt(np.maximum(np.diag(covariance), 0.0)))


def fit_ridge(features: FloatArray, answers: FloatArray, penalty: float = 1.0) -> FloatArray:
    """Return only the weights of `fit_weights`, (k,), which is faster."""
    rows, y = _checked(features, answers, penalty)
    gram = rows.T @ rows
    if penalty > 0:
        return np.linalg.solve(gram + penalty * np.eye(len(gram)), rows.T @ y)
    return np.linalg.lstsq(rows, y, rcond=None)[0]


def fit_nonnegative(features: FloatArray, answers: FloatArray) -> FloatArray:
    """Fit weights that are at least 0 by least squares, with the active sets of Lawson and Hanson.

    Args:
        features: (m, k).
        answers: (m,).

    Returns:
        (k,) float64. They minimise |y - F w|^2 over w >= 0.

    Raises:
        ValueError: As for `fit_weights`.

    Example:
        >>> fit_nonnegative(np.array([[0.2, 0.0], [0.0, 0.1]]), np.array([1.0, -1.0])).round(3).tolist()
        [5.0, 0.0]
    """
    rows, y = _checked(features, answers, 0.0)
    gram, target = rows.T @ rows, rows.T @ y
    weights, passive = np.zeros(rows.shape[1]), np.zeros(rows.shape[1], dtype=np.bool_)
    smallest = _CONVERGED * float(np.abs(target).max(initial=0.0))
    for _ in range(_ROUNDS * rows.shape[1]):  # each round frees one weight; rounding may let it repeat itself
        gradient = np.where(passive, -np.inf, target - gram @ weights)
        if not gradient.max(initial=-np.inf) > smallest:
            break
        passive[gradient.argmax()] = True
        while passive.any():
            free = np.flatnonzero(passive)
            found = np.linalg.lstsq(gram[np.ix_(free, free)], target[free], rcond=None)[0]
            negative = found <= 0
            if not negative.any():
                weights[free] = found
                break
            now = weights[free]
            steps = np.where(negative, now / np.maximum(now - found, _TINY), np.inf)
            weights[free] = now + steps.min() * (found - now)
            passive[free[negative & (weights[free] <= _CONVERGED)]] = False
            passive[free[steps.argmin()]] = False
            weights[~passive] = 0.0
    return weights


def fitter(method: Method, penalty: float = 1.0) -> Fit:
    """Return the function that fits by a method.

    Args:
        method: One of `METHODS`.
        penalty: The penalty of ridge regression; other methods have none.

    Example:
        >>> fitter("ridge", 0.5)(features, answers).shape
        (5,)
    """
    if method == "non-negative":
        return fit_nonnegative
    used = penalty if method == "ridge" else 0.0
    return lambda features, answers: fit_ridge(features, answers, used)


def _checked(features: FloatArray, answers: FloatArray, penalty: float) -> tuple[FloatArray, FloatArray]:
    rows, y = np.asarray(features, dtype=np.float64), np.asarray(answers, dtype=np.float64)
    if rows.ndim != 2 or y.shape != rows.shape[:1] or not len(y):
        raise ValueError(f"features {rows.shape} and answers {y.shape}; expected (m, k) and (m,) with m of at least 1")
    if not penalty >= 0:
        raise ValueError(f"the penalty is {penalty}; expected at least 0")
    return rows, y


def predicted_right(features: FloatArray, answers: FloatArray, weights: FloatArray) -> FloatArray:
    """Return for m triplets 1 if the weights choose as the listeners, 0 if not, and 1/2 for a tie.

    Args:
        features: (m, k).
        answers: (m,), positive for A and negative for B.
        weights: (k,).

    Example:
        >>> predicted_right(np.array([[0.2], [0.1]]), np.array([1.0, -1.0]), np.array([2.0])).tolist()
        [1.0, 0.0]
    """
    return np.heaviside((features @ weights) * answers, 0.5)


def bootstrap_weights(
    features: FloatArray,
    answers: FloatArray,
    groups: Sequence[str],
    fit: Fit,
    seed: int,
    *,
    resamples: int = _RESAMPLES,
) -> tuple[FloatArray, FloatArray]:
    """Return 95 % percentile intervals of fitted weights, from a bootstrap over groups.

    Args:
        features: (m, k).
        answers: (m,).
        groups: m names of what is drawn with replacement, such as the song of X.
        fit: Fits the weights.
        seed: Seed of the draws.
        resamples: Number of draws.

    Returns:
        Lower and upper bounds, (k,) each; NaN with fewer than two groups.

    Example:
        >>> low, high = bootstrap_weights(features, answers, songs, fitter("OLS"), 0)
    """
    names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    if len(names) < 2:
        unknown = np.full(features.shape[1], np.nan)
        return unknown, unknown
    of_group = [np.flatnonzero(member == group) for group in range(len(names))]
    random = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        rows = np.concatenate([of_group[group] for group in random.integers(0, len(names), len(names))])
        drawn.append(fit(features[rows], answers[rows]))
    low, high = np.quantile(np.stack(drawn), [0.025, 0.975], axis=0)
    return low, high


def stratified_splits(
    answers: FloatArray, splits: int = 100, test: float = 0.3, seed: int = 0
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield random splits in which train and test have the share of A and B of the whole (section 3.5 of the paper).

    Args:
        answers: (m,), positive or negative, with at least two triplets.
        splits: The number of splits.
        test: The share of the triplets of each class that is tested on, above 0 and below 1.
        seed: Seed of the draws.

    Yields:
        The positions of the train and test triplets, both sorted.

    Raises:
        ValueError: There are fewer than two triplets.

    Example:
        >>> train, test = next(stratified_splits(np.array([1.0, 1.0, -1.0, -1.0]), test=0.5))
        >>> len(train), len(test)
        (2, 2)
    """
    if len(answers) < 2:
        raise ValueError(f"{len(answers)} triplets; expected at least 2, to train on some and test on others")
    random = np.random.default_rng(seed)
    classes = [np.flatnonzero(side) for side in (answers > 0, answers <= 0)]
    for _ in range(splits):
        chosen = np.zeros(len(answers), dtype=np.bool_)
        for members in classes:
            count = round(test * len(members))
            chosen[random.permutation(members)[:count]] = True
        if not chosen.any():  # so few triplets that both shares round to none
            chosen[random.integers(len(answers))] = True
        yield np.flatnonzero(~chosen), np.flatnonzero(chosen)


def split_by_song(songs: Sequence[Sequence[str]]) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield splits that train on the triplets without any song of the tested ones.

    Random splits share songs between train and test, so that weights may fit single songs. Here they cannot.

    Args:
        songs: The songs of X, A and B of every triplet, (m, 3).

    Yields:
        The positions of the train and test triplets. Triplets of the same songs are tested together, every triplet
        once. A split without anything to train on is left out.

    Example:
        >>> [(train.tolist(), test.tolist()) for train, test in split_by_song([("a", "b", "c"), ("d", "e", "f")])]
        [([1], [0]), ([0], [1])]
    """
    members: dict[frozenset[str], list[int]] = {}
    for n, names in enumerate(songs):
        members.setdefault(frozenset(names), []).append(n)
    table = np.asarray(songs, dtype=np.str_).reshape(len(songs), -1)
    for inside, test in members.items():
        train = np.flatnonzero(~np.isin(table, list(inside)).any(axis=1))
        if len(train):
            yield train, np.array(test, dtype=np.int64)
