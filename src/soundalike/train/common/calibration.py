"""Estimate the null distribution of a space from random pairs of rows."""

from __future__ import annotations

import numpy as np

from soundalike.core.types import Calibration, FloatArray, IntArray
from soundalike.models import calibrate

__all__ = ["calibrate_random_pairs"]

_PAIRS = 20_000
"""Pairs that are drawn, with replacement."""


def calibrate_random_pairs(rows: FloatArray, groups: IntArray, rng: np.random.Generator) -> Calibration:
    """Estimate the null distribution of a space from random pairs of rows that have nothing in common by design.

    Args:
        rows: Unit rows (n, d). Rows that are all zero are left out.
        groups: What each row shares with others: (n,), or (n, k) for k properties. The rows of a pair differ in all.
        rng: Draws the pairs.

    Returns:
        The calibration.

    Raises:
        ValueError: No row is audible, fewer than two pairs differ, or all are equally similar.

    Example:
        >>> rows = unit_rows(np.random.default_rng(0).standard_normal((50, 8)))
        >>> calibrate_random_pairs(rows, np.arange(50), np.random.default_rng(0)).sigma > 0
        True
    """
    audible = np.flatnonzero(rows.any(axis=1))
    if not len(audible):
        raise ValueError("no row is audible; calibrate with music")
    first, second = rng.choice(audible, (2, _PAIRS))
    apart = (groups[first] != groups[second]).reshape(_PAIRS, -1).all(axis=1)
    return calibrate(np.einsum("nd,nd->n", rows[first[apart]], rows[second[apart]]))
