"""Migrate libraries of older formats, all or nothing."""

from __future__ import annotations

import errno
import os
import sqlite3
import zlib
from pathlib import Path

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.sqlite import connect, primary_code
from soundalike.core.types import AnyArray
from soundalike.library.catalog.line_checksums import (
    catalogue_checksum,
    failure_checksum,
    renew_checksums,
    track_checksums,
)
from soundalike.library.catalog.repr_checksums import Corrupt, find_corrupt
from soundalike.library.catalog.schema import FORMAT, as_library_error
from soundalike.library.stores.row_checksums import row_checksums

__all__ = ["migrate"]

_CHUNK = 1 << 14
_READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)

# The statements that turn a catalogue of one format into the next.
_STATEMENTS = {
    1: ("ALTER TABLE tracks ADD COLUMN key_confidence REAL", "ALTER TABLE tracks ADD COLUMN meter TEXT"),
    2: (
        "ALTER TABLE tracks ADD COLUMN seal INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE failures ADD COLUMN seal INTEGER NOT NULL DEFAULT 0",
        "DROP TABLE batches",
        "CREATE TABLE features (backbone TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, "
        "dim INTEGER NOT NULL, PRIMARY KEY (backbone, name)) WITHOUT ROWID",
        "CREATE TABLE kept (track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, backbone TEXT NOT NULL, "
        "PRIMARY KEY (track_id, backbone)) WITHOUT ROWID",
        "CREATE TABLE families (track_id INTEGER PRIMARY KEY REFERENCES tracks ON DELETE CASCADE, "
        "family INTEGER NOT NULL)",
        "CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
        "INSERT INTO meta VALUES ('generation', 0), ('epoch', 0), ('seal', 0)",
    ),
    3: (
        *(f"ALTER TABLE tracks ADD COLUMN {column} TEXT" for column in ("artists", "genres", "album_artist")),
        *(f"ALTER TABLE tracks ADD COLUMN {column} REAL" for column in ("tempo_confidence", "meter_confidence")),
        *(f"ALTER TABLE tracks ADD COLUMN {column} TEXT" for column in ("described_by", "warning")),
        "ALTER TABLE tracks ADD COLUMN tags_version INTEGER NOT NULL DEFAULT 0",
        "UPDATE tracks SET artists = json_array(artist) WHERE artist IS NOT NULL",
        "UPDATE tracks SET genres = json_array(genre) WHERE genre IS NOT NULL",
        "ALTER TABLE tracks DROP COLUMN artist",
        "ALTER TABLE tracks DROP COLUMN genre",
        "ALTER TABLE failures ADD COLUMN attempts INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE fingerprints ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
        "ALTER TABLE models ADD COLUMN edition INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE features ADD COLUMN edition INTEGER NOT NULL DEFAULT 0",
    ),
    4: ("ALTER TABLE tracks ADD COLUMN bit_rate INTEGER",),
}


def migrate(folder: Path) -> None:
    """Migrate a library to FORMAT. A second process waits, and finds the work done.

    From format 2 to 3 every row is read once, checked, and given its own checksum. From format 3 to 4 every entry of
    the catalogue is checked and gets a checksum that does not depend on the version of Python. Format 5 has the bit
    rate of the audio. What is corrupt stays so.

    Raises:
        LibraryError: The library cannot be written, or its files cannot be read.
    """
    path = folder / "catalog.sqlite"
    try:
        connection = connect(path, writable=False, create=False)
        try:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            corrupt = Corrupt()
            for version in range(found, FORMAT):
                if version == 2:
                    _make_checksums(connection, folder)
                if version == found and version >= 3:
                    corrupt = find_corrupt(connection) if version == 3 else _find_corrupt(connection)
                for statement in _STATEMENTS[version]:
                    connection.execute(statement)
            if found < FORMAT:
                _renew_all(connection, corrupt)
                # Caches of another generation are not read: an older version computed those that there are.
                connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        finally:
            connection.close()
    except (sqlite3.OperationalError, OSError) as error:
        if primary_code(error) == sqlite3.SQLITE_READONLY or getattr(error, "errno", None) in _READ_ONLY:
            raise LibraryError(
                f"the library at {folder} was made by an older soundalike and cannot be migrated: it is read-only; "
                "copy it to a writable place"
            ) from error
        raise as_library_error(path, error) from error
    except sqlite3.Error as error:
        raise as_library_error(path, error) from error


