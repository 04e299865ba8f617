"""Agreement with listeners: per triplet and per response, against plain loops and the printed intervals."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.audio.datasets import Ballot
from soundalike.evaluate.agreement import (
    count_judgements,
    majority_votes,
    mean_and_deviation,
    paired_response_agreement,
    per_response,
    response_agreement,
    triplet_agreement,
)
from soundalike.evaluate.estimates import clopper_pearson

votes_of_triplets = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30)


def ballots(votes: list[tuple[int, int]]) -> list[Ballot]:
    return [Ballot("drums", "XAB", f"x{n}", ("a", "b"), {"total": one}) for n, one in enumerate(votes)]


@given(votes_of_triplets, st.sampled_from([Fraction(1, 2), Fraction(3, 4)]))
def test_counts_equal_a_plain_loop(votes: list[tuple[int, int]], majority: Fraction) -> None:
    agreed, responses = [], 0
    for first, second in votes:
        responses += first + second
        if first != second and max(first, second) > majority * (first + second):
            agreed.append([max(first, second), min(first, second)])
    found = count_judgements(ballots(votes), "total", majority)
    assert (found.triplets, found.triplets_with_majority) == (len(votes), len(agreed))
    assert (found.responses, found.responses_with_majority) == (responses, sum(map(sum, agreed)))
    assert majority_votes(ballots(votes), "total", majority).tolist() == agreed


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 9), st.integers(0, 3)), min_size=1))
def test_responses_equal_a_plain_loop(drawn: list[tuple[float, int, int]]) -> None:
    wins, asked = 0.0, 0
    for outcome, agree, differ in drawn:
        for _ in range(agree):
            wins, asked = wins + outcome, asked + 1
        for _ in range(differ):
            wins, asked = wins + 1 - outcome, asked + 1
    outcomes = np.array([[one[0], 1 - one[0]] for one in drawn])
    found = response_agreement(outcomes, np.array([one[1:] for one in drawn]))
    assert found.value == pytest.approx([wins / asked, 1 - wins / asked])
    assert found.n.tolist() == [asked, asked]
    assert triplet_agreement(outcomes).value[0] == pytest.approx(np.mean([one[0] for one in drawn]))


@pytest.mark.parametrize(
    ("share", "responses", "low", "high"),
    [
        (63.11, 1163, 60.27, 65.89),
        (55.14, 1128, 52.18, 58.07),
        (95.33, 2163, 94.35, 96.18),
        (92.39, 1959, 91.13, 93.53),
    ],
)
def test_printed_intervals_are_those_of_responses(share: float, responses: int, low: float, high: float) -> None:
    """Table 5, Clean without PAFT, drums and bass: the intervals belong to table 1's numbers of responses."""
    found = clopper_pearson(np.array([round(share / 100 * responses)]), np.array([responses]))
    assert 100 * found.value[0] == pytest.approx(share, abs=0.006)
    assert (100 * found.low[0], 100 * found.high[0]) == pytest.approx((low, high), abs=0.011)


def test_a_paired_gain_has_an_interval_over_songs() -> None:
    votes = np.array([[4, 0], [3, 1], [5, 0]])
    theirs, ours = np.array([[0.0], [1.0], [0.0]]), np.array([[1.0], [1.0], [1.0]])
    gain = paired_response_agreement(ours, theirs, votes, ["a", "b", "c"])
    assert gain.value[0] == pytest.approx(9 / 13) and gain.n.tolist() == [13]
    assert 0 <= gain.low[0] < gain.value[0] < gain.high[0] <= 1
    one_song = paired_response_agreement(ours, theirs, votes, ["a", "a", "a"])
    assert np.isnan(one_song.low).all() and one_song.value == pytest.approx(gain.value)
    assert per_response(ours, votes)[1].tolist() == [0] * 4 + [1] * 4 + [2] * 5


def test_runs_have_a_mean_and_a_deviation() -> None:
    mean, deviation = mean_and_deviation(np.array([[1.0, 5.0], [2.0, 5.0], [6.0, 5.0]]))
    assert mean.tolist() == [3.0, 5.0] and deviation == pytest.approx([7**0.5, 0])
    assert np.isnan(mean_and_deviation(np.array([[1.0]]))[1]).all()
