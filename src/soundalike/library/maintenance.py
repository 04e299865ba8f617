"""Maintenance of a library: compare everything with its checksums, and free unused space."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from soundalike.core import mapped_arrays, plugins
from soundalike.core.errors import LibraryError
from soundalike.core.files import size_of, sync_folder
from soundalike.core.types import LEVELS, FloatArray, IntArray, Level
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.folder import LibraryFolder
from soundalike.library.open_rows import rows_folder
from soundalike.library.snapshot_arrays import DERIVED
from soundalike.library.stale_rows import remove_stale_rows
from soundalike.library.stores.base import Store, Table
from soundalike.library.stores.row_groups import positions_of, runs
from soundalike.library.views import Place

__all__ = [
    "LOST",
    "CheckReport",
    "VacuumReport",
    "build_prefilters",
    "check_library",
    "repair_library",
    "vacuum_library",
]

_CHUNK = 1 << 14
_ENTRY = "its entry in the catalogue"
LOST = " (lost)"
"""What a check says after rows that could not be read, and so may not be corrupt."""
_LEVELS: Mapping[Table, Level] = {"track": "track", "passage": "passage", "feature": "passage"}
"""The level at which the rows of a table have their positions."""
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
        derived: Names of cache files that were corrupt or of another version. They were removed, and will be computed
            again.
        derived_left: Names of such files that could not be removed, as in a read-only library.
        unreadable: Why rows could not be read at all, one line each; their tracks are among the corrupt ones.
        failures: Paths of unreadable files whose entries are corrupt.
    """

    rows: int
    checked_tracks: int
    problems: tuple[str, ...]
    tracks: dict[int, tuple[str, ...]]
    paths: dict[int, str]
    derived: tuple[str, ...]
    derived_left: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is corrupt but caches."""
        return not self.problems and not self.tracks and not self.failures


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """Sizes in bytes before and after, and the number of unused rows that were removed."""

    before: int
    after: int
    dropped: int


def check_library(library: LibraryFolder, progress: Progress | None = None) -> CheckReport:
    """Compare everything that a library stores with its checksums.

    The check sees one snapshot, so others may write meanwhile. It finds every flipped bit of a committed row or a
    catalogue entry, and it is a problem if it could compare fewer rows than the catalogue says are committed.

    Args:
        library: The library. If it was opened with `incomplete`, tracks whose rows are missing are reported too.
        progress: Called with rows done and all rows.

    Raises:
        LibraryError: The catalogue cannot be read at all.

    Example:
        >>> check_library(library).ok
        True
    """
    found: dict[int, list[str]] = {}
    unreadable: list[str] = []
    removed, left = _remove_corrupt_caches(library)
    failures: list[str] = []
    with library.snapshot():
        catalog, plan, place = library.catalog, list(_columns(library)), Place.of(library.catalog)
        for column in plan:
            # Map the rows now, so that a vacuum cannot remove them. Unreadable ones are found below.
            with suppress(LibraryError):
                library.store.check(column.table, column.space, column.dim, column.end)
        problems: list[str] = []
        for look in (
            catalog.database.find_problems,
            lambda: _check_entries(library, found, failures),
            lambda: _count(catalog, plan),
        ):
            try:
                problems += look()
            except LibraryError as error:
                problems.append(str(error))
        total, done = sum(column.count for column in plan), 0
        for column in plan:
            missing: str | None = None
            for part in runs(column.held[:, 1], _CHUNK):
                positions = positions_of(column.held[part])
                owners = np.repeat(column.held[part, 2], column.held[part, 1])
                what = f"{column.table} rows of {column.space}"
                try:
                    bad = library.store.corrupt(column.table, column.space, column.dim, positions)
                except LibraryError as error:
                    bad, missing = np.ones(len(positions), np.bool_), str(error).partition(";")[0]
                    what += LOST
                for track_id in np.unique(owners[bad]).tolist():
                    found.setdefault(track_id, []).append(what)
                done += len(positions)
                if progress:
                    progress(done, total)
            if missing:
                unreadable.append(missing)
        tracks = len(catalog)
        paths = {}
        for track_id in found:
            try:
                paths[track_id] = str(catalog.tracks_of([track_id])[0].path)
            except (LibraryError, KeyError, ValueError, TypeError):
                paths[track_id] = f"track {track_id}"
    if (problems or found or failures) and Place.of(library.catalog) != place:
        return check_library(library, progress)  # files were moved or replaced before all of them were mapped
    corrupt = {track_id: tuple(dict.fromkeys(what)) for track_id, what in sorted(found.items())}
    return CheckReport(
        total, tracks, tuple(problems), corrupt, paths, removed, left, tuple(dict.fromkeys(unreadable)), tuple(failures)
    )


def _remove_corrupt_caches(library: LibraryFolder) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Delete cache files that fail their checksum; returns the names of those removed, and of those that stay."""
    removed, left = [], []
    rows = rows_folder(library.path, library.catalog.database.epoch)
    for path in sorted([*(library.path / DERIVED).glob("*.derived"), *rows.glob("*.derived")]):
        try:
            if mapped_arrays.verify(path):
                continue
        except OSError:
            continue  # one that cannot be read is not corrupt for that
        try:
            path.unlink(missing_ok=True)
            removed.append(path.name)
        except OSError:
            left.append(path.name)
    return tuple(removed), tuple(left)


