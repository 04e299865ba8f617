"""The catalogue of a library: tracks, tags, digests, failures, and which rows of the sidecars are whose.

SQLite in WAL mode: many readers, one writer. Nothing that a reader sees was ever half written: rows are appended and
made durable first, and only then does one transaction here commit them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from soundalike.errors import LibraryBusyError, LibraryError, one_line
from soundalike.filters import Filter
from soundalike.fingerprint import Words
from soundalike.types import IntArray, Level

__all__ = ["FORMAT", "Catalog", "HeldModel", "Track"]

FORMAT = 1
"""The layout of this version; a library of a higher one is refused, a lower one is migrated."""
_SEPARATOR = os.fsencode(os.sep)
_APPLICATION_ID = 0x534E4C4B  # "SNLK"

_SCHEMA = """
CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE roots (id INTEGER PRIMARY KEY, path BLOB NOT NULL UNIQUE);
CREATE TABLE tracks (
    id INTEGER PRIMARY KEY, root_id INTEGER NOT NULL REFERENCES roots, path BLOB NOT NULL, shown_path TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, content_hash TEXT NOT NULL, audio_hash TEXT NOT NULL,
    duration REAL NOT NULL, rate INTEGER NOT NULL, channels INTEGER NOT NULL, codec TEXT NOT NULL,
    title TEXT, artist TEXT, album TEXT, genre TEXT, year INTEGER, bpm_tag REAL, key_tag TEXT,
    tempo REAL, key TEXT, loudness REAL, silent INTEGER NOT NULL, missing INTEGER NOT NULL DEFAULT 0,
    UNIQUE (root_id, path));
CREATE INDEX tracks_by_content ON tracks (size, content_hash);
CREATE INDEX tracks_by_audio ON tracks (audio_hash);
CREATE TABLE fingerprints (track_id INTEGER PRIMARY KEY REFERENCES tracks ON DELETE CASCADE, words BLOB NOT NULL);
CREATE TABLE rows (
    track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, level TEXT NOT NULL,
    first INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (track_id, level)) WITHOUT ROWID;
