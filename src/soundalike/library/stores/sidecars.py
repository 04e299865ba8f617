"""Sidecar files: written and synced, checked, and mapped to be read.

`<table>.<model>@<edition>.<space>.f32` holds the exact rows, `.i8` round(127 x) for the scan, `.on` one byte per row
that says whether it is audible, and `.crc` one checksum per row over all three. The files of backbone features,
`feature.<backbone>@<edition>.<feature>`, are only `.f32` and `.crc`, because features are never searched.

Committed rows are never overwritten: another version of a model or backbone has another edition. No two models of a
library share an edition, so the names of files differ even where names of models or spaces contain dots. Edition 0,
whose `@0` is left out, was written before there were editions.

Threads may read at once: what is mapped on first use is guarded by a lock.
"""

from __future__ import annotations

import errno
import os
import tempfile
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import LibraryError
from soundalike.core.files import FULL_DISK, sync_folder
from soundalike.core.types import AnyArray, BoolArray, FloatArray, IntArray
from soundalike.library.stores.base import Editions, RestorableRowsError, Table
from soundalike.library.stores.row_checksums import row_checksums
from soundalike.models import presence

__all__ = ["LEVELS_INT8", "SUFFIXES", "SidecarFiles"]

LEVELS_INT8 = 127
"""The int8 components are round(127 x)."""
SUFFIXES = (".f32", ".i8", ".on", ".crc")
_CAN_ASK = hasattr(os, "posix_fadvise")
_REMEDY = "soundalike library check --repair"
_CLOSED = "the library is closed; open it again"
_DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype("<f4"),
    "i8": np.dtype("i1"),
    "on": np.dtype("?"),
    "crc": np.dtype("<u4"),
}
_RESTORABLE = ("i8", "on")
_LARGE = 1 << 28
"""Files of this many bytes may not be in memory. Their rows are requested ahead, all at once, because a disk serves a
hundred concurrent requests in the time of a few sequential ones."""
_AT_ONCE = 1 << 12
_CHUNK = 1 << 14


