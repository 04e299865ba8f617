"""From which level on an instrument counts as audible in a mix.

Cascade separates every instrument before it describes it, and something is left of each mix: the leakage of the others.
The gate of an instrument is the level of the separated magnitudes, relative to those of the mix, that tells segments
with the instrument from segments without it. Direct separates nothing and has no gate.
"""

from __future__ import annotations

import numpy as np

from soundalike.core.types import BoolArray, FloatArray

__all__ = ["OPEN", "balanced_accuracy", "fit_gates"]

OPEN = -120.0
"""A gate in dB that lets everything pass: graphs give no lower level."""


def fit_gates(levels: FloatArray, present: BoolArray) -> tuple[float, ...]:
    """Return the gate of each instrument with the highest balanced accuracy; of several, the lowest.

    An instrument that is present in every segment, or in none, gets the gate `OPEN`.

    Args:
        levels: (n, K) in dB relative to the mix, as `relative_levels` gives them.
        present: (n, K) whether the instrument plays in the segment.

    Returns:
        The K gates in dB. A segment whose level is at the gate passes.

    Example:
        >>> fit_gates(np.array([[-30.0], [-10.0]]), np.array([[False], [True]]))
        (-20.0,)
    """
    gates = []
    for level, plays in zip(levels.T.astype(np.float64), present.T, strict=True):
        if plays.all() or not plays.any():
            gates.append(OPEN)
            continue
        steps = np.unique(level)
        candidates = np.concatenate([[OPEN], (steps[1:] + steps[:-1]) / 2])
        accuracies = [balanced_accuracy(level >= gate, plays) for gate in candidates]
        gates.append(float(candidates[int(np.argmax(accuracies))]))
    return tuple(gates)


def balanced_accuracy(passed: BoolArray, present: BoolArray) -> float:
    """Return the mean of two shares: of segments with the instrument that pass, and of those without that do not.

    Args:
        passed: (n,) whether the segment passes.
        present: (n,) whether the instrument plays; at least one does and one does not.

    Example:
        >>> balanced_accuracy(np.array([True, True]), np.array([True, False]))
        0.5
    """
    return float((passed[present].mean() + (~passed[~present]).mean()) / 2)