CREATE TABLE models (name TEXT PRIMARY KEY, digest TEXT NOT NULL, source TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE spaces (
    model TEXT NOT NULL REFERENCES models, name TEXT NOT NULL, level TEXT NOT NULL, dim INTEGER NOT NULL,
    committed INTEGER NOT NULL, PRIMARY KEY (model, name, level)) WITHOUT ROWID;
CREATE TABLE encoded (
    track_id INTEGER NOT NULL REFERENCES tracks ON DELETE CASCADE, model TEXT NOT NULL REFERENCES models,
    PRIMARY KEY (track_id, model)) WITHOUT ROWID;
CREATE TABLE batches (
    model TEXT NOT NULL, space TEXT NOT NULL, level TEXT NOT NULL, first INTEGER NOT NULL, count INTEGER NOT NULL,
    checksum INTEGER NOT NULL, PRIMARY KEY (model, space, level, first)) WITHOUT ROWID;
CREATE TABLE failures (
    path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, message TEXT NOT NULL) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Track:
    """A line of the catalogue. `path` is absolute; times in seconds; `mtime_ns` and `size` as the file system says."""

    path: Path
    size: int
    mtime_ns: int
    content_hash: str
    audio_hash: str
    duration: float
    rate: int
    channels: int
    codec: str
    title: str | None
    artist: str | None
    album: str | None
    genre: str | None
    year: int | None
    bpm_tag: float | None
    key_tag: str | None
    tempo: float | None
    key: str | None
    loudness: float | None
    silent: bool
    missing: bool = False
    id: int = 0


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A model whose spaces a library holds: the digest of what encoded them, and where it is loaded from."""

    digest: str
    source: str


_COLUMNS = [name for name in Track.__dataclass_fields__ if name not in ("path", "id")]


class Catalog:
    """One connection to `catalog.sqlite`. Not shared between threads."""

    def __init__(self, path: Path, *, writable: bool, create: bool = False) -> None:
        """Open it. Raises LibraryError if it is not there, damaged, of a newer version, or cannot be written."""
        self.path = path
        try:
            self._db = _connect(path, writable=writable, create=create)
            self._db.create_function("casefold", 1, lambda text: text.casefold() if text else text, deterministic=True)
            if create:
                self._create()
            self._check()
        except (sqlite3.Error, OSError) as error:
            raise _as_library_error(path, error) from error

    def _create(self) -> None:
        with self.transaction():
            if self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                return
            for statement in _SCHEMA.split(";")[:-1]:
                self._db.execute(statement)
            self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            self._db.execute(f"PRAGMA user_version = {FORMAT}")

    def _check(self) -> None:
        if self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise LibraryError(f"{self.path} is not a soundalike catalogue; give another --library")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found > FORMAT:
            raise LibraryError(
                f"the library was made by a newer soundalike (format {found}; this version reads up to {FORMAT}): "
                "upgrade soundalike"
            )

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Raises LibraryError if it cannot be committed (read-only, full disk, damaged)."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _as_library_error(self.path, error) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever a writer does meanwhile."""
        with _reported(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        with _reported(self.path):
            return self._db.execute(sql, parameters).fetchall()

    # Tracks -----------------------------------------------------------------------------------------------------

    def tracks(self, condition: str = "1", parameters: Sequence[object] = ()) -> list[Track]:
        """Tracks that meet an SQL condition, in the order in which they were added."""
        rows = self._rows(
            "SELECT tracks.*, roots.path AS root FROM tracks JOIN roots ON roots.id = root_id "
            f"WHERE {condition} ORDER BY tracks.id",
            parameters,
        )
        return [_track(row) for row in rows]

    def track_at(self, path: Path) -> Track | None:
        """The track at an absolute path, if it is known."""
        name = os.fsencode(path)
        found = self.tracks(
            "tracks.path = substr(?, length(roots.path) + 1) AND substr(?, 1, length(roots.path)) = roots.path",
            (name, name),
        )
        return found[0] if found else None

    def select(self, where: Filter, *, exclude_artist: str | None = None) -> set[int]:
        """Ids of the tracks, not missing, that meet a filter, leaving out one artist (without regard to case)."""
        sql, parameters = f"NOT missing AND ({where.sql})", list(where.parameters)
        if exclude_artist is not None:
            sql += " AND (artist IS NULL OR casefold(artist) != ?)"
            parameters.append(exclude_artist.casefold())
        return {row[0] for row in self._rows(f"SELECT id FROM tracks WHERE {sql}", parameters)}

    def put_track(self, root: Path, track: Track) -> int:
        """Add a track, or replace the one with its id; returns its id. Inside a transaction."""
        base = os.fsencode(root).rstrip(_SEPARATOR) + _SEPARATOR
        name = os.fsencode(track.path)
        if not name.startswith(base):
            base = name[: name.rindex(_SEPARATOR) + 1]
        self._db.execute("INSERT OR IGNORE INTO roots (path) VALUES (?)", (base,))
        root_id = self._db.execute("SELECT id FROM roots WHERE path = ?", (base,)).fetchone()[0]
        values = {name: getattr(track, name) for name in _COLUMNS}
        values |= {"root_id": root_id, "path": name[len(base) :], "shown_path": one_line(track.path)}
        if track.id:
            assignments = ", ".join(f"{column} = ?" for column in values)
            self._db.execute(f"UPDATE tracks SET {assignments} WHERE id = ?", (*values.values(), track.id))
            return track.id
        marks = ", ".join("?" * len(values))
        cursor = self._db.execute(f"INSERT INTO tracks ({', '.join(values)}) VALUES ({marks})", tuple(values.values()))
        return int(cursor.lastrowid or 0)

    def mark_missing(self, ids: Iterable[int], missing: bool) -> None:
        """Say that tracks have vanished, or are back. Inside a transaction."""
        self._db.executemany("UPDATE tracks SET missing = ? WHERE id = ?", [(missing, one) for one in ids])

    def remove(self, ids: Iterable[int]) -> None:
        """Forget tracks; their rows are no longer anybody's. Inside a transaction."""
        self._db.executemany("DELETE FROM tracks WHERE id = ?", [(one,) for one in ids])

    def put_fingerprint(self, track_id: int, words: Words) -> None:
        """Keep a track's fingerprint. Inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO fingerprints VALUES (?, ?)", (track_id, words.astype("<u4").tobytes()))

    def fingerprint(self, track_id: int) -> Words:
        """A track's fingerprint (f,) uint32."""
        rows = self._rows("SELECT words FROM fingerprints WHERE track_id = ?", (track_id,))
        return np.frombuffer(rows[0][0], dtype="<u4").astype(np.uint32) if rows else np.zeros(0, np.uint32)

    # Failures ---------------------------------------------------------------------------------------------------

    def failures(self) -> dict[Path, tuple[int, int, str]]:
        """Files that could not be heard: path to (size, mtime_ns, message)."""
        rows = self._rows("SELECT path, size, mtime_ns, message FROM failures")
        return {Path(os.fsdecode(path)): (size, mtime, message) for path, size, mtime, message in rows}

    def put_failure(self, path: Path, size: int, mtime_ns: int, message: str) -> None:
        """Remember a file that could not be heard. Inside a transaction."""
        self._db.execute(
            "INSERT OR REPLACE INTO failures VALUES (?, ?, ?, ?)", (os.fsencode(path), size, mtime_ns, message)
        )

    def forget_failures(self, paths: Iterable[Path]) -> None:
        """These files are well, or gone. Inside a transaction."""
        self._db.executemany("DELETE FROM failures WHERE path = ?", [(os.fsencode(path),) for path in paths])

    # Rows -------------------------------------------------------------------------------------------------------

    def models(self) -> dict[str, HeldModel]:
        """The models whose spaces are held, by name."""
        rows = self._rows("SELECT name, digest, source FROM models ORDER BY name")
        return {name: HeldModel(digest, source) for name, digest, source in rows}

    def put_model(self, name: str, held: HeldModel, dims: Sequence[tuple[str, Level, int]]) -> None:
        """Hold another model's spaces, none of them committed yet. Inside a transaction."""
        self._db.execute(
            "INSERT INTO models VALUES (?1, ?2, ?3) ON CONFLICT (name) DO UPDATE SET source = ?3",
            (name, held.digest, held.source),
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO spaces VALUES (?, ?, ?, ?, 0)",
            [(name, space, level, dim) for space, level, dim in dims],
        )

    def spaces(self) -> list[tuple[str, Level, int, int]]:
        """Every space held: its full name, level, dim, and committed rows."""
        rows = self._rows("SELECT model || '/' || name, level, dim, committed FROM spaces")
        return [(name, level, dim, committed) for name, level, dim, committed in rows]

    def drop_model(self, name: str) -> None:
        """Forget what a model has heard: its rows count as not encoded. Inside a transaction."""
        for table in ("encoded", "batches", "spaces"):
            self._db.execute(f"DELETE FROM {table} WHERE model = ?", (name,))
        self._db.execute("DELETE FROM models WHERE name = ?", (name,))

    def next_row(self, level: Level) -> int:
        """The first position at a level that is nobody's yet."""
        # Committed rows alone would not do: they start afresh with a new version of a model, while rows keep places.
        sql = (
            "SELECT max(coalesce((SELECT max(committed) FROM spaces WHERE level = ?1), 0),"
            " coalesce((SELECT max(first + count) FROM rows WHERE level = ?1), 0))"
        )
        return int(self._rows(sql, (level,))[0][0])

    def commit_rows(self, model: str, level: Level, first: int, checksums: dict[str, int], count: int) -> None:
        """Declare rows `first`... of each space of a model whole and durable. Inside a transaction."""
        for space, checksum in checksums.items():
            self._db.execute(
                "UPDATE spaces SET committed = max(committed, ?) WHERE model = ? AND name = ? AND level = ?",
                (first + count, model, space, level),
            )
            self._db.execute(
                "INSERT OR REPLACE INTO batches VALUES (?, ?, ?, ?, ?, ?)",
                (model, space, level, first, count, checksum),
            )

    def assign_rows(self, track_id: int, level: Level, first: int, count: int) -> None:
        """These rows are a track's. Inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", (track_id, level, first, count))

    def mark_encoded(self, track_id: int, model: str) -> None:
        """A track's rows hold a model's spaces: silent ones are zero, not absent. Inside a transaction."""
        self._db.execute("INSERT OR REPLACE INTO encoded VALUES (?, ?)", (track_id, model))

    def share_rows(self, source: int, target: int) -> None:
        """One file is a copy of another: it has the same rows, models and fingerprint. Inside a transaction."""
        for table, columns in (("rows", "level, first, count"), ("encoded", "model"), ("fingerprints", "words")):
            self._db.execute(f"DELETE FROM {table} WHERE track_id = ?", (target,))
            self._db.execute(
                f"INSERT INTO {table} (track_id, {columns}) SELECT ?, {columns} FROM {table} WHERE track_id = ?",
                (target, source),
            )

    def unmark_encoded(self, track_id: int) -> None:
        """A track's sound has changed: no model has heard it. Inside a transaction."""
        self._db.execute("DELETE FROM encoded WHERE track_id = ?", (track_id,))

    def rows_of(self, track_id: int, level: Level) -> tuple[int, int]:
        """Position of a track's first row at a level, and how many there are; (0, 0) if it has none."""
        rows = self._rows("SELECT first, count FROM rows WHERE track_id = ? AND level = ?", (track_id, level))
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    def is_encoded(self, track_id: int, model: str) -> bool:
        """Whether a model has heard a track."""
        return bool(self._rows("SELECT 1 FROM encoded WHERE track_id = ? AND model = ?", (track_id, model)))

    def encoded_by(self) -> dict[int, set[str]]:
        """Which models have heard each track: ids to names."""
        heard: dict[int, set[str]] = {}
        for track_id, model in self._rows("SELECT track_id, model FROM encoded"):
            heard.setdefault(track_id, set()).add(model)
        return heard

    def groups(self, model: str, level: Level) -> IntArray:
        """Whose rows are where, for the tracks a model has heard: (g, 3) int64 first, count, track id, by first."""
        rows = self._rows(
            "SELECT first, count, rows.track_id FROM rows JOIN encoded USING (track_id) "
            "WHERE level = ? AND model = ? ORDER BY first",
            (level, model),
        )
        return np.array([tuple(row) for row in rows], dtype=np.int64).reshape(-1, 3)

    def counts(self) -> dict[str, int]:
        """Numbers for `library info`: tracks, missing, silent, failures."""
        tracks, missing, silent = self._rows(
            "SELECT count(*), coalesce(sum(missing), 0), coalesce(sum(silent), 0) FROM tracks"
        )[0]
        failures = self._rows("SELECT count(*) FROM failures")[0][0]
        return {"tracks": tracks, "missing": missing, "silent": silent, "failures": failures}


def _track(row: sqlite3.Row) -> Track:
    values = {name: row[name] for name in _COLUMNS}
    values |= {"silent": bool(row["silent"]), "missing": bool(row["missing"])}
    return Track(path=Path(os.fsdecode(row["root"] + row["path"])), id=row["id"], **values)


def _connect(path: Path, *, writable: bool, create: bool) -> sqlite3.Connection:
    """A connection in WAL mode; a reader on a read-only disk gets an immutable one, for nobody can write there."""
    if not create and not path.is_file():
        raise LibraryError(f"no library at {path.parent}; make one with: soundalike index DIR")
    uri = path.absolute().as_uri()
    mode = "rwc" if create else "rw"
    if not writable and not os.access(path.parent, os.W_OK):
        mode = "ro&immutable=1"
    connection = sqlite3.connect(f"{uri}?mode={mode}", uri=True, isolation_level=None, timeout=10)
    connection.row_factory = sqlite3.Row
    if writable:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _as_library_error(path, error) from error


def _as_library_error(path: Path, error: Exception) -> LibraryError:
    text = str(error)
    if "locked" in text or "busy" in text:
        return LibraryBusyError(f"another process is writing to the library at {path.parent}; wait until it is done")
    if "full" in text or "disk I/O" in text:
        return LibraryError(
            f"cannot write to the library at {path.parent}: {text}; make room and run it again (nothing stored is lost)"
        )
    if "readonly" in text or "unable to open" in text or isinstance(error, PermissionError):
        return LibraryError(
            f"cannot write to the library at {path.parent}: it is read-only or not yours, or its disk is full; "
            "give another --library"
        )
    return LibraryError(
        f"the library at {path.parent} is damaged ({text}); restore it from a copy, or index into a new one"
    )
