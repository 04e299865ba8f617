"""The database of a catalogue: snapshots, transactions that renew checksums, and integrity checks."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakSet

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.sqlite import connect
from soundalike.core.types import IntArray
from soundalike.library.catalog.line_checksums import (
    catalogue_checksum,
    renew_checksums,
    spoil_checksums,
    track_checksums,
)
from soundalike.library.catalog.schema import as_library_error, check_format, closed_error, create_tables

__all__ = ["CatalogDatabase"]


class _Connection:
    """The connection of one thread. Only the thread refers to it for long, so it closes when the thread ends."""

    def __init__(self, sqlite: sqlite3.Connection) -> None:
        self.sqlite = sqlite
        self.blocks = 0  # how many blocks of `CatalogDatabase.connected` use it

    def __del__(self) -> None:
        self.sqlite.close()


class _Own(threading.local):
    """The connection of this thread."""

    connection: _Connection | None = None


class CatalogDatabase:
    """The SQLite file of a catalogue, with one connection per thread.

    Whatever changes a track inside a transaction calls `will_change` before, so that its checksum is renewed.
    """

    def __init__(self, path: Path, *, writable: bool, create: bool = False) -> None:
        """Open the file.

        Raises:
            LibraryError: It does not exist, is corrupt, has a newer format, or cannot be written.
        """
        self.path = path
        self._changed: set[int] = set()  # tracks that this transaction changes
        self._corrupt: set[int] = set()  # those of them that must keep a wrong checksum
        self._writable = writable
        self._own = _Own()
        # Guards the next two, and the blocks of every connection. Reentrant, because the garbage collector may end a
        # block at any moment.
        self._lock = threading.RLock()
        self._connections: WeakSet[_Connection] = WeakSet()
        self._closed = False
        try:
            with self.connected(create=create) as database:
                if create:
                    create_tables(database)
                self.format = check_format(database, path)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def connected(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """Lend the connection of this thread, which is opened on first use and stays open until the block ends.

        Raises:
            LibraryError: The catalogue is closed, the file cannot be opened, or SQLite fails inside the block.
        """
        own = self._enter(create)
        try:
            yield own.sqlite
        except sqlite3.Error as error:
            if self._closed and isinstance(
                error, sqlite3.ProgrammingError
            ):  # Python, not SQLite, refuses a closed connection
                raise closed_error(self.path.parent) from error
            raise as_library_error(self.path, error) from error
        finally:
            self._leave(own)

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection of this thread, for use inside `connected`, `snapshot` or `transaction`."""
        own = self._enter()
        self._leave(own)
        return own.sqlite

    def _enter(self, create: bool = False) -> _Connection:
        own = self._own.connection or self._open(create)
        with self._lock:
            if self._closed and not own.blocks:
                own.sqlite.close()
                raise closed_error(self.path.parent)
            own.blocks += 1
            return own

    def _leave(self, own: _Connection) -> None:
        with self._lock:
            own.blocks -= 1
            if self._closed and not own.blocks:
                own.sqlite.close()

    def _open(self, create: bool) -> _Connection:
        if self._closed:
            raise closed_error(self.path.parent)
        try:
            own = self._own.connection = _Connection(connect(self.path, writable=self._writable, create=create))
        except (sqlite3.Error, OSError) as error:
            raise as_library_error(self.path, error) from error
        with self._lock:
            self._connections.add(own)
        return own

    def close(self) -> None:
        """Close the connections of all threads. What other threads have begun to read, they can finish.

        SQLite's module for Python may crash if a connection closes while another thread uses it.
        """
        with self._lock:
            self._closed = True
            for connection in self._connections:
                if not connection.blocks:
                    connection.sqlite.close()

    @property
    def epoch(self) -> int:
        """How often the rows have been rewritten: the number of the folder that holds them."""
        return self._meta("epoch")

    def number(self, name: str) -> int:
        """A number stored under a name in the table `meta`; 0 if there is none."""
        rows = self.rows("SELECT value FROM meta WHERE name = ?", (name,))
        return int(rows[0][0]) if rows else 0

    def set_number(self, name: str, value: int) -> None:
        """Store a number under a name in the table `meta`. Inside a transaction."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def new_edition(self) -> int:
        """A number that nothing in this library was stored under before. Inside a transaction."""
        edition = self.number("edition") + 1
        self.set_number("edition", edition)
        return edition

    @property
    def generation(self) -> int:
        """The number of transactions that changed the catalogue; caches of another generation are out of date."""
        return self._meta("generation")

    def _meta(self, name: str) -> int:
        rows = self.rows("SELECT value FROM meta WHERE name = ?", (name,))
        if not rows or not isinstance(rows[0][0], int):
            raise as_library_error(self.path, sqlite3.DatabaseError(f"it has no {name}"))
        return rows[0][0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Run the block as one transaction. Raises LibraryError if it cannot be committed."""
        with self.connected() as database:
            if database.in_transaction:
                raise LibraryError(
                    f"the library at {self.path.parent} cannot be changed inside a snapshot or another transaction of "
                    "the same thread; leave that first"
                )
            database.execute("BEGIN IMMEDIATE")
            try:
                before = database.total_changes
                self._changed.clear()
                self._corrupt.clear()
                yield
                if database.total_changes != before:
                    with self.reading_text():
                        self._renew(database)
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:  # SQLite rolls back by itself after some errors
                    database.execute("ROLLBACK")
                raise

    def _renew(self, database: sqlite3.Connection) -> None:
        """Renew the checksums of what a transaction changed, and the generation."""
        renew_checksums(database, self._changed)
        spoil_checksums(database, self._corrupt)
        database.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
        database.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (catalogue_checksum(database),))

    def will_change(self, ids: Iterable[int]) -> None:
        """Note that tracks are about to change: they get new checksums. Inside a transaction.

        An entry that is corrupt before the change stays recognisable: part of it may still be wrong.
        """
        fresh = [track_id for track_id in ids if track_id not in self._changed]
        if not fresh:
            return
        self._changed.update(fresh)
        self._corrupt.update(self.corrupt_tracks(fresh))

    def was_written(self, track_id: int) -> None:
        """Note that nothing of the former entry of a track is left, if there was one. Inside a transaction."""
        self._changed.add(track_id)
        self._corrupt.discard(track_id)

    def inherit_corruption(self, source: int, target: int) -> None:
        """Treat a track as corrupt if the one that it copies is. Inside a transaction, after `will_change`."""
        if self.was_corrupt(source):
            self._corrupt.add(target)

    def was_corrupt(self, track_id: int) -> bool:
        """Whether the entry of a track was corrupt before this transaction, and still may be."""
        if track_id in self._changed:
            return track_id in self._corrupt
        return bool(self.corrupt_tracks((track_id,)))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make everything read inside the block consistent, whatever a writer does meanwhile.

        Inside another snapshot or a transaction of this thread, the block reads what that one reads.
        """
        with self.connected() as database:
            if database.in_transaction:
                yield
                return
            database.execute("BEGIN")
            try:
                yield
            finally:
                if database.in_transaction:
                    database.execute("COMMIT")

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[sqlite3.Row]:
        """The rows of a query. Raises LibraryError."""
        with self.connected() as database, self.reading_text():
            return database.execute(sql, parameters).fetchall()

    def rows_as_stored(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, for entries that may be corrupt: text that is not UTF-8 is no error.

        Raises:
            LibraryError: SQLite cannot read the table.
        """
        with self.connected() as database:
            database.text_factory = lambda data: data.decode("utf-8", "surrogateescape")
            try:
                return [tuple(row) for row in database.execute(sql)]
            finally:
                database.text_factory = str

    @contextmanager
    def reading_text(self) -> Iterator[None]:
        """Turn text that is not UTF-8 into a LibraryError. The text may be that of a message of SQLite."""
        try:
            yield
        except UnicodeDecodeError as error:
            raise as_library_error(self.path, error) from error

    def numbers(self, sql: str, parameters: Sequence[object], columns: int) -> IntArray:
        """The integers (n, columns) int64 of a query, without keeping a Python object per row."""
        with self.connected() as database:
            cursor = database.cursor()
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
        with self.connected() as database, self.reading_text():
            checked = [row[0] for row in database.execute("SELECT id FROM tracks")] if ids is None else ids
            sums = track_checksums(database, checked)
            return [track_id for track_id, stored, expected in sums if stored != expected]

    def find_problems(self) -> list[str]:
        """Problems of the database as a whole, one line each; single tracks and failures are not checked here."""
        found = []
        with self.connected() as database, self.reading_text():
            # A failure entry whose path is corrupt is out of order. `FailureTable.remove_corrupt` puts that right.
            of_failures = {row[0] for row in database.execute("PRAGMA integrity_check(failures)")}
            for (problem,) in database.execute("PRAGMA integrity_check"):
                found += [] if problem == "ok" or problem in of_failures else [str(problem)]
            for table, *_ in database.execute("PRAGMA foreign_key_check"):
                found.append(f"an entry of the table {table} refers to nothing")
            if self._meta("seal") != catalogue_checksum(database):
                found.append("models, spaces or tables fail their checksum")
        return found

    def compact(self) -> None:
        """Free the space of deleted entries. Outside a transaction. Raises LibraryError if the disk is full."""
        with self.connected() as database:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
