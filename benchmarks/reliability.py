"""Reliability of confidences: how often the descriptors that a method gives with some confidence are right.

A confidence is reliable if, of the answers with a confidence near p, a share p is right. The expected calibration error
is the mean of |share right - mean confidence| over the bins, weighted by their sizes: Guo, Pleiss, Sun and Weinberger,
"On calibration of modern neural networks", 2017.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

BINS = (0.0, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Edges of the bins of confidence. The last bin includes 1."""


@dataclass(frozen=True)
class Row:
    """One line of a reliability table. Shares are in per cent; `error` is the calibration error."""

    name: str
    n: int
    confidence: float
    right: float
    low: float
    high: float
    error: float

    @property
    def values(self) -> tuple[float, ...]:
        """The cells of the line."""
        return self.n, self.confidence, self.right, self.error


def reliability(name: str, confidence: Sequence[float], right: Sequence[bool]) -> list[Row]:
    """Return a row per bin that holds answers, and one of all answers with the expected calibration error.

    The intervals are those of Wilson, "Probable inference, the law of succession, and statistical inference", 1927.

    Args:
        name: The descriptor.
        confidence: (n,) from 0 to 1.
        right: (n,) whether the answer is right.
    """
    sure, correct = np.asarray(confidence, np.float64), np.asarray(right, np.bool_)
    if not len(sure):
        return []
    place = np.clip(np.searchsorted(BINS, sure, side="right") - 1, 0, len(BINS) - 2)
    rows = []
    for number in np.unique(place):
        label = f"{name}, {BINS[number]:.1f} to {BINS[number + 1]:.1f}"
        rows.append(_row(label, sure[place == number], correct[place == number]))
    error = sum(row.n * row.error for row in rows) / len(sure)
    whole = _row(f"{name}, all", sure, correct)
    return [*rows, Row(whole.name, whole.n, whole.confidence, whole.right, whole.low, whole.high, error)]


def _row(name: str, confidence: np.ndarray, right: np.ndarray) -> Row:
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    mean, share = 100 * float(confidence.mean()), 100 * float(right.mean())
    return Row(name, len(right), mean, share, 100 * interval.low, 100 * interval.high, abs(share - mean))
