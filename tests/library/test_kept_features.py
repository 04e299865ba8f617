"""Stored features: other heads project them to the same rows as from audio."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core.types import LEVELS
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import IndexReport, index_files
from soundalike.library.kept_features import FeatureCost, KeptFeatures, feature_costs
from soundalike.library.maintenance import check_library, repair_library, vacuum_library
from soundalike.models import recipes
from soundalike.models.extraction import extract
from soundalike.models.model import Model

BUNDLED = Path(recipes.__file__).parent / "bundled"
NAMES = ("a.wav", "b.wav", "silence.wav")


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three recordings, one silent; `copy.wav`, a copy of the first, is added later."""
    folder = tmp_path_factory.mktemp("songs")
    write(folder / "a.wav", tune(TUNES["up"], seconds=13))
    write(folder / "b.wav", tune(TUNES["leaps"], seconds=7, seed=1))
    write(folder / "silence.wav", np.zeros(60_000))
    return folder


@pytest.fixture(scope="module")
def originals(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A library of each bundled model with stored features."""
    made = {name: tmp_path_factory.mktemp(name) / "library" for name in ("compact", "dsp")}
    for name, folder in made.items():
        with LibraryFolder.create(folder) as library:
            assert index_files(library, [songs], model=name, jobs=1, keep_features=True).added == 3
    shutil.copy(songs / "a.wav", songs / "copy.wav")
    for folder in made.values():
        with LibraryFolder.create(folder) as library:
            assert index_files(library, [songs]).copied == 1
    return made


@pytest.fixture
def kept(originals: dict[str, Path], tmp_path: Path) -> Path:
    """A library of the model `dsp` with stored features, to change."""
    return Path(shutil.copytree(originals["dsp"], tmp_path / "library"))


@pytest.fixture
def own(songs: Path, tmp_path: Path) -> Callable[..., IndexReport]:
    """Index the test's own copy of two songs into its own library."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name in ("a.wav", "b.wav"):
        shutil.copy(songs / name, folder)

    def go(**options: object) -> IndexReport:
        with LibraryFolder.create(tmp_path / "owned") as library:
            return index_files(library, [folder], model="dsp", jobs=1, **options)  # type: ignore[arg-type]

    return go


def remade(source: str, folder: Path, name: str) -> Path:
    """A bundled model with other weights, under a name."""
    shutil.copytree(BUNDLED / source, folder)
    random = np.random.default_rng(5)
    tensors = {
        key: (tensor + 0.1 * random.standard_normal(tensor.shape)).astype(np.float32)
        for key, tensor in load_file(folder / "weights.safetensors").items()
    }
    (folder / "weights.safetensors").write_bytes(save(tensors))
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe |= {"name": name, "weights_sha256": hashlib.sha256(save(tensors)).hexdigest()}
    (folder / "recipe.json").write_text(json.dumps(recipe))
    return folder


@contextmanager
def unhearable(folder: Path) -> Iterator[None]:
    """Files that cannot be decoded, but have their old size and time."""
    before = {file: (file.read_bytes(), file.stat()) for file in folder.iterdir()}

    def put(file: Path, content: bytes) -> None:
        file.write_bytes(content)
        os.utime(file, ns=(before[file][1].st_atime_ns, before[file][1].st_mtime_ns))

    for file, (content, _) in before.items():
        put(file, bytes(len(content)))
    try:
        yield
    finally:
        for file, (content, _) in before.items():
            put(file, content)


def rows_of(library: LibraryFolder, model: Model, name: str) -> dict[str, np.ndarray]:
    """The rows of a track per space: passages, then the whole."""
    (track,) = [track for track in library.catalog.tracks() if track.path.name == name]
    found: dict[str, list[np.ndarray]] = {space.name: [] for space in model.spaces}
    for level in LEVELS:
        first, count = library.catalog.rows_of(track.id, level)
        for s in model.spaces:
            found[s.name].append(library.store.read(level, s.full_name, s.dim, np.arange(first, first + count)))
    return {space: np.concatenate(parts) for space, parts in found.items()}


@pytest.mark.parametrize("source", ["compact", "dsp"])
def test_another_model_is_added_without_decoding(
    source: str, originals: dict[str, Path], songs: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(originals[source], tmp_path / "library"))
    other = str(remade(source, tmp_path / "model", "other"))
    model = Model.load(other)
    with LibraryFolder.create(tmp_path / "encoded") as encoded:
        assert index_files(encoded, [songs], model=other, jobs=1).added == 4
        expected = {name: rows_of(encoded, model, name) for name in (*NAMES, "copy.wav")}
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.startswith(("track.", "passage."))}
    with unhearable(songs), LibraryFolder.create(folder) as library:
        report = index_files(library, [songs], model=other)
        assert (report.reprojected, report.added, report.changed, report.failed) == (4, 0, 0, [])
        assert report.audio_seconds == 0
        for name, rows in expected.items():
            found = rows_of(library, model, name)
            for space, part in rows.items():
                assert part.any() == (name != "silence.wav")
                assert np.array_equal(found[space], part), (name, space)
        assert check_library(library).ok
        assert index_files(library, [songs]).unchanged == 4
    assert len(before) == 2 * 4 * 4
    assert {name: (folder / name).read_bytes() for name in before} == before