def _count(catalog: Catalog, plan: Sequence[_Column]) -> list[str]:
    """Problems of spaces whose rows cannot all be compared, or end beyond the committed ones."""
    found = []
    compared = {(column.table, column.space): column.count for column in plan}
    expected = catalog.row_counts()
    for space in catalog.spaces():
        rows, end = expected.get((space.model, space.level), (0, 0))
        done = compared.get((space.level, space.full_name), 0)
        if done < rows:
            found.append(f"{rows} {space.level} rows of {space.full_name} are committed, and {done} can be compared")
        if end > space.committed:
            found.append(f"{space.level} rows of {space.full_name} end at {end}, and {space.committed} are committed")
    return found


def _check_entries(library: LibraryFolder, found: dict[int, list[str]], failures: list[str]) -> list[str]:
    failures += library.catalog.failures.corrupt()
    for track_id in library.catalog.database.corrupt_tracks():
        found.setdefault(track_id, []).append(_ENTRY)
    return []


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """The rows of a space at a level, or of a stored feature: `held` (n, 3) has position, number and id per track."""

    table: Table
    space: str
    dim: int
    held: IntArray

    @property
    def end(self) -> int:
        """The position after the last row."""
        return int(self.held[:, :2].sum(axis=1).max())

    @property
    def count(self) -> int:
        """The number of rows; those that copies share count for each."""
        return int(self.held[:, 1].sum())


def _columns(library: LibraryFolder) -> Iterator[_Column]:
    """Every space per level, and every stored feature, if tracks have rows of it."""
    # All spaces of a model share row positions, and so do all features of a backbone.
    groups = cache(lambda model, level: library.catalog.groups(model, level, absent=True))
    places = cache(library.catalog.features.places)
    for space in library.catalog.spaces():
        if len(held := groups(space.model, space.level)):
            yield _Column(space.level, space.full_name, space.dim, held)
    for feature in library.catalog.features.features():
        if len(held := places(feature.backbone)):
            yield _Column("feature", feature.full_name, feature.dim, held)


