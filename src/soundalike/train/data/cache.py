"""A cache of what a backbone hears in clips: every clip once, whatever its name, ready to train heads on.

A cache is a folder, bound to one backbone, its version and its dims:

    index.sqlite      the backbone, the digest of the clip in every row, and the digests of files seen before
    <feature>.f32     (n, D) float32, little-endian, a row a clip
    <feature>.on      one byte a row: is it audible
    writer.lock       held while somebody writes

A clip is known by the digest of its file's bytes (`scanning.content_hash`). Rows are appended, made durable, and only
then entered in the index: a process that is killed at any moment leaves a tail that the next one overwrites.
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
from soundalike.core.sqlite import connect, take_lock
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
_DAMAGED = "the cache is damaged; delete the folder and embed again"


@dataclass(frozen=True, slots=True)
class _Source:
    """What a cache is bound to: rows of another backbone, version or size are never mixed in."""

    name: str
    version: int
    dims: Mapping[str, int]

    def __str__(self) -> str:
        dims = ", ".join(f"{feature} {dim}" for feature, dim in self.dims.items())
        return f"{self.name} version {self.version} ({dims})"


class EmbeddingCache:
    """Features of n clips, memory-mapped: `EmbeddingCache.open(folder, backbone)`; close it when done, or use `with`.

    What a reader sees is what was there when it was opened. Positions of clips never change.
    """

    def __init__(self, folder: Path, source: _Source | None, *, writable: bool) -> None:
        self.folder = folder
        # Whatever fails on the way, nothing stays open, the lock least of all.
        with ExitStack() as opened:
            if writable:
                opened.callback(_take_lock(folder).close)
            elif not (folder / _INDEX).is_file():
                raise UsageError(f"{folder} holds no embeddings; give the folder of a cache")
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
        """Open a cache to read and write, making it first if there is none; without `create`, to read only.

        Raises UsageError if it is of another backbone, version or dims, damaged, of a newer format, or being written
        to by another process; without `create` also if there is none.
        """
        if create:
            _make(folder)
        return cls(folder, _Source(backbone.name, backbone.version, dict(backbone.dims)), writable=create)

    def _bind(self, wanted: _Source | None, writable: bool) -> _Source:
        """What the cache is of. A writer binds an empty index to `wanted`; None takes whatever is there."""
        if not self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            if wanted is None or not writable:
                raise UsageError(f"{self.folder} holds no embeddings; give the folder of a cache")
            with self._transaction():
                for statement in _SCHEMA:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
                self._db.execute(f"PRAGMA user_version = {_FORMAT}")
                row = (wanted.name, wanted.version, json.dumps(wanted.dims))
                self._db.execute("INSERT INTO backbone VALUES (?, ?, ?)", row)
        if self._db.execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise UsageError(f"{self.folder / _INDEX} is not the index of a cache of embeddings; give another folder")
        found = self._db.execute("PRAGMA user_version").fetchone()[0]
        if found != _FORMAT:
            raise UsageError(f"{self.folder} has format {found}, this version reads {_FORMAT}; upgrade soundalike")
        name, version, dims = self._db.execute("SELECT name, version, dims FROM backbone").fetchone()
        held = _Source(name, version, json.loads(dims))
        if wanted is not None and held != wanted:
            raise UsageError(f"{self.folder} holds embeddings of {held}, expected {wanted}; give another folder")
        return held

    def _read_clips(self) -> None:
        clips = self._db.execute("SELECT digest, position FROM clips ORDER BY position")
        self._position: dict[str, int] = dict(clips)

    def _check(self, name: str, width: int) -> None:
        """Raise UsageError unless a file holds as many rows of `width` bytes as the index says."""
        try:
            held = (self.folder / name).stat().st_size // width
        except OSError as error:
            raise UsageError(f"{self.folder / name} cannot be read ({error.strerror}): {_DAMAGED}") from error
        if held < len(self):
            raise UsageError(f"{self.folder / name} holds {held} rows, expected {len(self)}: {_DAMAGED}")

    def close(self) -> None:
        """Close its files and let others write."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading ----------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many clips it holds."""
        return len(self._position)

    @property
    def backbone(self) -> str:
        """The name of the backbone whose features these are."""
        return self._source.name

    @property
    def dims(self) -> Mapping[str, int]:
        """The features and their sizes D."""
        return self._source.dims

    def find(self, digests: Sequence[str]) -> IntArray:
        """The positions (n,) int64 of clips by their digests; -1 for one that is not there."""
        return np.array([self._position.get(digest, -1) for digest in digests], dtype=np.int64)

    def rows(self, feature: str) -> FloatArray:
        """All rows of a feature: (n, D) float32, memory-mapped, read-only. Raises UsageError for an unknown feature."""
        self._known(feature)
        return self._map(f"{feature}.f32", "<f4", (len(self), self.dims[feature]))

    def audible(self, feature: str) -> BoolArray:
        """Where there is something of a feature to hear: (n,) bool. Raises UsageError for an unknown feature."""
        self._known(feature)
        return self._map(f"{feature}.on", "u1", (len(self),)) != 0

    def joined(self, feature: str, positions: IntArray) -> tuple[FloatArray, BoolArray]:
        """The features "a+b+c" of the clips at `positions` (m,), side by side: rows (m, D) float32, audible (m,) bool.

        Audible where the first named is. Raises UsageError for an unknown feature, IndexError for a position that no
        clip has (-1 included).
        """
        if len(positions) and not 0 <= positions.min() <= positions.max() < len(self):
            raise IndexError(f"positions {positions.min()} to {positions.max()}, expected 0 to {len(self) - 1}")
        names = feature.split("+")
        parts = [self.rows(name) for name in names]
        rows = np.empty((len(positions), sum(part.shape[1] for part in parts)), np.float32)
        start = 0
        for part in parts:  # one after the other: a cache may be half as large as the memory
            rows[:, start : start + part.shape[1]] = part[positions]
            start += part.shape[1]
        return rows, self.audible(names[0])[positions]

    def _known(self, feature: str) -> None:
        if feature not in self.dims:
            raise UsageError(f"{self.backbone} has no feature {feature!r}; known: {', '.join(self.dims)}")

    def _map(self, name: str, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
        if not len(self):  # nothing to map, and perhaps no file yet
            return np.zeros(shape, dtype)
        try:
            return np.memmap(self.folder / name, dtype, "r", shape=shape)
        except (OSError, ValueError) as error:
            raise UsageError(f"{self.folder / name} cannot be read ({error}): {_DAMAGED}") from error

    # Writing ----------------------------------------------------------------------------------------------------

    def append(self, digests: Sequence[str], rows: Mapping[str, FloatArray], audible: Mapping[str, BoolArray]) -> int:
        """Add clips, and return how many were new: what is there keeps its row, and of twins the first is taken.

        `rows` maps every feature to (n, D), `audible` to (n,). Durable when this returns. Raises UsageError if the
        cache was opened to read only or the disk is full, ValueError for other shapes.
        """
        if not self._writable:
            raise UsageError(f"{self.folder} was opened for reading only")
        for feature, dim in self.dims.items():
            found = rows[feature].shape, audible[feature].shape
            if found != ((len(digests), dim), (len(digests),)):
                raise ValueError(f"{feature}: rows and audible of shapes {found}, expected {len(digests)} x {dim}")
        first = len(self)
        fresh = {digest: n for n, digest in reversed(list(enumerate(digests))) if digest not in self._position}
        picked = sorted(fresh.values())
        if not picked:
            return 0
        for feature, dim in self.dims.items():
            self._put(f"{feature}.f32", first * 4 * dim, rows[feature][picked].astype("<f4").tobytes())
            self._put(f"{feature}.on", first, audible[feature][picked].astype("u1").tobytes())
        added = [(digests[n], first + number) for number, n in enumerate(picked)]
        try:
            with _reported(self.folder), self._transaction():
                self._db.executemany("INSERT INTO clips (digest, position) VALUES (?, ?)", added)
            self._position.update(added)
        except BaseException:  # Ctrl-C may come between the two: what counts is what the index says
            self._read_clips()
            raise
        return len(added)

    def _put(self, name: str, offset: int, data: bytes) -> None:
        """Write at an offset and make it durable."""
        path = self.folder / name
        try:
            with path.open("r+b" if path.exists() else "w+b") as file:
                file.seek(offset)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}; run it again, nothing stored is lost") from error

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
        """(size in bytes, mtime_ns, digest) of every file that was hashed, by its absolute path as bytes."""
        with _reported(self.folder):
            files = self._db.execute("SELECT path, size, mtime_ns, digest FROM files")
            return {path: (size, mtime, digest) for path, size, mtime, digest in files}

    def put_files(self, files: Sequence[tuple[bytes, int, int, str]]) -> None:
        """Remember the digests of files, given as (absolute path, size, mtime_ns, digest)."""
        with _reported(self.folder), self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", files)


