"""The catalogue of a library: tracks, tags, digests, failures, and the row positions of every track.

SQLite in WAL mode allows many readers and one writer. Readers never see half-written data: rows are appended and synced
to disk first, and only then committed here in one transaction.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from soundalike.core.errors import LibraryError, one_line
from soundalike.core.names import check_name, check_unique
from soundalike.core.spelling import other_forms
from soundalike.core.types import LEVELS, IntArray, Level
from soundalike.library.catalog.failures import FailureTable
from soundalike.library.catalog.families import FamilyTable
from soundalike.library.catalog.feature_tables import FeatureTables
from soundalike.library.catalog.fingerprints import FingerprintTable
from soundalike.library.catalog.held import HeldModel, HeldSpace
from soundalike.library.catalog.line_checksums import ID_IN_LIST
from soundalike.library.catalog.paths import PathTable
from soundalike.library.catalog.track import Track, cut_text, parse_list
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["Catalog"]

_SEPARATOR = os.fsencode(os.sep)
_BATCH = 512
"""Entries read at a time: few enough to stay in the processor's cache until they are used."""

_SHARED = (
    ("rows", "level, first, count"),
    ("encoded", "model"),
    ("kept", "backbone"),
    ("fingerprints", "words, version"),
    ("families", "family"),
)
_COLUMNS = [name for name in Track.__dataclass_fields__ if name not in ("path", "id")]
_SELECTED = ", ".join(f"tracks.{name}" for name in ("id", "path", *_COLUMNS))
_LISTS = ("artists", "genres")
"""The columns that hold a JSON list, or null instead of an empty one."""


