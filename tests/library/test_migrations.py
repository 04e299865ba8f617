"""Libraries of every earlier format, made by the version that had it: brought up to date, with nothing lost.

`libraries/format-N.zip`: three recordings of 12 s, a copy of one, and a file that is none, as `index` left them.
"""

from __future__ import annotations

import os
import sqlite3
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from soundalike.core.errors import LibraryError
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.line_checksums import _encode
from soundalike.library.catalog.repr_checksums import _fits
from soundalike.library.catalog.schema import FORMAT
from soundalike.library.folder import LibraryFolder
from soundalike.models.recipes import load_recipe

ARCHIVES = sorted((Path(__file__).parent / "formats").glob("format-*.zip"))


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.stem)
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(tmp_path / "library")
    return tmp_path / "library"


def held(folder: Path) -> tuple[list[tuple[object, ...]], dict[str, bytes]]:
    """The tracks of an older library, in columns that every format has, and its rows."""
    database = sqlite3.connect(folder / "catalog.sqlite")
    tracks = database.execute(
        "SELECT roots.path || tracks.path, size, mtime_ns, content_hash, audio_hash, duration, codec, tempo, key, "
        "words, group_concat(first || ':' || count) FROM tracks JOIN roots ON roots.id = root_id "
        "JOIN fingerprints ON fingerprints.track_id = tracks.id JOIN rows ON rows.track_id = tracks.id "
        "GROUP BY tracks.id ORDER BY tracks.id"
    ).fetchall()
    database.close()
    return tracks, {file.name: file.read_bytes() for file in sorted(folder.glob("*.f32"))}


def test_there_is_one_of_every_earlier_format() -> None:
    assert [path.stem for path in ARCHIVES] == [f"format-{number}" for number in range(1, FORMAT)]


def as_of_the_bundled_model(folder: Path) -> None:
    """Give the rows of `dsp` the digest of the bundled model, which was refitted after these libraries were made."""
    database = sqlite3.connect(folder / "catalog.sqlite")
    database.execute("UPDATE models SET digest = ? WHERE name = 'dsp'", (load_recipe("dsp").digest,))
    database.commit()
    database.close()


def test_an_older_library_is_brought_up_to_date(older: Path) -> None:
    as_of_the_bundled_model(older)
    before = held(older)
    with LibraryFolder(older) as library:
        assert library.catalog.database.format == FORMAT
        assert library.catalog.database.corrupt_tracks() == []
        assert library.catalog.database.find_problems() == library.catalog.failures.corrupt() == []
        assert len(library.catalog.failures.all()) == 1
        assert len(library.vectors(model="dsp").spans) == 8
        for space in library.catalog.spaces():
            rows = np.arange(space.committed)
            assert not library.store.corrupt(space.level, space.full_name, space.dim, rows).any()
        tracks = library.catalog.tracks()
        assert sorted(track.path.stem for track in tracks) == ["copy", "down", "leaps", "up"]
    assert held(older) == before
    with LibraryFolder(older) as again:
        assert again.catalog.tracks() == tracks
    with LibraryFolder(older, writable=True) as written, written.catalog.transaction():
        written.catalog.remove([tracks[0].id])
    with LibraryFolder(older) as after:
        assert after.catalog.database.corrupt_tracks() == []


def test_caches_of_an_older_format_are_out_of_date(older: Path) -> None:
    """A cache belongs to a generation; with the same one, the new format would read what the old one computed."""
    database = sqlite3.connect(older / "catalog.sqlite")
    has_meta = database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]
    sql = "SELECT value FROM meta WHERE name = 'generation'"
    before = database.execute(sql).fetchone()[0] if has_meta else 0
    database.close()
    with LibraryFolder(older) as library:
        after = library.catalog.generation
        assert after > before
    with LibraryFolder(older) as library:
        assert library.catalog.generation == after


def test_many_may_open_an_older_library_at_once(older: Path) -> None:
    def opened(_: int) -> int:
        with LibraryFolder(older) as library:
            return len(library.catalog.database.corrupt_tracks()) + library.catalog.database.format

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened, range(12))) == [FORMAT] * 12


def test_rows_that_were_corrupt_before_stay_corrupt(older: Path) -> None:
    """Format 2 had checksums of batches: corrupt rows in them must not get valid checksums."""
    for pattern in ("passage.dsp*.melody.f32", "track.dsp*.timbre.i8"):
        (path,) = older.glob(pattern)
        data = bytearray(path.read_bytes())
        data[100] ^= 4
        path.write_bytes(data)
    with LibraryFolder(older) as library:
        corrupt = {
            (space.level, space.full_name)
            for space in library.catalog.spaces()
            if library.store.corrupt(space.level, space.full_name, space.dim, np.arange(space.committed)).any()
        }
    assert corrupt == {("passage", "dsp/melody"), ("track", "dsp/timbre")}


