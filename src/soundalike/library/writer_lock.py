"""The lock of the one writer of a library."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from soundalike.core.sqlite import take_lock
from soundalike.library.catalog.schema import as_library_error

__all__ = ["writer_lock"]


def writer_lock(path: Path) -> closing[sqlite3.Connection]:
    """Take the lock of the writer of a library; it is released on `close` or when the process ends.

    Raises:
        LibraryBusyError: Another process holds it.
        LibraryError: It cannot be written.
    """
    try:
        return closing(take_lock(path / "writer.lock"))
    except (sqlite3.Error, OSError) as error:
        raise as_library_error(path / "writer.lock", error) from error
