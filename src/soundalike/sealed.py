"""The database under a catalogue: snapshots to read, transactions that seal what they change, and a look for damage."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np

from soundalike.database import as_library_error, check_format, connect, create_tables, reported
from soundalike.errors import LibraryError
from soundalike.seals import catalogue_seal, failure_seal, renew, track_seals
from soundalike.types import IntArray

__all__ = ["SealedDatabase"]


class SealedDatabase:
    """One connection. Whoever changes what is said of a track inside a transaction adds its id to `_changed`."""

    def __init__(self, path: Path, *, writable: bool, create: bool = False) -> None:
        """Open it. Raises LibraryError if it is not there, damaged, of a newer version, or cannot be written."""
        self.path = path
        self._changed: set[int] = set()
        try:
            self._db = connect(path, writable=writable, create=create)
        except (sqlite3.Error, OSError) as error:
            raise as_library_error(path, error) from error
        try:
            if create:
                create_tables(self._db)
            self.format = check_format(self._db, path)
        except sqlite3.Error as error:
            self._db.close()
            raise as_library_error(path, error) from error
        except LibraryError:
            self._db.close()
            raise

    @property
    def epoch(self) -> int:
        """How often the rows have been written anew: the number of the folder that they lie in."""
        return self._meta("epoch")

    def begin_epoch(self, epoch: int) -> None:
        """From this transaction on the rows lie in another folder."""
        self._db.execute("UPDATE meta SET value = ? WHERE name = 'epoch'", (epoch,))

    @property
    def generation(self) -> int:
        """How many transactions have changed the catalogue: what was read of another generation may be out of date."""
        return self._meta("generation")

    def _meta(self, name: str) -> int:
        rows = self._rows("SELECT value FROM meta WHERE name = ?", (name,))
        if not rows or not isinstance(rows[0][0], int):
            raise as_library_error(self.path, sqlite3.DatabaseError(f"it does not say its {name}"))
        return rows[0][0]

    def close(self) -> None:
        """Close the connection."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Raises LibraryError if it cannot be committed (read-only, full disk, damaged)."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                before = self._db.total_changes
                self._changed.clear()
                yield
                if self._db.total_changes != before:
                    renew(self._db, self._changed)
                    self._db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
                    self._db.execute("UPDATE meta SET value = ? WHERE name = 'seal'", (catalogue_seal(self._db),))
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

    def _numbers(self, sql: str, parameters: Sequence[object], columns: int) -> IntArray:
        """Whole numbers (n, columns) int64, without making a Python object a row longer than it takes."""
        with reported(self.path):
            cursor = self._db.cursor()
            cursor.row_factory = None
            return np.fromiter(chain.from_iterable(cursor.execute(sql, parameters)), np.int64).reshape(-1, columns)

    def damaged_tracks(self, ids: Iterable[int] | None = None) -> list[int]:
        """Those of the tracks (all, by default) whose lines are not what was written, by their seals."""
        with reported(self.path):
            asked = [row[0] for row in self._db.execute("SELECT id FROM tracks")] if ids is None else ids
            return [track_id for track_id, kept, due in track_seals(self._db, asked) if kept != due]

    def damage(self) -> list[str]:
        """What is wrong with the database but for single tracks, a line each; reads all of it."""
        found = []
        with reported(self.path):
            for (problem,) in self._db.execute("PRAGMA integrity_check"):
                found += [] if problem == "ok" else [str(problem)]
            for table, *_ in self._db.execute("PRAGMA foreign_key_check"):
                found.append(f"a line of {table} is about nothing that is there")
            if self._meta("seal") != catalogue_seal(self._db):
                found.append("models, spaces or tables are not what was written")
            for path, size, mtime, message, seal in self._db.execute("SELECT * FROM failures"):
                if failure_seal(path, size, mtime, message) != seal:
                    found.append(f"the failure of {os.fsdecode(path)} is not what was written")
        return found

    def compact(self) -> None:
        """Give back the room of what was deleted. Outside a transaction. Raises LibraryError where there is none."""
        try:
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise as_library_error(self.path, error) from error
