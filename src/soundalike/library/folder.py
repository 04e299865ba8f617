"""A library: a folder that holds a catalogue and vectors, and answers questions about what sounds alike."""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np

from soundalike.audio import HOP, WINDOW
from soundalike.core.errors import LibraryError
from soundalike.core.files import absolute, foreign_files, size_of
from soundalike.core.object_stores import is_remote, url_of
from soundalike.core.types import LEVELS, BoolArray, FloatArray, IntArray, Level, Space, Span, Vectors
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filters import Filter
from soundalike.library.catalog.schema import CATALOG_FILES, FORMAT
from soundalike.library.catalog.track import Track
from soundalike.library.held_models import find_held, spaces_of_models
from soundalike.library.kept_features import feature_costs
from soundalike.library.migrations import migrate
from soundalike.library.open_rows import open_rows
from soundalike.library.presence import folder_is_there, is_there
from soundalike.library.snapshot_arrays import SnapshotArrays
from soundalike.library.stores.base import RestorableRowsError, Store, read_verified
from soundalike.library.stores.row_groups import positions_of, runs
from soundalike.library.subject import Candidates, Subject
from soundalike.library.views import Place, SharedViews, View
from soundalike.library.writer_lock import writer_lock
from soundalike.models import LevelRows, Model, Reference, SearchSpaces, Spaces, encode_with

__all__ = [
    "Candidates",
    "LibraryFolder",
    "Subject",
    "is_current",
    "span_of",
]

SHORT = 30.0
"""A query shorter than this many seconds is compared with passages."""
_MANY_ROOTS = 256
_PART = 8192
"""The approximate number of rows that `parts` yields at a time."""


class _Active(threading.local):
    """The view that this thread reads, inside `snapshot`."""

    view: View | None = None


