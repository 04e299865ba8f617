"""Predict the tags of tracks from those of their neighbours in a space, with calibrated probabilities.

The ten nearest labelled tracks vote for their labels, nearer ones with more weight. A logistic function of the share of
the votes gives the probability (Platt, "Probabilistic outputs for support vector machines", 1999). It is fitted to
tracks that the networks had not seen.

In shapes, n counts tracks, m labelled tracks, d dims and l labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.text import fold
from soundalike.core.types import BoolArray, FloatArray

__all__ = ["Suggestion", "TagCalibration", "Votes", "fit_calibration", "suggest_tags", "vote"]

_NEIGHBOURS = 10
_TEMPERATURE = 0.1  # a neighbour that is farther by this cosine has a weight of 1/e
_EDGE = 0.02  # shares are clipped to [0.02, 0.98] before their logit is taken
_RIDGE = 1e-2
_STEPS = 50  # of Newton's method
_BINS = 10


@dataclass(frozen=True, slots=True, eq=False)
class Votes:
    """What the neighbours of n tracks say.

    Attributes:
        labels: The l labels.
        shares: The share of the votes for every label, (n, l), 0 to 1.
        truth: The labels that the tracks have, (n, l).
    """

    labels: tuple[str, ...]
    shares: FloatArray
    truth: BoolArray

    @property
    def first_is_right(self) -> BoolArray:
        """Whether a track has the label with the most votes, (n,)."""
        return np.asarray(self.truth[np.arange(len(self.shares)), self.shares.argmax(axis=1)])


@dataclass(frozen=True, slots=True)
class TagCalibration:
    """How shares of votes become probabilities: 1 / (1 + exp(-(slope * logit(share) + intercept))).

    Attributes:
        slope: See above.
        intercept: See above.
        pairs: Pairs of a track and a label that it was fitted to.
        error: Mean distance between probability and frequency in ten bins of equal size, on parts of the library that
            were left out of the fit; NaN with one part.
    """

    slope: float
    intercept: float
    pairs: int
    error: float

    def probability(self, shares: FloatArray) -> FloatArray:
        """Return the probabilities of shares of votes."""
        return np.asarray(1 / (1 + np.exp(-(self.slope * _logit(shares) + self.intercept))))


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A label that a track probably has."""

    label: str
    probability: float


def vote(
    rows: FloatArray, known_rows: FloatArray, known: Sequence[Sequence[str]], truth: Sequence[Sequence[str]] = ()
) -> Votes:
    """Let the nearest labelled tracks vote.

    Args:
        rows: Unit rows (n, d).
        known_rows: Unit rows (m, d) of labelled tracks, m >= 1.
        known: Their labels. Labels that differ in case only are one, in its most frequent spelling.
        truth: The labels of the n tracks, if they are known.

    Example:
        >>> vote(np.eye(2), np.eye(2), [("Rock",), ("Jazz",)]).labels
        ('Jazz', 'Rock')
    """
    spelling: dict[str, Counter[str]] = {}
    for tags in known:
        for tag in tags:
            spelling.setdefault(fold(tag), Counter())[tag] += 1
    keys = sorted(spelling)
    column = {key: n for n, key in enumerate(keys)}
    table = np.zeros((len(known), len(keys)))
    for n, tags in enumerate(known):
        table[n, [column[fold(tag)] for tag in tags]] = 1.0
    similarity = rows @ known_rows.T
    count = min(_NEIGHBOURS, len(known))
    nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
    near = np.take_along_axis(similarity, nearest, axis=1)
    weight = np.exp((near - near.max(axis=1, keepdims=True)) / _TEMPERATURE)
    weight /= weight.sum(axis=1, keepdims=True)
    shares = np.einsum("nk,nkl->nl", weight, table[nearest])
    right = np.zeros((len(rows), len(keys)), np.bool_)
    for n, tags in enumerate(truth):
        right[n, [column[fold(tag)] for tag in tags if fold(tag) in column]] = True
    return Votes(tuple(spelling[key].most_common(1)[0][0] for key in keys), shares, right)


def fit_calibration(parts: Sequence[Votes]) -> TagCalibration:
    """Fit probabilities to the votes for tracks with known labels, in parts of a library.

    Only labels with votes count: others are never suggested.

    Args:
        parts: The votes for the tracks of every part.

    Example:
        >>> fit_calibration([votes]).slope > 0
        True
    """
    pairs = [(one.shares[one.shares > 0], one.truth[one.shares > 0]) for one in parts]
    shares, truth = (np.concatenate([pair[n] for pair in pairs]) for n in (0, 1))
    slope, intercept = _fit(shares, truth)
    error = float("nan")
    if len(pairs) > 1:
        predicted = []
        for left_out, (own, _) in enumerate(pairs):
            others = [pair for n, pair in enumerate(pairs) if n != left_out]
            fitted = _fit(*(np.concatenate([pair[n] for pair in others]) for n in (0, 1)))
            predicted.append(TagCalibration(*fitted, pairs=0, error=0.0).probability(own))
        error = _calibration_error(np.concatenate(predicted), truth)
    return TagCalibration(slope, intercept, len(shares), error)


def suggest_tags(
    rows: FloatArray, known_rows: FloatArray, known: Sequence[Sequence[str]], calibration: TagCalibration
) -> list[list[Suggestion]]:
    """Return the labels that tracks probably have, each with its probability, the most probable first.

    Args:
        rows: Unit rows (n, d).
        known_rows: Unit rows (m, d) of labelled tracks, m >= 1.
        known: Their labels.
        calibration: The calibration of the space.

    Example:
        >>> suggest_tags(rows, known_rows, [("Rock",), ("Jazz",)], calibration)[0][0].label
        'Jazz'
    """
    votes = vote(rows, known_rows, known)
    probabilities = calibration.probability(votes.shares)
    return [
        [
            Suggestion(votes.labels[n], float(probabilities[row, n]))
            for n in np.argsort(-probabilities[row], kind="stable")
            if votes.shares[row, n] > 0
        ]
        for row in range(len(rows))
    ]


def _logit(shares: FloatArray) -> FloatArray:
    clipped = np.clip(shares, _EDGE, 1 - _EDGE)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _fit(shares: FloatArray, truth: BoolArray) -> tuple[float, float]:
    """Return slope and intercept of the logistic regression, with a small ridge that keeps them finite."""
    design = np.column_stack([_logit(shares), np.ones(len(shares))])
    found = np.zeros(2)
    for _ in range(_STEPS):
        predicted = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (predicted - truth) + _RIDGE * found
        curvature = (design * (predicted * (1 - predicted))[:, None]).T @ design + _RIDGE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found = found - step / max(1.0, float(np.linalg.norm(step)))  # a full step may overshoot
    return float(found[0]), float(found[1])


def _calibration_error(predicted: FloatArray, truth: BoolArray) -> float:
    """Return the mean distance of probability and frequency in bins of equal size."""
    order = np.argsort(predicted, kind="stable")
    bins = [part for part in np.array_split(order, _BINS) if len(part)]
    return float(sum(len(part) * abs(predicted[part].mean() - truth[part].mean()) for part in bins) / len(predicted))