def test_stored_features_are_the_extracted_ones(kept: Path, songs: Path) -> None:
    model = Model.load("dsp")
    (backbone,) = model.backbones.values()
    with LibraryFolder(kept) as library:
        features = KeptFeatures(library.catalog, lambda: library.store, [backbone])
        for track in library.catalog.tracks():
            encoded = extract(model.backbones, track.path).features["dsp"]
            found = features.read("dsp", track.id)
            assert found is not None
            assert set(found.rows) == set(found.audible) == set(backbone.dims)
            for name in backbone.dims:
                assert found.rows[name].dtype == np.float32
                assert np.allclose(found.rows[name], encoded.rows[name], atol=1e-5)
                assert np.array_equal(found.audible[name], encoded.audible[name])
                assert found.audible[name].any() == (track.path.name != "silence.wav")


def test_a_new_version_of_a_model_is_projected_too(kept: Path, songs: Path, tmp_path: Path) -> None:
    newer = str(remade("dsp", tmp_path / "model", "dsp"))
    model = Model.load(newer)
    with LibraryFolder(kept) as library:
        before = rows_of(library, model, "a.wav")
    with unhearable(songs), LibraryFolder.create(kept) as library:
        assert index_files(library, [songs], model=newer).reprojected == 4
        assert list(library.catalog.models()) == ["dsp"]
        assert library.catalog.models()["dsp"].digest == model.recipe.digest
        after = rows_of(library, model, "a.wav")
        assert check_library(library).ok
    assert all(not np.array_equal(after[space], before[space]) for space in before)


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_corrupt_features_are_extracted_and_stored_again(kept: Path, songs: Path, tmp_path: Path) -> None:
    with LibraryFolder(kept) as library:
        first, _ = library.catalog.rows_of(library.catalog.track_at(songs / "b.wav").id, "passage")
        width = 4 * next(one.dim for one in library.catalog.features.features() if one.name == "timbre")
    flip(kept / "feature.dsp@2.timbre.f32", 8 * (width * first + 5))
    other = str(remade("dsp", tmp_path / "model", "other"))
    with LibraryFolder.create(kept) as library:
        assert list(check_library(library).tracks.values()) == [("feature rows of dsp/timbre",)]
        report = index_files(library, [songs], model=other, jobs=1)
        assert (report.reprojected, report.changed, report.failed) == (3, 1, [])
        assert check_library(library).ok
        assert feature_costs(library.catalog)[0].tracks == 4


def test_features_whose_file_is_lost_are_extracted_again(kept: Path, songs: Path, tmp_path: Path) -> None:
    (kept / "feature.dsp@2.rhythm.f32").unlink()
    with LibraryFolder.create(kept) as library:
        report = check_library(library)
        assert len(report.tracks) == 4 and not report.problems
        assert repair_library(library, report) == 4
        assert feature_costs(library.catalog)[0].tracks == 0
        assert index_files(library, [songs], jobs=1, keep_features=True).changed == 4
        assert check_library(library).ok
    next(kept.glob("feature.dsp@*.rhythm.crc")).unlink()
    with LibraryFolder.create(kept) as library:
        report = index_files(library, [songs], model=str(remade("dsp", tmp_path / "model", "other")), jobs=1)
        # The shared rows of a copy may have been repaired already.
        assert report.changed + report.reprojected == 4
        assert report.changed >= 3
        assert check_library(library).ok


