"""Nothing in a library escapes a check: every column of the catalogue, every committed row, under any name."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from test_kept_features import remade

from conftest import TUNES, tune, write
from soundalike.cli.main import main
from soundalike.core.errors import LibraryError, ModelError, UsageError
from soundalike.core.types import LEVELS, FloatArray, IntArray, Level
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.feature_tables import StoredFeature
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.line_checksums import _checksum
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.index import index_files
from soundalike.library.maintenance import check_library, repair_library, vacuum_library
from soundalike.library.stores.base import Table
from soundalike.library.stores.sidecars import SidecarFiles
from soundalike.models.recipes import load_recipe


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library in which no table is empty."""
    music = tmp_path_factory.mktemp("music")
    for number, name in enumerate(("up", "down", "leaps")):
        write(music / f"{name}.wav", tune(TUNES[name], seconds=6 + number, seed=number))
    (music / "bad.wav").write_bytes(b"RIFF....")
    path = tmp_path_factory.mktemp("original") / "library"
    with LibraryFolder.create(path) as library:
        index_files(library, [music], model="dsp", jobs=1, keep_features=True)
        with library.catalog.transaction():
            library.catalog.families.put([library.catalog.ids().tolist()[:2]])
    return path


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "library"))


# The catalogue ------------------------------------------------------------------------------------------------------


def columns_of(folder: Path) -> list[tuple[str, str]]:
    database = sqlite3.connect(folder / "catalog.sqlite")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = [(table, row[1]) for table in tables for row in database.execute(f"PRAGMA table_info({table})")]
    database.close()
    return found


def test_a_change_of_any_value_in_any_table_is_found(folder: Path) -> None:
    """One change per table and column, and per line of `meta`; what is not covered is listed here, with the reason."""
    with LibraryFolder(folder, writable=True) as library, library.catalog.database.connected() as connection:
        connection.execute("PRAGMA foreign_keys = OFF")

        def is_found(change: str, parameters: tuple[object, ...] = ()) -> bool:
            connection.execute("BEGIN")
            try:
                assert connection.execute(change, parameters).rowcount == 1, change
                database = library.catalog.database
                try:
                    failures = library.catalog.failures.corrupt()
                    return bool(database.corrupt_tracks() or database.find_problems() or failures)
                except (LibraryError, ValueError, TypeError):
                    return True
            finally:
                connection.execute("ROLLBACK")

        assert check_library(library).ok
        missed = []
        for table, column in columns_of(folder):
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            assert rows, f"the table {table} is empty: the test would not notice its columns"
            if table == "meta":
                continue
            keys = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
            where = " AND ".join(f"{key} IS ?" for key in keys)
            row, old = rows[-1], rows[-1][column]
            # Another value of the same type where there is one; NULL gets a value.
            new = old + 1 if isinstance(old, int | float) else old + b"x" if isinstance(old, bytes) else f"{old or ''}x"
            change = f"UPDATE {table} SET {column} = ? WHERE {where}"
            if not is_found(change, (new, *(row[key] for key in keys))):
                missed.append(f"{table}.{column}")
        for (name,) in connection.execute("SELECT name FROM meta").fetchall():
            if not is_found("UPDATE meta SET value = value + 1 WHERE name = ?", (name,)):
                missed.append(f"meta {name}")
    assert missed == ["meta generation"], "the generation only tells caches apart"


@pytest.mark.parametrize(
    ("values", "others"),
    [
        (("aT", "b"), ("a", "Tb")),
        ((b"aB", b"b"), (b"a", b"Bb")),
        (("aT1:b",), ("a", "b")),
        (((1, 2), 3), ((1,), 2, 3)),
        ((1, 2), ("1", 2)),
        ((12, 3), (1, 23)),
        ((None, "N"), ("N", None)),
    ],
)
def test_what_moves_from_one_column_to_the_next_changes_the_checksum(values: tuple, others: tuple) -> None:
    assert _checksum(*values) != _checksum(*others)


