"""Triplets against Figure 1 and against loops over the samples: songs, silence, determinism, and rendered sound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from soundalike.audio.activity import AUDIBLE
from soundalike.core.errors import UsageError
from soundalike.train.metric.pieces import Piece, open_piece, store_piece
from soundalike.train.metric.segments import Cut, Segments
from soundalike.train.metric.triplets import (
    Mixed,
    Triplet,
    fixed_set,
    normal_triplets,
    pseudo_around,
    pseudo_triplets,
    random_mixtures,
    render,
    render_stems,
    source_combinations,
    swapped,
    vary_levels,
)

RATE = 100
BLOCK = 10
NAMES = ("drums", "bass", "piano", "guitar", "other")


def store(folder: Path, active: Sequence[np.ndarray], seed: int = 0) -> tuple[Piece, ...]:
    """Songs of noise that sounds in the given blocks (K, b) only."""
    rng = np.random.default_rng(seed)
    pieces = []
    for number, blocks in enumerate(active):
        noise = rng.uniform(0.1, 1, (len(blocks), blocks.shape[1] * BLOCK)) * np.repeat(blocks, BLOCK, axis=1)
        store_piece(folder, f"{number:04d}", noise.astype(np.float32), RATE)
        pieces.append(open_piece(f"song {number}", folder, f"{number:04d}"))
    return tuple(pieces)


@st.composite
def gates(draw: st.DrawFn, *, dense: bool = False) -> list[np.ndarray]:
    """Where instruments sound in songs of different lengths, some of which lack an instrument unless they are dense."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kinds, songs = draw(st.integers(2, 4)), draw(st.integers(4, 6))
    density = 0.8 if dense else draw(st.sampled_from([0.2, 0.6, 1.0]))
    found = []
    for _ in range(songs):
        blocks = rng.random((kinds, rng.integers(10, 25))) < density
        if not dense:
            blocks[rng.random(kinds) < 0.15] = False
        blocks[rng.integers(kinds), 0] = True  # the level gate needs a mix
        found.append(blocks)
    return found


def is_audible(piece: Piece, kind: int, start: int, length: int) -> bool:
    """From the samples themselves, of which those in sounding blocks are not 0."""
    blocks = piece.samples[kind, start : start + length : BLOCK].tolist()
    return sum(block != 0 for block in blocks) >= AUDIBLE * len(blocks)


def check_songs(segments: Segments, mixed: Mixed) -> None:
    """All segments lie within their songs."""
    for cut in mixed.cuts:
        assert 0 <= cut.start <= segments.pieces[cut.piece].frames - segments.length


def audible(segments: Segments, mixed: Mixed, kind: int) -> bool:
    cut = mixed.cuts[kind]
    return is_audible(segments.pieces[cut.piece], kind, cut.start, segments.length)


def rest_of(mixed: Mixed, target: int) -> Cut:
    """The one cut of all instruments but the target."""
    (cut,) = {cut for kind, cut in enumerate(mixed.cuts) if kind != target}
    return cut


def apart(one: Cut, other: Cut, length: int) -> bool:
    return one.piece == other.piece and abs(one.start - other.start) >= length


def check_figure_1(segments: Segments, triplet: Triplet) -> None:
    """The basic triplet: song 1 + 2, song 1' + 3, song 4 + 2'."""
    target = triplet.target
    for mixed in triplet.roles:
        check_songs(segments, mixed)
        assert audible(segments, mixed, target)
        assert any(audible(segments, mixed, kind) for kind in range(len(mixed.cuts)) if kind != target)
    owns = [mixed.cuts[target] for mixed in triplet.roles]
    rests = [rest_of(mixed, target) for mixed in triplet.roles]
    assert apart(owns[0], owns[1], segments.length)
    assert apart(rests[0], rests[2], segments.length)
    assert len({owns[0].piece, owns[2].piece, rests[0].piece, rests[1].piece}) == 4


