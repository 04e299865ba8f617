"""A library written out as a folder of Parquet (`exchange.py` says what is in it), all of one moment."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from soundalike.audio import HOP
from soundalike.core.errors import LibraryError, UsageError, one_line
from soundalike.core.files import absolute
from soundalike.core.types import LEVELS, BoolArray, IntArray, Level
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.exchange.format import TRACK_COLUMNS, ExportedModel, Manifest, schema
from soundalike.library.exchange.parquet import load_pyarrow, optional_rows_column, parquet_writer
from soundalike.library.folder import LibraryFolder
from soundalike.library.stores.base import read_verified
from soundalike.library.stores.row_groups import positions_of, runs

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["check_target", "export_library"]

_CHUNK_BYTES = 1 << 24
"""Vectors in a row group, about."""
_CHUNK_PASSAGES = 1 << 16
_TRACK_COST = 64
"""A row group of tracks holds the fingerprints of so many passages at most, each track counted as some more."""

Progress = Callable[[int, int, float], None]


def check_target(folder: Path) -> None:
    """Refuse a place that is taken, or where nothing can be made. Raises UsageError."""
    load_pyarrow()
    try:
        if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
            raise UsageError(f"cannot export to {folder}: it is there and not an empty folder; give a new name")
        if not absolute(folder).parent.is_dir():
            raise UsageError(f"cannot write {folder}: its folder does not exist")
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror}; give another place") from error


def export_library(library: LibraryFolder, folder: Path, progress: Progress | None = None) -> Manifest:
    """Write all of a library into `folder`, which is new or empty: whole, or nothing at all.

    Somebody may be indexing meanwhile: what is written is of the moment at which it began. Memory stays bounded: rows
    pass through, 16 MB at a time; only a few numbers a track are kept. `progress` is told of passages done, of all, and
    of the seconds of sound in them.
    Raises UsageError if it cannot be written, LibraryError if the library cannot be read or holds damaged rows.
    """
    check_target(folder)
    try:
        partial = Path(tempfile.mkdtemp(dir=absolute(folder).parent, prefix=".soundalike-"))
        try:
            with library.snapshot():
                manifest = _Export(library, partial, progress or (lambda *_: None)).write()
            _check_unchanged(library, manifest)
            partial.chmod(0o755)  # mkdtemp makes folders for their owner alone
            if folder.exists():
                folder.rmdir()
            partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write {folder}: {error.strerror or error}; give another place") from error
    return manifest


def _check_unchanged(library: LibraryFolder, manifest: Manifest) -> None:
    """A new version of a model writes over the rows of the old, which a snapshot of the catalogue knows nothing of."""
    now = library.catalog.models()
    for model in manifest.models:
        if model.name not in now or now[model.name].digest != model.digest:
            raise LibraryError(
                f"the library at {library.path} is being encoded again by another version of {model.name}; "
                "export it when that is done"
            )


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """Whose rows are where: of n tracks, in the order in which they are exported.

    That is the order of their rows, so that reading never turns back, then of ids; those that no model has heard come
    last. `owner` (n,) is the number of the first track that has the same rows; `places` per level (n, 2) position and
    number of them; `heard` (n,) per model whether it has heard the track, `held` whether it has one with the same rows.
    """

    ids: IntArray
    owner: IntArray
    places: Mapping[Level, IntArray]
    heard: Mapping[str, BoolArray]
    held: Mapping[str, BoolArray]

    def owners(self) -> BoolArray:
        """Which tracks (n,) are the first with their rows."""
        return self.owner == np.arange(len(self.ids))


def _layout(catalog: Catalog, models: Iterable[str]) -> _Layout:
    ids = catalog.ids()
    places = {level: np.zeros((len(ids), 2), np.int64) for level in LEVELS}
    heard = {model: np.zeros(len(ids), np.bool_) for model in models}
    for model, flags in heard.items():
        for level in LEVELS:
            groups = catalog.groups(model, level, absent=True)
            at = np.searchsorted(ids, groups[:, 2])
            places[level][at] = groups[:, :2]
            flags[at] = True
    first, none = places["track"][:, 0], places["track"][:, 1] == 0
    order = np.lexsort((ids, first, none))
    first, none = first[order], none[order]
    begins = none | (np.diff(first, prepend=-1) != 0)
    starts = np.flatnonzero(begins)
    group = np.cumsum(begins) - 1
    heard = {model: flags[order] for model, flags in heard.items()}
    return _Layout(
        ids=ids[order],
        owner=starts[group],
        places={level: rows[order] for level, rows in places.items()},
        heard=heard,
        held={model: np.logical_or.reduceat(flags, starts)[group] for model, flags in heard.items()},
    )


class _Export:
    """One export into a folder that is there; inside a snapshot of the catalogue."""

    def __init__(self, library: LibraryFolder, folder: Path, progress: Progress) -> None:
        self._catalog, self._store = library.catalog, library.store
        self._folder, self._progress = folder, progress
        sizes = {name: dim for name, _, dim, _ in self._catalog.spaces()}
        self._models = [
            ExportedModel(
                name,
                held.digest,
                held.source,
                {full.removeprefix(f"{name}/"): dim for full, dim in sizes.items() if full.startswith(f"{name}/")},
            )
            for name, held in self._catalog.models().items()
        ]
        self._layout = _layout(self._catalog, [model.name for model in self._models])

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
        roots = [os.fsencode(self._catalog.root_of(one)).rstrip(separator) + separator for one in ids]
        own = layout.owners()[numbers]
        owners = layout.owner[numbers].tolist()
        return {
            "number": numbers,
            "root": roots,
            "path": [os.fsencode(track.path)[len(root) :] for track, root in zip(tracks, roots, strict=True)],
            "shown_path": [one_line(track.path) for track in tracks],
            **{name: [getattr(track, name) for track in tracks] for name in TRACK_COLUMNS},
            "encoded_by": [[name for name, heard in layout.heard.items() if heard[number]] for number in numbers],
            "rows_of": [None if alone else owner for alone, owner in zip(own, owners, strict=True)],
            "passages": layout.places["passage"][numbers, 1],
            "fingerprint": [
                self._catalog.fingerprint(one) if alone else None for one, alone in zip(ids, own, strict=True)
            ],
            **self._rows("track", numbers, layout.places["track"][numbers, 0], own),
        }

    def _write_passages(self) -> int:
        """Write the passages of every track that does not share another's; returns how many there are."""
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
                there = np.ones(len(numbers), np.bool_)
                write({"track": numbers, "index": index, **self._rows("passage", numbers, positions, there)})
                done += len(numbers)
                self._progress(done, total, done * HOP)
        return total

    def _rows(self, level: Level, numbers: IntArray, positions: IntArray, wanted: BoolArray) -> dict[str, pa.Array]:
        """A column a space: the rows at `positions` (n,), null where not wanted, or not held for the track (n,)."""
        columns = {}
        for model in self._models:
            there = wanted & self._layout.held[model.name][numbers]
            for full, dim in model.columns().items():
                rows = read_verified(self._store, level, full, dim, positions[there])
                columns[full] = optional_rows_column(rows, there)
        return columns

    def _write_failures(self) -> int:
        failures = self._catalog.failures.all()
        sizes, times, messages = zip(*failures.values(), strict=True) if failures else ((), (), ())
        with self._table("failures") as write:
            write({"path": [*map(os.fsencode, failures)], "size": sizes, "mtime_ns": times, "message": messages})
        return len(failures)

    @contextmanager
    def _table(self, name: str) -> Iterator[Callable[[Mapping[str, Any]], None]]:
        """A file to which the columns of row groups are written; durable at the end."""
        pa = load_pyarrow()
        columns = schema(name, self._models)
        with (self._folder / f"{name}.parquet").open("wb") as file:
            with parquet_writer(file, columns) as writer:
                yield lambda values: writer.write_table(pa.table(dict(values), schema=columns))
            file.flush()
            os.fsync(file.fileno())