def test_the_lines_of_meta_are_those_that_the_test_above_changes(folder: Path) -> None:
    with LibraryFolder(folder) as library:
        names = {row[0] for row in library.catalog.database.rows("SELECT name FROM meta")}
    assert names >= {"generation", "epoch", "seal", "edition", "families", "end.track", "end.passage"}


# Failures -----------------------------------------------------------------------------------------------------------

CORRUPTIONS = {
    "message": "message = message || 'x'",
    "a message that is bytes": "message = x'00ff'",
    "a message that is not UTF-8": "message = CAST(x'61ff' AS TEXT)",
    "a size that is text": "size = 'many'",
    "attempts that are text": "attempts = CAST(x'ff' AS TEXT)",
    "a path that is text": "path = CAST(path AS TEXT)",
    "a path that is not UTF-8": "path = CAST(x'ff' AS TEXT)",
    "a path that is a number": "path = 7",
}


@pytest.fixture
def with_failures(folder: Path) -> Path:
    """The library, with the failures of three files."""
    with LibraryFolder(folder, writable=True) as library, library.catalog.transaction():
        library.catalog.failures.forget(library.catalog.failures.all())
        for name in ("a", "b", "c"):
            library.catalog.failures.put(Path(f"/music/{name}.wav"), 4, 1, "not audio")
    return folder