def is_possible(segments: Segments, target: int) -> bool:
    """Whether any four songs make a triplet of pseudo-pieces."""
    kinds = range(len(segments.instruments))
    found = []  # per song: the starts with an audible target, and those with an audible rest
    for piece in segments.pieces:
        starts = range(0, piece.frames - segments.length + 1, BLOCK)
        sounds = [{kind for kind in kinds if is_audible(piece, kind, at, segments.length)} for at in starts]
        own = [at for at, heard in zip(starts, sounds, strict=True) if target in heard]
        found.append((own, [at for at, heard in zip(starts, sounds, strict=True) if heard - {target}]))
    two = [[bool(starts) and starts[-1] - starts[0] >= segments.length for starts in pair] for pair in found]
    return any(
        two[one][0] and found[four][0] and two[second][1] and found[third][1]
        for one, second, third, four in permutations(range(len(found)), 4)
    )


@given(active=gates(), blocks=st.integers(1, 6), seed=st.integers(0, 999), target=st.integers(0, 3))
def test_pseudo_triplets_obey_figure_1(
    tmp_path_factory: pytest.TempPathFactory, active: list[np.ndarray], blocks: int, seed: int, target: int
) -> None:
    kinds = len(active[0])
    assume(target < kinds)
    segments = Segments(store(tmp_path_factory.mktemp("songs"), active), NAMES[:kinds], blocks / 10)
    if not is_possible(segments, target):
        with pytest.raises(UsageError, match=r"too few songs|silent targets everywhere"):
            pseudo_triplets(segments, target, 1, np.random.default_rng(seed))
        return
    triplets = pseudo_triplets(segments, target, 3, np.random.default_rng(seed))
    assert len(triplets) == 3
    for triplet in triplets:
        check_figure_1(segments, triplet)
        assert triplet.target == target


@given(active=gates(dense=True), blocks=st.integers(1, 4), seed=st.integers(0, 999))
def test_additional_triplets_target_another_instrument(
    tmp_path_factory: pytest.TempPathFactory, active: list[np.ndarray], blocks: int, seed: int
) -> None:
    segments = Segments(store(tmp_path_factory.mktemp("songs"), active), NAMES[: len(active[0])], blocks / 10)
    both = pseudo_triplets(segments, None, 3, np.random.default_rng(seed), additional=True)
    assert len(both) == 6
    for first, second in zip(both[::2], both[1::2], strict=True):
        check_figure_1(segments, first)
        assert second == swapped(first, second.target)
        assert second.target != first.target
        assert (second.anchor, second.positive, second.negative) == (first.anchor, first.negative, first.positive)
        assert all(audible(segments, mixed, second.target) for mixed in second.roles)
        owns = [mixed.cuts[second.target] for mixed in second.roles]
        assert apart(owns[0], owns[1], segments.length)
        assert owns[2].piece not in {owns[0].piece, first.anchor.cuts[first.target].piece}


@given(active=gates(), blocks=st.integers(1, 6), seed=st.integers(0, 999))
def test_normal_triplets_and_mixtures(
    tmp_path_factory: pytest.TempPathFactory, active: list[np.ndarray], blocks: int, seed: int
) -> None:
    segments = Segments(store(tmp_path_factory.mktemp("songs"), active), NAMES[: len(active[0])], blocks / 10)
    for mixed in random_mixtures(segments, None, 5, np.random.default_rng(seed)):
        (cut,) = set(mixed.cuts)
        assert any(
            is_audible(segments.pieces[cut.piece], kind, cut.start, segments.length) for kind in segments.present
        )
    try:
        triplets = normal_triplets(segments, 1, 4, np.random.default_rng(seed))
    except UsageError as error:
        assert str(error).startswith(("too few songs", "silent targets everywhere"))
        return
    for triplet in triplets:
        anchor, positive, negative = ({*mixed.cuts} for mixed in triplet.roles)
        assert len(anchor) == len(positive) == len(negative) == 1
        assert apart(anchor.pop(), positive.pop(), segments.length)
        assert triplet.negative.cuts[0].piece != triplet.anchor.cuts[0].piece
        assert all(audible(segments, mixed, 1) for mixed in triplet.roles)
        check_songs(segments, triplet.positive)


