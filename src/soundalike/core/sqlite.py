"""SQLite: connections in WAL mode, and a write lock that is released when its process ends."""

from __future__ import annotations

import sqlite3
from pathlib import Path, PurePath
from urllib.parse import quote

from soundalike.core.errors import LibraryNotFoundError

__all__ = ["connect", "take_lock"]


def take_lock(path: Path) -> sqlite3.Connection:
    """Take a write lock and return the connection that holds it.

    The lock is an exclusive transaction on a separate database. This works on every platform, and the lock is released
    when the connection closes or the process ends, even by a crash.

    Args:
        path: The database file of the lock; it is created if it does not exist.

    Returns:
        The connection. Close it to release the lock.

    Raises:
        sqlite3.Error: Another process holds the lock, or the file cannot be written.

    Example:
        >>> lock = take_lock(Path("library/lock.sqlite"))
        >>> lock.close()
    """
    lock = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.Error:
        lock.close()
        raise
    return lock


def _uri(path: PurePath) -> str:
    """Return the URI of an absolute path, as SQLite reads it: a server belongs to the path, not to the authority."""
    name = quote(path.as_posix().encode("utf-8", "surrogateescape"))
    return f"file://{name}" if name.startswith("/") else f"file:///{name}"


def connect(path: Path, *, writable: bool, create: bool) -> sqlite3.Connection:
    """Open a database in WAL mode.

    A reader first tries a normal connection and then a read-only one. On a read-only disk even the index of the WAL
    cannot be created. No process can be writing there, so the last attempt opens the file as immutable.

    Args:
        path: The database file.
        writable: Whether the connection will write.
        create: Whether to create the file if it does not exist.

    Returns:
        A connection in autocommit mode whose rows are `sqlite3.Row`. It may be closed by another thread.

    Raises:
        LibraryError: The file does not exist and `create` is false.
        sqlite3.Error: The file cannot be opened, or is not a database.

    Example:
        >>> connection = connect(Path("library/catalog.sqlite"), writable=False, create=False)
        >>> connection.close()
    """
    if not create and not path.is_file():
        raise LibraryNotFoundError(f"no library at {path.parent}; make one with: soundalike index DIR")
    modes = ["rwc"] if create else ["rw"] if writable else ["rw", "ro", "ro&immutable=1"]
    for mode in modes:
        connection = sqlite3.connect(
            f"{_uri(path.absolute())}?mode={mode}",
            uri=True,
            isolation_level=None,
            timeout=10,
            check_same_thread=False,  # every thread has its own connection, but one thread may close them all
        )
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.row_factory = sqlite3.Row
            if writable:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except UnicodeDecodeError as error:  # Python decodes names in the schema
            connection.close()
            raise sqlite3.DatabaseError(f"its schema is not text: {error.reason}") from error
        except sqlite3.Error as error:
            connection.close()
            if mode == modes[-1] or not ("unable to open" in str(error) or "readonly" in str(error)):
                raise
        else:
            return connection
    raise AssertionError("unreachable: the last mode returns or raises")
