"""The database of a catalogue: snapshots, transactions that renew checksums, and integrity checks."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.sqlite import connect
from soundalike.core.types import IntArray
from soundalike.library.catalog.line_checksums import (
    catalogue_checksum,
    failure_checksum,
    renew_checksums,
    track_checksums,
)
from soundalike.library.catalog.schema import as_library_error, check_format, create_tables, reported

__all__ = ["CatalogDatabase"]


class CatalogDatabase:
    """The SQLite file of a catalogue, with one connection per thread.

    Whatever changes a track inside a transaction adds its id to `changed`, so that its checksum is renewed.
    """

    def __init__(self, path: Path, *, writable: bool, create: bool = False) -> None:
        """Open the file.

        Raises:
            LibraryError: It does not exist, is corrupt, has a newer format, or cannot be written.
        """
        self.path = path
        self.changed: set[int] = set()
        self._writable = writable
        self._lock = threading.Lock()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._closed = False
        database = self._connect(create=create)
        try:
            if create:
                create_tables(database)
            self.format = check_format(database, path)
        except sqlite3.Error as error:
            self.close()
            raise as_library_error(path, error) from error
        except LibraryError:
            self.close()
            raise

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this thread, opened on first use.

        Raises:
            LibraryError: The catalogue was closed, or the file cannot be opened any more.
        """
        found = self._connections.get(threading.current_thread())
        return self._connect() if found is None else found

    def _connect(self, *, create: bool = False) -> sqlite3.Connection:
        with self._lock:
            if self._closed:
                raise LibraryError(f"the library at {self.path.parent} is closed; open it again")
            for thread in [thread for thread in self._connections if not thread.is_alive()]:
                self._connections.pop(thread).close()
            try:
                found = connect(self.path, writable=self._writable, create=create)
            except (sqlite3.Error, OSError) as error:
                raise as_library_error(self.path, error) from error
            self._connections[threading.current_thread()] = found
            return found

    @property
    def epoch(self) -> int:
        """How often the rows have been rewritten: the number of the folder that holds them."""
        return self._meta("epoch")

    def begin_epoch(self, epoch: int) -> None:
        """Make the rows of another folder the current ones. Inside a transaction."""
        self.connection.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))

    @property
    def generation(self) -> int:
        """The number of transactions that changed the catalogue; caches of another generation are out of date."""
        return self._meta("generation")

    def _meta(self, name: str) -> int:
        rows = self.rows("SELECT value FROM meta WHERE name = ?", (name,))
        if not rows or not isinstance(rows[0][0], int):
            raise as_library_error(self.path, sqlite3.DatabaseError(f"it has no {name}"))
        return rows[0][0]

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            self._closed = True
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction. Raises LibraryError if it cannot be committed."""
        database = self.connection
        try:
            database.execute("BEGIN IMMEDIATE")
            try:
                before = database.total_changes
                self.changed.clear()
                yield
                if database.total_changes != before:
                    renew_checksums(database, self.changed)
                    database.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
                    database.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (catalogue_checksum(database),))
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")
        except sqlite3.Error as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise as_library_error(self.path, error) from error

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make everything read inside the block consistent, whatever a writer does meanwhile."""
        database = self.connection
        with reported(self.path):
            database.execute("BEGIN")
            try:
                yield
            finally:
                database.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """The rows of a query. Raises LibraryError."""
        with reported(self.path):
            return self.connection.execute(sql, parameters).fetchall()

    def numbers(self, sql: str, parameters: Sequence[object], columns: int) -> IntArray:
        """The integers (n, columns) int64 of a query, without keeping a Python object per row."""
        with reported(self.path):
            cursor = self.connection.cursor()
            cursor.row_factory = None
            return np.fromiter(chain.from_iterable(cursor.execute(sql, parameters)), np.int64).reshape(-1, columns)

    def names_by_id(self, sql: str) -> dict[int, set[str]]:
        """Group the names of a query for (track id, name) by track."""
        found: dict[int, set[str]] = {}
        for track_id, name in self.rows(sql):
            found.setdefault(track_id, set()).add(name)
        return found

    def corrupt_tracks(self, ids: Iterable[int] | None = None) -> list[int]:
        """The ids among `ids` (all tracks by default) whose entries fail their checksum."""
        with reported(self.path):
            checked = [row[0] for row in self.connection.execute("SELECT id FROM tracks")] if ids is None else ids
            sums = track_checksums(self.connection, checked)
            return [track_id for track_id, stored, expected in sums if stored != expected]

    def find_problems(self) -> list[str]:
        """Problems of the database as a whole, one line each; entries of single tracks are not checked here."""
        found = []
        with reported(self.path):
            for (problem,) in self.connection.execute("PRAGMA integrity_check"):
                found += [] if problem == "ok" else [str(problem)]
            for table, *_ in self.connection.execute("PRAGMA foreign_key_check"):
                found.append(f"an entry of the table {table} refers to nothing")
            if self._meta("seal") != catalogue_checksum(self.connection):
                found.append("models, spaces or tables fail their checksum")
            for path, size, mtime, message, seal in self.connection.execute("SELECT * FROM failures"):
                if failure_checksum(path, size, mtime, message) != seal:
                    found.append(f"the failure entry of {os.fsdecode(path)} fails its checksum")
        return found

    def compact(self) -> None:
        """Free the space of deleted entries. Outside a transaction. Raises LibraryError if the disk is full."""
        try:
            self.connection.execute("VACUUM")
            self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise as_library_error(self.path, error) from error
