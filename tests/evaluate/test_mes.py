"""Music estimation scores against plain loops."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundalike.evaluate.mes import chance_of_vote, mes, mes_outcomes, vote


def plain_vote(distances: list[float], allowed: list[bool], labels: list[int], k: int) -> int:
    """One query: the nearest candidates in order, the most votes, the smaller sum, the nearest."""
    candidates = sorted((n for n, may in enumerate(allowed) if may), key=lambda n: (distances[n], n))[:k]
    if not candidates:
        return -1
    votes = Counter(labels[n] for n in candidates)
    sums = {label: math.fsum(distances[n] for n in candidates if labels[n] == label) for label in votes}
    leading = [label for label in votes if votes[label] == max(votes.values())]
    least = min(sums[label] for label in leading)
    closest = [label for label in leading if sums[label] == least]
    return next(labels[n] for n in candidates if labels[n] in closest)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 6))
def test_a_vote_equals_a_plain_loop_where_distances_and_votes_tie(seed: int, candidates: int, k: int) -> None:
    random = np.random.default_rng(seed)
    distances = random.integers(0, 4, (8, candidates)).astype(np.float64)
    allowed, labels = random.random((8, candidates)) < 0.8, random.integers(0, 4, candidates)
    expected = [
        plain_vote(near.tolist(), may.tolist(), labels.tolist(), k)
        for near, may in zip(distances, allowed, strict=True)
    ]
    assert vote(distances, allowed, labels, k).tolist() == expected


@pytest.mark.parametrize(
    ("distances", "labels", "winner"),
    [
        ([1, 2, 3, 4, 5], [0, 1, 1, 2, 2], 1),  # two votes each: 2 + 3 is less than 4 + 5
        ([1, 2, 4, 5, 6], [7, 3, 3, 7, 8], 7),  # 1 + 5 equals 2 + 4: the nearest decides
        ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], 0),
        ([1, 2, 3, 4, 5], [0, 1, 1, 1, 0], 1),
    ],
)
def test_ties_of_votes(distances: list[float], labels: list[int], winner: int) -> None:
    assert vote(np.array([distances], float), np.ones((1, 5), bool), np.array(labels)).tolist() == [winner]


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("pseudo", [False, True])
def test_outcomes_equal_a_plain_loop(metric: str, pseudo: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.evaluate.mes._BLOCK", 100)  # several blocks of queries
    random = np.random.default_rng(3)
    rows = random.normal(size=(40, 3)).round(1)
    targets, others = random.integers(0, 5, 40).tolist(), random.integers(0, 3, 40).tolist()
    labels = [f"song {n}" for n in targets]
    pieces = [f"{target} on {other}" for target, other in zip(targets, others, strict=True)]
    audible = random.random(40) < 0.9
    barred = random.random((40, 40)) < 0.2
    expected = []
    for query in range(40):
        distances = []
        for row in rows:
            if metric == "l2":
                distances.append(math.dist(rows[query], row))
            else:
                lengths = math.hypot(*rows[query]) * math.hypot(*row)
                distances.append(1 - sum(a * b for a, b in zip(rows[query], row, strict=True)) / lengths)
        allowed = [
            n != query and bool(audible[n]) and not barred[query, n] and not (pseudo and pieces[n] == pieces[query])
            for n in range(40)
        ]
        expected.append(bool(audible[query]) and plain_vote(distances, allowed, targets, 5) == targets[query])
    excluded = pieces if pseudo else None
    found = mes_outcomes(rows, labels, excluded, metric=metric, audible=audible, barred=barred)  # type: ignore[arg-type]
    assert found.tolist() == expected and 0 < sum(expected) < 40


def test_the_excluded_pieces_cannot_help() -> None:
    """Rows of the other stems alone find every segment without the exclusion, and none with it."""
    pieces = [f"{target}{other}" for target in "abc" for other in "xyz" for _ in range(6)]
    rows = np.array([[ord(piece[1]) * 10 + n % 6 * 0.01 + ord(piece[0]) * 0.1] for n, piece in enumerate(pieces)])
    targets, others = [piece[0] for piece in pieces], [piece[1] for piece in pieces]
    assert mes(rows, targets) == 1
    assert mes(rows, targets, pieces) == 0
    assert mes(rows, others, pieces) == 1


def test_chance_is_that_of_rows_that_say_nothing() -> None:
    assert chance_of_vote([str(n % 4) for n in range(80)]) == pytest.approx(0.25, abs=0.02)
    # With two songs of which one has four fifths of the segments, a majority names it nearly always.
    uneven = ["a"] * 80 + ["b"] * 20
    rows = np.random.default_rng(0).normal(size=(100, 50))
    assert chance_of_vote(uneven) == pytest.approx(0.766, abs=0.02)
    assert chance_of_vote(uneven) == pytest.approx(mes(rows, uneven), abs=0.06)
    # All candidates of the own label are excluded.
    assert chance_of_vote(["a", "a", "b", "b"], ["1", "1", "2", "2"]) == 0
    others = np.array([[False, True, True], [True, False, False], [True, False, False]])
    assert chance_of_vote(["a", "b", "b"], barred=others) == pytest.approx(2 / 3, abs=0.001)


def test_wrong_shapes_are_named() -> None:
    with pytest.raises(ValueError, match="2 rows, 1 labels and 2 groups"):
        mes(np.zeros((2, 3)), ["a"])
    with pytest.raises(ValueError, match="2 rows, 2 labels and 1 groups"):
        mes(np.zeros((2, 3)), ["a", "b"], ["x"])
    with pytest.raises(ValueError, match="0 rows"):
        mes(np.zeros((0, 3)), [])
