"""Mutual proximity: against plain loops, in libraries of chosen rows, and what it does to a hub."""

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
from soundalike.models.mutual_proximity import Background, mutual_z
from soundalike.search.query import Example, Query
from soundalike.search.search import search_library

NORMAL = NormalDist()
CORRECTED = "mutual-proximity"

similarities = st.floats(-1, 1)
owns = st.tuples(st.floats(-0.5, 0.5), st.floats(0.4, 2))


def plain_z(similarity: float, left: tuple[float, float], right: tuple[float, float]) -> float:
    """The definition."""
    each = [(similarity - mean) / spread for mean, spread in (left, right)]
    proximity = math.prod(math.erfc(-z / math.sqrt(2)) / 2 for z in each)
    return NORMAL.inv_cdf(proximity * (1 - math.log(proximity)))


def one_z(similarity: float, left: tuple[float, float], right: tuple[float, float]) -> float:
    return float(mutual_z(np.array([similarity]), np.array([left]), np.array([right]))[0])


@given(similarities, owns, owns)
@settings(deadline=None)  # scipy is imported on the way
def test_z_is_that_of_mutual_proximity(similarity: float, left, right) -> None:
    assert one_z(similarity, left, right) == pytest.approx(plain_z(similarity, left, right), abs=1e-6)
    assert one_z(similarity, left, right) == one_z(similarity, right, left)


def test_z_of_random_pairs_is_standard_normal() -> None:
    random = np.random.default_rng(0)
    left, right = (np.stack([random.standard_normal(50_000), np.ones(50_000)], axis=1) for _ in range(2))
    z = mutual_z(np.zeros(50_000), left, right)
    assert (z.mean(), z.std()) == (pytest.approx(0, abs=0.02), pytest.approx(1, abs=0.02))
    assert np.quantile(z, [0.01, 0.99]) == pytest.approx([NORMAL.inv_cdf(0.01), NORMAL.inv_cdf(0.99)], abs=0.05)


def test_z_never_stops_growing() -> None:
    """Where distribution functions are all but 0 and 1 too."""
    similarity, own = np.linspace(-36, 36, 1001), np.tile([0.0, 1.0], (1001, 1))
    z = mutual_z(similarity, own, own)
    assert (np.diff(z) > 0.05).all()
    assert np.isfinite(mutual_z(1e6 * similarity, own, own)).all()


# Own means and spreads --------------------------------------------------------------------------------------------

LAW = Calibration(0.3, 0.7, ())


def others(rows: np.ndarray, number: int, row: np.ndarray) -> list[float]:
    """Similarities of a row to all audible others; `number` is its own, -1 for none."""
    return [
        sum(float(a) * float(b) for a, b in zip(row, other, strict=True))
        for place, other in enumerate(rows)
        if place != number and other.any()
    ]


def test_means_and_spreads_against_plain_loops() -> None:
    rows = random_rows(40)["melody"]
    rows[5:9] = 0
    positions = np.arange(100, 140)
    background = Background.of(positions[:30], {"melody": rows[:30]})
    found = background.chance("melody", LAW, rows, positions)
    for number in (*range(5), *range(9, 40)):
        alike = others(rows[:30], number, rows[number])
        assert len(alike) == 25 if number < 30 else 26
        assert found[number] == pytest.approx([fmean(alike), pstdev(alike)], abs=1e-9)
    outside = background.chance("melody", LAW, rows[:1], np.array([-1]))
    alike = others(rows[:30], -1, rows[0])
    assert outside[0] == pytest.approx([fmean(alike), pstdev(alike)], abs=1e-9)


@pytest.mark.parametrize("rows", [random_rows(10)["melody"], np.repeat(random_rows(1)["melody"], 50, axis=0)])
def test_too_few_or_all_alike_have_the_chance_of_the_law(rows: np.ndarray) -> None:
    positions = np.arange(len(rows))
    background = Background.of(positions, {"melody": rows})
    assert background.chance("melody", LAW, rows, positions).tolist() == [[LAW.mu, LAW.sigma]] * len(rows)


# In a library -----------------------------------------------------------------------------------------------------


def oracle(
    rows: Mapping[str, np.ndarray],
    number: int,
    weights: Mapping[str, float],
    query: Mapping[str, np.ndarray] | None = None,
) -> dict[int, float]:
    """The scores of all other tracks for track `number`, or of all for a query from elsewhere (-1), by plain loops."""
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
                own = [(fmean(alike), pstdev(alike)) for alike in (left, right)]
                scores[place] += weight * plain_z(similarity, *own) / total
    return scores


def some_silent(count: int) -> dict[str, np.ndarray]:
    rows = random_rows(count)
    for number, name in enumerate(NAMES):
        rows[name] = unit(rows[name] + 0.5 * rows[name][0])
        rows[name][number + 3 :: 7] = 0
    return rows


def test_the_search_is_what_plain_loops_say(tmp_path: Path) -> None:
    """A library of no more tracks than are scored anew has the exact answer."""
    rows, weights = some_silent(40), {"melody": 2.0, "rhythm": -1.0, "timbre": 0.0, "harmony": 0.5}
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


def test_with_several_examples_it_is_the_mean(tmp_path: Path) -> None:
    rows = some_silent(30)
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


