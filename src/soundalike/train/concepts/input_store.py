"""The inputs of segments on disk: one file of rows per input, and an index that says which rows are complete.

Rows are appended. The index is written after the rows that it lists, so that a run that was killed at any moment leaves
complete rows, and further ones that the next run overwrites.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from soundalike.backbones.analysis import InputSettings
from soundalike.core.errors import UsageError
from soundalike.core.files import read_json, write_json
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["InputStore", "StoredTrack"]

_INDEX = "tracks.json"
_WRITE_EVERY = 10.0
"""Seconds between two writes of the index. A killed run loses what it computed since the last one."""
_BYTES = np.dtype(np.float16).itemsize


@dataclass(frozen=True, slots=True)
class StoredTrack:
    """The rows of a track: the first of them, and where each segment starts, in seconds."""

    row: int
    starts: tuple[float, ...]


class InputStore:
    """The inputs of segments in a folder.

    Args:
        folder: The folder, which exists. It holds inputs of these settings only.
        settings: The inputs.

    Attributes:
        folder: The folder.
        tracks: The stored tracks by key.
        rows: The number of their rows.

    Raises:
        UsageError: The index cannot be read, or a file of rows is shorter than it says.

    Example:
        >>> store = InputStore(Path("inputs"), InputSettings())
        >>> with store.writing():
        ...     store.add("song", (0.0, 3.0), {"mel": mel, "tempogram": tempogram, "chroma": chroma})
        >>> store.arrays()["mel"].shape
        (2, 128, 259)
    """

    def __init__(self, folder: Path, settings: InputSettings) -> None:
        self.folder = folder
        self._shapes = {name: (settings.bins(name), settings.frames) for name in settings.names}
        self.tracks: dict[str, StoredTrack] = {}
        self.rows = 0
        self._index = folder / _INDEX
        self._files: dict[str, BinaryIO] = {}
        self._written = time.monotonic()
        if self._index.exists():
            self._read_index()

    def _read_index(self) -> None:
        try:
            for key, (row, starts) in read_json(self._index).items():
                self.tracks[key] = StoredTrack(int(row), tuple(map(float, starts)))
            self.rows = max((one.row + len(one.starts) for one in self.tracks.values()), default=0)
            short = [name for name in self._shapes if self._path(name).stat().st_size < self._size(name)]
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{self._index} cannot be read ({error}); delete {self.folder}") from error
        if short:
            raise UsageError(f"{self._path(short[0])} is shorter than {_INDEX} says; delete {self.folder}")

    @property
    def row_bytes(self) -> int:
        """The bytes of one segment."""
        return sum(bins * frames for bins, frames in self._shapes.values()) * _BYTES

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.f16"

    def _size(self, name: str) -> int:
        bins, frames = self._shapes[name]
        return self.rows * bins * frames * _BYTES

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Open the files to add tracks. At the end, also after an error, the index lists what was added.

        Raises:
            OSError: A file cannot be written.
        """
        with ExitStack() as stack:
            for name in self._shapes:
                path = self._path(name)
                path.touch()
                file = stack.enter_context(path.open("r+b"))
                file.truncate(self._size(name))  # what an earlier run wrote after its last index
                file.seek(0, os.SEEK_END)
                self._files[name] = file
            try:
                yield
            finally:
                self._commit()
                self._files.clear()

    def add(self, key: str, starts: tuple[float, ...], inputs: Mapping[str, FloatArray]) -> None:
        """Add a track.

        Args:
            key: Its key, which is new.
            starts: Where its k segments start, in seconds.
            inputs: (k, bins, frames) of every input.
        """
        for name, file in self._files.items():
            file.write(np.ascontiguousarray(inputs[name], np.float16).tobytes())
        self.tracks[key] = StoredTrack(self.rows, starts)
        self.rows += len(starts)
        if time.monotonic() - self._written > _WRITE_EVERY:
            self._commit()

    def _commit(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())
        write_json(self._index, {key: [track.row, list(track.starts)] for key, track in self.tracks.items()})
        self._written = time.monotonic()

    def arrays(self) -> dict[str, AnyArray]:
        """Map the inputs: (rows, bins, frames) float16 each, read from the disk on use."""
        return {
            name: np.memmap(self._path(name), np.float16, "r", shape=(self.rows, *shape))
            for name, shape in self._shapes.items()
        }
