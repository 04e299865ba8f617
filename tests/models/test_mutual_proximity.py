"""Mutual proximity: against simple loops, in libraries of given rows, and its effect on a hub."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from statistics import NormalDist, fmean, pstdev

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_paths_and_playlists import DIM, NAMES, library_of, random_rows, unit

from soundalike.cli.main import main
from soundalike.core.errors import UsageError
from soundalike.core.types import Calibration
from soundalike.library import snapshot_arrays
from soundalike.library.folder import LibraryFolder
from soundalike.models.model import Model
from soundalike.models.mutual_proximity import RESCORED, Background, mutual_z
from soundalike.search.query import Example, Query
from soundalike.search.search import search_library

NORMAL = NormalDist()
CORRECTED = "mutual-proximity"

similarities = st.floats(-1, 1)
moments = st.tuples(st.floats(-0.5, 0.5), st.floats(0.4, 2))


def plain_z(similarity: float, left: tuple[float, float], right: tuple[float, float]) -> float:
    """Compute z from its definition."""
    sides = [(similarity - mean) / sigma for mean, sigma in (left, right)]
    proximity = math.prod(math.erfc(-z / math.sqrt(2)) / 2 for z in sides)
    return NORMAL.inv_cdf(proximity * (1 - math.log(proximity)))


def scalar_z(similarity: float, left: tuple[float, float], right: tuple[float, float]) -> float:
    return float(mutual_z(np.array([similarity]), np.array([left]), np.array([right]))[0])


@given(similarities, moments, moments)
@settings(deadline=None)  # the first call imports scipy
def test_z_follows_the_definition(similarity: float, left, right) -> None:
    assert scalar_z(similarity, left, right) == pytest.approx(plain_z(similarity, left, right), abs=1e-6)
    assert scalar_z(similarity, left, right) == scalar_z(similarity, right, left)


def test_z_of_random_pairs_is_standard_normal() -> None:
    random = np.random.default_rng(0)
    left, right = (np.stack([random.standard_normal(50_000), np.ones(50_000)], axis=1) for _ in range(2))
    z = mutual_z(np.zeros(50_000), left, right)
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert np.quantile(z, [0.01, 0.99]) == pytest.approx([NORMAL.inv_cdf(0.01), NORMAL.inv_cdf(0.99)], abs=0.05)


def test_z_is_strictly_increasing() -> None:
    """Even where the distribution functions are almost 0 or 1."""
    similarity, standard = np.linspace(-36, 36, 1001), np.tile([0.0, 1.0], (1001, 1))
    z = mutual_z(similarity, standard, standard)
    assert (np.diff(z) > 0.05).all()
    assert np.isfinite(mutual_z(1e6 * similarity, standard, standard)).all()


# Means and standard deviations -------------------------------------------------------------------------------------

CALIBRATION = Calibration(0.3, 0.7, ())


def others(rows: np.ndarray, number: int, row: np.ndarray) -> list[float]:
    """Return the similarities of a row to all other audible rows; `number` is its position, or -1."""
    return [
        sum(float(a) * float(b) for a, b in zip(row, other, strict=True))
        for place, other in enumerate(rows)
        if place != number and other.any()
    ]


def test_similarity_moments_against_simple_loops() -> None:
    rows = random_rows(40)["melody"]
    rows[5:9] = 0
    positions = np.arange(100, 140)
    background = Background.from_rows(positions[:30], {"melody": rows[:30]})
    found = background.similarity_moments("melody", CALIBRATION, rows, positions)
    for number in (*range(5), *range(9, 40)):
        similarities_found = others(rows[:30], number, rows[number])
        assert len(similarities_found) == 25 if number < 30 else 26
        assert found[number] == pytest.approx([fmean(similarities_found), pstdev(similarities_found)], abs=1e-9)
    outside = background.similarity_moments("melody", CALIBRATION, rows[:1], np.array([-1]))
    similarities_found = others(rows[:30], -1, rows[0])
    assert outside[0] == pytest.approx([fmean(similarities_found), pstdev(similarities_found)], abs=1e-9)


@pytest.mark.parametrize("rows", [random_rows(10)["melody"], np.repeat(random_rows(1)["melody"], 50, axis=0)])
def test_too_few_or_equal_rows_use_the_calibration(rows: np.ndarray) -> None:
    positions = np.arange(len(rows))
    background = Background.from_rows(positions, {"melody": rows})
    assert background.similarity_moments("melody", CALIBRATION, rows, positions).tolist() == [
        [CALIBRATION.mu, CALIBRATION.sigma]
    ] * len(rows)


# In a library -----------------------------------------------------------------------------------------------------


def oracle(
    rows: Mapping[str, np.ndarray],
    number: int,
    weights: Mapping[str, float],
    query: Mapping[str, np.ndarray] | None = None,
) -> dict[int, float]:
    """Return the scores of all other tracks for track `number`, or of all tracks for another query (-1), by loops."""
    query = query or {name: part[number] for name, part in rows.items()}
    total = sum(abs(weight) for name, weight in weights.items() if query[name].any())
    scores = {}
    for place in set(range(len(rows["melody"]))) - {number}:
        scores[place] = 0.0
        for name, weight in weights.items():
            x = rows[name][place]
            if weight and query[name].any() and x.any():
                left, right = others(rows[name], number, query[name]), others(rows[name], place, x)
                similarity = sum(float(a) * float(b) for a, b in zip(query[name], x, strict=True))
                sides = [(fmean(values), pstdev(values)) for values in (left, right)]
                scores[place] += weight * plain_z(similarity, *sides) / total
    return scores


def rows_with_gaps(count: int) -> dict[str, np.ndarray]:
    rows = random_rows(count)
    for number, name in enumerate(NAMES):
        rows[name] = unit(rows[name] + 0.5 * rows[name][0])
        rows[name][number + 3 :: 7] = 0
    return rows


def test_the_search_agrees_with_simple_loops(tmp_path: Path) -> None:
    """If all tracks of a library are scored again, the result is exact."""
    rows, weights = rows_with_gaps(40), {"melody": 2.0, "rhythm": -1.0, "timbre": 0.0, "harmony": 0.5}
    with library_of(tmp_path, rows) as (library, paths):
        result = search_library(library, Query(paths[1], weights=weights, k=50, hubness=CORRECTED))
        assert (result.level, result.hubness, len(result.matches)) == ("track", CORRECTED, 39)
        expected = oracle(rows, 1, weights)
        places = [int(Path(match.span.track).stem) for match in result.matches]
        assert places == sorted(expected, key=lambda place: -expected[place])
        for place, match in zip(places, result.matches, strict=True):
            assert match.score == pytest.approx(expected[place], abs=1e-6)
            assert sum(part.share for part in match.spaces.values()) == pytest.approx(match.score, abs=1e-12)
            assert match.spaces["timbre"].share == 0
            assert all((part.z is None) == (not part.audible) for part in match.spaces.values())
        assert (
            search_library(library, Query(paths[1], weights=weights, k=3, hubness=CORRECTED)).matches
            == result.matches[:3]
        )


def test_the_score_of_several_examples_is_the_mean(tmp_path: Path) -> None:
    rows = rows_with_gaps(30)
    weights = [{"melody": 1.0, "rhythm": 1.0}, {"timbre": 1.0, "harmony": -2.0}]
    with library_of(tmp_path, rows) as (library, paths):
        unlike = Example(paths[2], like=False, weights=weights[1])
        found = search_library(
            library, Query(paths[1], weights=weights[0], k=30, hubness=CORRECTED, examples=(unlike,))
        )
        one, two = oracle(rows, 1, weights[0]), oracle(rows, 2, weights[1])
        expected = {place: (one[place] - two[place]) / 2 for place in range(30) if place not in (1, 2)}
        places = [int(Path(match.span.track).stem) for match in found.matches]
        assert places == sorted(expected, key=lambda place: -expected[place])
        assert [match.score for match in found.matches] == pytest.approx([expected[p] for p in places], abs=1e-6)


def test_a_changed_file_is_compared_with_its_old_row(tmp_path: Path) -> None:
    """A file that has changed since it was indexed is not part of the background."""
    rows = rows_with_gaps(25)
    with library_of(tmp_path, rows) as (library, paths):
        model = Model.load("dsp")
        subject = library.subject(paths[1], model)
        changed = random_rows(1, seed=7)
        changed = {name: part[0] for name, part in changed.items()}
        changed_subject = type(subject)(
            subject.span, subject.passages, changed, "other", subject.fingerprint, (), subject.own
        )
        found = search_library(library, Query(paths[1], k=30, hubness=CORRECTED, include_self=True), changed_subject)
        expected = oracle(rows, -1, dict.fromkeys(NAMES, 1.0), changed)
        for match in found.matches:
            assert match.score == pytest.approx(expected[int(Path(match.span.track).stem)], abs=1e-6)


def with_a_late_friend(count: int, rank: int) -> dict[str, np.ndarray]:
    """Rows of melody in which one track has the given rank for track 0 by score, and the first one corrected.

    All others are much more like one another than like track 0. The one (track 1) is like nothing but track 0.
    """
    rows = random_rows(count)
    melody, random = np.zeros((count, DIM)), np.random.default_rng(1)
    shares = np.linspace(0.92, 0.88, count - 1)
    melody[0, :2] = 1
    melody[1, 1:3] = shares[rank - 1] + 1e-5, (1 - shares[rank - 1] ** 2) ** 0.5
    others = np.delete(shares, rank - 1)
    melody[2:, 0] = others
    melody[2:, 3:] = (1 - others**2)[:, None] ** 0.5 * unit(random.standard_normal((count - 2, DIM - 3)))
    return {**rows, "melody": unit(melody)}


@pytest.mark.parametrize(("rescored", "is_found"), [(60, True), (50, False)])
def test_as_many_candidates_are_scored_again_as_documented(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rescored: int, is_found: bool
) -> None:
    assert RESCORED == 2000, "search_library and docs/architecture.md name this number"
    monkeypatch.setattr("soundalike.search.search.RESCORED", rescored)
    with library_of(tmp_path, with_a_late_friend(120, rank=55)) as (library, paths):
        by_score = search_library(library, Query(paths[0], weights="melody", k=119)).matches
        assert [match.path for match in by_score].index(str(paths[1])) == 54
        found = search_library(library, Query(paths[0], weights="melody", k=1, hubness=CORRECTED)).matches
        assert (found[0].path == str(paths[1])) == is_found
        # Twice as many as requested are scored again at least.
        found = search_library(library, Query(paths[0], weights="melody", k=28, hubness=CORRECTED)).matches
        assert found[0].path == str(paths[1])


def with_a_hub(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Track 0 is at the centre of all others, which form groups of three."""
    rows = {}
    for name in NAMES:
        direction = random.standard_normal(DIM)
        groups = np.repeat(random.standard_normal((40, DIM)), 3, axis=0)
        part = unit(0.7 * direction + groups + 1.2 * random.standard_normal((120, DIM)))
        rows[name] = np.concatenate([unit(direction[None, :]), part])
    return rows