@given(active=gates(), blocks=st.integers(1, 12))
def test_segments_against_a_loop(
    tmp_path_factory: pytest.TempPathFactory, active: list[np.ndarray], blocks: int
) -> None:
    pieces = store(tmp_path_factory.mktemp("songs"), active)
    length = blocks * BLOCK
    expected = {
        (number, kind): [at for at in range(0, piece.frames - length + 1, BLOCK) if is_audible(piece, kind, at, length)]
        for number, piece in enumerate(pieces)
        for kind in range(len(active[0]))
    }
    if not any(expected.values()):
        with pytest.raises(UsageError, match="silent targets everywhere: no instrument is audible in a segment of"):
            Segments(pieces, NAMES[: len(active[0])], blocks / 10)
        return
    segments = Segments(pieces, NAMES[: len(active[0])], blocks / 10)
    for (number, kind), starts in expected.items():
        assert segments.starts(number, kind).tolist() == starts
        assert (number in segments.songs_with(kind)) == bool(starts)


@pytest.fixture(scope="module")
def segments(tmp_path_factory: pytest.TempPathFactory) -> Segments:
    """Six songs of 6 s in which all instruments sound; segments of 1 s."""
    full = [np.ones((5, 60), np.bool_)] * 6
    return Segments(store(tmp_path_factory.mktemp("songs"), full), NAMES, 1.0)


def test_draws_follow_from_the_generator(segments: Segments) -> None:
    def fresh(*seed: int) -> list[Triplet]:
        return pseudo_triplets(segments, None, 20, np.random.default_rng(seed), additional=True)

    assert fresh(0, 1) == fresh(0, 1)
    assert fresh(0, 1) != fresh(0, 2)
    assert {triplet.target for triplet in fresh(0, 1)} == set(range(5))
    fixed = fixed_set(segments, 7, 3)
    assert fixed == fixed_set(segments, 7, 3)
    assert fixed != fixed_set(segments, 7, 4)
    assert [triplet.target for triplet in fixed[::2]] == [kind for kind in range(5) for _ in range(7)]
    for triplet in fixed[::2]:
        check_figure_1(segments, triplet)
    assert all(second == swapped(first, second.target) for first, second in zip(fixed[::2], fixed[1::2], strict=True))


def test_every_segment_and_song_is_drawn(segments: Segments) -> None:
    triplets = pseudo_triplets(segments, 0, 600, np.random.default_rng(0))
    for role, kind in ((0, 0), (1, 0), (2, 0), (0, 1), (2, 1)):
        cuts = [triplet.roles[role].cuts[kind] for triplet in triplets]
        counts = np.bincount([cut.piece for cut in cuts])
        assert counts.min() > 600 / 6 * 0.6
        starts = {cut.start for cut in cuts}
        assert starts == set(range(0, 501, BLOCK))


def test_the_rest_around_given_segments(segments: Segments) -> None:
    cuts = (Cut(1, 30), Cut(2, 70), Cut(4, 110))  # of three songs, as in judgements of listeners
    for seed in range(20):
        triplet = pseudo_around(segments, 3, cuts, np.random.default_rng(seed))
        assert triplet is not None
        assert tuple(mixed.cuts[3] for mixed in triplet.roles) == cuts
        rests = [rest_of(mixed, 3) for mixed in triplet.roles]
        assert apart(rests[0], rests[2], segments.length)
        assert len({rests[0].piece, rests[1].piece} | {1, 2, 4}) == 5
    few = Segments(segments.pieces[:4], NAMES, 1.0)
    assert pseudo_around(few, 0, (Cut(0, 0), Cut(1, 0), Cut(2, 0)), np.random.default_rng(0)) is None


def test_all_combinations_but_the_silent_one() -> None:
    masks = source_combinations(5)
    assert masks.shape == (31, 5)
    assert masks.dtype == np.bool_
    expected = {combination for combination in product([False, True], repeat=5) if any(combination)}
    assert {tuple(row) for row in masks.tolist()} == expected


