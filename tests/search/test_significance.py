"""Tails against known distributions, and false-discovery rates against a naive loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.search.significance import Tail, fit_tail, q_values


@given(st.lists(st.floats(0, 1), max_size=30), st.integers(0, 50))
def test_q_values_against_a_naive_loop(values: list[float], others: int) -> None:
    p, tests = np.array(values), len(values) + others
    found = q_values(p, tests)
    for n, one in enumerate(values):
        # The smallest rate at which the step-up procedure rejects it: over all cuts at or beyond it.
        rates = [cut * tests / sum(other <= cut for other in values) for cut in values if cut >= one]
        assert found[n] == pytest.approx(min(1.0, *rates))


@given(st.lists(st.floats(0, 0.1), min_size=1, max_size=20))
def test_a_pair_that_is_not_looked_at_counts_as_one(values: list[float]) -> None:
    everything = q_values(np.array([*values, *[1.0] * 13]), len(values) + 13)
    np.testing.assert_allclose(q_values(np.array(values), len(values) + 13), everything[: len(values)])


def samples(seed: int, count: int = 200_000) -> dict[str, tuple[np.ndarray, float]]:
    """Draws from distributions, and the score that one in 100,000 exceeds."""
    from scipy.stats import genpareto, norm

    random = np.random.default_rng(seed)
    return {
        "exponential": (random.exponential(size=count), float(-np.log(1e-5))),
        "pareto": (genpareto.rvs(0.3, size=count, random_state=random), float(genpareto.isf(1e-5, 0.3))),
        "normal": (random.standard_normal(count), float(norm.isf(1e-5))),
    }


@pytest.mark.parametrize("seed", range(3))
def test_a_tail_is_carried_on_as_the_law_goes(seed: int) -> None:
    for name, (scores, far) in samples(seed).items():
        tail = fit_tail(scores, first=0.05, last=0.001)
        p = float(tail.p_values(np.array([far]))[0])
        # A tail that is shorter than an exponential one is taken for longer than it is, never for shorter.
        assert 0.3e-5 < p < (2e-4 if name == "normal" else 3e-5), name
        assert tail.shape == pytest.approx({"exponential": 0.0, "pareto": 0.3, "normal": 0.0}[name], abs=0.12)


def test_what_lies_beyond_the_fit_does_not_move_it() -> None:
    scores, far = samples(0)["exponential"]
    with_pairs = np.where(np.arange(len(scores)) % 2000 == 0, scores + 50, scores)
    alone, among = (fit_tail(each, first=0.05, last=0.002) for each in (scores, with_pairs))
    assert among.p_values(np.array([far]))[0] == pytest.approx(alone.p_values(np.array([far]))[0], rel=0.4)


def test_p_values_are_those_of_the_generalised_pareto_distribution() -> None:
    from scipy.stats import genpareto

    for shape in (0.0, 0.2):
        tail = Tail(start=1.0, end=2.0, share=0.02, scale=0.5, shape=shape)
        at = np.array([1.1, 2.0, 7.0])
        np.testing.assert_allclose(tail.p_values(at), 0.02 * genpareto.sf(at - 1, shape, scale=0.5))
        assert tail.p_values(np.array([-3.0, 1.0])).tolist() == [1.0, 1.0]


def test_what_has_no_tail_is_refused() -> None:
    with pytest.raises(ValueError, match="no tail to fit"):
        fit_tail(np.ones(1000), first=0.1, last=0.01)
    with pytest.raises(ValueError, match="expected 0 < last < first < 1"):
        fit_tail(np.arange(1000.0), first=0.01, last=0.1)
