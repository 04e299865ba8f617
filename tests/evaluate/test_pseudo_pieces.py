"""Pseudo-pieces for music ID estimation against the counts and the rules of the paper, and against loops."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundalike.core.errors import UsageError
from soundalike.evaluate.pseudo_pieces import (
    PseudoPiece,
    PseudoSegments,
    mes_pseudo_pieces,
    mes_pseudo_segments,
    visualisation_set,
)


def right_pieces(segments: PseudoSegments, query: int) -> set[tuple[int, bool]]:
    """The (pseudo-)pieces whose segments may be found and have the label of a segment; whether they are normal."""
    return {
        (int(segments.group[other]), bool(segments.target[other] == segments.rest[other]))
        for other in range(len(segments))
        if segments.group[other] != segments.group[query] and segments.target[other] == segments.target[query]
    }


@given(songs=st.integers(13, 60), seed=st.integers(0, 999))
def test_thirty_pseudo_pieces_and_ten_normal_ones(songs: int, seed: int) -> None:
    usable = [3 * number for number in range(songs)]
    pieces = mes_pseudo_pieces(usable, np.random.default_rng(seed))
    pseudo = [piece for piece in pieces if not piece.is_normal]
    normal = [piece for piece in pieces if piece.is_normal]
    assert (len(pseudo), len(normal)) == (30, 10)
    targets = {piece.target for piece in normal}
    assert len(targets) == 10
    assert Counter(piece.target for piece in pseudo) == dict.fromkeys(targets, 3)
    assert not targets & {piece.rest for piece in pseudo}  # they were removed from the others
    assert len(set(pseudo)) == 30
    assert {piece.target for piece in pieces} | {piece.rest for piece in pieces} <= set(usable)
    if songs >= 40:
        assert len({piece.rest for piece in pseudo}) == 30
    assert pieces == mes_pseudo_pieces(usable, np.random.default_rng(seed))


def test_other_numbers_of_pieces() -> None:
    pieces = mes_pseudo_pieces(range(5), np.random.default_rng(0), targets=2, rests=3)
    assert [piece.is_normal for piece in pieces] == [False] * 6 + [True] * 2
    with pytest.raises(UsageError, match="12 pieces have the target instrument; expected at least 13"):
        mes_pseudo_pieces(range(12), np.random.default_rng(0))
    first, second = (mes_pseudo_pieces(range(136), np.random.default_rng(seed)) for seed in (0, 1))
    assert first != second


@given(seed=st.integers(0, 999))
def test_segments_have_the_labels_and_exclusions_of_the_paper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    audible = [rng.random(rng.integers(3, 8)) < 0.8 for _ in range(45)]
    for own in audible:
        own[0] = True
    pieces = mes_pseudo_pieces(range(45), rng)
    segments = mes_pseudo_segments(pieces, audible)
    expected = []
    for group, piece in enumerate(pieces):
        for slot in range(100):
            if slot < len(audible[piece.target]) and slot < len(audible[piece.rest]) and audible[piece.target][slot]:
                expected.append((piece.target, piece.rest, slot, slot, group))
    found = zip(
        *(getattr(segments, name).tolist() for name in ("target", "rest", "target_segment", "rest_segment", "group")),
        strict=True,
    )
    assert list(found) == expected
    for query in range(0, len(segments), 7):
        right = right_pieces(segments, query)
        normal = sum(is_normal for _, is_normal in right)
        if segments.target[query] == segments.rest[query]:
            assert (len(right), normal) == (3, 0)  # "only segments within 3 pseudo-musical-pieces"
        else:
            assert (len(right), normal) == (3, 1)  # "2 pseudo musical pieces and 1 normal musical piece"


def test_a_silent_target_is_named() -> None:
    with pytest.raises(UsageError, match=r"pseudo-piece 0 of target piece 0 has no segment with an audible target"):
        mes_pseudo_segments([PseudoPiece(0, 1)], [np.array([False, True]), np.array([True])])


@given(seed=st.integers(0, 999))
def test_the_visualisation_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    usable = [np.flatnonzero(rng.random(30) < 0.7) for _ in range(20)]
    segments = visualisation_set(usable, rng)
    assert len(segments) == 1000
    pieces = sorted(set(segments.target.tolist()))
    assert len(pieces) == 10
    assert sorted(set(segments.rest.tolist())) == pieces
    pairs = {
        (target, rest): group
        for target, rest, group in zip(
            segments.target.tolist(), segments.rest.tolist(), segments.group.tolist(), strict=True
        )
    }
    assert len(pairs) == len(set(pairs.values())) == 100
    assert sum(target == rest for target, rest in pairs) == 10
    assert Counter(segments.group.tolist()) == dict.fromkeys(range(100), 10)
    retrieved: dict[int, set[int]] = {}
    for piece, cut in zip(
        np.concatenate([segments.target, segments.rest]).tolist(),
        np.concatenate([segments.target_segment, segments.rest_segment]).tolist(),
        strict=True,
    ):
        assert cut in usable[piece]
        retrieved.setdefault(piece, set()).add(cut)
    assert all(len(cuts) == 10 for cuts in retrieved.values())  # ten segments of each piece, for target and rest alike
    for group in range(100):
        own = segments.group == group
        assert len(set(segments.target_segment[own])) == len(set(segments.rest_segment[own])) == 10
    normal = segments.target == segments.rest
    assert (segments.target_segment[normal] != segments.rest_segment[normal]).any()


def test_a_set_of_another_size_and_too_few_segments() -> None:
    small = visualisation_set([np.arange(4)] * 3, np.random.default_rng(0), pieces=3, each=4)
    assert len(small) == 36
    assert small.target_segment.max() == 3
    with pytest.raises(UsageError, match="9 of 10 pieces have 10 segments with an audible target; expected at"):
        visualisation_set([*[np.arange(10)] * 9, np.arange(9)], np.random.default_rng(0))