def _find_corrupt(connection: sqlite3.Connection) -> Corrupt:
    """Check every entry of a catalogue of format 4 or later."""
    ids = [row[0] for row in connection.execute("SELECT id FROM tracks")]
    failures = connection.execute("SELECT path, size, mtime_ns, message, attempts, seal FROM failures")
    stored = connection.execute("SELECT value FROM meta WHERE name = 'seal'").fetchone()[0]
    return Corrupt(
        tuple(track_id for track_id, old, new in track_checksums(connection, ids) if old != new),
        tuple(entry[0] for *entry, seal in failures if failure_checksum(*entry) != seal),
        stored != catalogue_checksum(connection),
    )


def _renew_all(connection: sqlite3.Connection, corrupt: Corrupt) -> None:
    """Give every entry its checksum, and a wrong one to what was corrupt."""
    renew_checksums(connection, [row[0] for row in connection.execute("SELECT id FROM tracks")])
    connection.executemany("UPDATE tracks SET seal = ~seal WHERE id = ?", [(one,) for one in corrupt.tracks])
    columns = "path, size, mtime_ns, message, attempts"
    for path, *others in connection.execute(f"SELECT {columns} FROM failures").fetchall():
        checksum = failure_checksum(path, *others)
        connection.execute(
            "UPDATE failures SET seal = ? WHERE path = ?", (~checksum if path in corrupt.failures else checksum, path)
        )
    checksum = catalogue_checksum(connection)
    connection.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (~checksum if corrupt.catalogue else checksum,))


def _make_checksums(connection: sqlite3.Connection, folder: Path) -> None:
    """Write `.crc` files: format 2 had checksums of whole batches, over the float32 and int8 bytes."""
    spaces = connection.execute("SELECT model, name, level, dim, committed FROM spaces").fetchall()
    for model, name, level, dim, committed in spaces:
        base = folder / f"{level}.{model}.{name}"
        if not committed:
            continue
        rows, coarse = _mapped(base, "f32", "<f4", committed, dim), _mapped(base, "i8", "i1", committed, dim)
        on = _mapped(base, "on", "u1", committed, 1)
        sums = np.empty(committed, "<u4")
        for low in range(0, committed, _CHUNK):
            part = slice(low, min(low + _CHUNK, committed))
            sums[part] = row_checksums(rows[part], coarse[part], on[part])
        batches = connection.execute(
            "SELECT first, count, checksum FROM batches WHERE model = ? AND space = ? AND level = ?",
            (model, name, level),
        )
        for first, count, checksum in batches:
            part = slice(first, first + count)
            if zlib.crc32(coarse[part].tobytes(), zlib.crc32(rows[part].tobytes())) != checksum:
                sums[part] ^= 1  # rows that are corrupt already must stay so
        with Path(f"{base}.crc").open("wb") as file:
            file.write(sums.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _mapped(base: Path, suffix: str, dtype: str, rows: int, dim: int) -> AnyArray:
    """The first rows of a sidecar file. Raises LibraryError if it holds fewer."""
    path = Path(f"{base}.{suffix}")
    if path.stat().st_size < rows * dim * np.dtype(dtype).itemsize:
        raise LibraryError(f"{path.name} is truncated: it holds fewer than the {rows} rows that were committed")
    return np.memmap(path, dtype=dtype, mode="r", shape=(rows, dim))
