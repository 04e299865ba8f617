"""SQLite: connections in WAL mode, and a lock that no crash leaves behind."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from soundalike.core.errors import LibraryError

__all__ = ["connect", "take_lock"]


def take_lock(path: Path) -> sqlite3.Connection:
    """Hold the right to write until the connection closes, or the process ends in whatever way. Raises sqlite3.Error.

    An exclusive transaction on a database of its own: a lock that every platform has, and that no crash leaves behind.
    """
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error:
        lock.close()
        raise
    return lock


def connect(path: Path, *, writable: bool, create: bool) -> sqlite3.Connection:
    """A connection in WAL mode. A reader takes what it can get: on a read-only disk not even the WAL's index can be
    made, and nobody can be writing, so there, and only there, the file is taken as it lies.
    """
    if not create and not path.is_file():
        raise LibraryError(f"no library at {path.parent}; make one with: soundalike index DIR")
    modes = ["rwc"] if create else ["rw"] if writable else ["rw", "ro", "ro&immutable=1"]
    for mode in modes:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=10,
            check_same_thread=False,  # each thread has its own; one may close those of all others
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.row_factory = sqlite3.Row
            if writable:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except sqlite3.Error as error:
            connection.close()
            if mode == modes[-1] or not ("unable to open" in str(error) or "readonly" in str(error)):
                raise
        else:
            return connection
    raise AssertionError("unreachable: the last mode returns or raises")
