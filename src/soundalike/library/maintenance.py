"""Maintenance of a library: compare everything with its checksums, and free unused space."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from soundalike.core import mapped_arrays, plugins
from soundalike.core.errors import LibraryError
from soundalike.core.files import size_of
from soundalike.core.types import LEVELS, IntArray, Level
from soundalike.library.folder import LibraryFolder, rows_folder
from soundalike.library.snapshot_arrays import DERIVED
from soundalike.library.stores.base import Store, Table
from soundalike.library.stores.row_groups import positions_of, runs

__all__ = ["CheckReport", "VacuumReport", "build_prefilters", "check_library", "repair_library", "vacuum_library"]

_CHUNK = 1 << 14
_ENTRY = "its entry in the catalogue"
Progress = Callable[[int, int], None]
"""Called with rows done and all rows."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check_library` compared, and what is corrupt.

    Attributes:
        rows: The number of rows compared.
        checked_tracks: The number of tracks.
        problems: Problems of the catalogue as a whole, one line each.
        tracks: What is corrupt of each corrupt track, by id.
        paths: The paths of these tracks, by id.
        derived: Names of corrupt cache files. They were removed if possible, and will be computed again.
    """

    rows: int
    checked_tracks: int
    problems: tuple[str, ...]
    tracks: dict[int, tuple[str, ...]]
    paths: dict[int, str]
    derived: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is corrupt but caches."""
        return not self.problems and not self.tracks


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """Sizes in bytes before and after, and the number of unused rows that were removed."""

    before: int
    after: int
    dropped: int


def check_library(library: LibraryFolder, progress: Progress | None = None) -> CheckReport:
    """Compare everything that a library stores with its checksums.

    The check sees one snapshot, so others may write meanwhile. It finds every flipped bit of a committed row or a
    catalogue entry.

    Args:
        library: The library.
        progress: Called with rows done and all rows.

    Raises:
        LibraryError: The catalogue cannot be read at all.

    Example:
        >>> check_library(library).ok
        True
    """
    found: dict[int, list[str]] = {}
    removed = []
    rows = rows_folder(library.path, library.catalog.database.epoch)
    for path in sorted([*(library.path / DERIVED).glob("*.derived"), *rows.glob("*.derived")]):
        if not mapped_arrays.verify(path):
            removed.append(path.name)
            with suppress(OSError):  # without the right to write, it stays
                path.unlink()
    with library.snapshot():
        catalog, plan = library.catalog, list(_columns(library))
        for kind, space, dim, held in plan:
            # Map the rows now, so that a vacuum cannot remove them. Unreadable ones are found below.
            with suppress(LibraryError):
                library.store.check(kind, space, dim, int(held[:, :2].sum(axis=1).max()))
        problems: list[str] = []
        for look in (catalog.database.find_problems, lambda: _check_entries(library, found)):
            try:
                problems += look()
            except LibraryError as error:
                problems.append(str(error))
        total, done = sum(int(held[:, 1].sum()) for _, _, _, held in plan), 0
        for kind, space, dim, held in plan:
            for part in runs(held[:, 1], _CHUNK):
                positions = positions_of(held[part])
                owners = np.repeat(held[part, 2], held[part, 1])
                try:
                    bad = library.store.corrupt(kind, space, dim, positions)
                except LibraryError:  # features, which are not checked when a library is opened
                    bad = np.ones(len(positions), np.bool_)
                for track_id in np.unique(owners[bad]).tolist():
                    found.setdefault(track_id, []).append(f"{kind} rows of {space}")
                done += len(positions)
                if progress:
                    progress(done, total)
        tracks = catalog.counts()["tracks"]
        paths = {}
        for track_id in found:
            try:
                paths[track_id] = str(catalog.tracks_of([track_id])[0].path)
            except (LibraryError, KeyError, ValueError, TypeError):
                paths[track_id] = f"track {track_id}"
    corrupt = {track_id: tuple(dict.fromkeys(what)) for track_id, what in sorted(found.items())}
    return CheckReport(total, tracks, tuple(problems), corrupt, paths, tuple(removed))


def _check_entries(library: LibraryFolder, found: dict[int, list[str]]) -> list[str]:
    for track_id in library.catalog.database.corrupt_tracks():
        found.setdefault(track_id, []).append(_ENTRY)
    return []


def _columns(library: LibraryFolder) -> Iterator[tuple[Table, str, int, IntArray]]:
    """Every space per level, and every stored feature: table, full name, dim, and row positions (n, 3)."""
    # All spaces of a model share row positions, and so do all features of a backbone.
    groups = cache(lambda model, level: library.catalog.groups(model, level, absent=True))
    places = cache(library.catalog.features.places)
    for space, level, dim, _ in library.catalog.spaces():
        if len(held := groups(space.partition("/")[0], level)):
            yield level, space, dim, held
    for feature in library.catalog.features.features():
        if len(held := places(feature.backbone)):
            yield "feature", feature.full_name, feature.dim, held


def repair_library(library: LibraryFolder, report: CheckReport) -> int:
    """Mark corrupt tracks, so that the next `index` encodes them again.

    A track with corrupt rows counts as not encoded. A track with a corrupt entry is removed, and will be found again.

    Args:
        library: The library, open for writing.
        report: What `check_library` found.

    Returns:
        The number of marked tracks.

    Raises:
        LibraryError: The catalogue as a whole is corrupt, which cannot be repaired.
    """
    if report.problems:
        raise LibraryError(
            f"the catalogue of {library.path} is corrupt as a whole ({report.problems[0]}); restore it from a copy, or "
            "index into a new library"
        )
    with library.catalog.transaction():
        for track_id, what in report.tracks.items():
            if _ENTRY in what:
                library.catalog.remove([track_id])
            else:
                library.catalog.unmark_encoded(track_id)
    return len(report.tracks)