def test_features_of_an_existing_library_are_extracted_once_more(own, tmp_path: Path) -> None:
    assert own().added == 2
    assert own().unchanged == 2
    folder = tmp_path / "owned"
    before = {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in (".f32", ".i8", ".on")}
    report = own(keep_features=True)
    assert (report.changed, report.unchanged) == (2, 0)
    assert {name: (folder / name).read_bytes() for name in before} == before
    assert own(keep_features=True).unchanged == 2
    with LibraryFolder(folder) as library:
        assert check_library(library).ok
        (cost,) = feature_costs(library.catalog)
    assert cost == FeatureCost("dsp", 1, 2, 3, sum((folder / f"feature.dsp@2.{name}.{suffix}").stat().st_size
        for name in Model.load("dsp").backbones["dsp"].dims for suffix in ("f32", "crc")))  # fmt: skip


def test_a_changed_file_loses_its_features(own, tmp_path: Path) -> None:
    assert own(keep_features=True).added == 2
    write(tmp_path / "own" / "a.wav", tune(TUNES["down"], seconds=6))
    (tmp_path / "own" / "b.wav").rename(tmp_path / "own" / "moved.wav")
    report = own()
    assert (report.changed, report.moved) == (1, 1)
    with LibraryFolder(tmp_path / "owned") as library:
        assert [
            library.catalog.tracks("tracks.id = ?", (key,))[0].path.name
            for key in library.catalog.features.backbones_by_track()
        ] == ["moved.wav"]
    assert own(keep_features=True).changed == 1
    with LibraryFolder(tmp_path / "owned") as library:
        assert len(library.catalog.features.backbones_by_track()) == 2
        assert check_library(library).ok


def test_features_of_another_version_of_the_backbone_are_dropped(kept: Path, songs: Path, tmp_path: Path) -> None:
    with LibraryFolder.create(kept) as library:
        with library.catalog.transaction():
            library.catalog.database.connection.execute("UPDATE features SET version = version + 1")
        assert index_files(library, [songs]).unchanged == 4
        assert (library.catalog.features.features(), library.catalog.features.backbones_by_track()) == ([], {})
        assert library.info()["features"] == []
        assert check_library(library).ok
        assert index_files(library, [songs], jobs=1, keep_features=True).changed == 4
        assert {one.version for one in library.catalog.features.features()} == {1}


def test_a_vacuum_keeps_features(kept: Path, songs: Path, tmp_path: Path) -> None:
    other = str(remade("dsp", tmp_path / "model", "other"))
    with LibraryFolder.create(kept) as library:
        with library.catalog.transaction():
            library.catalog.remove([library.catalog.track_at(songs / name).id for name in ("a.wav", "copy.wav")])
        assert vacuum_library(library).dropped
        assert check_library(library).ok
        assert index_files(library, [songs / "b.wav", songs / "silence.wav"], model=other).reprojected == 2


def test_the_command_line_reports_their_size(kept: Path, songs: Path, tmp_path: Path, capsys) -> None:
    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    where = ("--library", kept)
    with LibraryFolder(kept) as library:
        (cost,) = feature_costs(library.catalog)
    line = f"dsp: 4 tracks, {cost.bytes / 1e6:.1f} MB, {cost.bytes / 4e3:.0f} kB per track"
    assert f"features   {line}\n" in run("library", "info", *where)
    expected = [{"backbone": "dsp", "version": 1, "tracks": 4, "passages": 4, "bytes": cost.bytes}]
    assert json.loads(run("library", "info", "--json", *where))["features"] == expected
    assert f"features of {line}\n" in run("index", songs, "--keep-features", *where)
    assert "features" not in run("index", songs, *where)
    first = remade("dsp", tmp_path / "first", "first")
    printed = run("index", songs, "--model", first, *where)
    assert "4 projected from what is stored" in printed
    assert "0 files encoded" in printed
    second = remade("dsp", tmp_path / "second", "second")
    told = json.loads(run("index", songs, "--model", second, "--json", *where))
    assert (told["reprojected"], told["added"], told["features"]) == (4, 0, expected)
