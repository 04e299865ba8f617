"""A model that stands on the rows of another one is indexed from these rows, without decoding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stacked_model import make_stacked

from conftest import TUNES, tune, write
from soundalike.core.types import LEVELS
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing import index
from soundalike.library.indexing.index import index_files
from soundalike.models.model import Model


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    """Two recordings."""
    folder = tmp_path / "songs"
    folder.mkdir()
    write(folder / "a.wav", tune(TUNES["up"], seconds=13))
    write(folder / "b.wav", tune(TUNES["leaps"], seconds=7, seed=1))
    return folder


@pytest.fixture
def held(songs: Path, tmp_path: Path) -> Path:
    """A library of them with the rows of `dsp`."""
    with LibraryFolder.create(tmp_path / "library") as library:
        assert index_files(library, [songs], model="dsp", jobs=1).added == 2
    return tmp_path / "library"


def test_known_tracks_are_not_decoded(held: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moods = str(make_stacked(tmp_path / "moods"))
    # In this process, so that decoding can be made to fail.
    monkeypatch.setattr(index, "run_tasks", lambda function, tasks, *_: ((task, function(task)) for task in tasks))
    with monkeypatch.context() as undecoded:
        undecoded.setattr(index, "extract", lambda *_, **__: pytest.fail("a file was decoded"))
        with LibraryFolder.create(held) as library:
            report = index_files(library, [songs], model=moods, jobs=1)
        assert (report.reprojected, report.added, report.changed) == (2, 0, 0)
    write(songs / "c.wav", tune(TUNES["up"], seconds=6, seed=2))
    with LibraryFolder.create(held) as library:
        assert index_files(library, [songs], jobs=1).added == 1  # a new file gets the rows of both models
        model = library.model(moods)
        for name in ("a.wav", "b.wav", "c.wav"):
            encoding = model.encode(songs / name)
            track = library.catalog.track_at(songs / name)
            for level in LEVELS:
                first, count = library.catalog.rows_of(track.id, level)
                stored = library.rows(model.spaces, level, np.arange(first, first + count))["mood"]
                np.testing.assert_allclose(stored, encoding.at(level).rows["mood"], atol=1e-6)
                assert stored.any()


def test_corrupt_rows_are_encoded_again(held: Path, songs: Path, tmp_path: Path) -> None:
    (file,) = held.glob("passage.dsp@*.rhythm.f32")
    content = bytearray(file.read_bytes())
    content[5] ^= 0xFF
    file.write_bytes(content)
    with LibraryFolder.create(held) as library:
        report = index_files(library, [songs], model=str(make_stacked(tmp_path / "moods")), jobs=1)
        assert (report.reprojected, report.changed) == (1, 1)
        assert library.vectors("passage", "dsp").rows["rhythm"].any()


def test_rows_of_another_version_are_not_used(held: Path, songs: Path, tmp_path: Path) -> None:
    def age(recipe: dict) -> None:
        recipe["rows_of"]["digest"] = "of an earlier version"

    moods = make_stacked(tmp_path / "moods", age)
    assert Model.load(moods).recipe.rows_of.digest == "of an earlier version"
    with LibraryFolder.create(held) as library:
        report = index_files(library, [songs], model=str(moods), jobs=1)
        assert (report.reprojected, report.changed) == (0, 2)
