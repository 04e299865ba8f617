"""Export a library as a folder of Parquet files (`format.py` describes them), from one snapshot."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundalike.audio import HOP
from soundalike.core.errors import UsageError, one_line
from soundalike.core.files import absolute, foreign_files
from soundalike.core.types import BoolArray, IntArray, Level
from soundalike.library.exchange.format import TRACK_COLUMNS, ExportedModel, Manifest, schema
from soundalike.library.exchange.parquet import load_pyarrow, optional_rows_column, parquet_writer
from soundalike.library.exchange.track_order import track_order
from soundalike.library.folder import LibraryFolder
from soundalike.library.stores.base import read_verified
from soundalike.library.stores.row_groups import positions_of, runs

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_target", "export_library"]

_CHUNK_BYTES = 1 << 24
"""The approximate size of the vectors in a row group."""
_CHUNK_PASSAGES = 1 << 16
_TRACK_COST = 64
"""What a track counts in passages, besides its own, towards the size of a row group of tracks."""

Progress = Callable[[int, int, float], None]


def check_target(folder: Path) -> None:
    """Raise UsageError if a folder cannot be exported to."""
    load_pyarrow()
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or foreign_files(folder))):
            raise UsageError(f"cannot export to {folder}: it exists and is not an empty folder; give a new name")
        if not absolute(folder).parent.is_dir():
            raise UsageError(f"cannot write {folder}: its folder does not exist")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}; give another place") from error


def export_library(library: LibraryFolder, folder: Path, progress: Progress | None = None) -> Manifest:
    """Export everything that a library holds, all or nothing.

    The export is a snapshot of the moment at which it starts; others may index meanwhile. Memory stays bounded: rows
    are copied 16 MB at a time, and only a few numbers per track are kept.

    Args:
        library: The library.
        folder: A new or empty folder.
        progress: Called with passages done, all passages, and seconds of audio in those done.

    Raises:
        UsageError: The folder cannot be written.
        LibraryError: The library cannot be read, or holds corrupt rows.

    Example:
        >>> export_library(library, Path("backup")).tracks
        12
    """
    check_target(folder)
    try:
        partial = Path(tempfile.mkdtemp(dir=absolute(folder).parent, prefix=".soundalike-"))
        try:
            with library.snapshot():
                manifest = _Export(library, partial, progress or (lambda *_: None)).write()
            partial.chmod(0o755)  # mkdtemp makes folders that only their owner may read
            if folder.exists():
                for leftover in {*folder.iterdir()}.difference(foreign_files(folder)):
                    leftover.unlink()
                folder.rmdir()
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}; give another place") from error
    return manifest


class _Export:
    """One export into an existing folder. To be used inside a snapshot of the library."""

    def __init__(self, library: LibraryFolder, folder: Path, progress: Progress) -> None:
        self._catalog, self._store = library.catalog, library.store
        self._folder, self._progress = folder, progress
        spaces = self._catalog.spaces()
        self._models = [
            ExportedModel(name, held.digest, held.source, {one.name: one.dim for one in spaces if one.model == name})
            for name, held in self._catalog.models().items()
        ]
        self._layout = track_order(self._catalog, [model.name for model in self._models])

    def write(self) -> Manifest:
        """Write all files."""
        manifest = Manifest(
            tracks=len(self._layout.ids),
            passages=self._write_passages(),
            failures=self._write_failures(),
            models=tuple(self._models),
        )
        self._write_tracks()
        manifest.write(self._folder)
        return manifest

    def _write_tracks(self) -> None:
        counts = self._layout.places["passage"][:, 1]
        with self._table("tracks") as write:
            for part in runs(counts + _TRACK_COST, _CHUNK_PASSAGES):
                write(self._tracks(np.arange(len(counts))[part]))

    def _tracks(self, numbers: IntArray) -> dict[str, Any]:
        """The columns of some tracks."""
        layout, separator = self._layout, os.fsencode(os.sep)
        ids = layout.ids[numbers].tolist()
        tracks = self._catalog.tracks_of(ids)
        root_of = self._catalog.paths.roots_of(ids)
        roots = [os.fsencode(root_of[one]).rstrip(separator) + separator for one in ids]
        own = layout.owners()[numbers]
        owners = layout.owner[numbers].tolist()
        return {
            "number": numbers,
            "root": roots,
            "path": [os.fsencode(track.path)[len(root) :] for track, root in zip(tracks, roots, strict=True)],
            "shown_path": [one_line(track.path) for track in tracks],
            **{name: [getattr(track, name) for track in tracks] for name in TRACK_COLUMNS},
            "encoded_by": [[name for name, flags in layout.encoded.items() if flags[number]] for number in numbers],
            "rows_of": [None if alone else owner for alone, owner in zip(own, owners, strict=True)],
            "passages": layout.places["passage"][numbers, 1],
            "fingerprint": [
                self._catalog.fingerprints.get(one) if alone else None for one, alone in zip(ids, own, strict=True)
            ],
            "fingerprint_version": [self._catalog.fingerprints.version(one) for one in ids],
            **self._rows("track", numbers, layout.places["track"][numbers, 0], own),
        }

    def _write_passages(self) -> int:
        """Write the passages of all tracks, those of copies once; returns their number."""
        layout = self._layout
        owners = np.flatnonzero(layout.owners() & (layout.places["passage"][:, 1] > 0))
        places = layout.places["passage"][owners]
        total, done = int(places[:, 1].sum()), 0
        width = 4 * sum(dim for model in self._models for dim in model.spaces.values())
        with self._table("passages") as write:
            for part in runs(places[:, 1], max(1, _CHUNK_BYTES // max(1, width))):
                counts = places[part, 1]
                numbers = np.repeat(owners[part], counts)
                positions = positions_of(places[part])
                index = positions - np.repeat(places[part, 0], counts)
                present = np.ones(len(numbers), np.bool_)
                write({"track": numbers, "index": index, **self._rows("passage", numbers, positions, present)})
                done += len(numbers)
                self._progress(done, total, done * HOP)
        return total

    def _rows(self, level: Level, numbers: IntArray, positions: IntArray, wanted: BoolArray) -> dict[str, pa.Array]:
        """One column per space: the rows at `positions` (n,), null where not wanted or not encoded for the track."""
        columns = {}
        for model in self._models:
            present = wanted & self._layout.held[model.name][numbers]
            for full, dim in model.columns().items():
                rows = read_verified(self._store, level, full, dim, positions[present])
                columns[full] = optional_rows_column(rows, present)
        return columns

    def _write_failures(self) -> int:
        failures = self._catalog.failures.all().values()
        with self._table("failures") as write:
            write({
                "path": [os.fsencode(failure.path) for failure in failures],
                **{name: [getattr(one, name) for one in failures] for name in ("size", "mtime_ns", "message")},
            })  # fmt: skip
        return len(failures)

    @contextmanager
    def _table(self, name: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """A file that takes the columns of row groups; synced to disk at the end."""
        pa = load_pyarrow()
        columns = schema(name, self._models)
        with (self._folder / f"{name}.parquet").open("wb") as file:
            with parquet_writer(file, columns) as writer:
                yield lambda values: writer.write_table(pa.table(dict(values), schema=columns))
            file.flush()
            os.fsync(file.fileno())
