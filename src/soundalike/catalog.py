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
from itertools import chain
from pathlib import Path

import numpy as np

from soundalike.database import FORMAT, as_library_error, check_format, connect, create_tables, reported, upgrade
from soundalike.errors import LibraryError, one_line
from soundalike.filters import Filter
from soundalike.fingerprint import Words
from soundalike.types import IntArray, Level

__all__ = ["Catalog", "HeldModel", "Track"]

_SEPARATOR = os.fsencode(os.sep)


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
    unreadable: bool = False
    key_confidence: float | None = None
    meter: str | None = None
    id: int = 0

    @property
    def bpm(self) -> float | None:
        """Beats a minute: the tag, where there is one, goes before what was measured, as in filters."""
        return self.bpm_tag if self.bpm_tag is not None else self.tempo


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
            self._db = connect(path, writable=writable, create=create)
        except (sqlite3.Error, OSError) as error:
            raise as_library_error(path, error) from error
        try:
            self._db.create_function("casefold", 1, lambda text: text.casefold() if text else text, deterministic=True)
            if create:
                create_tables(self._db)
            if check_format(self._db, path) < FORMAT:
                upgrade(path)
        except sqlite3.Error as error:
            self._db.close()
            raise as_library_error(path, error) from error
        except LibraryError:
            self._db.close()
            raise

    @property
    def generation(self) -> int:
        """How many transactions have changed the catalogue: what was read of another generation may be out of date."""
        return int(self._rows("SELECT value FROM meta WHERE name = 'generation'")[0][0])

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
                self._db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise as_library_error(self.path, error) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever a writer does meanwhile."""
        with reported(self.path):
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("COMMIT")

    def _rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        with reported(self.path):
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

    def select(self, where: Filter, *, exclude_artist: str | None = None) -> IntArray:
        """Ids (n,) int64 of the tracks that meet a filter, leaving out one artist (without regard to case)."""
        sql, parameters = where.sql, list(where.parameters)
        if exclude_artist is not None:
            sql = f"({sql}) AND (artist IS NULL OR casefold(artist) != ?)"
            parameters.append(exclude_artist.casefold())
        return self._numbers(f"SELECT id FROM tracks WHERE {sql}", parameters, 1)[:, 0]

    def one_of_each(self) -> IntArray:
        """Ids (n,) int64 of one track for every different sound."""
        return self._numbers("SELECT min(id) FROM tracks GROUP BY audio_hash", (), 1)[:, 0]

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

    def mark(self, ids: Iterable[int], *, missing: bool = False, unreadable: bool = False) -> None:
        """Say that tracks have vanished, or can no longer be heard, or are back. Inside a transaction."""
        self._db.executemany(
            "UPDATE tracks SET missing = ?, unreadable = ? WHERE id = ?", [(missing, unreadable, one) for one in ids]
        )

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

    # Families ---------------------------------------------------------------------------------------------------

    def same_sound(self) -> IntArray:
        """(n, 2) int64: id of every track that is there, and that of the first of those with the same sound."""
        there = "FROM tracks WHERE NOT missing AND NOT unreadable"
        sql = f"SELECT id, first FROM (SELECT id, audio_hash {there}) JOIN "
        sql += f"(SELECT audio_hash, min(id) AS first {there} GROUP BY audio_hash) USING (audio_hash)"
        return self._numbers(sql, (), 2)

    def put_families(self, families: Sequence[Iterable[int]]) -> None:
        """Keep version families, ids of tracks each, in place of those kept before. Inside a transaction."""
        self._db.execute("DELETE FROM families")
        members = [(one, number) for number, ids in enumerate(families) for one in ids]
        self._db.executemany("INSERT INTO families VALUES (?, ?)", members)
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('families', ?)", (len(families),))

    def families(self) -> dict[int, int] | None:
        """The number of the version family of every track that is in one; None if they were never looked for."""
        if not self._rows("SELECT 1 FROM meta WHERE name = 'families'"):
            return None
        return dict(self._numbers("SELECT track_id, family FROM families", (), 2).tolist())

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
        """Whose rows are where, for the tracks that are there and that a model has heard.

        (g, 3) int64: first position, number of rows, track id; by first position.
        """
        return self._numbers(
            "SELECT first, count, track_id FROM rows JOIN encoded USING (track_id) JOIN tracks ON id = track_id "
            "WHERE level = ? AND model = ? AND NOT missing AND NOT unreadable ORDER BY first",
            (level, model),
            3,
        )

    def _numbers(self, sql: str, parameters: Sequence[object], columns: int) -> IntArray:
        """Whole numbers (n, columns) int64, without making a Python object a row longer than it takes."""
        with reported(self.path):
            cursor = self._db.cursor()
            cursor.row_factory = None
            return np.fromiter(chain.from_iterable(cursor.execute(sql, parameters)), np.int64).reshape(-1, columns)

    def counts(self) -> dict[str, int]:
        """Numbers for `library info`: tracks, and how many of them are missing, unreadable, silent; failures."""
        tracks, missing, unreadable, silent = self._rows(
            "SELECT count(*), coalesce(sum(missing), 0), coalesce(sum(unreadable), 0), coalesce(sum(silent), 0) "
            "FROM tracks"
        )[0]
        failures = self._rows("SELECT count(*) FROM failures")[0][0]
        return {
            "tracks": tracks,
            "missing": missing,
            "unreadable": unreadable,
            "silent": silent,
            "failures": failures,
        }


def _track(row: sqlite3.Row) -> Track:
    values = {name: row[name] for name in _COLUMNS}
    values |= {name: bool(row[name]) for name in ("silent", "missing", "unreadable")}
    return Track(path=Path(os.fsdecode(row["root"] + row["path"])), id=row["id"], **values)