class Catalog:
    """The tracks, models and row positions of `catalog.sqlite`; any number of threads may use it.

    `database` has the transactions and checksums; `features`, `fingerprints`, `families`, `failures` and `paths` are
    other tables.
    """

    def __init__(self, path: Path, *, writable: bool, create: bool = False) -> None:
        """Open the file. Raises LibraryError."""
        self.database = CatalogDatabase(path, writable=writable, create=create)
        self.features = FeatureTables(self.database)
        self.families = FamilyTable(self.database)
        self.failures = FailureTable(self.database)
        self.fingerprints = FingerprintTable(self.database)
        self.paths = PathTable(self.database)
        self.transaction, self.snapshot = self.database.transaction, self.database.snapshot

    @property
    def generation(self) -> int:
        """See `CatalogDatabase.generation`."""
        return self.database.generation

    def close(self) -> None:
        """Close the connections of all threads."""
        self.database.close()

    # Tracks -----------------------------------------------------------------------------------------------------

    def tracks(self, condition: str = "1", parameters: Sequence[object] = ()) -> list[Track]:
        """Tracks that meet an SQL condition, in the order in which they were added."""
        rows = self.database.rows(
            f"SELECT {_SELECTED}, roots.path AS root FROM tracks JOIN roots ON roots.id = root_id "
            f"WHERE {condition} ORDER BY tracks.id",
            parameters,
        )
        return [_track(row) for row in rows]

    def tracks_of(self, ids: Sequence[int]) -> list[Track]:
        """The tracks with these ids, in this order; all of them must exist."""
        found = {track.id: track for track in self.tracks(ID_IN_LIST, (json.dumps(list(ids)),))}
        return [found[track_id] for track_id in ids]

    def ids(self) -> IntArray:
        """The ids (n,) int64 of all tracks, ascending."""
        return self.database.numbers("SELECT id FROM tracks ORDER BY id", (), 1)[:, 0]

    def page(self, offset: int, limit: int) -> list[Track]:
        """Up to `limit` tracks, in the order in which they were added, from number `offset` on."""
        return self.tracks("tracks.id IN (SELECT id FROM tracks ORDER BY id LIMIT ? OFFSET ?)", (limit, offset))

    def track_at(self, path: Path) -> Track | None:
        """The track at an absolute path; None if the library does not hold it."""
        found = self.id_at(path)
        return None if found is None else self.tracks_of([found])[0]

    def id_at(self, path: Path) -> int | None:
        """The id of the track at an absolute path, or None. As fast in a large library as in a small one.

        A path typed as NFC finds a track that macOS listed as NFD, and the reverse, unless one has exactly this path.
        """
        forms = (path, *other_forms(path))
        return next((found for form in forms if (found := self._id_at(os.fsencode(form))) is not None), None)

    def _id_at(self, name: bytes) -> int | None:
        bases = [name[: at + 1] for at in range(len(name)) if name.startswith(_SEPARATOR, at)]
        # CROSS JOIN makes SQLite start from the few roots that may contain the track, instead of scanning all tracks.
        rows = self.database.rows(
            "SELECT tracks.id FROM roots CROSS JOIN tracks ON root_id = roots.id "
            "WHERE tracks.path = substr(?, length(roots.path) + 1) "
            f"AND roots.path IN ({', '.join('?' * len(bases))}) ORDER BY tracks.id",
            (name, *bases),
        )
        return int(rows[0][0]) if rows else None

    def columns(self, expressions: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
        """Evaluate SQL expressions for every track, by ascending id: one tuple per track, some hundreds at a time."""
        with self.database.connected() as database:
            cursor = database.cursor()
            cursor.row_factory = None
            cursor.execute(f"SELECT {', '.join(expressions)} FROM tracks ORDER BY id")
            while True:
                with self.database.reading_text():
                    batch = cursor.fetchmany(_BATCH)
                if not batch:
                    return
                yield batch

    def with_audio(self, audio_hash: str) -> list[int]:
        """The ids of the tracks with this audio, in order."""
        found = self.database.rows("SELECT id FROM tracks WHERE audio_hash = ? ORDER BY id", (audio_hash,))
        return [row[0] for row in found]

    def put_track(self, root: Path, track: Track) -> int:
        """Add a track, or replace the one with the same id; returns the id. Inside a transaction."""
        base = os.fsencode(root).rstrip(_SEPARATOR) + _SEPARATOR
        name = os.fsencode(track.path)
        if not name.startswith(base):
            base = name[: name.rindex(_SEPARATOR) + 1]
        self.database.connection.execute("INSERT OR IGNORE INTO roots (path) VALUES (?)", (base,))
        root_id = self.database.connection.execute("SELECT id FROM roots WHERE path = ?", (base,)).fetchone()[0]
        values = {name: getattr(track, name) for name in _COLUMNS}
        values |= {name: json.dumps(values[name]) if values[name] else None for name in _LISTS}
        values |= {"root_id": root_id, "path": name[len(base) :], "shown_path": one_line(track.path)}
        if track.id:
            self.database.will_change((track.id,))
            assignments = ", ".join(f"{column} = ?" for column in values)
            self.database.connection.execute(
                f"UPDATE tracks SET {assignments} WHERE id = ?", (*values.values(), track.id)
            )
            return track.id
        marks = ", ".join("?" * len(values))
        cursor = self.database.connection.execute(
            f"INSERT INTO tracks ({', '.join(values)}) VALUES ({marks})", tuple(values.values())
        )
        track_id = int(cursor.lastrowid or 0)
        self.database.was_written(track_id)
        return track_id

    def mark(self, ids: Iterable[int], *, missing: bool = False, unreadable: bool = False) -> None:
        """Flag tracks as missing or unreadable, or clear both flags. Inside a transaction."""
        chosen = list(ids)
        self.database.will_change(chosen)
        self.database.connection.executemany(
            "UPDATE tracks SET missing = ?, unreadable = ? WHERE id = ?", [(missing, unreadable, one) for one in chosen]
        )

    def remove(self, ids: Iterable[int]) -> None:
        """Remove tracks; their rows become unused. Inside a transaction."""
        self.database.connection.executemany("DELETE FROM tracks WHERE id = ?", [(one,) for one in ids])

    def same_sound(self) -> IntArray:
        """(n, 2) int64: the id of every available track, and the lowest id among tracks with the same audio.

        Silent tracks are like no other one.
        """
        available = "FROM tracks WHERE NOT missing AND NOT unreadable"
        sql = f"SELECT id, iif(silent, id, first) FROM (SELECT id, silent, audio_hash {available}) JOIN "
        sql += f"(SELECT audio_hash, min(id) AS first {available} GROUP BY audio_hash) USING (audio_hash)"
        return self.database.numbers(sql, (), 2)

    # Rows -------------------------------------------------------------------------------------------------------

    def models(self) -> dict[str, HeldModel]:
        """The models that the library holds, by name, in the order in which they were added."""
        rows = self.database.rows("SELECT name, digest, source FROM models ORDER BY edition, name")
        return {name: HeldModel(digest, source) for name, digest, source in rows}

    def put_model(self, name: str, held: HeldModel, dims: Sequence[tuple[str, Level, int]]) -> None:
        """Add a model and its spaces, with no row committed yet, or change its source. Inside a transaction.

        A new model gets an edition that no other model of the library had.

        Raises:
            LibraryError: A name breaks the rule for names, or differs from another one only in case.
        """
        connection, models = self.database.connection, self.models()
        if name in models:
            connection.execute("UPDATE models SET source = ? WHERE name = ?", (held.source, name))
        else:
            try:
                for kind, one in [("model", name), *(("space", space) for space, _, _ in dims)]:
                    check_name(kind, one)
                check_unique("model", [*models, name])
                check_unique("space", dict.fromkeys(space for space, _, _ in dims))
            except ValueError as error:
                raise LibraryError(
                    f"the library at {self.database.path.parent} cannot hold {name!r}: {error}"
                ) from error
            connection.execute(
                "INSERT INTO models (name, digest, source, edition) VALUES (?, ?, ?, ?)",
                (name, held.digest, held.source, self.database.new_edition()),
            )
        connection.executemany(
            "INSERT OR IGNORE INTO spaces VALUES (?, ?, ?, ?, 0)",
            [(name, space, level, dim) for space, level, dim in dims],
        )

    def editions(self) -> dict[str, int]:
        """The edition of every model. Files with the rows of another edition belong to an earlier version of it."""
        return dict(tuple(row) for row in self.database.rows("SELECT name, edition FROM models"))

    def spaces(self) -> list[HeldSpace]:
        """Every space of every model at each level."""
        sql = "SELECT model, name, level, dim, committed FROM spaces ORDER BY model, name, level"
        return [HeldSpace(*row) for row in self.database.rows(sql)]

    def drop_model(self, name: str) -> None:
        """Remove a model: its rows count as not encoded. Inside a transaction."""
        self.database.will_change(
            row[0] for row in self.database.rows("SELECT track_id FROM encoded WHERE model = ?", (name,))
        )
        for table in ("encoded", "spaces"):
            self.database.connection.execute(f"DELETE FROM {table} WHERE model = ?", (name,))
        self.database.connection.execute("DELETE FROM models WHERE name = ?", (name,))

    def next_row(self, level: Level) -> int:
        """The first row position at a level that was never committed."""
        # The numbers that spaces and tracks have are not enough: they shrink if a model or a track is removed, but
        # readers of older snapshots still read those rows.
        sql = (
            "SELECT max(coalesce((SELECT max(committed) FROM spaces WHERE level = ?1), 0),"
            " coalesce((SELECT max(first + count) FROM rows WHERE level = ?1), 0))"
        )
        return max(int(self.database.rows(sql, (level,))[0][0]), self.database.number(f"end.{level}"))

    def commit_rows(self, model: str, level: Level, first: int, count: int) -> None:
        """Commit `count` rows from `first` on, in every space of a model. Inside a transaction."""
        self.database.connection.execute(
            "UPDATE spaces SET committed = max(committed, ?) WHERE model = ? AND level = ?",
            (first + count, model, level),
        )

    def assign_rows(self, track_id: int, level: Level, first: int, count: int) -> None:
        """Assign rows to a track. Inside a transaction."""
        self.database.will_change((track_id,))
        self.database.connection.execute(
            "INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?)", (track_id, level, first, count)
        )
        if first + count > self.database.number(f"end.{level}"):
            self.database.set_number(f"end.{level}", first + count)

    def mark_encoded(self, track_id: int, model: str) -> None:
        """Record that a model encoded a track; rows of inaudible spaces are zero. Inside a transaction."""
        self.database.will_change((track_id,))
        self.database.connection.execute("INSERT OR REPLACE INTO encoded VALUES (?, ?)", (track_id, model))

    def share_rows(self, source: int, target: int) -> None:
        """Give a copy the rows, models, fingerprint and family of another track. Inside a transaction."""
        self.database.will_change((target,))
        self.database.inherit_corruption(source, target)
        for table, columns in _SHARED:
            self.database.connection.execute(f"DELETE FROM {table} WHERE track_id = ?", (target,))
            self.database.connection.execute(
                f"INSERT INTO {table} (track_id, {columns}) SELECT ?, {columns} FROM {table} WHERE track_id = ?",
                (target, source),
            )

    def unmark_encoded(self, track_id: int) -> None:
        """Record that the audio of a track changed: nothing is encoded or stored for it. Inside a transaction."""
        self.database.will_change((track_id,))
        for table in ("encoded", "kept"):
            self.database.connection.execute(f"DELETE FROM {table} WHERE track_id = ?", (track_id,))

    def forget_rows(self, track_id: int) -> None:
        """Take the rows from a track, for all models: it gets new ones when it is encoded. Inside a transaction."""
        self.unmark_encoded(track_id)
        self.database.connection.execute("DELETE FROM rows WHERE track_id = ?", (track_id,))

    def rows_of(self, track_id: int, level: Level) -> tuple[int, int]:
        """The first row position of a track at a level and the number of rows; (0, 0) if it has none."""
        rows = self.database.rows("SELECT first, count FROM rows WHERE track_id = ? AND level = ?", (track_id, level))
        return (rows[0][0], rows[0][1]) if rows else (0, 0)

    def is_encoded(self, track_id: int, model: str) -> bool:
        """Whether a model encoded a track."""
        return bool(self.database.rows("SELECT 1 FROM encoded WHERE track_id = ? AND model = ?", (track_id, model)))

    def models_of(self, track_id: int) -> list[str]:
        """The names of the models that encoded a track, sorted."""
        rows = self.database.rows("SELECT model FROM encoded WHERE track_id = ? ORDER BY model", (track_id,))
        return [str(name) for (name,) in rows]

    def encoded_by(self) -> dict[int, set[str]]:
        """The models that encoded each track, by id."""
        return self.database.names_by_id("SELECT track_id, model FROM encoded")

    def groups(self, model: str, level: Level, *, absent: bool = False) -> IntArray:
        """The row positions of the tracks that a model encoded; with `absent`, unavailable tracks too.

        Returns:
            (g, 3) int64: first position, number of rows, track id; sorted by first position, then id.
        """
        return self.database.numbers(
            "SELECT first, count, track_id FROM rows JOIN encoded USING (track_id) JOIN tracks ON id = track_id "
            "WHERE level = ? AND model = ? AND count > 0 AND (? OR NOT missing AND NOT unreadable) "
            "ORDER BY first, track_id",
            (level, model, absent),
            3,
        )

    def segments(self, level: Level) -> IntArray:
        """The row positions of all tracks at a level, whatever model encoded them.

        Returns:
            (n, 3) int64: first position, number of rows, track id; sorted by first position.
        """
        return self.database.numbers(
            "SELECT first, count, track_id FROM rows WHERE level = ? AND count > 0 ORDER BY first", (level,), 3
        )

    def move_rows(self, level: Level, firsts: Iterable[tuple[int, int]]) -> None:
        """Change the first row positions of tracks, given as pairs (position, id). Inside a transaction."""
        moves = [(first, track_id, level) for first, track_id in firsts]
        self.database.will_change(track_id for _, track_id, _ in moves)
        self.database.connection.executemany("UPDATE rows SET first = ? WHERE track_id = ? AND level = ?", moves)

    def recount_rows(self) -> None:
        """Set the committed rows of every space to those that tracks use. Inside a transaction."""
        self.database.connection.execute(
            "UPDATE spaces SET committed = (SELECT coalesce(max(first + count), 0) FROM rows JOIN encoded "
            "USING (track_id) WHERE rows.level = spaces.level AND encoded.model = spaces.model)"
        )

    def begin_epoch(self, epoch: int) -> None:
        """Make the rows of another folder the current ones, in which row positions have no gaps. In a transaction."""
        self.recount_rows()
        self.database.set_number("epoch", epoch)
        for level in LEVELS:
            self.database.set_number(f"end.{level}", 0)

    def row_counts(self) -> dict[tuple[str, Level], tuple[int, int]]:
        """Per model and level, how many rows its tracks have, and where the last one ends.

        This does not use `groups`, so that a check can compare the two.
        """
        sql = (
            "SELECT models.name, levels.level, coalesce(sum(rows.count), 0), coalesce(max(rows.first + rows.count), 0) "
            "FROM models JOIN (SELECT DISTINCT level FROM spaces) AS levels "
            "LEFT JOIN encoded ON encoded.model = models.name "
            "LEFT JOIN rows ON rows.track_id = encoded.track_id AND rows.level = levels.level "
            "GROUP BY models.name, levels.level"
        )
        return {(model, level): (rows, end) for model, level, rows, end in self.database.rows(sql)}

    def __len__(self) -> int:
        """The number of tracks. Much faster than `counts`, which reads them all."""
        return int(self.database.rows("SELECT count(*) FROM tracks")[0][0])

    def counts(self) -> dict[str, int]:
        """The number of tracks, of missing, unreadable and silent ones, and of failures."""
        tracks, missing, unreadable, silent = self.database.rows(
            "SELECT count(*), coalesce(sum(missing), 0), coalesce(sum(unreadable), 0), coalesce(sum(silent), 0) "
            "FROM tracks"
        )[0]
        failures = self.database.rows("SELECT count(*) FROM failures")[0][0]
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
    values |= {name: parse_list(row[name]) for name in _LISTS}
    values |= {name: cut_text(row[name]) for name in ("title", "album", "album_artist")}
    return Track(path=Path(os.fsdecode(row["root"] + row["path"])), id=row["id"], **values)
