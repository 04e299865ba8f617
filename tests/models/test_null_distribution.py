"""The null distribution of scores: it follows its sample, never saturates, and makes best-of-n scores comparable."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_ndtr

from soundalike.core.types import Calibration, Space
from soundalike.models.null_distribution import NullDistribution
from soundalike.models.reference import PairSample, Reference
from soundalike.models.score import combine_terms, query_terms

NORMAL = NullDistribution.of(np.random.default_rng(0).normal(size=131_072), 12.0, 5e-4)


def test_log_f_follows_the_normal_distribution() -> None:
    at = np.array([-2.0, -1.0, 0.0, 1.0, 2.0, 2.5, 3.0])
    assert NORMAL.log_cdf(at) == pytest.approx(log_ndtr(at), rel=0.08)


def test_versions_among_the_random_pairs_do_not_change_the_tail() -> None:
    """Exponential scores, one in two thousand of them that of a version: the others decide."""
    sample = np.random.default_rng(1).exponential(size=200_000)
    sample[:100] = 40.0
    null = NullDistribution.of(sample, 60.0, 1e-3)
    assert -np.expm1(null.log_cdf(np.array([1.0, 5.0]))) == pytest.approx(np.exp([-1.0, -5.0]), rel=0.1)
    # Beyond the threshold the versions double the share, and no more: their scores of 40 do not stretch the tail.
    beyond = np.array([8.0, 12.0, 16.0])
    ratio = -np.expm1(null.log_cdf(beyond)) / np.exp(-beyond)
    assert ((ratio > 1) & (ratio < 3)).all()


@given(st.integers(0, 99), st.sampled_from([2, 3, 50, 3000]), st.sampled_from([0.0, 1.0, 40.0]),
       st.floats(-3, 3), st.floats(0.01, 20))  # fmt: skip
def test_log_f_increases_strictly_to_0_at_the_bound(seed, count, spread, mean, room) -> None:
    sample = np.random.default_rng(seed).normal(mean, spread, count)
    bound = float(sample.max() + room)
    null = NullDistribution.of(sample, bound, 5e-4)
    at = np.linspace(sample.min() - 5 * (spread + 1e-6), null.bound, 500)
    values = null.log_cdf(at)
    if (null.bound - null.scores[-1]) / null.scale < 500:  # beyond this, 1 - F is smaller than float64 can express
        assert (np.diff(values) > 0).all()
    assert (np.diff(values) >= 0).all()
    assert values[-1] == 0
    assert null.log_cdf(np.array([null.bound + 1, np.inf, -np.inf])).tolist() == [0, 0, -np.inf]
    for score, value in zip(at[::50], values[::50], strict=True):
        if value == 0:
            continue
        assert null.score_at(float(value)) == pytest.approx(score, abs=1e-4 * (1 + abs(score) + null.scale + spread))


def test_the_best_of_n_is_uniform_whatever_n_is() -> None:
    """F(best of n)^n of random scores is uniform on 0 to 1."""
    random = np.random.default_rng(2)
    for n in (1, 5, 47, 700):
        best = random.normal(size=(2000, n)).max(axis=1)
        shares = np.exp(n * NORMAL.log_cdf(best))
        assert np.mean(shares) == pytest.approx(0.5, abs=0.03)
        assert np.quantile(shares, [0.1, 0.9]) == pytest.approx([0.1, 0.9], abs=0.05)


def spaces() -> tuple[Space, ...]:
    table = tuple(np.linspace(-0.4, 0.6, 101).tolist())
    calibration = dict.fromkeys(("track", "passage"), Calibration(0.1, 0.2, table))
    return tuple(Space("m", name, "mix", "b", name, "identity", 8, calibration) for name in ("a", "b"))


def random_rows(seed: int, count: int, centre: float = 0.6) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    rows = {}
    for name in ("a", "b"):
        part = random.standard_normal((count, 8)) + centre
        rows[name] = (part / np.linalg.norm(part, axis=1, keepdims=True)).astype(np.float32)
    return rows


def test_mean_and_deviation_are_those_of_all_pairs() -> None:
    """300 rows have 44,850 pairs: all are drawn, those of one recording left out."""
    rows = random_rows(0, 300)
    for recordings in (300, 100):
        reference = Reference.of_library(spaces(), "passage", PairSample.of(rows, recordings), recordings)
        owner = np.arange(300) % recordings
        left, right = np.triu_indices(300, 1)
        apart = owner[left] != owner[right]
        pairs = np.einsum("nd,nd->n", rows["a"][left[apart]], rows["a"][right[apart]])
        assert reference.source == "library"
        # The shift by half the rows has each pair twice.
        assert reference.calibration("a").mu == pytest.approx(float(pairs.mean()), abs=1e-3)
        assert reference.calibration("a").sigma == pytest.approx(float(pairs.std()), rel=5e-3)


def test_a_rarely_audible_space_keeps_the_model() -> None:
    rows = random_rows(1, 300)
    rows["b"][10:] = 0
    reference = Reference.of_library(spaces(), "track", PairSample.of(rows, 300), 300)
    assert [one.calibration["track"].source for one in reference.spaces] == ["library", "model"]
    assert reference.calibration("b") == spaces()[1].calibration["track"]
    # A request with that space is measured against independent draws from both calibrations.
    query = {name: part[0] for name, part in rows.items()}
    null = reference.null([(1.0, query_terms(reference.spaces, query, {"a": 1, "b": 1}, "track"))])
    assert np.exp(null.log_cdf(np.array([0.0]))) == pytest.approx(0.5, abs=0.05)


def test_the_null_of_several_examples_is_that_of_their_mean() -> None:
    """Random candidates for random pairs of examples, one to be like and one to be unlike, drawn in a plain loop."""
    rows = random_rows(2, 1000)
    reference = Reference.of_library(spaces(), "passage", PairSample.of(rows, 1000), 1000)
    random = np.random.default_rng(3)
    weights = ({"a": 1.0, "b": 2.0}, {"a": 1.0})
    drawn = []
    for _ in range(3000):
        first, second, candidate = random.choice(1000, 3, replace=False)
        score = 0.0
        for sign, number, own in ((1, first, weights[0]), (-1, second, weights[1])):
            for name, weight in own.items():
                calibration = reference.calibration(name)
                cosine = float(rows[name][number] @ rows[name][candidate])
                score += sign / 2 * weight * (cosine - calibration.mu) / calibration.sigma / sum(own.values())
        drawn.append(score)
    query = {name: part[0] for name, part in rows.items()}
    queries = [(sign / 2, query_terms(reference.spaces, query, own, "passage"))
               for sign, own in zip((1, -1), weights, strict=True)]  # fmt: skip
    assert combine_terms(queries)
    null = reference.null(queries)
    for share in (0.1, 0.5, 0.9, 0.98):
        assert np.exp(null.log_cdf(np.quantile(drawn, share))) == pytest.approx(share, abs=0.02)
