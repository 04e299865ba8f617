"""Brings a library that an older version made up to this one's format, all or nothing."""

from __future__ import annotations

import os
import sqlite3
import zlib
from pathlib import Path

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.sqlite import connect
from soundalike.core.types import AnyArray
from soundalike.library.catalog.line_checksums import catalogue_seal, failure_seal, renew
from soundalike.library.catalog.schema import FORMAT, as_library_error
from soundalike.library.stores.row_checksums import row_checksums

__all__ = ["migrate"]

_CHUNK = 1 << 14

# What makes a catalogue of a format one of the next.
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
}


def migrate(folder: Path) -> None:
    """Bring a library of a lower format up to FORMAT. Whoever is second waits, and finds it done.

    From format 2 to 3 every row is read once, to be checked and given a checksum of its own; the rest costs no time.

    Raises LibraryError where it cannot be written or is damaged.
    """
    path = folder / "catalog.sqlite"
    try:
        connection = connect(path, writable=False, create=False)
        try:
            connection.execute("BEGIN IMMEDIATE")
            found = connection.execute("PRAGMA user_version").fetchone()[0]
            for version in range(found, FORMAT):
                if version == 2:
                    _make_checksums(connection, folder)
                for statement in _STATEMENTS[version]:
                    connection.execute(statement)
                if version == 2:
                    _seal_all(connection)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("COMMIT")
        finally:
            connection.close()
    except (sqlite3.OperationalError, OSError) as error:
        if "readonly" in str(error) or isinstance(error, PermissionError):
            raise LibraryError(
                f"the library at {folder} was made by an older soundalike and cannot be written, so it cannot be "
                "brought up to date: copy it to where it can be written"
            ) from error
        raise as_library_error(path, error) from error
    except sqlite3.Error as error:
        raise as_library_error(path, error) from error


def _seal_all(connection: sqlite3.Connection) -> None:
    renew(connection, [row[0] for row in connection.execute("SELECT id FROM tracks")])
    for path, size, mtime, message, _ in connection.execute("SELECT * FROM failures").fetchall():
        connection.execute(
            "UPDATE failures SET seal = ? WHERE path = ?", (failure_seal(path, size, mtime, message), path)
        )
    connection.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (catalogue_seal(connection),))


def _make_checksums(connection: sqlite3.Connection, folder: Path) -> None:
    """`.crc` beside the rows of every space: format 2 had checksums of whole batches, of float32 and int8 bytes."""
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
                sums[part] ^= 1  # what is damaged already gets a checksum that says so
        with Path(f"{base}.crc").open("wb") as file:
            file.write(sums.tobytes())
            file.flush()
            os.fsync(file.fileno())


def _mapped(base: Path, suffix: str, dtype: str, rows: int, dim: int) -> AnyArray:
    """The first rows of a sidecar. Raises LibraryError if it holds fewer."""
    path = Path(f"{base}.{suffix}")
    if path.stat().st_size < rows * dim * np.dtype(dtype).itemsize:
        raise LibraryError(f"{path.name} holds fewer rows than the {rows} that were committed: it is damaged")
    return np.memmap(path, dtype=dtype, mode="r", shape=(rows, dim))