@pytest.mark.slow
def test_a_hub_loses_its_rank(tmp_path: Path) -> None:
    with library_of(tmp_path, with_a_hub(np.random.default_rng(0))) as (library, paths):
        places: dict[str, list[int]] = {"none": [], CORRECTED: []}
        right: dict[str, list[bool]] = {"none": [], CORRECTED: []}
        for number in range(1, 121, 4):
            for hubness in ("none", CORRECTED):
                query = Query(paths[number], weights={"melody": 1}, k=120, hubness=hubness, all_copies=True)
                found = search_library(library, query).matches
                answers = [int(Path(match.span.track).stem) for match in found]
                places[hubness].append(answers.index(0))
                right[hubness].append((answers[0] - 1) // 3 == (number - 1) // 3)
        assert np.mean([place < 5 for place in places["none"]]) > 0.8, "similar to nearly all tracks"
        assert np.mean([place < 5 for place in places[CORRECTED]]) < 0.2
        assert sum(right[CORRECTED]) > sum(right["none"])


def test_the_background_is_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_arrays, "_WORTH_KEEPING", 10)
    monkeypatch.setattr(snapshot_arrays, "_BACKGROUND", 15)
    cache_file = tmp_path / "library" / "derived" / "background.dsp.derived"
    with library_of(tmp_path, random_rows(30)) as (library, paths):
        query = Query(paths[0], hubness=CORRECTED)
        first = search_library(library, query)
        assert cache_file.is_file()
        assert len(library.arrays.background(library.model()).positions) == 15
        when = cache_file.stat().st_mtime_ns
        with LibraryFolder(library.path) as again:
            assert search_library(again, query).matches == first.matches
        assert cache_file.stat().st_mtime_ns == when
        # A changed catalogue has another background.
        with LibraryFolder(library.path, writable=True) as writer, writer.catalog.transaction():
            track = writer.catalog.tracks()[-1]
            writer.catalog.remove([track.id])
        search_library(library, query)
        assert cache_file.stat().st_mtime_ns != when


