"""The pages on file formats are complete: a reader that follows them finds the same rows, columns and checksums."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from conftest import TUNES, tune, write
from soundalike.core.types import LEVELS
from soundalike.library import LibraryFolder, vacuum_library
from soundalike.library.editing import remove_tracks
from soundalike.library.exchange import export_library
from soundalike.library.indexing import index_files
from soundalike.models import installed_models, load_recipe

FORMATS = Path(__file__).parents[2] / "docs" / "formats"
PAGE = (FORMATS / "library.md").read_text()
MODEL = "dsp"


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with tags, a copy, silence, a file that cannot be read, and stored features."""
    folder = tmp_path_factory.mktemp("documented")
    with sf.SoundFile(write(folder / "in" / "tagged.flac", np.zeros(10)), "w", 22050, 1, format="FLAC") as file:
        file.artist, file.genre, file.title = "Ann; Bob", "Jazz", "Déjà vu"
        file.write(tune(TUNES["up"], seconds=17))
    write(folder / "in" / "deep" / "down.wav", tune(TUNES["down"], seconds=4))
    write(folder / "in" / "silent.wav", np.zeros(22050 * 2))
    shutil.copy(folder / "in" / "deep" / "down.wav", folder / "in" / "twin.wav")
    (folder / "in" / "broken.mp3").write_text("no music")
    with LibraryFolder.create(folder / "library") as library:
        index_files(library, [folder / "in"], model=MODEL, jobs=1, keep_features=True)
    return folder / "library"


