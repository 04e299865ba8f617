"""Committed rows are never overwritten: readers of older snapshots keep theirs, whatever is encoded again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_kept_features import remade

from conftest import TUNES, tune, write
from soundalike.api import compare
from soundalike.core import plugins
from soundalike.core.errors import LibraryError, ModelError
from soundalike.core.types import LEVELS, FloatArray
from soundalike.library.catalog.transactions import CatalogDatabase
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.kept_features import KeptFeatures
from soundalike.library.maintenance import check_library, repair_library, vacuum_library
from soundalike.library.stores.base import Editions, Table
from soundalike.library.stores.flat import FlatStore
from soundalike.library.stores.sidecars import SidecarFiles
from soundalike.models.model import Model, load_once


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("songs")
    for number, name in enumerate(("up", "down")):
        write(folder / f"{name}.wav", tune(TUNES[name], seconds=6 + number, seed=number))
    shutil.copy(folder / "up.wav", folder / "twin.wav")
    return folder


@pytest.fixture(scope="module")
def original(songs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("original") / "library"
    with LibraryFolder.create(path) as library:
        index_files(library, [songs], model="dsp", jobs=1, keep_features=True)
    return path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "library"))


def everything(library: LibraryFolder) -> dict[str, FloatArray]:
    """All rows and features of a snapshot."""
    found = {}
    for space in library.catalog.spaces():
        groups = library.catalog.groups(space.model, space.level)
        positions = np.concatenate([np.arange(first, first + count) for first, count, _ in groups.tolist()])
        assert not library.store.corrupt(space.level, space.full_name, space.dim, positions).any()
        found[f"{space.level} {space.full_name}"] = library.store.read(
            space.level, space.full_name, space.dim, positions
        )
    return found


def test_a_reader_keeps_its_rows_when_a_model_is_encoded_again(
    folder: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CatalogDatabase, "compact", lambda _: None)  # it waits 10 s for readers of the WAL
    other = str(remade("dsp", tmp_path / "model", "dsp"))
    with LibraryFolder(folder) as reader:
        with reader.snapshot():
            before = everything(reader)
            with LibraryFolder(folder, writable=True) as writer:
                assert index_files(writer, [songs], model=other, jobs=1).reprojected == 3
                assert check_library(writer).ok
                vacuum_library(writer)
            again = everything(reader)
            assert {name: rows.tobytes() for name, rows in again.items()} == {
                name: rows.tobytes() for name, rows in before.items()
            }
        with reader.snapshot():
            after = everything(reader)
        assert before.keys() == after.keys()
        for name, rows in after.items():
            assert rows.shape == before[name].shape and not np.array_equal(rows, before[name]), name
    # Files of the old edition are gone; editions are never used twice.
    assert {path.name.split(".")[1] for path in folder.glob("*.f32")} == {"dsp@2", "dsp@3"}


def test_a_reader_that_comes_between_the_catalogue_and_its_rows_begins_again(
    folder: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(remade("dsp", tmp_path / "model", "dsp"))
    check, encoded = FlatStore.check, []

    def check_after_another_process_has_written(store: FlatStore, *arguments: object, **options: object) -> None:
        if not encoded:
            encoded.append(True)
            with LibraryFolder(folder, writable=True) as writer:
                index_files(writer, [songs], model=other, jobs=1)
        check(store, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FlatStore, "check", check_after_another_process_has_written)
    with LibraryFolder(folder) as reader, reader.snapshot():
        assert reader.catalog.models()["dsp"].digest == Model.load(other).recipe.digest
        assert len(everything(reader)) == 8


READS_ALL_THE_TIME = """
import sys, time
from pathlib import Path
import numpy as np
from soundalike.core.errors import ModelError
from soundalike.library.folder import LibraryFolder

def rows(library):
    found = []
    for space in library.catalog.spaces():
        for first, count, _ in library.catalog.groups(space.model, space.level).tolist():
            positions = np.arange(first, first + count)
            assert not library.store.corrupt(space.level, space.full_name, space.dim, positions).any()
            found.append(library.store.read(space.level, space.full_name, space.dim, positions).tobytes())
    return found

snapshots, digests = 0, set()
with LibraryFolder(Path(sys.argv[1])) as library:
    print("ready", flush=True)
    while not Path(sys.argv[2]).exists():
        with library.snapshot():
            before = rows(library)
            time.sleep(0.05)
            assert rows(library) == before, "the rows of a snapshot changed"
            digests.add(library.catalog.models()["dsp"].digest)
        snapshots += 1
