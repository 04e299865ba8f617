"""One writer at a time: between threads by a lock, between processes by the lock of the library."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundalike.core.errors import LibraryBusyError
from soundalike.library import LibraryFolder

__all__ = ["WriterGate"]


class WriterGate:
    """Open a library for writing, for one thread at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    @contextmanager
    def open(self, path: Path, *, incomplete: bool = False) -> Iterator[LibraryFolder]:
        """Open the library at a path; with `incomplete` even if rows are missing.

        Raises:
            LibraryBusyError: Another thread or process writes to it.
        """
        if not self._lock.acquire(blocking=False):
            raise LibraryBusyError(f"another thread is writing to the library at {path}; wait until it is done")
        try:
            with LibraryFolder(path, writable=True, incomplete=incomplete) as folder:
                yield folder
        finally:
            self._lock.release()