class LibraryFolder:
    """A library on disk. Open it with `LibraryFolder(path)` or `LibraryFolder.create(path)`; use `with` to close it.

    Any number of threads may read through one object. Only one process, and in it one thread, may write.
    """

    def __init__(self, path: Path, *, writable: bool = False, threads: int = 1, incomplete: bool = False) -> None:
        """Open a library; one that is opened for writing is made first if it does not exist (see `create`).

        Args:
            path: The folder.
            writable: Take the lock of the writer.
            threads: How many threads one search uses.
            incomplete: Open it even if files with rows are missing, to check and repair it.

        Raises:
            LibraryError: It does not exist, is corrupt, or has a newer format.
            LibraryBusyError: Another process is writing to it.
        """
        self.path = path
        self._writable, self._threads, self._incomplete = writable, threads, incomplete
        self._active = _Active()
        # If any step fails, everything opened so far is closed, the lock included.
        with ExitStack() as opened:
            if writable:
                opened.enter_context(writer_lock(path))
            self.catalog = Catalog(path / "catalog.sqlite", writable=writable, create=writable)
            if self.catalog.database.format < FORMAT:
                self.catalog.close()
                migrate(path)
                self.catalog = Catalog(path / "catalog.sqlite", writable=writable, create=False)
            opened.callback(self.catalog.close)
            self._views = SharedViews(path, self.catalog, self._store_of)
            opened.callback(self._views.close)
            if incomplete:  # what can be restored is restored on opening
                with suppress(LibraryError):
                    self._restore()
            self.refresh()  # maps the rows
            self._opened = opened.pop_all()

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open a library for writing, making it first if it does not exist. Raises LibraryError."""
        if is_remote(path):
            raise LibraryError(
                f"cannot make a library at {url_of(path)}: libraries are on local disks; give a folder to --library, "
                "and copy it to a store with: soundalike library export URL"
            )
        try:
            path.mkdir(parents=True, exist_ok=True)
            others = [file for file in foreign_files(path) if file.name not in CATALOG_FILES]
            if others and not (path / "catalog.sqlite").exists():
                raise LibraryError(
                    f"{path} is not empty and holds no library; give an empty or new folder to --library"
                )
        except OSError as error:
            raise LibraryError(f"cannot make a library at {path}: {error.strerror}; give another --library") from error
        return cls(path, writable=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Make everything that this thread reads inside the block consistent: the catalogue and its rows.

        Raises:
            LibraryError: Some of these rows are missing.
        """
        if self._active.view is not None:
            yield
            return
        restored, derive = False, self._incomplete
        while True:
            with self.catalog.snapshot():
                try:
                    view = self._views.enter(incomplete=self._incomplete, derive=derive)
                except LibraryError as error:
                    missing, place = error, Place.of(self.catalog)
                else:
                    # An abandoned generator may be collected, and leave, in a thread other than the one that entered.
                    of_this_thread = vars(self._active)
                    of_this_thread["view"] = view
                    try:
                        yield
                    finally:
                        del of_this_thread["view"]
                        self._views.leave(view)
                    return
            if Place.of(self.catalog) != place:  # the rows were moved or replaced in between: try again
                continue
            if restored or not isinstance(missing, RestorableRowsError):
                raise missing
            restored = True
            try:
                self._restore()
            except LibraryError:
                if self._writable:  # writing after missing rows would leave a gap
                    raise
                derive = True  # a read-only library, or another process is writing

    def _restore(self) -> None:
        """Write files again that are missing and can be computed from others. Raises LibraryError."""
        with ExitStack() as opened:
            if not self._writable:
                opened.enter_context(writer_lock(self.path))
            with self.catalog.snapshot():
                store = self._open_store(Place.of(self.catalog), writable=True)
                opened.callback(store.close)
                for space in self.catalog.spaces():
                    store.restore(space.level, space.full_name, space.dim, space.committed)

    def refresh(self) -> None:
        """Let `store` and `arrays` be those of the catalogue as it is now."""
        with self.snapshot():
            pass

    def _store_of(self, place: Place) -> Store:
        return self._open_store(place, writable=self._writable)

    def _open_store(self, place: Place, *, writable: bool) -> Store:
        return open_rows(self.path, place, writable=writable, threads=self._threads)

    @property
    def store(self) -> Store:
        """The rows: those of this thread's snapshot, or the newest seen. Raises LibraryError after `close`."""
        return (self._active.view or self._views.newest).store

    @property
    def arrays(self) -> SnapshotArrays:
        """What is computed from the rows. To be used inside `snapshot`. Raises LibraryError after `close`."""
        return (self._active.view or self._views.newest).arrays

    def close(self) -> None:
        """Close all files and release the lock of the writer. Closing twice does no harm.

        Threads that are inside `snapshot` can finish; the files that they read are closed when they leave it.
        """
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Models -----------------------------------------------------------------------------------------------------

    def model(self, name: str | None = None) -> Model:
        """The model to search with.

        Args:
            name: The name or folder of a model; None takes the default model if the library holds it, else the one
                that was added first.

        Raises:
            LibraryError: The library is empty.
            ModelError: The library does not hold the model or holds another version of it, or the model was removed.
        """
        return find_held(self.path, name, self.catalog.models())

    def spaces(self, model: str | None, names: Iterable[str]) -> SearchSpaces:
        """The spaces of a request: those of its model, and those of other models that it names.

        Raises:
            UsageError: Several models have a space of a name.
            LibraryError, ModelError: See `model`.
        """

        def held() -> dict[str, list[str]]:
            return spaces_of_models(self.catalog.models(), self.catalog.spaces())

        return SearchSpaces.find(self.model(model), names, held, self.model)

    # Searching --------------------------------------------------------------------------------------------------

    def subject(self, path: Path, model: Spaces, start: float | None = None, end: float | None = None) -> Subject:
        """Encode a file, or a region of it in seconds; see `subjects`."""
        return Subject.joined(model, self.subjects(path, model.models, start, end))

    def subjects(
        self, path: Path, models: Sequence[Model], start: float | None = None, end: float | None = None
    ) -> list[Subject]:
        """Encode a file, or a region of it in seconds, with each of some models.

        Rows that the library holds of a whole file are not made again.

        Raises:
            AudioError: The file cannot be read.
        """
        path = absolute(path)
        with self.snapshot():
            own = self.catalog.track_at(path)
            # If the file has changed since, its stored rows are of other audio; the track is still the query's own.
            known = own if own is not None and is_current(own) else None
            words = self.catalog.fingerprints.get(known.id) if known else None
            found: dict[str, Subject] = {}
            if known and words is not None and start is None and end is None:
                stored = [one for one in models if self._has_rows(known, one)]
                found = {one.name: Subject.of_track(known, self._rows_of(known, one), words) for one in stored}
            rest = [one for one in models if one.name not in found]
            for one, encoding in zip(rest, encode_with(rest, path, start=start or 0.0, end=end), strict=True):
                found[one.name] = Subject.of_encoding(path, encoding, one.name, own, known, words)
            return [found[one.name] for one in models]

    def _has_rows(self, track: Track, model: Model) -> bool:
        return self.catalog.is_encoded(track.id, model.name) and not self._is_corrupt(track, model)

    def _rows_of(self, track: Track, model: Model) -> LevelRows:
        places = {level: self.catalog.rows_of(track.id, level) for level in LEVELS}
        return {
            level: self.rows(model.spaces, level, np.arange(first, first + count))
            for level, (first, count) in places.items()
        }

    def rows(self, spaces: Iterable[Space], level: Level, positions: IntArray) -> dict[str, FloatArray]:
        """The rows (m, d) of each space, by short name, at `positions` (m,)."""
        return {s.name: self.store.read(level, s.full_name, s.dim, positions) for s in spaces}

    def candidates(self, model: Spaces, level: Level, where: Filter, artists: Collection[str] = ()) -> Candidates:
        """The tracks that meet a filter, without those of some artists and on disks that are not mounted.

        Of several models, the tracks that all of them encoded. Single files that are not there are left out later
        (`find_absent`). To be used inside `snapshot`.
        """
        table, groups = self.arrays.table(model.name, level), self.arrays.groups(model.name, level)
        wanted = self._meeting(table[:, 2], where, artists)
        lacking = {name: self._meeting(ids, where, artists) for name, ids in self.arrays.not_encoded(model).items()}
        counts = {name: int(np.count_nonzero(met)) for name, met in lacking.items() if met.any()}
        return Candidates(table, groups, None if wanted.all() else wanted, counts)

    def _meeting(self, ids: IntArray, where: Filter, artists: Collection[str]) -> BoolArray:
        """Which tracks (n,) meet a filter, are by none of some artists, and on disks that are mounted."""
        met = np.ones(len(ids), np.bool_)
        if where != Filter() or artists:
            met = self.arrays.columns().select(ids, where, exclude_artists=artists)
        if away := list(self.absent_roots()):
            met = met & ~np.isin(self.arrays.root_ids(ids), away)
        return met

    def absent_roots(self) -> dict[int, Path]:
        """The folders from which tracks were indexed and that are gone or empty, by id; none if there are very many."""
        roots = self.catalog.paths.roots()
        if len(roots) > _MANY_ROOTS:
            return {}
        return {number: root for number, root in roots.items() if not folder_is_there(root)}

    def find_absent(self, ids: IntArray) -> BoolArray:
        """Which of the tracks with these ids (m,) have files that are not there at this moment."""
        absent = np.zeros(len(ids), np.bool_)
        for first in range(0, len(ids), _PART):
            part = slice(first, first + _PART)
            absent[part] = [not is_there(path) for path in self.catalog.paths.of(ids[part].tolist())]
        return absent

    def find_corrupt(self, model: Spaces, level: Level, rows: IntArray, ids: IntArray) -> BoolArray:
        """Which matches (m,), given their rows and the ids of their tracks, fail a checksum."""
        corrupt = np.isin(ids, self.catalog.database.corrupt_tracks(ids.tolist()))
        for space in model.spaces:
            corrupt |= self.store.corrupt(level, space.full_name, space.dim, rows)
        return corrupt

    def _is_corrupt(self, track: Track, model: Spaces) -> bool:
        """Whether any row or the entry of a track fails its checksum."""
        for level in LEVELS:
            first, count = self.catalog.rows_of(track.id, level)
            if self.find_corrupt(model, level, np.arange(first, first + count), np.array([track.id] * count)).any():
                return True
        return False

    def reference(self, model: Spaces, level: Level) -> Reference:
        """See `SnapshotArrays.reference`."""
        with self.snapshot():
            return self.arrays.reference(model, level)

    # Everything ------------------------------------------------------------------------------------------------

    def vectors(self, level: Level = "passage", model: str | None = None) -> Vectors:
        """All rows of all available tracks, sorted by path and start, under short space names."""
        parts = list(self.parts(level, model))
        rows = {name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows}
        return Vectors(tuple(span for part in parts for span in part.spans), rows, parts[0].digest)

    def parts(self, level: Level = "passage", model: str | None = None) -> Generator[Vectors, None, None]:
        """Yield what `vectors` returns, some thousand rows at a time, from one snapshot; at least one part.

        Use the generator in one thread, and `close` it if it is left before its end.

        Raises:
            LibraryError: Rows are corrupt.
        """
        with self.snapshot():
            chosen = self.model(model)
            tracks = {track.id: track for track in self.catalog.tracks()}
            groups = self.arrays.table(chosen.name, level)
            groups = groups[sorted(range(len(groups)), key=lambda n: str(tracks[int(groups[n, 2])].path))]
            for part in runs(groups[:, 1], _PART) or [slice(0)]:
                spans: list[Span] = []
                for _, count, track_id in groups[part].tolist():
                    spans += [span_of(tracks[track_id], level, n) for n in range(count)]
                positions = positions_of(groups[part])
                rows = {s.name: read_verified(self.store, level, s.full_name, s.dim, positions) for s in chosen.spaces}
                yield Vectors(tuple(spans), rows, chosen.recipe.digest)

    def info(self) -> dict[str, object]:
        """Numbers about the library: tracks, models, stored features, sizes in bytes."""
        size = size_of(self.path)
        with self.snapshot():
            models = []
            for name in self.catalog.models():
                groups = {level: self.arrays.table(name, level) for level in LEVELS}
                models.append(
                    {"name": name, "tracks": len(groups["track"]), "passages": int(groups["passage"][:, 1].sum())}
                )
            features = [asdict(cost) for cost in feature_costs(self.catalog)]
            return {
                "path": str(self.path), "format": FORMAT, "bytes": size, **self.catalog.counts(), "models": models,
                "features": features,
            }  # fmt: skip


def span_of(track: Track, level: Level, index: int) -> Span:
    """The span of a track that its row number `index` at a level describes."""
    if level == "track":
        return Span(str(track.path), 0.0, track.duration)
    return Span(str(track.path), index * HOP, min(index * HOP + WINDOW, track.duration))


def is_current(track: Track) -> bool:
    """Whether the file of a track is there, with the size and time it had. Objects of stores count as unchanged."""
    try:
        status = track.path.stat()
    except OSError:
        return is_remote(track.path)
    return (status.st_size, status.st_mtime_ns) == (track.size, track.mtime_ns)