@pytest.mark.parametrize("change", CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_a_corrupt_failure_is_left_out_and_removed_by_a_repair(
    with_failures: Path, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    database = sqlite3.connect(with_failures / "catalog.sqlite")
    database.execute(f"UPDATE failures SET {change} WHERE path = CAST('/music/b.wav' AS BLOB)")
    database.commit()
    database.close()
    assert main(["library", "failures", "--library", str(with_failures)]) == 1
    printed = capsys.readouterr()
    assert printed.err.count("fails the checksum") == 1
    assert printed.out.splitlines()[-1].startswith("2 failures; to try them again: ")
    assert main(["library", "check", "--library", str(with_failures)]) == 1
    assert ": 1 failure corrupt\n" in capsys.readouterr().out
    assert main(["library", "check", "--repair", "--library", str(with_failures)]) == 1
    assert capsys.readouterr().out.endswith("1 file will be tried again by: soundalike index DIR\n")
    with LibraryFolder(with_failures, writable=True) as library:
        assert check_library(library).ok
        assert sorted(path.name for path in library.catalog.failures.all()) == ["a.wav", "c.wav"]
        with library.catalog.transaction():
            library.catalog.failures.put(Path("/music/b.wav"), 4, 1, "not audio")
        assert [one.attempts for one in library.catalog.failures.all().values()] == [1, 1, 1]


def test_a_failure_that_is_out_of_order_is_removed_by_a_repair(with_failures: Path) -> None:
    """A flipped bit in a path: SQLite no longer finds the entry where it belongs."""
    catalogue = with_failures / "catalog.sqlite"
    content = catalogue.read_bytes()
    assert content.count(b"/music/a.wav") == 1
    catalogue.write_bytes(content.replace(b"/music/a.wav", b"/music/q.wav"))
    with LibraryFolder(with_failures, writable=True) as library:
        report = check_library(library)
        assert (report.problems, report.failures) == ((), ("/music/q.wav",))
        repair_library(library, report)
        assert check_library(library).ok
        assert [path.name for path in library.catalog.failures.all()] == ["b.wav", "c.wav"]


# Rows ---------------------------------------------------------------------------------------------------------------


def test_a_check_that_compares_fewer_rows_than_are_committed_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    groups = Catalog.groups

    def fewer(catalog: Catalog, model: str, level: Level, *, absent: bool = False) -> IntArray:
        found = groups(catalog, model, level, absent=absent)
        return found[:-1] if level == "track" else found

    with LibraryFolder(folder) as library:
        assert check_library(library).ok
        monkeypatch.setattr(Catalog, "groups", fewer)
        report = check_library(library)
    assert "3 track rows of dsp/melody are committed, and 2 can be compared" in report.problems
    assert len(report.problems) == 4


def test_rows_beyond_the_committed_ones_are_a_problem(folder: Path) -> None:
    with LibraryFolder(folder, writable=True) as library:
        with library.catalog.transaction():
            library.catalog.database.connection.execute("UPDATE spaces SET committed = 1 WHERE level = 'track'")
        assert "track rows of dsp/melody end at 3, and 1 are committed" in check_library(library).problems


def test_a_library_with_a_name_from_before_there_was_a_rule_is_checked_and_rewritten(folder: Path) -> None:
    """Format 3 accepted a model called `org/dsp`: `check` compared no row, and `vacuum` lost all of them."""
    database = sqlite3.connect(folder / "catalog.sqlite")
    for table, column in (("models", "name"), ("spaces", "model"), ("encoded", "model")):
        database.execute(f"UPDATE {table} SET {column} = 'org/dsp' WHERE {column} = 'dsp'")
    database.commit()
    database.close()
    for file in folder.glob("*.dsp@1.*"):
        if not file.name.startswith("feature."):
            file.rename(folder / file.name.replace(".dsp@1.", ".org.dsp@1."))
    with LibraryFolder(folder, writable=True) as library:
        with library.catalog.transaction():
            for track_id in library.catalog.ids().tolist():
                library.catalog.database.was_written(track_id)
            library.catalog.database.set_number("epoch", 0)
        report = check_library(library)
        assert report.ok
        assert report.rows == sum(
            one.dim > 0 and int(library.catalog.groups("org/dsp", one.level)[:, 1].sum())
            for one in library.catalog.spaces()
        ) + sum(int(library.catalog.features.places("dsp")[:, 1].sum()) for _ in library.catalog.features.features())
        with library.catalog.transaction():
            library.catalog.remove(library.catalog.ids().tolist()[:1])
        assert vacuum_library(library).dropped == 2
    with LibraryFolder(folder) as library:
        assert check_library(library).ok
        assert len(library.catalog.groups("org/dsp", "track")) == 2


@pytest.mark.parametrize("fault", ["a flipped bit", "rows at the wrong place"])
def test_a_vacuum_reads_its_rows_back_before_it_commits(
    folder: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    with LibraryFolder(folder, writable=True) as library:
        with library.catalog.transaction():
            library.catalog.remove(library.catalog.ids().tolist()[:1])
        before = {file.name: file.read_bytes() for file in folder.glob("*.f32")}
        spaces, epoch = library.catalog.spaces(), library.catalog.database.epoch
        write_rows = SidecarFiles.write

        def faulty(files: SidecarFiles, table: Table, space: str, first: int, rows: FloatArray) -> None:
            if fault == "rows at the wrong place":
                write_rows(files, table, space, first, rows[::-1])
                return
            write_rows(files, table, space, first, rows)
            if files.name(table, space, "f32").startswith("passage.dsp@1.timbre"):
                with (files.folder / files.name(table, space, "f32")).open("r+b") as file:
                    file.write(b"\x01\x02")

        with monkeypatch.context() as patch:
            patch.setattr(SidecarFiles, "write", faulty)
            with pytest.raises(LibraryError, match="could not be read back as they were written"):
                vacuum_library(library)
        assert (library.catalog.spaces(), library.catalog.database.epoch) == (spaces, epoch)
        assert {file.name: file.read_bytes() for file in folder.glob("*.f32")} == before
        assert not list(folder.glob("rows.*"))
        assert check_library(library).ok
        assert vacuum_library(library).dropped == 2
    with LibraryFolder(folder) as library:
        assert check_library(library).ok


def test_a_repaired_track_gets_new_rows_and_keeps_the_others(folder: Path) -> None:
    with LibraryFolder(folder) as library:
        first, count = library.catalog.rows_of(int(library.catalog.ids()[1]), "passage")
        end = library.catalog.next_row("passage")
    (exact,) = folder.glob("passage.*.melody.f32")
    content = bytearray(exact.read_bytes())
    content[4 * 128 * first] ^= 1
    exact.write_bytes(content)
    with LibraryFolder(folder, writable=True) as library:
        assert repair_library(library, check_library(library)) == 1
        assert check_library(library).ok
        track = library.catalog.tracks()[1]
        assert index_files(library, [track.path.parent], jobs=1).changed == 1
        assert library.catalog.rows_of(track.id, "passage") == (end, count)
        assert check_library(library).ok


# Names --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "name", "message"),
    [
        ("model", "org/dsp", "'org/dsp' cannot be the name of a model; expected 1 to 64 .*; rename it in recipe.json"),
        ("space", "a,b", "'a,b' cannot be the name of a space"),
        ("space", "Rhythm", "two spaces are called 'Rhythm' and 'rhythm'"),
        ("backbone", "../dsp", "'../dsp' cannot be the name of a backbone"),
        ("feature", "melody+", "'' cannot be the name of a feature"),
    ],
)
def test_names_in_recipes_are_checked(tmp_path: Path, place: str, name: str, message: str) -> None:

    model = remade("dsp", tmp_path / "model", name if place == "model" else "mine")
    recipe = json.loads((model / "recipe.json").read_text())
    if place != "model":
        recipe["spaces"][0]["name" if place == "space" else place] = name
    (model / "recipe.json").write_text(json.dumps(recipe))
    with pytest.raises(ModelError, match=message) as caught:
        load_recipe(str(model))
    assert "\n" not in str(caught.value)


def test_names_that_enter_a_catalogue_are_checked(folder: Path) -> None:
    dims = [("melody", level, 4) for level in LEVELS]
    with LibraryFolder(folder, writable=True) as library:
        catalog = library.catalog
        for model, spaces, message in (
            ("org/dsp", dims, "'org/dsp' cannot be the name of a model"),
            ("DSP", dims, "two models are called 'dsp' and 'DSP'"),
            ("other", [("a/b", "track", 4)], "'a/b' cannot be the name of a space"),
            ("other", [*dims, ("Melody", "track", 4)], "two spaces are called 'melody' and 'Melody'"),
        ):
            with pytest.raises(LibraryError, match=message), catalog.transaction():
                catalog.put_model(model, HeldModel("1", model), spaces)  # type: ignore[arg-type]
        for backbone, feature in (("a/b", "melody"), ("logmel", "x y")):
            with pytest.raises(LibraryError, match="cannot be the name of a"), catalog.transaction():
                catalog.features.put([StoredFeature(backbone, 1, feature, 3)])
        assert list(catalog.models()) == ["dsp"]
        assert {one.backbone for one in catalog.features.features()} == {"dsp"}
        assert check_library(library).ok


def test_searches_take_the_model_that_was_added_first(folder: Path) -> None:
    with LibraryFolder(folder, writable=True) as library:
        with library.catalog.transaction():
            library.catalog.put_model("concepts", HeldModel("1", "concepts"), [("genre", "track", 4)])
        assert list(library.catalog.models()) == ["dsp", "concepts"]
        assert library.model().name == "dsp"


def test_a_model_that_was_renamed_in_its_folder_replaces_the_old_one(original: Path, tmp_path: Path) -> None:
    with LibraryFolder(original) as library:
        music = library.catalog.tracks()[0].path.parent
    model = remade("dsp", tmp_path / "model", "first")
    with LibraryFolder.create(tmp_path / "library") as library:
        index_files(library, [music], model=str(model), jobs=1)
    shutil.rmtree(model)
    remade("dsp", model, "second")
    with LibraryFolder.create(tmp_path / "library") as library:
        assert index_files(library, [music], jobs=1).changed == 3
        assert list(library.catalog.models()) == ["second"]
        assert check_library(library).ok
        rows = library.vectors("track").rows["melody"]
        assert rows.shape == (3, 128) and np.isfinite(rows).all()


def test_a_new_folder_with_files_of_a_file_manager_is_empty(tmp_path: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        (tmp_path / name).touch()
    with LibraryFolder.create(tmp_path) as library:
        assert library.catalog.counts()["tracks"] == 0
    other = tmp_path / "other"
    other.mkdir()
    (other / "song.mp3").touch()
    with pytest.raises((LibraryError, UsageError), match="is not empty and holds no library"):
        LibraryFolder.create(other)
