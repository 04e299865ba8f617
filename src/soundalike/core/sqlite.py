"""SQLite: connections in WAL mode, and a write lock that is released when its process ends."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path, PurePath
from urllib.parse import quote

from soundalike.core.errors import LibraryNotFoundError

__all__ = ["connect", "primary_code", "take_lock"]


def primary_code(error: BaseException) -> int | None:
    """The primary result code of SQLite in an error, such as `sqlite3.SQLITE_BUSY`.

    Returns:
        The code; None if the error is not from SQLite itself, such as the use of a closed connection.

    Example:
        >>> primary_code(ValueError())
    """
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else int(code) & 0xFF


def take_lock(path: Path) -> sqlite3.Connection:
    """Take a write lock and return the connection that holds it.

    The lock is an exclusive transaction on a separate database. This works on every platform, and the lock is released
    when the connection closes or the process ends, even by a crash. The file has no content, so foreign content is
    removed.

    Args:
        path: The database file of the lock; it is created if it does not exist.

    Returns:
        The connection. Close it, in any thread, to release the lock.

    Raises:
        sqlite3.Error: Another process holds the lock (SQLITE_BUSY), or the file cannot be written.
        OSError: The file has foreign content, which cannot be removed.

    Example:
        >>> lock = take_lock(Path("library/lock.sqlite"))
        >>> lock.close()
    """
    try:
        return _lock(path)
    except sqlite3.DatabaseError as error:
        if primary_code(error) not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
    # SQLite locks a file before it reads it, so no process holds the lock. The file is emptied, not replaced: a
    # process that takes the lock at this moment and one that comes later must lock the same file.
    os.truncate(path, 0)
    return _lock(path)


def _lock(path: Path) -> sqlite3.Connection:
    while True:
        with suppress(OSError):  # SQLite says why it cannot be written
            path.touch()
        before = path.stat() if path.exists() else None
        lock = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error:
            lock.close()
            raise
        # Whoever held the lock may have deleted the file: then this one is no longer the lock of others.
        with suppress(FileNotFoundError):
            if before and os.path.samestat(before, path.stat()):
                return lock
        lock.close()


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
            if mode == modes[-1] or primary_code(error) not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                raise
        else:
            return connection
    raise AssertionError("unreachable: the last mode returns or raises")
