"""The table of files that could not be read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from soundalike.library.catalog.line_checksums import failure_checksum
from soundalike.library.catalog.transactions import CatalogDatabase

__all__ = ["Failure", "FailureTable"]


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
        """All of them by path, in the order of their names."""
        rows = self._database.rows("SELECT path, size, mtime_ns, message, attempts FROM failures ORDER BY path")
        found = (Failure(Path(os.fsdecode(path)), *rest) for path, *rest in rows)
        return {failure.path: failure for failure in found}

    def put(self, path: Path, size: int, mtime_ns: int, message: str) -> None:
        """Store an unreadable file, and count the attempt. Inside a transaction."""
        name = os.fsencode(path)
        before = self._database.rows("SELECT attempts FROM failures WHERE path = ?", (name,))
        entry = (name, size, mtime_ns, message, before[0][0] + 1 if before else 1)
        self._database.connection.execute(
            "INSERT OR REPLACE INTO failures (path, size, mtime_ns, message, attempts, seal) VALUES (?, ?, ?, ?, ?, ?)",
            (*entry, failure_checksum(*entry)),
        )

    def forget(self, paths: Iterable[Path]) -> None:
        """Remove files that are readable again, or gone. Inside a transaction."""
        self._database.connection.executemany(
            "DELETE FROM failures WHERE path = ?", [(os.fsencode(path),) for path in paths]
        )