print(snapshots, len(digests))
"""


@pytest.mark.slow
def test_processes_read_consistent_rows_while_another_one_encodes_again(
    folder: Path, songs: Path, tmp_path: Path
) -> None:
    """Two versions of a model in turn, each projected from stored features, and a vacuum after each."""
    versions = [str(remade("dsp", tmp_path / "model", "dsp")), "dsp"]
    stop = tmp_path / "stop"
    command = [sys.executable, "-c", READS_ALL_THE_TIME, str(folder), str(stop)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None and reader.stdout.readline() == "ready\n"
    for turn in range(6):
        with LibraryFolder(folder, writable=True) as writer:
            assert index_files(writer, [songs], model=versions[turn % 2], jobs=1).reprojected == 3
            vacuum_library(writer)
    stop.touch()
    for reader in readers:
        printed, errors = reader.communicate(timeout=60)
        assert reader.returncode == 0, errors
        snapshots, digests = map(int, printed.split())
        assert snapshots > 6 and digests == 2


def test_stored_features_of_another_version_of_a_backbone_have_files_of_their_own(folder: Path, songs: Path) -> None:
    (backbone,) = Model.load("dsp").backbones.values()
    with LibraryFolder(folder) as reader, reader.snapshot():
        track = reader.catalog.track_at(songs / "down.wav")
        assert track is not None
        features = KeptFeatures(reader.catalog, lambda: reader.store, [backbone])
        before = features.read("dsp", track.id)
        assert before is not None
        with LibraryFolder(folder, writable=True) as writer:
            with writer.catalog.transaction():
                writer.catalog.features.drop("dsp")
                KeptFeatures(writer.catalog, lambda: writer.store, [backbone]).prepare(keep=True)
            writer.refresh()
            first, count = writer.catalog.rows_of(track.id, "passage")
            for feature in writer.catalog.features.features():
                writer.store.write("feature", feature.full_name, first, np.ones((count, feature.dim), np.float32))
            writer.store.flush()
        after = features.read("dsp", track.id)
        assert after is not None
        for name, rows in before.rows.items():
            assert np.array_equal(after.rows[name], rows) and not (rows == 1).all()


@contextmanager
def no_committed_row_is_written(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside, a write to a position that a transaction has committed fails the test."""
    committed: set[tuple[Path, str, int]] = set()
    written: set[tuple[Path, str, int]] = set()
    write_rows, transaction = SidecarFiles.write, CatalogDatabase.transaction

    def recorded_write(files: SidecarFiles, table: Table, space: str, first: int, rows: FloatArray) -> None:
        places = {(files.folder, files.name(table, space, "f32"), first + n) for n in range(len(rows))}
        assert not places & committed, f"committed rows are overwritten: {sorted(places & committed)[0]}"
        written.update(places)
        write_rows(files, table, space, first, rows)

    @contextmanager
    def recorded_transaction(database: CatalogDatabase) -> Iterator[None]:
        with transaction(database):
            yield
        committed.update(written)
        written.clear()

    with monkeypatch.context() as patch:
        patch.setattr(SidecarFiles, "write", recorded_write)
        patch.setattr(CatalogDatabase, "transaction", recorded_transaction)
        yield
    assert committed


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_nothing_that_index_does_overwrites_committed_rows(
    songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    music = Path(shutil.copytree(songs, tmp_path / "music"))
    newer = remade("dsp", tmp_path / "newer", "dsp")
    second = str(remade("dsp", tmp_path / "second", "second"))
    path = tmp_path / "library"

    def index(**options: object) -> None:
        with LibraryFolder.create(path) as library:
            report = index_files(library, [music], jobs=1, **options)  # type: ignore[arg-type]
            assert not report.failed
            assert check_library(library).ok

    def repair() -> None:
        with LibraryFolder(path, writable=True, incomplete=True) as library:
            assert repair_library(library, check_library(library))
            assert check_library(library).ok

    with no_committed_row_is_written(monkeypatch):
        index(model="dsp")  # a copy shares rows
        index(model=second)  # beside those of the first, once for both copies
        index(keep_features=True)
        flip(next(path.glob("passage.dsp@*.melody.f32")), 40)
        repair()
        index()  # corrupt rows are encoded again
        flip(next(path.glob("feature.dsp@*.timbre.f32")), 40)
        index(model=str(newer))  # another version; corrupt features are extracted again
        write(music / "down.wav", tune(TUNES["leaps"], seconds=9))
        index()  # a changed file
        (music / "up.wav").unlink()
        index(prune=True)
        write(music / "later.wav", tune(TUNES["pedal"], seconds=5))
        with LibraryFolder(path, writable=True) as library, library.catalog.transaction():
            library.catalog.remove([track.id for track in library.catalog.tracks()][-1:])  # the last rows are free now
            library.catalog.drop_model("second")
        index(model=second)


def test_rows_of_removed_tracks_and_models_are_not_written_over(folder: Path) -> None:
    """A reader of an older snapshot may still read them; only a vacuum, which moves all rows, begins at 0 again."""
    with LibraryFolder(folder, writable=True) as library:
        ends = {level: library.catalog.next_row(level) for level in LEVELS}
        assert min(ends.values()) > 0
        with library.catalog.transaction():
            library.catalog.remove(library.catalog.ids().tolist())
            library.catalog.drop_model("dsp")
        assert {level: library.catalog.next_row(level) for level in LEVELS} == ends
        vacuum_library(library)
        assert {level: library.catalog.next_row(level) for level in LEVELS} == dict.fromkeys(LEVELS, 0)


names = st.from_regex(r"[a-cA-C0-2][a-c.0-2-]{0,4}", fullmatch=True).filter(lambda name: not name.endswith("."))


@given(st.sets(st.tuples(names, names), min_size=2, max_size=8))
def test_no_two_spaces_share_a_file(spaces: set[tuple[str, str]]) -> None:
    """Not even on a file system that ignores case, as models have editions of their own and spaces differ by more."""
    models = sorted({model for model, _ in spaces})
    files = SidecarFiles(Path(), Editions({model: n for n, model in enumerate(models, start=1)}), writable=False)
    distinct = {(model, space.lower()): space for model, space in spaces}
    tables: tuple[Table, ...] = ("track", "passage")
    found = [
        name.lower()
        for table in tables
        for (model, _), space in distinct.items()
        for name in files.names(table, f"{model}/{space}")
    ]
    assert len(set(found)) == len(found) == 2 * 4 * len(distinct)


def test_a_store_refuses_a_model_that_it_does_not_know(tmp_path: Path) -> None:
    store = plugins.load("stores", "flat", folder=tmp_path, writable=True, editions=Editions({"a": 1}))
    store.write("track", "a/x", 0, np.ones((1, 4), np.float32))
    with pytest.raises(LibraryError, match="the library does not know b"):
        store.write("track", "b/x", 0, np.ones((1, 4), np.float32))
    store.close()
    assert {path.name for path in tmp_path.iterdir()} == {f"track.a@1.x.{end}" for end in ("f32", "i8", "on", "crc")}


def test_a_prefilter_is_dropped_when_rows_are_written_among_those_it_covers(
    folder: Path, songs: Path, tmp_path: Path
) -> None:
    """Else no search would find them; it was built when their positions held nothing."""
    prefilters = [folder / f"coarse.{level}.dsp@1.derived" for level in LEVELS]
    with LibraryFolder(folder, writable=True) as library, library.catalog.transaction():
        for track in library.catalog.tracks()[:1]:
            library.catalog.unmark_encoded(track.id)
    stores = [plugins.load("stores", "flat", folder=folder, editions=Editions({"dsp": 1})) for _ in range(2)]
    for path in prefilters:
        path.write_bytes(b"a prefilter")
    assert [store._prefilter_version("track", "dsp") is None for store in stores] == [False, False]
    with LibraryFolder(folder, writable=True) as library:
        assert index_files(library, [songs], jobs=1).changed == 1
    assert not any(path.exists() for path in prefilters)
    for store in stores:
        assert store._prefilter_version("track", "dsp") is None, "a reader that has loaded it drops it"
        store.close()


def test_a_model_that_is_trained_again_in_its_folder_is_loaded_again(songs: Path, tmp_path: Path) -> None:
    model = remade("dsp", tmp_path / "model", "mine")
    query = songs / "up.wav"
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [songs], model=str(model), jobs=1)
    with LibraryFolder(tmp_path / "library") as reader:
        old = reader.model()
        assert load_once(str(model)) is old is reader.model()
        score = compare(query, songs / "down.wav", model=model).match.score
        trained = remade("dsp", tmp_path / "again", "mine")
        recipe = json.loads((trained / "recipe.json").read_text())
        recipe["spaces"] = recipe["spaces"][:2]
        (trained / "recipe.json").write_text(json.dumps(recipe))
        for name in ("weights.safetensors", "recipe.json"):
            (trained / name).replace(model / name)
        assert compare(query, songs / "down.wav", model=model).match.score != score
        with pytest.raises(ModelError, match="encoded by another version of mine"):
            reader.model()
        with LibraryFolder(tmp_path / "library", writable=True) as writer:
            index_files(writer, [songs], jobs=1)
        assert [space.name for space in reader.model().spaces] == ["melody", "rhythm"]
        with reader.snapshot():
            assert len(everything(reader)) == 4
