"""Suggestions of tags: votes against loops, and probabilities that mean what they say."""

from __future__ import annotations

import numpy as np
import pytest

from soundalike.train.concepts.suggestions import TagCalibration, Votes, fit_calibration, suggest_tags, vote


def test_votes_against_loops() -> None:
    random = np.random.default_rng(0)
    rows, known_rows = random.standard_normal((4, 3)), random.standard_normal((25, 3))
    known = [tuple(random.choice(["a", "b", "c"], size=random.integers(1, 3), replace=False)) for _ in range(25)]
    found = vote(rows, known_rows, known, [("a",), ("b", "c"), ("new",), ()])
    assert found.labels == ("a", "b", "c")
    for n in range(4):
        nearest = np.argsort(-(known_rows @ rows[n]))[:10]
        weights = np.exp((known_rows @ rows[n])[nearest] / 0.1 - (known_rows @ rows[n]).max() / 0.1)
        for column, label in enumerate(found.labels):
            share = sum(w for w, k in zip(weights, nearest, strict=True) if label in known[k]) / weights.sum()
            assert found.shares[n, column] == pytest.approx(share)
    assert found.truth.tolist() == [[True, False, False], [False, True, True], [False] * 3, [False] * 3]


def test_labels_that_differ_in_case_are_one() -> None:
    found = vote(np.eye(2), np.eye(2)[[0, 0, 1]], [("hip hop",), ("Hip Hop",), ("Hip Hop",)])
    assert found.labels == ("Hip Hop",)
    np.testing.assert_allclose(found.shares, 1.0)


def test_probabilities_are_calibrated() -> None:
    random = np.random.default_rng(0)
    parts = []
    for _ in range(4):
        shares = random.random((1500, 2))
        logit = np.log(np.clip(shares, 0.02, 0.98) / (1 - np.clip(shares, 0.02, 0.98)))
        parts.append(Votes(("a", "b"), shares, random.random((1500, 2)) < 1 / (1 + np.exp(-(0.6 * logit - 0.5)))))
    found = fit_calibration(parts)
    assert found.slope == pytest.approx(0.6, abs=0.05) and found.intercept == pytest.approx(-0.5, abs=0.05)
    assert found.pairs == 12_000 and found.error < 0.03
    assert np.isnan(fit_calibration(parts[:1]).error)


def test_votes_that_are_always_right_stay_finite() -> None:
    found = fit_calibration([Votes(("a", "b"), np.eye(2)[[0, 1] * 10], np.eye(2, dtype=np.bool_)[[0, 1] * 10])])
    assert np.isfinite([found.slope, found.intercept]).all()
    assert 0.9 < found.probability(np.array([1.0]))[0] <= 1.0


def test_suggestions_are_in_order_and_only_of_neighbours() -> None:
    rows = np.array([[1.0, 0.0]])
    known_rows = np.array([[1.0, 0.0], [0.95, 0.31], *[[0.0, 1.0]] * 12])
    known = [("Jazz",), ("Funk", "Jazz"), *[("Polka",)] * 12]
    (found,) = suggest_tags(rows, known_rows, known, TagCalibration(1.0, 0.0, 10, 0.0))
    assert [one.label for one in found] == ["Jazz", "Funk", "Polka"]
    assert found[0].probability > 0.9 > found[1].probability > found[2].probability