def build_prefilters(library: LibraryFolder, progress: Progress | None = None) -> None:
    """Build or renew the prefilter of every model and level that has enough rows.

    The prefilter makes searches of millions of rows fast. It is a cache: without it, results are the same.

    Args:
        library: The library, open for writing.
        progress: Called with rows done and all rows.
    """
    for model in library.catalog.models():
        for level in LEVELS:
            with library.snapshot():
                rows = max(
                    (r for name, at, _, r in library.catalog.spaces() if at == level and name.startswith(f"{model}/"))
                )
            library.store.build_prefilter(level, model, rows, progress or (lambda *_: None))


def vacuum_library(library: LibraryFolder) -> VacuumReport:
    """Rewrite the rows that tracks use, without gaps, and drop all others.

    The new rows are written to their own folder, and one transaction makes them current. An interruption at any moment
    leaves the old library or the new one. Readers go on reading the old rows meanwhile.

    Args:
        library: The library, open for writing.

    Raises:
        LibraryError: Rows are corrupt, or the disk has no space for a second copy.
    """
    catalog, epoch = library.catalog, library.catalog.database.epoch
    before = size_of(library.path)
    _sweep(library.path, epoch)
    dropped = 0
    moves: dict[Level, IntArray] = {}
    for level in LEVELS:
        segments = catalog.segments(level)
        _, places, back = np.unique(segments[:, 0], return_index=True, return_inverse=True)
        counts = segments[places, 1]
        fresh = segments.copy()
        fresh[:, 0] = (np.cumsum(counts) - counts)[back]
        moves[level] = np.column_stack([segments, fresh[:, 0]])
        dropped += catalog.next_row(level) - int(counts.sum())
    if dropped:
        _check_disk_space(library)
        target = rows_folder(library.path, epoch + 1)
        try:
            target.mkdir()
        except OSError as error:  # Windows keeps what an interrupted vacuum left if another process has it open
            raise LibraryError(
                f"cannot make {target}: {error.strerror}; close other programs that use the library, and try again"
            ) from error
        store: Store = plugins.load("stores", "flat", folder=target, writable=True)
        try:
            for kind, space, dim, held in _columns(library):
                _copy(library, store, kind, space, dim, held, moves["passage" if kind == "feature" else kind])
            store.flush()
        except BaseException:
            store.close()
            shutil.rmtree(target, ignore_errors=True)
            raise
        store.close()
        with catalog.transaction():
            for level, table in moves.items():
                changed = table[table[:, 0] != table[:, 3]]
                catalog.move_rows(level, zip(changed[:, 3].tolist(), changed[:, 2].tolist(), strict=True))
            catalog.recount_rows()
            catalog.database.begin_epoch(epoch + 1)
        with library.snapshot():  # maps the new rows, so that the old files can be removed
            pass
        _sweep(library.path, epoch + 1)
    catalog.database.compact()
    return VacuumReport(before, size_of(library.path), dropped)


def _copy(
    library: LibraryFolder, store: Store, kind: Table, space: str, dim: int, held: IntArray, moves: IntArray
) -> None:
    """Copy the rows of one space to their new positions; rows that several tracks share are copied once.

    `held` (n, 3) has the row positions of tracks. `moves` (m, 4) maps old positions (first column) to new ones (last).
    """
    held = held[np.unique(held[:, 0], return_index=True)[1]]
    for part in runs(held[:, 1], _CHUNK):
        positions = positions_of(held[part])
        if library.store.corrupt(kind, space, dim, positions).any():
            raise LibraryError(
                f"rows of {space} are corrupt, and copies would hide it; run: soundalike library check --repair"
            )
        rows = library.store.read(kind, space, dim, positions)
        # Rows keep their order; only the gaps between them go.
        fresh = moves[np.searchsorted(moves[:, 0], held[part, 0]), 3]
        places = positions_of(np.column_stack([fresh, held[part, 1]]))
        breaks = np.flatnonzero(np.diff(places) != 1) + 1
        for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True):
            store.write(kind, space, int(places[low]), rows[low:high])


def _check_disk_space(library: LibraryFolder) -> None:
    folder = rows_folder(library.path, library.catalog.database.epoch)
    needed = sum(file.stat().st_size for file in _sidecars(folder))
    free = shutil.disk_usage(library.path).free
    if free < needed:
        raise LibraryError(
            f"{needed / 1e6:,.0f} MB are needed on the disk of {library.path} while its rows are rewritten, and "
            f"{free / 1e6:,.0f} MB are free; free some space"
        )


def _sweep(path: Path, epoch: int) -> None:
    """Remove rows of other epochs, which an interrupted or finished vacuum left behind."""
    for folder in path.glob("rows.*"):
        if folder != rows_folder(path, epoch):
            shutil.rmtree(folder, ignore_errors=True)
    for file in _sidecars(path) if epoch else []:
        with suppress(OSError):  # Windows keeps files that a reader has mapped; the next vacuum removes them
            file.unlink()


def _sidecars(folder: Path) -> list[Path]:
    """The files in a folder that hold rows."""
    return [file for file in folder.iterdir() if file.suffix in (".f32", ".i8", ".on", ".crc")]
