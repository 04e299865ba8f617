"""A cache of backbone features, one row per clip, that heads are trained on.

A cache is a folder, bound to one backbone, its version and its dims:

    index.sqlite      the backbone, the digest of the clip in each row, and the digests of files seen before
    <feature>.f32     (n, D) float32, little-endian, one row per clip
    <feature>.on      one byte per row: 1 where the feature is audible
    writer.lock       held by the process that writes

A clip is identified by the digest of its file (`core.files.content_hash`), so copies of a file share one row. Rows are
appended, synced to disk, and only then entered in the index. A process that is killed at any moment leaves at most some
bytes beyond the last row, which the next writer overwrites.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from soundalike.backbones import Backbone
from soundalike.core.errors import UsageError
from soundalike.core.files import foreign_files
from soundalike.core.sqlite import connect, primary_code, take_lock
from soundalike.core.types import BoolArray, FloatArray, IntArray

__all__ = ["EmbeddingCache", "merge"]

_FORMAT = 1
_APPLICATION_ID = 0x73614563  # "saEc"
_SCHEMA = (
    "CREATE TABLE backbone (name TEXT NOT NULL, version INTEGER NOT NULL, dims TEXT NOT NULL)",
    "CREATE TABLE clips (position INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE)",
    "CREATE TABLE files (path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, digest TEXT NOT NULL)"
    " WITHOUT ROWID",
)
_INDEX, _LOCK = "index.sqlite", "writer.lock"
_MERGE_ROWS = 4096
_UNWRITABLE = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_REBUILD = "delete the cache folder and embed the clips again"


@dataclass(frozen=True, slots=True)
class _Source:
    """The backbone, version and dims of all rows of a cache."""

    name: str
    version: int
    dims: Mapping[str, int]

    def __str__(self) -> str:
        dims = ", ".join(f"{feature} {dim}" for feature, dim in self.dims.items())
        return f"{self.name} version {self.version} ({dims})"


class EmbeddingCache:
    """Memory-mapped features of n clips.

    Open one with `EmbeddingCache.open` and close it when done, or use it in a `with` statement. There may be many
    readers beside one writer. A reader sees the clips that were stored when it was opened. The position of a clip never
    changes.

    Example:
        >>> with EmbeddingCache.open(Path("cache"), backbone, create=False) as cache:
        ...     rows, audible = cache.joined("melody+timbre", np.arange(len(cache)))
    """

    def __init__(self, folder: Path, source: _Source | None, *, writable: bool) -> None:
        self.folder = folder
        # Close everything that is open already, the lock included, if a later step fails.
        with ExitStack() as opened:
            if writable:
                opened.callback(_take_lock(folder).close)
            elif not (folder / _INDEX).is_file():
                raise UsageError(f"{folder} holds no embeddings; give the folder of an embedding cache")
            with _reported(folder):
                self._db = connect(folder / _INDEX, writable=writable, create=writable)
                opened.callback(self._db.close)
                self._source = self._bind(source, writable)
                self._read_clips()
            for feature, dim in self.dims.items() if len(self) else ():
                self._check(f"{feature}.f32", 4 * dim)
                self._check(f"{feature}.on", 1)
            self._writable = writable
            self._opened = opened.pop_all()

    @classmethod
    def open(cls, folder: Path, backbone: Backbone, *, create: bool = True) -> Self:
        """Open a cache.

        Args:
            folder: The folder of the cache.
            backbone: The backbone whose features it holds.
            create: True to read and write, making the cache if it does not exist; False to read only.

        Raises:
            UsageError: The cache belongs to another backbone, version or dims, has a newer format, is unreadable, or is
                being written to by another process; with `create=False` also if it does not exist.
        """
        if create:
            _make(folder)
        return cls(folder, _Source(backbone.name, backbone.version, dict(backbone.dims)), writable=create)

    def _bind(self, wanted: _Source | None, writable: bool) -> _Source:
        """Return what the cache is bound to, which must be `wanted` unless that is None; bind a new index to it."""
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            if wanted is None or not writable:
                raise UsageError(f"{self.folder} holds no embeddings; give the folder of an embedding cache")
            with self._transaction():
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {_FORMAT}")
                row = (wanted.name, wanted.version, json.dumps(wanted.dims))
                self._db.execute("INSERT INTO backbone VALUES (?, ?, ?)", row)
        if self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise UsageError(f"{self.folder / _INDEX} is not the index of an embedding cache; give another folder")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found != _FORMAT:
            raise UsageError(f"{self.folder} has format {found}, this version reads {_FORMAT}; upgrade soundalike")
        name, version, dims = self._db.execute("SELECT name, version, dims FROM backbone").fetchone()
        bound = _Source(name, version, json.loads(dims))
        if wanted is not None and bound != wanted:
            raise UsageError(f"{self.folder} holds embeddings of {bound}, expected {wanted}; give another folder")
        return bound

    def _read_clips(self) -> None:
        clips = self._db.execute("SELECT digest, position FROM clips ORDER BY position")
        self._position: dict[str, int] = dict(clips)

    def _check(self, name: str, width: int) -> None:
        """Raise UsageError if a file holds fewer rows of `width` bytes than the index lists."""
        try:
            stored = (self.folder / name).stat().st_size // width
        except OSError as error:
            raise UsageError(f"{self.folder / name} cannot be read ({error.strerror}); {_REBUILD}") from error
        if stored < len(self):
            raise UsageError(
                f"{self.folder / name} is truncated: it holds {stored} rows, expected {len(self)}; {_REBUILD}"
            )

    def close(self) -> None:
        """Close the files and release the writer's lock."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self._position)

    @property
    def backbone(self) -> str:
        """Name of the backbone."""
        return self._source.name

    @property
    def dims(self) -> Mapping[str, int]:
        """Size D of each feature."""
        return self._source.dims

    def find(self, digests: Sequence[str]) -> IntArray:
        """Return the positions (n,) int64 of clips by their digests, -1 for each that is missing."""
        return np.array([self._position.get(digest, -1) for digest in digests], dtype=np.int64)

    def rows(self, feature: str) -> FloatArray:
        """Return all rows of a feature, (n, D) float32, memory-mapped and read-only.

        Raises:
            UsageError: The backbone has no such feature, or its file cannot be read.
        """
        self._known(feature)
        return self._map(f"{feature}.f32", "<f4", (len(self), self.dims[feature]))

    def audible(self, feature: str) -> BoolArray:
        """Return in which clips a feature is audible, (n,) bool.

        Raises:
            UsageError: The backbone has no such feature, or its file cannot be read.
        """
        self._known(feature)
        return self._map(f"{feature}.on", "u1", (len(self),)) != 0

    def joined(self, feature: str, positions: IntArray) -> tuple[FloatArray, BoolArray]:
        """Concatenate features of some clips.

        Args:
            feature: Names of features, joined by "+".
            positions: Positions (m,) of the clips.

        Returns:
            Rows (m, sum of the D) float32, and where the first named feature is audible, (m,) bool.

        Raises:
            UsageError: The backbone has no such feature.
            IndexError: A position is out of range; -1 is.
        """
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"positions {positions.min()} to {positions.max()}, expected 0 to {len(self) - 1}")
        names = feature.split("+")
        parts = [self.rows(name) for name in names]
        rows = np.empty((len(positions), sum(part.shape[1] for part in parts)), np.float32)
        start = 0
        for part in parts:  # filled in place: the rows may take half of the memory
            rows[:, start : start + part.shape[1]] = part[positions]
            start += part.shape[1]
        return rows, self.audible(names[0])[positions]

    def _known(self, feature: str) -> None:
        if feature not in self.dims:
            raise UsageError(f"{self.backbone} has no feature {feature!r}; known: {', '.join(self.dims)}")

    def _map(self, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        if not len(self):  # an empty file cannot be mapped, and there may be no file yet
            return np.zeros(shape, dtype)
        try:
            return np.memmap(self.folder / name, dtype, "r", shape=shape)
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.folder / name} cannot be read ({error}); {_REBUILD}") from error

    # Writing ----------------------------------------------------------------------------------------------------

    def append(self, digests: Sequence[str], rows: Mapping[str, FloatArray], audible: Mapping[str, BoolArray]) -> int:
        """Add the clips that are missing. They are on disk when this returns.

        Args:
            digests: Digests of n clips. Clips that are stored already keep their rows; if a digest repeats, its first
                row is used.
            rows: (n, D) of each feature.
            audible: (n,) of each feature.

        Returns:
            The number of clips added.

        Raises:
            UsageError: The cache was opened for reading only, or cannot be written.
            ValueError: An array has another shape.
        """
        if not self._writable:
            raise UsageError(f"{self.folder} was opened for reading only")
        for feature, dim in self.dims.items():
            found = rows[feature].shape, audible[feature].shape
            if found != ((len(digests), dim), (len(digests),)):
                raise ValueError(f"{feature}: rows and audible of shapes {found}, expected {len(digests)} x {dim}")
        first = len(self)
        fresh = {digest: n for n, digest in reversed(list(enumerate(digests))) if digest not in self._position}
        chosen = sorted(fresh.values())
        if not chosen:
            return 0
        for feature, dim in self.dims.items():
            self._put(f"{feature}.f32", first * 4 * dim, rows[feature][chosen].astype("<f4").tobytes())
            self._put(f"{feature}.on", first, audible[feature][chosen].astype("u1").tobytes())
        added = [(digests[n], first + number) for number, n in enumerate(chosen)]
        try:
            with _reported(self.folder), self._transaction():
                self._db.executemany("INSERT INTO clips (digest, position) VALUES (?, ?)", added)
            self._position.update(added)
        except BaseException:  # Ctrl-C may come between the commit and the update: the index decides
            self._read_clips()
            raise
        return len(added)

    def _put(self, name: str, offset: int, data: bytes) -> None:
        """Write at an offset and sync to disk."""
        path = self.folder / name
        try:
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.seek(offset)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(
                f"cannot write {path}: {error.strerror}; run it again, the clips stored so far are safe"
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    # Files that were seen before --------------------------------------------------------------------------------

    def known_files(self) -> dict[bytes, tuple[int, int, str]]:
        """Return (size in bytes, mtime_ns, digest) of each file hashed before, by its absolute path as bytes."""
        with _reported(self.folder):
            files = self._db.execute("SELECT path, size, mtime_ns, digest FROM files")
            return {path: (size, mtime, digest) for path, size, mtime, digest in files}

    def put_files(self, files: Sequence[tuple[bytes, int, int, str]]) -> None:
        """Store the digests of files, given as (absolute path as bytes, size in bytes, mtime_ns, digest)."""
        with _reported(self.folder), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", files)


def merge(folders: Sequence[Path], out: Path) -> int:
    """Merge the clips of several caches of one backbone.

    The digests of files are not copied: on another machine, another file may have the same path, size and time.

    Args:
        folders: The folders of the caches.
        out: The folder of the merged cache. It is made if it does not exist, and may be one of `folders`.

    Returns:
        The number of clips that the merged cache holds.

    Raises:
        UsageError: There is no cache to merge, one is unreadable, or they differ in backbone, version or dims.

    Example:
        >>> merge([Path("shard1"), Path("shard2")], Path("cache"))
        20800
    """
    if not folders:
        raise UsageError("no caches to merge; give at least one folder")
    with EmbeddingCache(folders[0], None, writable=False) as first:
        source = first._source
    _make(out)
    with EmbeddingCache(out, source, writable=True) as merged:
        for folder in folders:
            with EmbeddingCache(folder, source, writable=False) as part:
                digests = list(part._position)  # in the order of their positions
                rows = {feature: part.rows(feature) for feature in part.dims}
                audible = {feature: part.audible(feature) for feature in part.dims}
                for start in range(0, len(digests), _MERGE_ROWS):
                    chunk = slice(start, start + _MERGE_ROWS)
                    merged.append(
                        digests[chunk],
                        {feature: values[chunk] for feature, values in rows.items()},
                        {feature: values[chunk] for feature, values in audible.items()},
                    )
        return len(merged)


def _make(folder: Path) -> None:
    """Make the folder of a cache. Raises UsageError if it holds other files or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        foreign = [file for file in foreign_files(folder) if not file.name.startswith((_INDEX, _LOCK))]
    except OSError as error:
        raise UsageError(f"cannot make a cache at {folder}: {error.strerror}; give another folder") from error
    if foreign and not (folder / _INDEX).exists():
        raise UsageError(f"{folder} is not empty and holds no embeddings; give an empty or new folder")


def _take_lock(folder: Path) -> sqlite3.Connection:
    """Lock the cache for writing until the connection closes or the process ends."""
    with _reported(folder):
        return take_lock(folder / _LOCK)


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """Turn errors of SQLite into a UsageError."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        code = primary_code(error)
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            why = "another process is writing to it; wait until it has finished"
        elif code in _UNWRITABLE or isinstance(error, OSError):
            why = f"it cannot be written ({error}); free disk space or give another folder"
        elif isinstance(error, sqlite3.ProgrammingError):
            why = f"they cannot be used this way ({error})"
        else:
            why = f"{_INDEX} cannot be read ({error}); {_REBUILD}"
        raise UsageError(f"embeddings at {folder}: {why}") from error
