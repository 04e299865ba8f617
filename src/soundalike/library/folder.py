"""A library: a folder that holds a catalogue and vectors, and answers questions about what sounds alike."""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np

from soundalike.audio import HOP, WINDOW, is_artist
from soundalike.core import plugins
from soundalike.core.errors import LibraryError, ModelError
from soundalike.core.files import absolute, foreign_files, size_of
from soundalike.core.types import LEVELS, BoolArray, FloatArray, IntArray, Level, Space, Span, Vectors
from soundalike.library.catalog.catalog import Catalog
from soundalike.library.catalog.filters import Filter
from soundalike.library.catalog.schema import CATALOG_FILES, FORMAT
from soundalike.library.catalog.track import Track
from soundalike.library.held_models import load_held
from soundalike.library.kept_features import feature_costs
from soundalike.library.migrations import migrate
from soundalike.library.presence import folder_is_there, is_there
from soundalike.library.snapshot_arrays import SnapshotArrays
from soundalike.library.stores.base import RestorableRowsError, Store, read_verified
from soundalike.library.stores.row_groups import positions_of, runs
from soundalike.library.subject import Candidates, Subject, describe_file
from soundalike.library.views import Place, SharedViews, View
from soundalike.library.writer_lock import writer_lock
from soundalike.models import DEFAULT_MODEL, Model, Reference, load_once

__all__ = [
    "Candidates",
    "LibraryFolder",
    "Subject",
    "is_current",
    "rows_folder",
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
        store: Store = plugins.load(
            "stores",
            "flat",
            folder=rows_folder(self.path, place.epoch),
            editions=place.editions,
            writable=writable,
            threads=self._threads,
        )
        return store

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
            name: The name or folder of a model; None takes the default model if the library holds it, else the first.

        Raises:
            LibraryError: The library is empty.
            ModelError: The library does not hold the model or holds another version of it, or the model was removed.
        """
        held = self.catalog.models()
        if not held:
            raise LibraryError(f"the library at {self.path} is empty; fill it with: soundalike index DIR")
        chosen = name if name is not None else (DEFAULT_MODEL if DEFAULT_MODEL in held else next(iter(held)))
        # A model that was given by its folder is held under the name in its recipe.
        model = load_held(self.path, chosen, held[chosen]) if chosen in held else load_once(chosen)
        if model.name not in held:
            raise ModelError(
                f"the library at {self.path} holds {', '.join(held)}, not {model.name}; "
                f"ask with --model {next(iter(held))}, or add it with: soundalike index --model {chosen} DIR"
            )
        if held[model.name].digest != model.recipe.digest:
            raise ModelError(
                f"the library at {self.path} was encoded by another version of {model.name}; "
                "encode it again with: soundalike index DIR"
            )
        return model

    # Searching --------------------------------------------------------------------------------------------------

    def subject(self, path: Path, model: Model, start: float | None = None, end: float | None = None) -> Subject:
        """Encode a file, or a region of it in seconds. A whole file that the library holds is not decoded again.

        Raises:
            AudioError: The file cannot be read.
        """
        path = absolute(path)
        with self.snapshot():
            own = self.catalog.track_at(path)
            # If the file has changed since, its stored rows are of other audio; the track is still the query's own.
            known = own if own is not None and is_current(own) else None
            whole = start is None and end is None
            if known and whole and self.catalog.is_encoded(known.id, model.name) and not self._is_corrupt(known, model):
                track = self._rows_of(known, model, "track")
                return Subject(
                    span=Span(str(path), 0.0, known.duration),
                    passages=self._rows_of(known, model, "passage"),
                    track={name: rows[0] for name, rows in track.items()},
                    audio_hash=known.audio_hash,
                    fingerprint=self.catalog.fingerprints.get(known.id),
                    artists=tuple(filter(is_artist, known.artists)),
                    own=own,
                    warning=known.warning,
                    description=known,
                )
            encoding = model.encode(path, start=start or 0.0, end=end)
            description = known or describe_file(path, encoding, model.name)
            return Subject(
                span=encoding.track.spans[0],
                passages=encoding.passages.rows,
                track={name: rows[0] for name, rows in encoding.track.rows.items()},
                audio_hash=known.audio_hash if known else encoding.info.audio_hash,
                fingerprint=self.catalog.fingerprints.get(known.id) if known else encoding.fingerprint,
                artists=tuple(filter(is_artist, description.artists)),
                own=own,
                warning=encoding.warning,
                description=description,
            )

    def _rows_of(self, track: Track, model: Model, level: Level) -> dict[str, FloatArray]:
        first, count = self.catalog.rows_of(track.id, level)
        return self.rows(model.spaces, level, np.arange(first, first + count))

    def rows(self, spaces: Iterable[Space], level: Level, positions: IntArray) -> dict[str, FloatArray]:
        """The rows (m, d) of each space, by short name, at `positions` (m,)."""
        return {s.name: self.store.read(level, s.full_name, s.dim, positions) for s in spaces}

    def candidates(self, model: Model, level: Level, where: Filter, artists: Collection[str] = ()) -> Candidates:
        """The tracks that meet a filter, without those of some artists and on disks that are not mounted.

        Single files that are not there are left out later (`find_absent`). To be used inside `snapshot`.
        """
        table, groups = self.arrays.table(model.name, level), self.arrays.groups(model.name, level)
        wanted = np.ones(len(table), np.bool_)
        if where != Filter() or artists:
            wanted = self.arrays.columns().select(table[:, 2], where, exclude_artists=artists)
        if away := list(self.absent_roots()):
            wanted = wanted & ~np.isin(self.arrays.root_ids(table[:, 2]), away)
        return Candidates(table, groups, None if wanted.all() else wanted)

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

    def find_corrupt(self, model: Model, level: Level, rows: IntArray, ids: IntArray) -> BoolArray:
        """Which matches (m,), given their rows and the ids of their tracks, fail a checksum."""
        corrupt = np.isin(ids, self.catalog.database.corrupt_tracks(ids.tolist()))
        for space in model.spaces:
            corrupt |= self.store.corrupt(level, space.full_name, space.dim, rows)
        return corrupt

    def _is_corrupt(self, track: Track, model: Model) -> bool:
        """Whether any row or the entry of a track fails its checksum."""
        for level in LEVELS:
            first, count = self.catalog.rows_of(track.id, level)
            if self.find_corrupt(model, level, np.arange(first, first + count), np.array([track.id] * count)).any():
                return True
        return False

    def reference(self, model: Model, level: Level) -> Reference:
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


def rows_folder(path: Path, epoch: int) -> Path:
    """The folder with the rows of an epoch: the library itself at first, then one of their own."""
    return path / f"rows.{epoch}" if epoch else path


def span_of(track: Track, level: Level, index: int) -> Span:
    """The span of a track that its row number `index` at a level describes."""
    if level == "track":
        return Span(str(track.path), 0.0, track.duration)
    return Span(str(track.path), index * HOP, min(index * HOP + WINDOW, track.duration))


def is_current(track: Track) -> bool:
    """Whether the file of a track exists and has the size and modification time that it had when it was indexed."""
    try:
        status = track.path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (track.size, track.mtime_ns)