def test_a_row_of_something_else_is_not_its_own(tmp_path: Path) -> None:
    """A file that has changed since it was indexed is no part of the background."""
    rows = some_silent(25)
    with library_of(tmp_path, rows) as (library, paths):
        model = Model.load("dsp")
        subject = library.subject(paths[1], model)
        changed = random_rows(1, seed=7)
        changed = {name: part[0] for name, part in changed.items()}
        heard = type(subject)(subject.span, subject.passages, changed, "other", subject.fingerprint, None, subject.own)
        found = search_library(library, Query(paths[1], k=30, hubness=CORRECTED, include_self=True), heard)
        expected = oracle(rows, -1, dict.fromkeys(NAMES, 1.0), changed)
        for match in found.matches:
            assert match.score == pytest.approx(expected[int(Path(match.span.track).stem)], abs=1e-6)


def test_only_the_best_by_the_law_are_scored_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundalike.search.search.RESCORED", 20)
    rows = random_rows(60)
    with library_of(tmp_path, rows) as (library, paths):
        everybody = {match.span.track for match in search_library(library, Query(paths[0], k=19)).matches}
        found = search_library(library, Query(paths[0], k=5, hubness=CORRECTED)).matches
        whole = search_library(library, Query(paths[0], k=59, hubness=CORRECTED)).matches
        kept = [match for match in whole if match.span.track in everybody]
        assert [match.span.track for match in found] == [match.span.track for match in kept[:5]]
        assert len(whole) == 59, "twice as many as are asked for are scored"


def with_a_hub(random: np.random.Generator) -> dict[str, np.ndarray]:
    """Track 0 lies in the middle of everybody; others are in small groups of three, spread all around."""
    rows = {}
    for name in NAMES:
        direction = random.standard_normal(DIM)
        groups = np.repeat(random.standard_normal((40, DIM)), 3, axis=0)
        part = unit(0.7 * direction + groups + 1.2 * random.standard_normal((120, DIM)))
        rows[name] = np.concatenate([unit(direction[None, :]), part])
    return rows


def test_a_hub_loses_its_rank(tmp_path: Path) -> None:
    with library_of(tmp_path, with_a_hub(np.random.default_rng(0))) as (library, paths):
        places: dict[str, list[int]] = {"none": [], CORRECTED: []}
        right: dict[str, list[bool]] = {"none": [], CORRECTED: []}
        for number in range(1, 121, 4):
            for hubness in ("none", CORRECTED):
                found = search_library(
                    library, Query(paths[number], weights={"melody": 1}, k=120, hubness=hubness)
                ).matches
                answers = [int(Path(match.span.track).stem) for match in found]
                places[hubness].append(answers.index(0))
                right[hubness].append((answers[0] - 1) // 3 == (number - 1) // 3)
        assert np.mean([place < 5 for place in places["none"]]) > 0.8, "near to nearly everybody"
        assert np.mean([place < 5 for place in places[CORRECTED]]) < 0.2
        assert sum(right[CORRECTED]) > sum(right["none"])


def test_what_is_measured_against_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_arrays, "_WORTH_KEEPING", 10)
    monkeypatch.setattr(snapshot_arrays, "_BACKGROUND", 15)
    kept = tmp_path / "library" / "derived" / "background.dsp.derived"
    with library_of(tmp_path, random_rows(30)) as (library, paths):
        query = Query(paths[0], hubness=CORRECTED)
        first = search_library(library, query)
        assert kept.is_file()
        assert len(library.arrays.background(library.model()).positions) == 15
        when = kept.stat().st_mtime_ns
        with LibraryFolder(library.path) as again:
            assert search_library(again, query).matches == first.matches
        assert kept.stat().st_mtime_ns == when
        # A catalogue that has changed has another background.
        with LibraryFolder(library.path, writable=True) as writer, writer.catalog.transaction():
            track = writer.catalog.tracks()[-1]
            writer.catalog.remove([track.id])
        search_library(library, query)
        assert kept.stat().st_mtime_ns != when


def test_damaged_rows_are_measured_by_nobody(tmp_path: Path) -> None:
    rows = random_rows(30)
    with library_of(tmp_path, rows) as (library, _):
        path = library.path
    sidecar = path / "track.dsp.melody.f32"
    data = bytearray(sidecar.read_bytes())
    data[4 * DIM * 3 : 4 * DIM * 4] = b"\xff" * (4 * DIM)
    sidecar.write_bytes(data)
    with LibraryFolder(path) as library:
        found = search_library(library, Query(tmp_path / "music" / "0.mp3", k=30, hubness=CORRECTED))
        assert [Path(track).stem for track in found.corrupt] == ["3"]
        assert len(found.matches) == 28
        assert all(math.isfinite(match.score) for match in found.matches)
        assert 3 not in library.arrays.background(library.model()).positions


def test_it_is_for_whole_tracks(library: LibraryFolder, music: Path) -> None:
    query = Query(music / "up" / "0.wav", hubness=CORRECTED)
    with pytest.raises(
        UsageError, match="mutual-proximity is for whole tracks, and passages are asked about; ask with --by"
    ):
        search_library(library, query)
    with pytest.raises(UsageError, match="unknown correction of hubness 'all'; known: none, mutual-proximity"):
        search_library(library, Query(music / "up" / "0.wav", hubness="all"))  # type: ignore[arg-type]


def test_the_command(stocked: Path, music: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["search", str(music / "up" / "0.wav"), "--library", str(stocked), "--hubness", CORRECTED]
    assert main(arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*arguments, "--by", "track"]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith("model compact; hubness: mutual-proximity")
    assert main([*arguments, "--by", "track", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["query"]["hubness"] == CORRECTED
    assert "/up/" in told["matches"][0]["path"]
    for match in told["matches"]:
        assert sum(part["share"] for part in match["spaces"].values()) == pytest.approx(match["score"])