# What Python 3.11 (Unicode 14), Python 3.13 (Unicode 15.1) and a later version print for "\U0001fae8 \U0001fffd".
TITLES_AS_WRITTEN = ("\\U0001fae8 \\U0001fffd", "\U0001fae8 \\U0001fffd", "\U0001fae8 \U0001fffd")


@pytest.mark.parametrize("written", TITLES_AS_WRITTEN, ids=["Unicode 14", "Unicode 15.1", "later"])
def test_characters_that_only_some_versions_of_python_print_are_not_corruption(written: str) -> None:
    """The checksums of format 3 covered the text of `repr`, which escapes the characters that Python does not know."""
    assert _fits(zlib.crc32(f"('{written}', 1)".encode()), "\U0001fae8 \U0001fffd", 1)
    assert not _fits(zlib.crc32(f"('{written}', 2)".encode()), "\U0001fae8 \U0001fffd", 1)


@pytest.mark.parametrize("archive", ARCHIVES[2:], ids=lambda path: path.stem)
def test_entries_that_were_corrupt_before_stay_corrupt(tmp_path: Path, archive: Path) -> None:
    with zipfile.ZipFile(archive) as files:
        files.extractall(tmp_path)
    database = sqlite3.connect(tmp_path / "catalog.sqlite")
    database.execute("UPDATE tracks SET duration = 13.0 WHERE shown_path LIKE '%up.wav'")
    database.execute("UPDATE failures SET size = 1")
    database.execute("UPDATE models SET source = 'other'")
    database.commit()
    database.close()
    with LibraryFolder(tmp_path) as library:
        catalog = library.catalog
        assert [track.path.name for track in catalog.tracks_of(catalog.database.corrupt_tracks())] == ["up.wav"]
        assert catalog.database.find_problems() == ["models, spaces or tables fail their checksum"]
        assert [Path(path).name for path in catalog.failures.corrupt()] == ["broken.wav"]


def test_the_checksums_of_format_4_do_not_change() -> None:
    """A library is read by other versions of Python than the one that wrote it."""
    values = (None, -3, 2.5, "Ærø \U0001fae8", b"\0\xff", [("a", 1)])
    parts: list[bytes] = []
    _encode(values, parts)
    assert b"".join(parts) == (
        b"(6:NI-3;F\0\0\0\0\0\0\x04@T10:\xc3\x86r\xc3\xb8 \xf0\x9f\xab\xa8B2:\0\xff(1:(2:T1:aI1;"
    )


def test_rows_that_are_cut_short_are_named_and_nothing_is_lost(older: Path) -> None:
    (path,) = older.glob("track.dsp*.melody.f32")
    path.write_bytes(b"\0" * 600)
    before = held(older)
    with pytest.raises(
        LibraryError,
        match=r"track\.dsp(@1)?\.melody\.f32 is truncated: it holds (fewer than the 4 rows|1 rows, 4)",
    ):
        LibraryFolder(older)
    assert held(older) == before


def test_an_older_read_only_library_is_refused_clearly(older: Path) -> None:
    for path in older.iterdir():
        path.chmod(0o444)
    older.chmod(0o555)
    try:
        if os.access(older, os.W_OK):
            pytest.skip("this user may write anywhere")
        with pytest.raises(LibraryError, match="made by an older soundalike and cannot be migrated"):
            LibraryFolder(older)
    finally:
        older.chmod(0o755)


def test_a_new_library_has_the_tables_of_a_migrated_one(tmp_path: Path, older: Path) -> None:
    """Migrations create the tables that a new library has."""
    LibraryFolder(older).close()
    LibraryFolder.create(tmp_path / "new").close()
    shapes = []
    for folder in (older, tmp_path / "new"):
        catalog = Catalog(folder / "catalog.sqlite", writable=False)
        tables = sorted(row[0] for row in catalog.database.rows("SELECT name FROM sqlite_master WHERE type = 'table'"))
        shapes.append(
            {t: {tuple(row)[1:4] for row in catalog.database.rows(f"PRAGMA table_info({t})")} for t in tables}
        )
        catalog.close()
    assert shapes[0] == shapes[1]