@pytest.fixture
def reader() -> Callable[..., dict[str, np.ndarray]]:
    """`read_rows` of the program on the page."""
    spec = importlib.util.spec_from_file_location("read_library", FORMATS / "read_library.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.read_rows


def assert_same_rows(library: Path, reader: Callable[..., dict[str, np.ndarray]]) -> None:
    with LibraryFolder(library) as opened:
        for level in LEVELS:
            expected = opened.vectors(level, MODEL)
            for space in expected.rows:
                found = reader(library, MODEL, space, level)
                assert sorted(found) == sorted({span.track for span in expected.spans})
                rows = np.concatenate([found[name] for name in sorted(found)])
                np.testing.assert_array_equal(rows, expected.rows[space])
                for span, row in zip(expected.spans, expected.rows[space], strict=True):
                    index = round(span.start / 5)
                    np.testing.assert_array_equal(found[span.track][index], row)


def test_the_program_on_the_page_reads_the_same_rows(
    indexed: Path, reader: Callable[..., dict[str, np.ndarray]]
) -> None:
    assert_same_rows(indexed, reader)
    found = reader(indexed, MODEL, "timbre", "passage")
    assert len(found) == 4
    by_name = {Path(path).name: rows for path, rows in found.items()}
    assert by_name["twin.wav"].shape == by_name["down.wav"].shape
    assert not by_name["silent.wav"].any() and by_name["down.wav"].any()
    assert len(by_name["tagged.flac"]) == 3  # 17 s: 0 to 10, 5 to 15, 10 to 17


def test_the_rows_are_found_after_a_vacuum(
    indexed: Path, reader: Callable[..., dict[str, np.ndarray]], tmp_path: Path
) -> None:
    library = Path(shutil.copytree(indexed, tmp_path / "library"))
    with LibraryFolder.create(library) as writer:
        remove_tracks(writer, [track for track in writer.catalog.tracks() if track.path.name == "tagged.flac"])
        vacuum_library(writer)
    assert (library / "rows.1").is_dir()
    assert_same_rows(library, reader)
    assert len(reader(library, MODEL, "timbre", "track")) == 3


def test_every_table_and_column_is_on_the_page(indexed: Path) -> None:
    catalog = sqlite3.connect(indexed / "catalog.sqlite")
    assert f"format {catalog.execute('PRAGMA user_version').fetchone()[0]}," in PAGE
    assert f"0x{catalog.execute('PRAGMA application_id').fetchone()[0]:X}" in PAGE
    described = {
        cell for row in re.findall(r"^\| (`.*?`) \|", PAGE, re.MULTILINE) for cell in re.findall(r"`([^`]+)`", row)
    }
    sections = {
        name: set(re.findall(r"`([\w.]+)`", body))
        for heading, body in re.findall(r"^### (`.*?)\n(.*?)(?=^##)", PAGE, re.MULTILINE | re.DOTALL)
        for name in re.findall(r"`(\w+)`", heading)
    }
    tables = [row[0] for row in catalog.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert len(tables) >= 11
    for table in tables:
        columns = [row[1] for row in catalog.execute(f"PRAGMA table_info({table})")]
        named = {column if f"{table}.{column}" not in sections[table] else f"{table}.{column}" for column in columns}
        assert named <= sections[table] & described, f"{table}: {named - sections[table]}"
    for (name,) in catalog.execute("SELECT name FROM meta"):
        assert f"`{name}`" in PAGE
    catalog.close()


def encoded(value: object) -> bytes:
    """The text of a value, as the page has it."""
    match value:
        case None:
            return b"N"
        case int():
            return b"I%d;" % value
        case float():
            return b"F" + struct.pack("<d", value)
        case str():
            return b"T%d:" % len(value.encode()) + value.encode()
        case bytes():
            return b"B%d:" % len(value) + value
        case list() | tuple():
            return b"(%d:" % len(value) + b"".join(map(encoded, value))
    raise TypeError(value)


def checksum(*values: object) -> int:
    return zlib.crc32(encoded(values))


def test_the_checksums_of_entries_are_those_of_the_page(indexed: Path) -> None:
    catalog = sqlite3.connect(indexed / "catalog.sqlite")
    catalog.row_factory = sqlite3.Row
    rows = lambda sql, *values: [tuple(row) for row in catalog.execute(sql, values)]  # noqa: E731
    tracks = catalog.execute(
        "SELECT tracks.*, roots.path AS root FROM tracks JOIN roots ON roots.id = root_id"
    ).fetchall()
    assert len(tracks) == 4
    for track in tracks:
        pairs = sorted((name, track[name]) for name in track.keys() if name != "seal")  # noqa: SIM118
        others = [("fingerprints", ""), ("rows", "ORDER BY level"), ("encoded", "ORDER BY model")]
        others += [("kept", "ORDER BY backbone"), ("families", "")]
        lines = [
            (number, *row)
            for number, (table, order) in enumerate(others)
            for row in rows(f"SELECT * FROM {table} WHERE track_id = ? {order}", track["id"])
        ]
        assert track["seal"] == checksum(pairs, lines)
    ((*content, seal),) = rows("SELECT path, size, mtime_ns, message, attempts, seal FROM failures")
    assert seal == checksum(*content)
    everything = rows("SELECT * FROM models ORDER BY name") + rows("SELECT * FROM spaces ORDER BY model, name, level")
    everything += rows("SELECT * FROM features ORDER BY backbone, name")
    everything += rows("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    everything += rows("SELECT * FROM meta WHERE name NOT IN ('generation', 'seal') ORDER BY name")
    assert rows("SELECT value FROM meta WHERE name = 'seal'") == [(checksum(*everything),)]
    for words, version in rows("SELECT words, version FROM fingerprints"):
        assert f"| `version` | INTEGER | {version};" in PAGE
        numbers = np.frombuffer(words, "<u4")
        frames = int(numbers[0]) if len(numbers) else 0
        levels = 0 if frames < 16 else (frames - 16) // 4 + 1
        assert len(numbers) == (1 + frames + 6 * levels if frames else 0)
    catalog.close()


def test_the_files_of_a_space_are_those_of_the_page(indexed: Path) -> None:
    catalog = sqlite3.connect(indexed / "catalog.sqlite")
    spaces = catalog.execute("SELECT model, name, level, dim, committed FROM spaces").fetchall()
    edition = dict(catalog.execute("SELECT name, edition FROM models"))
    for model, name, level, dim, committed in spaces:
        base = f"{level}.{model}@{edition[model]}.{name}" if edition[model] else f"{level}.{model}.{name}"
        exact = np.fromfile(indexed / f"{base}.f32", "<f4").reshape(-1, dim)[:committed]
        coarse = np.fromfile(indexed / f"{base}.i8", "i1").reshape(-1, dim)[:committed]
        audible = np.fromfile(indexed / f"{base}.on", "u1")[:committed]
        np.testing.assert_array_equal(coarse, np.rint(exact * np.float32(127)).astype("i1"))
        np.testing.assert_array_equal(audible, exact.any(axis=1))
        parts = zip(exact, coarse, audible, strict=True)
        sums = [zlib.crc32(row.tobytes() + low.tobytes() + bytes([on])) for row, low, on in parts]
        assert sums == np.fromfile(indexed / f"{base}.crc", "<u4")[:committed].tolist()
    features = catalog.execute("SELECT backbone, name, dim, edition FROM features").fetchall()
    assert features
    for backbone, name, dim, number in features:
        base = f"feature.{backbone}@{number}.{name}"
        rows = np.fromfile(indexed / f"{base}.f32", "<f4").reshape(-1, dim)
        assert set(rows[:, -1].tolist()) <= {0.0, 1.0}
        assert [zlib.crc32(row.tobytes()) for row in rows] == np.fromfile(indexed / f"{base}.crc", "<u4").tolist()
    catalog.close()


def test_an_export_has_the_columns_of_the_page(indexed: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with LibraryFolder(indexed) as library:
        export_library(library, tmp_path / "export")
    page = (FORMATS / "export.md").read_text()
    named = set(re.findall(r"`([^`\n]+)`", page))
    assert {file.name for file in (tmp_path / "export").iterdir()} <= named
    manifest = json.loads((tmp_path / "export" / "library.json").read_text())
    assert {*manifest, *manifest["models"][0], *manifest["models"][0]["spaces"][0]} <= named
    assert f"(format {manifest['format']})" in page
    for name in ("tracks", "passages", "failures"):
        columns = parquet.read_schema(tmp_path / "export" / f"{name}.parquet").names
        section = page.partition(f"### `{name}.parquet`")[2].partition("\n##")[0]
        missing = {column for column in columns if "/" not in column} - set(re.findall(r"`([^`\n]+)`", section))
        assert not missing and columns


def test_the_recipes_of_the_bundled_models_are_as_on_the_page() -> None:
    named = set(re.findall(r"`([^`\n]+)`", (FORMATS / "recipe.md").read_text()))
    for name in installed_models():
        recipe = load_recipe(name)
        body = json.loads((recipe.weights.parent / "recipe.json").read_text())
        assert set(body) <= named
        table = []
        for space in body["spaces"]:
            assert {*space, *space["calibration"]["track"], space["head"]} <= named
            keys = ("name", "source", "backbone", "backbone_version", "feature", "head", "dim")
            table.append([space[key] for key in keys])
        text = json.dumps([table, body["weights_sha256"]])
        assert recipe.digest == hashlib.sha256(text.encode()).hexdigest()[:32]
