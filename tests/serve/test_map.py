"""Maps: the geometry of the points, and what a library and a server make of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from stocked import stock, track_of

from soundalike.api import Library
from soundalike.core.errors import ModelError, UsageError
from soundalike.core.types import FloatArray
from soundalike.library.folder import LibraryFolder
from soundalike.models.heads import unit_rows
from soundalike.models.model import Model, load_once
from soundalike.models.score import mutual_scores
from soundalike.models.search_spaces import SearchSpaces
from soundalike.serve.app import create_app
from soundalike.serve.jobs import map as maps
from soundalike.serve.jobs.map import Points, make_map, positive_weights, principal_components, scaled
from soundalike.serve.jobs.requests import MapJob

CLUSTERS, SIZE = 3, 30
SILENT, PARTLY = 7, 8
"""The track that is silent everywhere, and the one that is silent in one space."""


def clusters(path: Path, rows: Mapping[str, FloatArray], model: Model) -> Path:
    """A library with these rows, made without audio. The folder of its tracks exists, the files do not."""
    music = path.with_name("music")
    music.mkdir()
    (music / "cover.jpg").touch()
    tracks = [
        track_of(music / f"{number:03}.flac", genres=("jazz",) if number < SIZE else ())
        for number in range(CLUSTERS * SIZE)
    ]
    return stock(path, rows, model, music, tracks)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_once("compact")


@pytest.fixture(scope="module")
def rows(model: Model) -> dict[str, FloatArray]:
    """Three clusters, 30 tracks each; one track is silent, and another in one space."""
    random, found = np.random.default_rng(0), {}
    for space in model.spaces:
        centres = np.repeat(random.standard_normal((CLUSTERS, space.dim)), SIZE, axis=0)
        found[space.name] = unit_rows((centres + 0.3 * random.standard_normal(centres.shape)).astype(np.float32))
        found[space.name][SILENT] = 0
    found["melody"][PARTLY] = 0
    return found


@pytest.fixture(scope="module")
def clustered(tmp_path_factory: pytest.TempPathFactory, model: Model, rows: dict[str, FloatArray]) -> Path:
    return clusters(tmp_path_factory.mktemp("clustered") / "library", rows, model)


def read_map(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The ids (n,) and coordinates (n, 2) of a map."""
    count = len(content) // 16
    return np.frombuffer(content, "<i8", count), np.frombuffer(content, "<f4", offset=8 * count).reshape(count, 2)


def is_apart(places: np.ndarray, cluster: np.ndarray) -> bool:
    """Whether every place (n, 2) is nearest to the middle of its own cluster (n,)."""
    centres = np.stack([places[cluster == one].mean(axis=0) for one in range(CLUSTERS)])
    return bool((np.linalg.norm(places[:, None] - centres, axis=2).argmin(axis=1) == cluster).all())


def points_of(*parts: FloatArray, scales: tuple[float, ...] | None = None) -> Points:
    return Points(lambda number, part: parts[number][part], len(parts[0]), scales or (1.0,) * len(parts))


def test_components_are_those_of_a_singular_value_decomposition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_ROWS", 16)  # several blocks, the last of which is not full
    random = np.random.default_rng(1)
    a, b = (random.standard_normal((50, dim)) * np.geomspace(1, 0.1, dim) for dim in (6, 9))
    found = principal_components(points_of(a, b, scales=(2.0, 0.5)), 3)
    whole = np.concatenate([2.0 * a, 0.5 * b], axis=1)
    u, s, _ = np.linalg.svd(whole - whole.mean(axis=0), full_matrices=False)
    signs = np.sign((found * u[:, :3]).sum(axis=0))
    np.testing.assert_allclose(found, signs * u[:, :3] * s[:3], atol=1e-9)


def test_directions_that_points_do_not_have_are_zero() -> None:
    found = principal_components(points_of(np.array([[1.0], [3.0]])), 2)
    np.testing.assert_allclose(found, [[-1, 0], [1, 0]])


def test_silence_in_a_space_is_its_mean() -> None:
    loud, other = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.array([[1.0], [2.0], [6.0]])
    vectors = np.concatenate([block for _, block in points_of(loud, other).blocks()])
    np.testing.assert_allclose(vectors, [[0.5, -0.5, -2], [-0.5, 0.5, -1], [0, 0, 3]])


def test_inner_products_are_scores(model: Model, rows: dict[str, FloatArray]) -> None:
    """W score(x, y) = <x, y> - sum_s w_s mu_s / sigma_s, before the mean is subtracted."""
    weights = {"melody": 2.0, "timbre": 0.5}
    audible = np.delete(np.arange(CLUSTERS * SIZE), [SILENT, PARTLY])
    chosen = {name: part[audible] for name, part in rows.items()}
    scores = mutual_scores(model.spaces, chosen, weights, "track")
    used = [space for space in model.spaces if space.name in weights]
    calibration = {space.name: space.calibration["track"] for space in used}
    vectors = np.concatenate(
        [np.sqrt(weights[one.name] / calibration[one.name].sigma) * chosen[one.name] for one in used], axis=1
    )
    constant = sum(weights[name] * one.mu / one.sigma for name, one in calibration.items())
    np.testing.assert_allclose(vectors @ vectors.T - constant, 2.5 * scores, atol=1e-4)


