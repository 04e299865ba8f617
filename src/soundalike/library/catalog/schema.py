"""The schema of a catalogue, its format, and its errors in plain words."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

from soundalike.core.errors import LibraryBusyError, LibraryError, LibraryNotFoundError
from soundalike.core.files import FULL_DISK
from soundalike.core.sqlite import primary_code
from soundalike.library.catalog.line_checksums import catalogue_checksum

__all__ = ["CATALOG_FILES", "FORMAT", "as_library_error", "check_format", "closed_error", "create_tables"]

FORMAT = 5
"""The format of this version. A newer format is refused, an older one is migrated."""
CATALOG_FILES = frozenset(
    f"{name}{suffix}" for name in ("catalog.sqlite", "writer.lock") for suffix in ("", "-wal", "-shm", "-journal")
)
"""The files of a library without rows; a process that was killed may leave some of them."""
_APPLICATION_ID = 0x534E4C4B  # "SNLK"

_SCHEMA = """
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY, root_id INTEGER NOT NULL REFERENCES roots, path BLOB NOT NULL, shown_path TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_hash TEXT NOT NULL, audio_hash TEXT NOT NULL,
    duration REAL NOT NULL, rate INTEGER NOT NULL, channels INTEGER NOT NULL, codec TEXT NOT NULL,
    title TEXT, artists TEXT, album TEXT, album_artist TEXT, genres TEXT, year INTEGER, bpm_tag REAL, key_tag TEXT,
    tempo REAL, key TEXT, loudness REAL, silent INTEGER NOT NULL, missing INTEGER NOT NULL DEFAULT 0,
    unreadable INTEGER NOT NULL DEFAULT 0, key_confidence REAL, meter TEXT, tempo_confidence REAL,
    meter_confidence REAL, described_by TEXT, warning TEXT, tags_version INTEGER NOT NULL DEFAULT 0,
    bit_rate INTEGER, seal INTEGER NOT NULL DEFAULT 0,
    UNIQUE (root_id, path));
CREATE TABLE fingerprints (
    track_id INTEGER PRIMARY KEY REFERENCES tracks ON DELETE CASCADE, words BLOB NOT NULL,
    version INTEGER NOT NULL DEFAULT 1);
CREATE TABLE rows (
    track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, level TEXT NOT NULL,
    first INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (track_id, level)) WITHOUT ROWID;
CREATE TABLE models (
    name TEXT PRIMARY KEY, digest TEXT NOT NULL, source TEXT NOT NULL,
    edition INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE spaces (
    model TEXT NOT NULL REFERENCES models, name TEXT NOT NULL, level TEXT NOT NULL, dim INTEGER NOT NULL,
    committed INTEGER NOT NULL, PRIMARY KEY (model, name, level)) WITHOUT ROWID;
CREATE TABLE encoded (
    track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, model TEXT NOT NULL REFERENCES models,
    PRIMARY KEY (track_id, model)) WITHOUT ROWID;
CREATE TABLE features (
    backbone TEXT NOT NULL, version INTEGER NOT NULL, name TEXT NOT NULL, dim INTEGER NOT NULL,
    edition INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (backbone, name)) WITHOUT ROWID;
CREATE TABLE kept (
    track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, backbone TEXT NOT NULL,
    PRIMARY KEY (track_id, backbone)) WITHOUT ROWID;
CREATE TABLE failures (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, message TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 1, seal INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE families (track_id INTEGER PRIMARY KEY REFERENCES tracks ON DELETE CASCADE, family INTEGER NOT NULL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('generation', 0), ('epoch', 0), ('seal', 0);
"""


def create_tables(database: sqlite3.Connection) -> None:
    """Create the tables if there are none yet, all or nothing."""
    database.execute("BEGIN IMMEDIATE")
    try:
        if not database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _SCHEMA.split(";")[:-1]:
                database.execute(statement)
            database.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (catalogue_checksum(database),))
            database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {FORMAT}")
    except BaseException:
        database.execute("ROLLBACK")
        raise
    database.execute("COMMIT")


def check_format(database: sqlite3.Connection, path: Path) -> int:
    """Return the format. Raises LibraryError if the file is not a catalogue, or has a newer format."""
    # The tables come first: another process may be creating them and the id, in one transaction, at this moment.
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if database.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID or not tables:
        if not tables:  # it is being created, or the process that was creating it was killed
            raise LibraryNotFoundError(f"no library at {path.parent}; make one with: soundalike index DIR")
        raise LibraryError(f"{path} is not a soundalike catalogue; give another --library")
    found = int(database.execute("PRAGMA user_version").fetchone()[0])
    if found > FORMAT:
        raise LibraryError(
            f"the library was made by a newer soundalike (format {found}; this version reads up to {FORMAT}): "
            "upgrade soundalike"
        )
    return found


def closed_error(folder: Path) -> LibraryError:
    """The error for using a library after it was closed."""
    return LibraryError(f"the library at {folder} is closed; open it again")


def as_library_error(path: Path, error: Exception) -> LibraryError:
    """A LibraryError of one line for an error of SQLite or of the system at the catalogue `path`."""
    folder, text, code = path.parent, str(error), primary_code(error)
    if isinstance(error, OSError):
        text = error.strerror or text
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LibraryBusyError(f"another process is writing to the library at {folder}; wait until it is done")
    if code == sqlite3.SQLITE_FULL or (isinstance(error, OSError) and error.errno in FULL_DISK):
        return LibraryError(
            f"cannot write to the library at {folder}: {text}; free some space and run it again "
            "(nothing stored is lost)"
        )
    if code == sqlite3.SQLITE_IOERR:
        name = getattr(error, "sqlite_errorname", "")
        return LibraryError(
            f"the disk of the library at {folder} reports an error ({text}, {name}); check that it has space left and "
            "is connected, and run it again (nothing stored is lost)"
        )
    if isinstance(error, OSError) and not isinstance(error, PermissionError) and error.errno != errno.EROFS:
        where = f"{Path(error.filename).name}: " if error.filename else ""
        return LibraryError(f"cannot use the library at {folder} ({where}{text}); check that its disk is connected")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) or isinstance(error, OSError):
        return LibraryError(
            f"cannot write to the library at {folder} ({text}): it is read-only, belongs to another user, "
            "or its disk is full; give another --library"
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or isinstance(error, UnicodeDecodeError):
        return LibraryError(
            f"the catalogue of the library at {folder} is corrupt and cannot be read ({text}); restore the library "
            "from a copy, or index into a new one"
        )
    if isinstance(error, sqlite3.ProgrammingError | sqlite3.InterfaceError):
        return LibraryError(f"the library at {folder} cannot be used this way: {text}")
    return LibraryError(
        f"the catalogue of the library at {folder} cannot be read ({text}): another program changed it, or this is a "
        "fault of soundalike; restore the library from a copy, or index into a new one"
    )
