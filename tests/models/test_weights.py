"""Weights from judgements: plain loops and scipy as oracles, and weights that are known are recovered."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from soundalike.models.weights import (
    METHODS,
    Method,
    bootstrap_weights,
    fit_nonnegative,
    fit_weights,
    fitter,
    predicted_right,
    split_by_song,
    stratified_splits,
)


def judged(weights: np.ndarray, m: int, seed: int, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Features of m triplets, and answers by listeners with these weights and logistic noise."""
    random = np.random.default_rng(seed)
    features = 0.2 * random.standard_normal((m, len(weights)))
    return features, np.where(features @ weights + noise * random.logistic(size=m) > 0, 1.0, -1.0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.sampled_from([0.0, 0.1, 3.0]))
@settings(max_examples=30, deadline=None)
def test_weights_minimise_the_penalised_squared_error(seed: int, k: int, penalty: float) -> None:
    features, answers = judged(np.arange(1.0, k + 1), 40, seed)
    found = fit_weights(features, answers, penalty).weights
    gradient = features.T @ (features @ found - answers) + penalty * found
    assert np.abs(gradient).max() < 1e-9


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_non_negative_weights_are_those_of_scipy(seed: int) -> None:
    features, answers = judged(np.array([2.0, -1.0, 0.5, 0.0]), 30, seed)
    np.testing.assert_allclose(fit_nonnegative(features, answers), nnls(features, answers)[0], atol=1e-8)


@given(st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
@settings(max_examples=20, deadline=None)
def test_the_order_of_a_and_b_does_not_matter(seed: int, method: Method) -> None:
    features, answers = judged(np.array([1.0, 0.3]), 25, seed)
    flip = np.where(np.random.default_rng(seed).random(25) < 0.5, -1.0, 1.0)
    fit = fitter(method)
    np.testing.assert_allclose(fit(features, answers), fit(features * flip[:, None], answers * flip), atol=1e-9)


@pytest.mark.parametrize("method", ["OLS", "ridge"])
def test_known_weights_are_recovered_within_their_error(method: Method) -> None:
    """For Gaussian features, least squares on ±1 finds the direction of the listeners' weights (Brillinger 1982)."""
    true = np.array([1.0, 0.5, 0.0, 2.0])
    fit = fitter(method, 0.01)
    ideal = fit(*judged(true, 60_000, 10_000))
    assert ideal @ true / np.linalg.norm(ideal) / np.linalg.norm(true) > 0.999
    covered, errors = [], []
    for seed in range(60):
        features, answers = judged(true, 300, seed)
        found = fit_weights(features, answers, 0.01 if method == "ridge" else 0.0)
        errors.append((found.weights - ideal) / found.errors)
        covered.append(np.abs(errors[-1]) < 1.96)
    assert 0.90 <= np.mean(covered) <= 0.99
    assert np.abs(np.mean(errors, axis=0)).max() < 0.5


def test_intervals_contain_the_weights_of_many_triplets() -> None:
    true = np.array([1.0, 0.0, 2.0])
    ideal = fitter("OLS")(*judged(true, 60_000, 1))
    inside = []
    for seed in range(30, 50):
        features, answers = judged(true, 200, seed)
        low, high = bootstrap_weights(features, answers, [str(n) for n in range(200)], fitter("OLS"), 0, resamples=80)
        inside.append((low <= ideal) & (ideal <= high))
    assert np.mean(inside) > 0.85
    one_group = bootstrap_weights(features, answers, ["a"] * 200, fitter("OLS"), 0)
    assert np.isnan(one_group).all()


def test_a_silent_term_weighs_nothing() -> None:
    features, answers = judged(np.array([1.0, 1.0]), 30, 0)
    features[:, 1] = 0
    for method in METHODS:
        assert fitter(method)(features, answers)[1] == 0
    assert fit_weights(features, answers).errors[1] == 0


def test_splits_keep_the_shares_of_both_answers() -> None:
    answers = np.where(np.arange(50) < 20, 1.0, -1.0)
    seen = np.zeros(50)
    for train, test in stratified_splits(answers, 40, 0.3, 7):
        assert sorted([*train, *test]) == list(range(50))
        assert ((answers[test] > 0).sum(), (answers[test] < 0).sum()) == (6, 9)
        seen[test] += 1
    assert seen.min() > 0
    first, again = (list(stratified_splits(answers, 2, seed=3))[1][1] for _ in range(2))
    assert (first == again).all()
    train, test = next(stratified_splits(np.array([1.0, -1.0]), 1))
    assert len(train) == len(test) == 1


def test_songs_are_left_out_whole() -> None:
    songs = [("a", "b", "c"), ("a", "d", "e"), ("d", "f", "g"), ("h", "i", "j"), ("c", "h", "k")]
    tested = []
    for train, test in split_by_song(songs):
        inside = {song for n in test for song in songs[n]}
        assert train.size and all(not inside & set(songs[n]) for n in train)
        tested += test.tolist()
    assert sorted(tested) == [0, 1, 2, 3, 4]
    assert list(split_by_song([("a", "b", "c"), ("b", "a", "c")])) == []


def test_outcomes_and_mistakes() -> None:
    features = np.array([[1.0], [1.0], [0.0]])
    assert predicted_right(features, np.array([1.0, -1.0, 1.0]), np.array([3.0])).tolist() == [1.0, 0.0, 0.5]
    with pytest.raises(ValueError, match=r"expected \(m, k\) and \(m,\)"):
        fit_weights(features, np.array([1.0]))
    with pytest.raises(ValueError, match="the penalty is -1"):
        fit_weights(features, np.ones(3), -1)
    with pytest.raises(ValueError, match="1 triplets; expected at least 2"):
        next(stratified_splits(np.array([1.0])))