def test_corrupt_rows_are_not_part_of_the_background(tmp_path: Path) -> None:
    rows = random_rows(30)
    with library_of(tmp_path, rows) as (library, _):
        path = library.path
    sidecar = path / "track.dsp@1.melody.f32"
    data = bytearray(sidecar.read_bytes())
    data[4 * DIM * 3 : 4 * DIM * 4] = b"\xff" * (4 * DIM)
    sidecar.write_bytes(data)
    with LibraryFolder(path) as library:
        found = search_library(library, Query(tmp_path / "music" / "0.mp3", k=30, hubness=CORRECTED))
        assert [Path(track).stem for track in found.corrupt] == ["3"]
        assert len(found.matches) == 28
        assert all(math.isfinite(match.score) for match in found.matches)
        assert 3 not in library.arrays.background(library.model()).positions


def test_it_requires_the_track_level(library: LibraryFolder, music: Path) -> None:
    query = Query(music / "up" / "0.wav", hubness=CORRECTED)
    with pytest.raises(
        UsageError,
        match="mutual-proximity compares whole tracks, and this query compares passages; ask with --by track",
    ):
        search_library(library, query)
    with pytest.raises(UsageError, match="hubness is 'all'; expected 'none' or 'mutual-proximity'"):
        search_library(library, Query(music / "up" / "0.wav", hubness="all"))  # type: ignore[arg-type]


def test_the_command(stocked: Path, music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["search", str(music / "up" / "0.wav"), "--library", str(stocked), "--hubness", CORRECTED]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*arguments, "--by", "track"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("model compact; hubness: mutual-proximity")
    assert main([*arguments, "--by", "track", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["query"]["hubness"] == CORRECTED
    assert "/up/" in printed["matches"][0]["path"]
    for match in printed["matches"]:
        assert sum(part["share"] for part in match["spaces"].values()) == pytest.approx(match["score"])
