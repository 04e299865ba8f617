"""Mutual proximity of a query that is silent in a space."""

from __future__ import annotations

import numpy as np

from soundalike.core.types import Calibration
from soundalike.models import Background


def test_a_silent_query_has_no_z_score() -> None:
    rows = np.random.default_rng(0).standard_normal((40, 8)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    background = Background.from_rows(np.arange(40), {"melody": rows})
    calibration = Calibration(mu=0.1, sigma=0.2, quantiles=tuple(np.linspace(-1, 1, 101).tolist()))
    z = background.z_scores("melody", calibration, np.zeros(8, np.float32), -1, rows[:5], np.arange(5))
    assert not z.any()