def repair_library(library: LibraryFolder, report: CheckReport) -> int:
    """Mark corrupt tracks, so that the next `index` encodes them again.

    A track with corrupt or missing rows loses them and counts as not encoded; it gets new ones, because readers may
    still see the old ones. A track with a corrupt entry is removed, and will be found again. Corrupt entries of
    unreadable files are removed too: the next `index` tries these files again.

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
                library.catalog.forget_rows(track_id)
        library.catalog.recount_rows()  # missing rows at the end are no longer committed
        library.catalog.failures.remove_corrupt()
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
                spaces = library.catalog.spaces()
                rows = max(space.committed for space in spaces if (space.model, space.level) == (model, level))
            library.store.build_prefilter(level, model, rows, progress or (lambda *_: None))


def vacuum_library(library: LibraryFolder) -> VacuumReport:
    """Rewrite the rows that tracks use, without gaps, and drop all others.

    The new rows are written to their own folder, and one transaction makes them current. An interruption at any moment
    leaves the old library or the new one. Readers go on reading the old rows meanwhile.

    Args:
        library: The library, open for writing.

    Raises:
        LibraryError: Rows are corrupt, the disk has no space for a second copy, or the copy could not be read back.
    """
    catalog, epoch = library.catalog, library.catalog.database.epoch
    before = size_of(library.path)
    _sweep(library.path, epoch)
    remove_stale_rows(library)
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
        try:
            _rewrite(library, target, moves)
            sync_folder(library.path)
        except BaseException:
            shutil.rmtree(target, ignore_errors=True)
            raise
        with catalog.transaction():
            for level, table in moves.items():
                changed = table[table[:, 0] != table[:, 3]]
                catalog.move_rows(level, zip(changed[:, 3].tolist(), changed[:, 2].tolist(), strict=True))
            catalog.begin_epoch(epoch + 1)
        library.refresh()  # maps the new rows, so that the old files can be removed
        _sweep(library.path, epoch + 1)
    catalog.database.compact()
    return VacuumReport(before, size_of(library.path), dropped)


def _rewrite(library: LibraryFolder, target: Path, moves: Mapping[Level, IntArray]) -> None:
    """Copy all rows to the folder `target`, sync them, and read all of them back. Raises LibraryError."""
    with library.snapshot():
        editions = Place.of(library.catalog).editions
    store: Store = plugins.load("stores", "flat", folder=target, editions=editions, writable=True)
    with closing(store):
        for column in _columns(library):
            for rows, places in _moved(library, column, moves[_LEVELS[column.table]]):
                breaks = np.flatnonzero(np.diff(places) != 1) + 1
                for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True):
                    store.write(column.table, column.space, int(places[low]), rows[low:high])
        store.flush()
    written: Store = plugins.load("stores", "flat", folder=target, editions=editions)
    with closing(written):
        for column in _columns(library):
            for rows, places in _moved(library, column, moves[_LEVELS[column.table]]):
                ok = not written.corrupt(column.table, column.space, column.dim, places).any()
                again = written.read(column.table, column.space, column.dim, places)
                if not ok or again.tobytes() != rows.tobytes():
                    raise LibraryError(
                        f"rows of {column.space} could not be read back as they were written to {target}; nothing was "
                        "changed; check the disk"
                    )


def _moved(library: LibraryFolder, column: _Column, moves: IntArray) -> Iterator[tuple[FloatArray, IntArray]]:
    """The rows (m, d) of a column in parts, with their new positions (m,); rows that tracks share come once.

    `moves` (m, 4) maps old positions (first column) to new ones (last).
    """
    held = column.held[np.unique(column.held[:, 0], return_index=True)[1]]
    for part in runs(held[:, 1], _CHUNK):
        positions = positions_of(held[part])
        if library.store.corrupt(column.table, column.space, column.dim, positions).any():
            raise LibraryError(
                f"rows of {column.space} are corrupt, and copies would hide it; run: soundalike library check --repair"
            )
        rows = library.store.read(column.table, column.space, column.dim, positions)
        # Rows keep their order; only the gaps between them go.
        fresh = moves[np.searchsorted(moves[:, 0], held[part, 0]), 3]
        yield rows, positions_of(np.column_stack([fresh, held[part, 1]]))


def _check_disk_space(library: LibraryFolder) -> None:
    needed = sum(file.stat().st_size for file in _sidecars(rows_folder(library.path, library.catalog.database.epoch)))
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
