"""The table of files that could not be read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundalike.library.catalog.line_checksums import failure_checksum
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["Failure", "FailureTable"]

_COLUMNS = "path, size, mtime_ns, message, attempts, seal"


@dataclass(frozen=True, slots=True)
class Failure:
    """A file that could not be read, with the size and time that it had.

    Attributes:
        path: The file.
        size: Bytes.
        mtime_ns: Modification time in nanoseconds.
        message: Why it could not be read, and what to do.
        attempts: How often it was tried.
    """

    path: Path
    size: int
    mtime_ns: int
    message: str
    attempts: int


class FailureTable:
    """Files that could not be read, with the size and time they had."""

    def __init__(self, database: CatalogDatabase) -> None:
        self._database = database

    def all(self) -> dict[Path, Failure]:
        """Those whose entries are not corrupt, by path, in the order of their names."""
        found = (Failure(Path(os.fsdecode(path)), *rest) for path, *rest, _ in self._entries()[0])
        return {failure.path: failure for failure in found}

    def corrupt(self) -> list[str]:
        """The paths of entries that fail their checksum, as far as they can be read."""
        return [os.fsdecode(path) if isinstance(path, bytes) else repr(path) for path, *_ in self._entries()[1]]

    def remove_corrupt(self) -> int:
        """Remove entries that fail their checksum, so that their files are tried again; returns how many.

        Inside a transaction.
        """
        intact, corrupt = self._entries()
        if corrupt:
            # One whose path is corrupt is not where SQLite looks for it: it goes only if all go.
            self._database.connection.execute("DELETE FROM failures")
            self._insert(intact)
        return len(corrupt)

    def _entries(self) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        """The intact entries in the order of their paths, and the corrupt ones, which may hold anything."""
        intact: list[tuple[Any, ...]] = []
        corrupt: list[tuple[Any, ...]] = []
        for entry in self._database.rows_as_stored(f"SELECT {_COLUMNS} FROM failures"):
            *content, checksum = entry
            (intact if failure_checksum(*content) == checksum else corrupt).append(entry)
        return sorted(intact), corrupt

    def put(self, path: Path, size: int, mtime_ns: int, message: str) -> None:
        """Store an unreadable file, and count the attempt. Inside a transaction."""
        name = os.fsencode(path)
        attempts = "SELECT attempts FROM failures WHERE path = ? AND typeof(attempts) = 'integer'"
        before = self._database.rows(attempts, (name,))
        entry = (name, size, mtime_ns, message, before[0][0] + 1 if before else 1)
        self._insert([(*entry, failure_checksum(*entry))])

    def _insert(self, entries: Iterable[tuple[Any, ...]]) -> None:
        self._database.connection.executemany(
            f"INSERT OR REPLACE INTO failures ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", entries
        )

    def forget(self, paths: Iterable[Path]) -> None:
        """Remove files that are readable again, or gone. Inside a transaction."""
        self._database.connection.executemany(
            "DELETE FROM failures WHERE path = ?", [(os.fsencode(path),) for path in paths]
        )
