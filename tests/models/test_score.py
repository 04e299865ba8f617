"""The scoring function: a score is the sum of its shares, and equals its definition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from soundalike.core.errors import UsageError
from soundalike.core.types import Calibration, Space
from soundalike.models.heads import unit_rows
from soundalike.models.score import calibrate, explain, mutual_scores, query_terms, score_rows

NAMES = ("melody", "rhythm", "timbre")
DIM = 5


def spaces(moments: list[tuple[float, float]]) -> list[Space]:
    table = tuple(np.linspace(-1, 1, 101).tolist())
    return [
        Space("m", name, "mix", "b", name, "identity", DIM,
              {"track": Calibration(mu, sigma, table), "passage": Calibration(mu / 2, 2 * sigma, table)})
        for name, (mu, sigma) in zip(NAMES, moments, strict=True)
    ]  # fmt: skip


numbers = st.floats(-1, 1, width=32)
rows = arrays(np.float32, (len(NAMES), DIM), elements=numbers).map(unit_rows)
null_moments = st.lists(st.tuples(st.floats(-0.9, 0.9), st.floats(0.01, 2)), min_size=3, max_size=3)
weight_lists = st.lists(st.floats(-100, 100).filter(lambda w: w == 0 or abs(w) > 1e-3), min_size=3, max_size=3)
levels = st.sampled_from(["track", "passage"])


def by_definition(q: np.ndarray, x: np.ndarray, table: list[Space], weights: dict[str, float], level: str) -> float:
    total = weighted_sum = 0.0
    for number, space in enumerate(table):
        if weights[space.name] == 0 or not q[number].any():
            continue
        total += abs(weights[space.name])
        if x[number].any():
            dot = sum(float(a) * float(b) for a, b in zip(q[number], x[number], strict=True))
            weighted_sum += weights[space.name] * (dot - space.calibration[level].mu) / space.calibration[level].sigma
    return weighted_sum / total


@given(st.lists(rows, min_size=1, max_size=4), null_moments, weight_lists, levels, st.sets(st.integers(0, 2)))
def test_mutual_scores_are_the_mean_of_both_directions(tracks, moments, w, level, mute) -> None:
    table, weights = spaces(moments), dict(zip(NAMES, w, strict=True))
    tracks = np.stack(tracks)
    tracks[0, list(mute)] = 0
    by_space = {name: tracks[:, number] for number, name in enumerate(NAMES)}
    if not all(any(weights[name] and by_space[name][n].any() for name in NAMES) for n in range(len(tracks))):
        with pytest.raises(UsageError, match="one of the tracks has no audible content"):
            mutual_scores(table, by_space, weights, level)
        return
    both = np.array([[by_definition(q, x, table, weights, level) for x in tracks] for q in tracks])
    np.testing.assert_allclose(
        mutual_scores(table, by_space, weights, level), (both + both.T) / 2, rtol=1e-4, atol=1e-4
    )


@given(rows, rows, null_moments, weight_lists, levels, st.sets(st.integers(0, 2)), st.sets(st.integers(0, 2)))
def test_score_is_the_sum_of_shares_and_the_definition(q, x, moments, w, level, mute_q, mute_x) -> None:
    table, weights = spaces(moments), dict(zip(NAMES, w, strict=True))
    q, x = q.copy(), x.copy()
    q[list(mute_q)], x[list(mute_x)] = 0, 0
    query, candidate = dict(zip(NAMES, q, strict=True)), dict(zip(NAMES, x, strict=True))
    if not any(weights[name] and query[name].any() for name in NAMES):
        with pytest.raises(UsageError, match="the query has no audible content"):
            query_terms(table, query, weights, level)
        return
    expected = by_definition(q, x, table, weights, level)
    tolerance = 1e-9 * (1 + sum(abs(part[0]) + 1 for part in moments) / min(part[1] for part in moments))
    score, parts = explain(table, query, candidate, weights, level)
    assert score == pytest.approx(expected, abs=tolerance)
    assert sum(part.share for part in parts.values()) == pytest.approx(score, abs=tolerance)
    inner = score_rows(query_terms(table, query, weights, level), {name: row[None] for name, row in candidate.items()})
    assert inner[0] == pytest.approx(expected, abs=tolerance)
    for name, part in parts.items():
        audible = query[name].any() and candidate[name].any()
        assert part.audible == audible
        if not audible:
            assert (part.similarity, part.z, part.percentile, part.share) == (None, None, None, 0.0)


@given(rows, rows, weight_lists, st.floats(0.1, 50))
def test_scaling_all_weights_changes_nothing(q, x, w, factor) -> None:
    table, weights = spaces([(0.1, 0.2)] * 3), dict(zip(NAMES, w, strict=True))
    query, candidate = dict(zip(NAMES, q, strict=True)), dict(zip(NAMES, x, strict=True))
    if not any(weights[name] and query[name].any() for name in NAMES):
        return
    once, _ = explain(table, query, candidate, weights, "track")
    again, _ = explain(table, query, candidate, {n: factor * v for n, v in weights.items()}, "track")
    assert again == pytest.approx(once, abs=1e-9)


def test_a_space_silent_in_the_query_does_not_dilute_the_others() -> None:
    table = spaces([(0.0, 0.5)] * 3)
    row = np.eye(DIM, dtype=np.float32)[0]
    query = {"melody": np.zeros(DIM, np.float32), "rhythm": row, "timbre": row}
    candidate = dict.fromkeys(NAMES, row)
    score, parts = explain(table, query, candidate, dict.fromkeys(NAMES, 1.0), "track")
    assert score == pytest.approx(2.0)
    assert parts["rhythm"].share == pytest.approx(1.0)


def test_percentiles_of_the_library_replace_those_of_the_model() -> None:
    table = spaces([(0.0, 0.5)] * 3)
    row = np.eye(DIM, dtype=np.float32)[0]
    other = np.array([0.6, 0.8, 0, 0, 0], np.float32)
    own = Calibration(0.2, 0.1, tuple(np.linspace(0, 1.2, 101)), "library")
    table[0] = replace(table[0], calibration={"track": own, "passage": own})
    query, candidate = dict.fromkeys(NAMES, row), dict.fromkeys(NAMES, other)
    _, parts = explain(table, query, candidate, dict.fromkeys(NAMES, 1.0), "track")
    melody, rhythm = parts["melody"], parts["rhythm"]
    assert (melody.percentile, melody.percentile_source) == (pytest.approx(50.0), "library")
    assert melody.z == pytest.approx(4.0)  # by the mean and deviation of the same pairs
    assert (rhythm.percentile, rhythm.percentile_source) == (pytest.approx(80.0), "model")
    assert rhythm.z == pytest.approx(1.2)


@given(arrays(np.float32, (1, 64), elements=numbers).filter(lambda part: unit_rows(part).any()))
def test_identical_rows_have_similarity_1_and_percentile_100(row) -> None:
    """Whatever float32 rounding makes of the norm, and whatever the most similar random pairs were."""
    (row,) = unit_rows(row)
    own = Calibration(0.2, 0.1, tuple(np.linspace(-1, 1 + 1e-7, 101)), "library")
    space = Space("m", "melody", "mix", "b", "melody", "identity", 64, {"track": own, "passage": own})
    _, parts = explain([space], {"melody": row}, {"melody": row}, {"melody": 1.0}, "passage")
    assert parts["melody"].similarity == pytest.approx(1, abs=1e-6)
    assert parts["melody"].similarity <= 1
    assert parts["melody"].percentile == 100


def test_calibration_against_simple_loops() -> None:
    random = np.random.default_rng(0)
    pairs = random.normal(0.2, 0.1, 500).astype(np.float32)
    made = calibrate(pairs)
    mean = sum(map(float, pairs)) / 500
    assert made.mu == pytest.approx(mean)
    assert made.sigma == pytest.approx(math.sqrt(sum((float(v) - mean) ** 2 for v in pairs) / 500))
    assert made.quantiles[0] == pytest.approx(float(pairs.min()))
    assert made.quantiles[50] == pytest.approx(float(np.median(pairs)))
    assert len(made.quantiles) == 101


@pytest.mark.parametrize(
    ("pairs", "message"), [(np.ones(1), "1 random pairs"), (np.ones(9), "every random pair is equally similar")]
)
def test_calibration_needs_different_similarities(pairs: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(pairs)