class SidecarFiles:
    """The sidecar files in one folder. Written rows are durable after `flush`; readers map committed rows."""

    def __init__(self, folder: Path, editions: Editions | None, *, writable: bool) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        self._editions = editions
        self._writable = writable
        self._closed = False
        self._unsynced: set[FileIO] = set()
        self._new_names = False  # whether files were created since the last flush
        self._open: dict[str, FileIO] = {}
        self._maps: dict[str, np.ndarray[Any, Any]] = {}
        self._stale: list[FileIO] = []
        self._files: dict[str, FileIO] = {}  # open handles of large mapped files

    def name(self, table: Table, space: str, suffix: str) -> str:
        """The name of a file. `space` is a full name."""
        group, _, name = space.rpartition("/")
        return f"{table}.{self.stem(table, group)}.{name}.{suffix}"

    def stem(self, table: Table, group: str) -> str:
        """The part of file names that stands for a model or backbone and its edition."""
        edition = self._editions.of(table, group) if self._editions else 0
        # Libraries of older formats may hold names with a slash.
        return group.replace("/", ".") + (f"@{edition}" if edition else "")

    def names(self, table: Table, space: str) -> Iterator[str]:
        """The names of all files of a space."""
        for suffix, _ in _sidecars(table, 1):
            yield self.name(table, space, suffix)

    # Writing ----------------------------------------------------------------------------------------------------

    def write(self, table: Table, space: str, first: int, rows: FloatArray) -> None:
        """See `Store.write`."""
        rows = np.ascontiguousarray(rows, dtype="<f4")
        arrays: dict[str, AnyArray] = {"f32": rows}
        if table != "feature":
            arrays |= _derived(rows)
        arrays["crc"] = row_checksums(*arrays.values())
        for suffix, array in arrays.items():
            width = array.itemsize * (array.shape[1] if array.ndim == 2 else 1)
            self._put(self.name(table, space, suffix), first * width, array.tobytes())

    def _put(self, name: str, offset: int, data: bytes) -> None:
        if not self._writable:
            raise LibraryError("the library was opened for reading only")
        if self._closed:
            raise LibraryError(_CLOSED)
        try:
            if name not in self._open:
                path = self.folder / name
                new = not path.exists()
                self._open[name] = path.open("w+b" if new else "r+b", buffering=0)
                self._new_names |= new
            file = self._open[name]
            file.seek(offset)  # past the end: the gap reads as zero rows, which are never committed
            rest = memoryview(data)
            while rest:
                rest = rest[file.write(rest) :]
        except OSError as error:
            raise _not_written(name, error) from error
        self._unsynced.add(file)

    def flush(self) -> None:
        """See `Store.flush`: sync every file written since the last time, and the folder if it has new files."""
        try:
            for file in self._unsynced:
                os.fsync(file.fileno())
            if self._new_names:
                sync_folder(self.folder)
        except OSError as error:
            raise _not_written("the vectors", error) from error
        self._unsynced.clear()
        self._new_names = False

    def restore(self, table: Table, space: str, dim: int, rows: int) -> bool:
        """See `Store.restore`."""
        restorable = [(suffix, width) for suffix, width in _sidecars(table, dim) if suffix in _RESTORABLE]
        lost = [suffix for suffix, width in restorable if self._count(table, space, suffix, width) < rows]
        if not lost or self._count(table, space, "f32", dim) < rows:
            return False
        exact = self.rows(table, space, "f32", dim, rows)
        try:
            for suffix in lost:
                handle, partial = tempfile.mkstemp(dir=self.folder, prefix=".soundalike-")
                try:
                    with os.fdopen(handle, "wb") as file:
                        for low in range(0, rows, _CHUNK):
                            file.write(_derived(exact[low : low + _CHUNK])[suffix].tobytes())
                        file.flush()
                        os.fsync(file.fileno())
                    path = self.folder / self.name(table, space, suffix)
                    Path(partial).chmod((self.folder / self.name(table, space, "f32")).stat().st_mode & 0o777)
                    Path(partial).replace(path)
                except BaseException:
                    Path(partial).unlink(missing_ok=True)
                    raise
            sync_folder(self.folder)
        except OSError as error:
            raise _not_written(self.name(table, space, lost[0]), error) from error
        return True

    def close(self) -> None:
        """Close the files. Mapped memory is released with the last array that uses it."""
        with self.lock:
            self._closed = True
            for file in (*self._open.values(), *self._files.values(), *self._stale):
                file.close()
            self._open, self._files, self._stale = {}, {}, []
            self._maps = {}

    # Reading ----------------------------------------------------------------------------------------------------

    def check(self, table: Table, space: str, dim: int, rows: int, *, derive: bool = False) -> None:
        """See `Store.check`: compare the sizes of the files, and map them."""
        lost: dict[str, LibraryError] = {}
        for suffix, width in _sidecars(table, dim) if rows else ():
            try:
                self.rows(table, space, suffix, width, rows)
            except RestorableRowsError as error:
                lost[suffix] = error
        # All other files of the space are there.
        if lost and not derive:
            raise next(iter(lost.values()))
        for suffix in lost:
            exact = self.rows(table, space, "f32", dim, rows)
            parts = [_derived(exact[low : low + _CHUNK])[suffix] for low in range(0, rows, _CHUNK)]
            with self.lock:
                self._maps[self.name(table, space, suffix)] = np.concatenate(parts).reshape(rows, -1)

    def _count(self, table: Table, space: str, suffix: str, width: int) -> int:
        """The number of rows in a file, 0 if there is none. Raises LibraryError if that cannot be found out."""
        name = self.name(table, space, suffix)
        try:
            return int((self.folder / name).stat().st_size // (width * _DTYPES[suffix].itemsize))
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise _not_read(name, error) from error

    def rows(self, table: Table, space: str, suffix: str, dim: int, n: int) -> np.ndarray[Any, Any]:
        """The first n rows (n, dim) of the file with a suffix. The mapping is cached, and renewed for more rows.

        Raises:
            LibraryError: There are fewer.
        """
        name = self.name(table, space, suffix)
        found = self._maps.get(name)
        if found is not None and len(found) >= n:
            return found[:n]
        with self.lock:
            return self._map(table, space, suffix, dim, n)

    def _map(self, table: Table, space: str, suffix: str, dim: int, n: int) -> np.ndarray[Any, Any]:
        """Map at least n rows of a file, unless another thread just did. Under the lock."""
        if self._closed:
            raise LibraryError(_CLOSED)
        name = self.name(table, space, suffix)
        if name not in self._maps or len(self._maps[name]) < n:
            held = self._count(table, space, suffix, dim)
            if held < n:
                raise _too_few(self.folder / name, suffix, held, n)
            try:
                file = (self.folder / name).open("rb", buffering=0)
            except OSError as error:
                raise _not_read(name, error) from error
            mapped = np.memmap(file, dtype=_DTYPES[suffix], mode="r", shape=(held, dim))
            if mapped.nbytes >= _LARGE:
                # Another thread may be using the handle of the older mapping: it stays open until `close`.
                self._stale += [self._files[name]] if name in self._files else []
                self._files[name] = file
            else:
                file.close()
            self._maps[name] = mapped.view(np.ndarray)
        return self._maps[name][:n]

    def _gather(self, table: Table, space: str, suffix: str, dim: int, positions: IntArray) -> np.ndarray[Any, Any]:
        """The rows (m, dim) of a sidecar file at `positions` (m,), m >= 1."""
        rows = self.rows(table, space, suffix, dim, int(positions.max()) + 1)
        width = rows.itemsize * dim
        file = self._files.get(self.name(table, space, suffix))
        if file is not None and len(positions) <= _AT_ONCE and _CAN_ASK:
            for position in positions.tolist():
                os.posix_fadvise(file.fileno(), position * width, width, os.POSIX_FADV_WILLNEED)
        return rows[positions]

    def read(self, table: Table, space: str, dim: int, positions: IntArray) -> FloatArray:
        """See `Store.read`."""
        if len(positions) == 0:
            return np.zeros((0, dim), dtype=np.float32)
        return np.asarray(self._gather(table, space, "f32", dim, positions), dtype=np.float32)

    def corrupt(self, table: Table, space: str, dim: int, positions: IntArray) -> BoolArray:
        """See `Store.corrupt`."""
        if len(positions) == 0:
            return np.zeros(0, np.bool_)
        # As bytes: a corrupt byte of `.on` may be neither 0 nor 1.
        *parts, sums = (
            self._gather(table, space, suffix, width, positions).view(np.uint8)
            for suffix, width in _sidecars(table, dim)
        )
        return np.asarray(row_checksums(*parts) != sums.view(_DTYPES["crc"])[:, 0])


def _sidecars(table: Table, dim: int) -> list[tuple[str, int]]:
    """The suffixes of the files with rows of `dim` dims, and the values per row in each; `.crc` comes last."""
    searched = [] if table == "feature" else [("i8", dim), ("on", 1)]
    return [("f32", dim), *searched, ("crc", 1)]


def _derived(rows: FloatArray) -> dict[str, AnyArray]:
    """The int8 components and the presence of exact rows (n, d). Rows that were never committed may hold anything."""
    with np.errstate(invalid="ignore", over="ignore"):
        return {"i8": np.rint(rows * np.float32(LEVELS_INT8)).astype(np.int8), "on": presence(rows)}


def _too_few(path: Path, suffix: str, held: int, needed: int) -> LibraryError:
    found = f"{path.name} is truncated: it holds {held} rows, {needed} were committed"
    if held == 0 and not path.exists():
        found = f"{path.name} is missing"
    if suffix in _RESTORABLE:
        return RestorableRowsError(f"{found}; make it again with: {_REMEDY}")
    return LibraryError(f"{found}; to encode its tracks again, run: {_REMEDY}, then soundalike index DIR")


def _not_read(name: str, error: OSError) -> LibraryError:
    if isinstance(error, PermissionError):
        return LibraryError(f"cannot read {name}: {error.strerror}; check its permissions")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return LibraryError(f"cannot read {name}: {error.strerror}; allow more open files, for example: ulimit -n 4096")
    return LibraryError(f"cannot read {name}: {error.strerror}; check its disk")


def _not_written(name: str, error: OSError) -> LibraryError:
    if error.errno in FULL_DISK:
        remedy = "free some space and run it again (nothing stored is lost)"
    elif isinstance(error, PermissionError):
        remedy = "check its permissions"
    else:
        remedy = "check the disk and run it again (nothing stored is lost)"
    return LibraryError(f"cannot write {name}: {error.strerror}; {remedy}")