def test_coordinates_are_scaled_by_one_factor() -> None:
    np.testing.assert_allclose(
        scaled(np.array([[0.0, 10.0], [4.0, 11.0], [2.0, 10.0]])), [[-1, -0.25], [1, 0.25], [0, -0.25]]
    )
    assert scaled(np.ones((3, 2))).tolist() == [[0, 0]] * 3


def test_only_weights_above_zero_count(model: Model) -> None:
    assert positive_weights({"melody": 2, "timbre": -1}, SearchSpaces.of(model)) == {"melody": 2}
    with pytest.raises(UsageError, match="every weight is 0 or less; a map needs a space with a weight above 0"):
        positive_weights({"timbre": -1}, SearchSpaces.of(model))


def test_clusters_stay_apart_and_silent_tracks_have_no_place(clustered: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None, str]] = []
    with LibraryFolder(clustered) as library:
        job = MapJob(kind="map", method="pca")
        record = make_map(library, job, tmp_path / "map", lambda *progress: seen.append(progress))
        names = {track.id: int(track.path.stem) for track in library.catalog.tracks()}
    ids, places = read_map((tmp_path / "map").read_bytes())
    numbers = np.array([names[one] for one in ids.tolist()])
    assert (record.tracks, record.left_out, record.method) == (CLUSTERS * SIZE - 1, 1, "pca")
    assert len(set(numbers)) == record.tracks and SILENT not in numbers and PARTLY in numbers
    assert np.abs(places).max() == 1 and np.ptp(places, axis=0).max() == 2
    assert is_apart(places, numbers // SIZE)
    assert [one[:2] for one in seen] == [(number * record.tracks // 3, record.tracks) for number in (1, 2, 3)]


def test_conditions_choose_tracks_and_none_is_an_error(clustered: Path, tmp_path: Path) -> None:
    with LibraryFolder(clustered) as library:
        jazz, polka = (MapJob(kind="map", method="pca", where=f"genre = {genre}") for genre in ("jazz", "polka"))
        assert make_map(library, jazz, tmp_path / "map").tracks == SIZE - 1
        with pytest.raises(UsageError, match="there is no track to place: 0 meet the conditions"):
            make_map(library, polka, tmp_path / "map")


def test_umap_is_used_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "find_spec", lambda name: object() if name == "umap" else None)
    assert [maps._method("auto", count) for count in (15, 16, 10_000, 10_001)] == ["pca", "umap", "umap", "pca"]
    assert maps._method("umap", 200_001) == "umap" and maps._method("pca", 100) == "pca"
    monkeypatch.setattr(maps, "find_spec", lambda _: None)
    assert maps._method("auto", 100) == "pca"
    with pytest.raises(ModelError, match=r"UMAP is not installed; ask for the method pca, or run: pip install"):
        maps._method("umap", 100)


@pytest.mark.slow  # UMAP compiles itself
def test_umap_keeps_clusters_apart(rows: dict[str, FloatArray]) -> None:
    pytest.importorskip("umap", reason="soundalike[map] is not installed")
    points = points_of(*rows.values())
    places = scaled(maps._umap(principal_components(points, 64)))
    numbers = np.delete(np.arange(CLUSTERS * SIZE), SILENT)
    assert is_apart(places[numbers], numbers // SIZE)


@pytest.fixture(scope="module")
def client(clustered: Path):
    with Library(clustered) as library, TestClient(create_app(library), base_url="http://127.0.0.1") as found:
        yield found


def test_a_map_is_made_once_and_served_as_bytes(client: TestClient, model: Model) -> None:
    asked = {"kind": "map", "weights": {"melody": 2, "timbre": -1}, "method": "pca"}
    first = client.post("/api/v1/jobs", json=asked)
    assert first.status_code == 202
    place = first.headers["location"]
    early = client.get(f"{place}/map")
    assert early.status_code == 409 and "a map can be had when a job map is done" in early.json()["detail"]
    assert client.get(f"{place}/events").text.count("event: done") == 1
    for same in (asked, asked | {"weights": {"melody": 2, "rhythm": 0}}):
        again = client.post("/api/v1/jobs", json=same)
        assert (again.status_code, again.headers["location"]) == (200, place)
    job = again.json()
    assert (job["state"], job["result"]["weights"], job["error"]) == ("done", {"melody": 2}, None)
    found = client.get(f"{place}/map")
    ids, places = read_map(found.content)
    assert len(ids) == job["result"]["tracks"] == CLUSTERS * SIZE - 2  # two are silent in melody
    assert found.headers["x-count"] == str(len(ids)) and found.headers["content-type"] == "application/octet-stream"
    assert "immutable" in found.headers["cache-control"] and np.abs(places).max() == 1
    unchanged = client.get(f"{place}/map", headers={"If-None-Match": found.headers["etag"]})
    assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_what_is_wrong_is_said_at_once(client: TestClient) -> None:
    for wrong, why in (
        ({"weights": {"melody": -1}}, "every weight is 0 or less"),
        ({"weights": {"beat": 1}}, "unknown space 'beat'"),
        ({"where": "beat = 3"}, "unknown field 'beat'"),
        ({"model": "dsp"}, "holds compact, not dsp"),
    ):
        answer = client.post("/api/v1/jobs", json={"kind": "map"} | wrong)
        assert answer.status_code == 400 and why in answer.json()["detail"]
    assert client.post("/api/v1/jobs", json={"kind": "map", "method": "tsne"}).status_code == 422
