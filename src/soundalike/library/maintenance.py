"""Care of a library: is all of it as it was written, and room given back that nobody's rows take."""

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
Progress = Callable[[int, int], None]
"""Told of rows done, of all there are."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `check` looked at, and what is not as it was written.

    `problems` are lines about the catalogue as a whole; `tracks` maps ids of tracks to what of them is damaged, `paths`
    to where they are. `derived` are files that can be made again, and were removed where that was possible.
    """

    rows: int
    checked_tracks: int
    problems: tuple[str, ...]
    tracks: dict[int, tuple[str, ...]]
    paths: dict[int, str]
    derived: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is damaged that cannot be made again without listening."""
        return not self.problems and not self.tracks


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """Sizes in bytes before and after, and how many rows were nobody's."""

    before: int
    after: int
    dropped: int


def check_library(library: LibraryFolder, progress: Progress | None = None) -> CheckReport:
    """Read everything and compare it with its checksums; one moment of the library, whoever writes meanwhile.

    Every flipped bit of a committed row and of what the catalogue says is found. Raises LibraryError only where the
    catalogue cannot be read at all.
    """
    found: dict[int, list[str]] = {}
    removed = []
    rows = rows_folder(library.path, library.catalog.database.epoch)
    for path in sorted([*(library.path / DERIVED).glob("*.derived"), *rows.glob("*.derived")]):
        if not mapped_arrays.verify(path):
            removed.append(path.name)
            with suppress(OSError):  # whoever may only read leaves it
                path.unlink()
    with library.snapshot():
        catalog, plan = library.catalog, list(_columns(library))
        for kind, space, dim, held in plan:
            with suppress(LibraryError):  # in hand, whoever vacuums meanwhile; what cannot be read is found below
                library.store.check(kind, space, dim, int(held[:, :2].sum(axis=1).max()))
        problems: list[str] = []
        for look in (catalog.database.find_problems, lambda: _line_damage(library, found)):
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
                except LibraryError:  # features, which nobody looks at when a library is opened
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
    kept = {track_id: tuple(dict.fromkeys(what)) for track_id, what in sorted(found.items())}
    return CheckReport(total, tracks, tuple(problems), kept, paths, tuple(removed))


def _line_damage(library: LibraryFolder, found: dict[int, list[str]]) -> list[str]:
    for track_id in library.catalog.database.corrupt_tracks():
        found.setdefault(track_id, []).append("its line in the catalogue")
    return []


def _columns(library: LibraryFolder) -> Iterator[tuple[Table, str, int, IntArray]]:
    """Every level with each of its spaces, and every feature, that has rows: its full name, dim, and whose rows are
    where, (n, 3).
    """
    # The spaces of a model have the same rows, and so have the features of a backbone: asked for once.
    groups = cache(lambda model, level: library.catalog.groups(model, level, absent=True))
    places = cache(library.catalog.features.places)
    for space, level, dim, _ in library.catalog.spaces():
        if len(held := groups(space.partition("/")[0], level)):
            yield level, space, dim, held
    for feature in library.catalog.features.features():
        if len(held := places(feature.backbone)):
            yield "feature", feature.full_name, feature.dim, held


def repair_library(library: LibraryFolder, report: CheckReport) -> int:
    """Let damaged tracks be listened to again by the next `index`; returns how many. The library is open for writing.

    A track whose rows are damaged counts as not encoded; one whose line is damaged is forgotten, and found anew. Raises
    LibraryError where the catalogue as a whole is damaged, for that cannot be mended.
    """
    if report.problems:
        raise LibraryError(
            f"the catalogue of {library.path} is damaged as a whole ({report.problems[0]}); restore it from a copy, or "
            "index into a new library"
        )
    with library.catalog.transaction():
        for track_id, what in report.tracks.items():
            if "its line in the catalogue" in what:
                library.catalog.remove([track_id])
            else:
                library.catalog.unmark_encoded(track_id)
    return len(report.tracks)


def build_prefilters(library: LibraryFolder, progress: Progress | None = None) -> None:
    """Build or renew the coarse stage of every model and level with rows enough; the library is open for writing.

    It is what searches of very many rows go through, and can always be made again: nothing is lost without it.
    """
    for model in library.catalog.models():
        for level in LEVELS:
            with library.snapshot():
                rows = max(
                    (r for name, at, _, r in library.catalog.spaces() if at == level and name.startswith(f"{model}/"))
                )
            library.store.build_prefilter(level, model, rows, progress or (lambda *_: None))


def vacuum_library(library: LibraryFolder) -> VacuumReport:
    """Write the rows that somebody has anew, without gaps, and drop all others; the library is open for writing.

    The new rows lie in a folder of their own until one transaction makes them the library's: whatever interrupts it,
    the library is what it was, or all of it new. Who reads meanwhile goes on reading what was. Raises LibraryError
    where rows are damaged, or the disk has no room for a second copy of them.
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
        _check_room(library)
        target = rows_folder(library.path, epoch + 1)
        target.mkdir()
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
        with library.snapshot():  # takes the new rows in hand, so that the old ones can go
            pass
        _sweep(library.path, epoch + 1)
    catalog.database.compact()
    return VacuumReport(before, size_of(library.path), dropped)


def _copy(
    library: LibraryFolder, store: Store, kind: Table, space: str, dim: int, held: IntArray, moves: IntArray
) -> None:
    """One space's rows to where they will be; a run that several tracks share is copied once.

    `held` (n, 3) says whose rows are where, and `moves` (m, 4), by its first column, where they are to be (the last).
    """
    held = held[np.unique(held[:, 0], return_index=True)[1]]
    for part in runs(held[:, 1], _CHUNK):
        positions = positions_of(held[part])
        if library.store.corrupt(kind, space, dim, positions).any():
            raise LibraryError(
                f"rows of {space} are damaged, and a copy would pass for well: see soundalike library check --repair"
            )
        rows = library.store.read(kind, space, dim, positions)
        # Neighbours stay neighbours, but for the gaps between them.
        fresh = moves[np.searchsorted(moves[:, 0], held[part, 0]), 3]
        places = positions_of(np.column_stack([fresh, held[part, 1]]))
        breaks = np.flatnonzero(np.diff(places) != 1) + 1
        for low, high in zip([0, *breaks.tolist()], [*breaks.tolist(), len(places)], strict=True):
            store.write(kind, space, int(places[low]), rows[low:high])


def _check_room(library: LibraryFolder) -> None:
    folder = rows_folder(library.path, library.catalog.database.epoch)
    needed = sum(file.stat().st_size for file in _sidecars(folder))
    free = shutil.disk_usage(library.path).free
    if free < needed:
        raise LibraryError(
            f"{needed / 1e6:,.0f} MB are needed on the disk of {library.path} while its rows are written anew, and "
            f"{free / 1e6:,.0f} MB are free; make room"
        )


def _sweep(path: Path, epoch: int) -> None:
    """Remove rows of other epochs: what an interrupted vacuum left, or a finished one no longer needs."""
    for folder in path.glob("rows.*"):
        if folder != rows_folder(path, epoch):
            shutil.rmtree(folder, ignore_errors=True)
    for file in _sidecars(path) if epoch else []:
        file.unlink(missing_ok=True)


def _sidecars(folder: Path) -> list[Path]:
    """The files of rows in a folder."""
    return [file for file in folder.iterdir() if file.suffix in (".f32", ".i8", ".on", ".crc")]