def test_rendered_mixtures_are_sums_of_stems(segments: Segments) -> None:
    triplets = pseudo_triplets(segments, None, 10, np.random.default_rng(0), additional=True)
    triplets += normal_triplets(segments, 2, 5, np.random.default_rng(0))
    scattered = Mixed(tuple(Cut(kind, 10 * kind) for kind in range(5)))  # five songs
    triplets.append(Triplet(1, scattered, triplets[0].positive, scattered))
    rng = np.random.default_rng(1)
    triplets += [Triplet(one.target, *(vary_levels(mixed, 9.0, rng) for mixed in one.roles)) for one in triplets]
    mixtures, targets = render(triplets, segments)
    assert mixtures.shape == targets.shape == (len(triplets), 3, 100)
    assert mixtures.dtype == targets.dtype == np.float32
    for number, triplet in enumerate(triplets):
        for role, mixed in enumerate(triplet.roles):
            total = np.zeros(100)
            for kind, cut in enumerate(mixed.cuts):
                piece = segments.pieces[cut.piece]
                factor = mixed.factors[kind] if mixed.factors else 1.0
                samples = [float(piece.samples[kind, cut.start + at]) * piece.scale * factor for at in range(100)]
                total += samples
                if kind == triplet.target:
                    np.testing.assert_allclose(targets[number, role], samples, rtol=1e-6)
            np.testing.assert_allclose(mixtures[number, role], total, rtol=1e-5)
        stems = render_stems(triplet.roles, segments)
        assert stems.shape == (3, 5, 100)
        np.testing.assert_allclose(stems.sum(axis=1), mixtures[number], rtol=1e-5)
        np.testing.assert_array_equal(stems[:, triplet.target], targets[number])


def test_levels_vary_evenly_in_decibels() -> None:
    mixed, rng = Mixed((Cut(0, 0),) * 5), np.random.default_rng(0)
    drawn = 20 * np.log10([vary_levels(mixed, 6.0, rng).factors for _ in range(2000)])
    assert np.abs(drawn).max() < 6.0 and np.abs(drawn.mean(axis=0)).max() < 0.3
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.75]), [-3.0, 3.0], atol=0.2)
    state = rng.bit_generator.state
    assert vary_levels(mixed, 0.0, rng) is mixed and rng.bit_generator.state == state


def test_too_few_songs(tmp_path: Path, segments: Segments) -> None:
    few = Segments(segments.pieces[:3], NAMES, 1.0)
    with pytest.raises(UsageError, match=r"too few songs for triplets: drums is .* 3 songs of 3; expected 4"):
        pseudo_triplets(few, 0, 1, np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"too few songs for triplets: .* 1 songs of 1; expected 2 different songs"):
        normal_triplets(Segments(segments.pieces[:1], NAMES, 1.0), 0, 1, np.random.default_rng(0))
    with pytest.raises(UsageError, match="too few songs: there are none"):
        Segments((), NAMES, 1.0)
    with pytest.raises(UsageError, match="no instrument is audible in a segment of 7 s of any of 6 songs, the longest"):
        Segments(segments.pieces, NAMES, 7.0)
    without = [np.array([[False] * 60, *[[True] * 60] * 4])] * 4
    silent = Segments(store(tmp_path, without), NAMES, 1.0)
    assert silent.present == [1, 2, 3, 4]
    for draw in (pseudo_triplets, normal_triplets, random_mixtures):
        with pytest.raises(UsageError, match=r"silent targets everywhere: drums is audible in no segment of 1 s of 4"):
            draw(silent, 0, 1, np.random.default_rng(0))
    assert 0 not in {triplet.target for triplet in pseudo_triplets(silent, None, 40, np.random.default_rng(0))}


def test_songs_of_two_rates(tmp_path: Path, segments: Segments) -> None:
    store_piece(tmp_path, "fast", np.ones((5, 600), np.float32), 200)
    other = open_piece("fast song", tmp_path, "fast")
    with pytest.raises(UsageError, match="fast song has 200 Hz; expected 100 Hz"):
        Segments((*segments.pieces, other), NAMES, 1.0)
