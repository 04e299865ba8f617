"""Points on the way, and the widest path against every path there is."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.search.widest_path import slerp, widest_path


def steps_of(scores: np.ndarray, between: list[int] | tuple[int, ...]) -> list[float]:
    return [float(scores[a, b]) for a, b in pairwise([0, *between, len(scores) - 1])]


def every_path(scores: np.ndarray, steps: int) -> list[tuple[int, ...]]:
    """All simple paths of so many steps on which progress grows, by trying every order."""
    progress = scores[:, -1] - scores[:, 0]
    last = len(scores) - 1
    return [
        between
        for between in permutations(range(1, last), steps)
        if all(progress[a] < progress[b] for a, b in pairwise([0, *between, last]))
    ]


@given(seed=st.integers(0, 2**32 - 1), pool=st.integers(0, 6), steps=st.integers(1, 5), coarse=st.booleans())
def test_the_widest_path_is_the_best_of_all(seed: int, pool: int, steps: int, coarse: bool) -> None:
    scores = np.random.default_rng(seed).standard_normal((pool + 2, pool + 2))
    scores = np.round(scores) if coarse else scores  # many ties
    scores = (scores + scores.T) / 2
    np.fill_diagonal(scores, 3.0)
    found = widest_path(scores, steps)
    possible = max((n for n in range(pool + 1) if every_path(scores, n)), default=0)
    assert len(found) == min(steps, possible)
    if found:
        assert tuple(found) in every_path(scores, len(found))
        best = max((min(s := steps_of(scores, path)), sum(s)) for path in every_path(scores, len(found)))
        own = steps_of(scores, found)
        assert (min(own), sum(own)) == (best[0], pytest.approx(best[1]))


def test_a_path_of_one_row_each() -> None:
    """If all rows are equal, no row makes progress."""
    assert widest_path(np.ones((5, 5)), 3) == []


@given(seed=st.integers(0, 2**32 - 1), part=st.floats(0, 1))
def test_slerp_divides_the_angle(seed: int, part: float) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, 8))
    a, b = (a / np.linalg.norm(a)).astype(np.float32), (b / np.linalg.norm(b)).astype(np.float32)
    between = slerp(a, b, part)
    assert np.linalg.norm(between) == pytest.approx(1, abs=1e-5)
    whole = np.arccos(a @ b)
    assert np.arccos(np.clip(a @ between, -1, 1)) == pytest.approx(part * whole, abs=2e-3)
    assert np.arccos(np.clip(b @ between, -1, 1)) == pytest.approx((1 - part) * whole, abs=2e-3)


def test_slerp_where_there_is_no_way() -> None:
    a, nothing = np.array([0.6, 0.8], np.float32), np.zeros(2, np.float32)
    assert np.array_equal(slerp(a, nothing, 0.9), a)
    assert np.array_equal(slerp(nothing, a, 0.1), a)
    assert not slerp(nothing, nothing, 0.5).any()
    assert np.array_equal(slerp(a, -a, 0.4), a)
    assert np.array_equal(slerp(a, -a, 0.6), -a)