def merge(folders: Sequence[Path], out: Path) -> int:
    """Bring the clips of several caches of one backbone together in `out`, made if need be; returns how many it holds.

    Digests of files stay where they were taken: elsewhere, another file may have the same path, size and time.
    Raises UsageError if there is nothing to merge, or one is of another backbone, version or dims, or damaged.
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
                    some = slice(start, start + _MERGE_ROWS)
                    merged.append(
                        digests[some],
                        {feature: values[some] for feature, values in rows.items()},
                        {feature: values[some] for feature, values in audible.items()},
                    )
        return len(merged)


def _make(folder: Path) -> None:
    """Make the folder of a cache. Raises UsageError if it holds something else, or cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [file.name for file in folder.iterdir() if not file.name.startswith((_INDEX, _LOCK))]
    except OSError as error:
        raise UsageError(f"cannot make a cache at {folder}: {error.strerror}; give another folder") from error
    if strangers and not (folder / _INDEX).exists():
        raise UsageError(f"{folder} is not empty and holds no embeddings; give an empty or new folder")


def _take_lock(folder: Path) -> sqlite3.Connection:
    """Hold the right to write until the connection closes or the process ends."""
    with _reported(folder):
        return take_lock(folder / _LOCK)


@contextmanager
def _reported(folder: Path) -> Iterator[None]:
    """What SQLite raises inside becomes one line for the user."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "locked" in text:
            why = "another process is writing to it; wait until it is done"
        elif any(word in text for word in ("full", "readonly", "unable to open", "disk I/O")):
            why = f"it cannot be written ({text}); make room or give another folder"
        else:
            why = f"{_INDEX}: {text}: {_DAMAGED}"
        raise UsageError(f"embeddings at {folder}: {why}") from error
