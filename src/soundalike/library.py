"""A library: a folder that holds a catalogue and vectors, and answers questions about what sounds alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Self

import numpy as np

from soundalike import registry
from soundalike.audio import HOP, WINDOW
from soundalike.catalog import Catalog, Track
from soundalike.database import FORMAT, take_lock
from soundalike.errors import LibraryBusyError, LibraryError, ModelError
from soundalike.features import feature_costs
from soundalike.files import absolute, size_of
from soundalike.filters import Filter
from soundalike.groups import positions_of, runs
from soundalike.holdings import Holdings
from soundalike.migrations import migrate
from soundalike.model import Model
from soundalike.queries import Candidates, Example, Query, Result, Subject
from soundalike.score import Quantiles
from soundalike.spaces import DEFAULT_MODEL
from soundalike.stores import Store, read_whole
from soundalike.tags import read_tags
from soundalike.types import LEVELS, BoolArray, FloatArray, IntArray, Level, Space, Span, Vectors

__all__ = ["Candidates", "Example", "Library", "Query", "Result", "Subject", "is_current", "rows_folder", "span_of"]

SHORT = 30.0
"""A query under this many seconds is looked for among passages."""
_PART = 8192
"""Rows that `parts` gives at a time, about."""


class Library:
    """Open a library with `Library(path)`, or `Library.create(path)`; close it when done, or use `with`."""

    def __init__(self, path: Path, *, writable: bool = False, threads: int = 1) -> None:
        """Open a library; one that is opened for writing is made first if there is none (see `create`).

        A search uses so many threads. Raises LibraryError, or LibraryBusyError if another process is writing to it.
        """
        self.path = path
        self._writable, self._threads = writable, threads
        # Whatever fails on the way, nothing stays open, the lock least of all.
        with ExitStack() as opened:
            if writable:
                opened.callback(_take_lock(path).close)
            self.catalog = Catalog(path / "catalog.sqlite", writable=writable, create=writable)
            if self.catalog.format < FORMAT:
                self.catalog.close()
                migrate(path)
                self.catalog = Catalog(path / "catalog.sqlite", writable=writable, create=False)
            opened.callback(self.catalog.close)
            self._epoch = self._checked = -1
            self.store: Store = self._store_of(0)
            opened.callback(lambda: self.store.close())  # whichever it is by then
            with self.snapshot():
                self._opened = opened.pop_all()
        self.holdings = Holdings(path, self.catalog, lambda: self.store)
        self._models: dict[str, Model] = {}

    @classmethod
    def create(cls, path: Path) -> Self:
        """Open a library for writing, making it first if there is none. Raises LibraryError."""
        try:
            path.mkdir(parents=True, exist_ok=True)
            strangers = [file.name for file in path.iterdir() if not file.name.startswith(("catalog.", "writer."))]
            if strangers and not (path / "catalog.sqlite").exists():
                raise LibraryError(
                    f"{path} is not empty and holds no library; give an empty or new folder to --library"
                )
        except OSError as error:
            raise LibraryError(f"cannot make a library at {path}: {error.strerror}; give another --library") from error
        return cls(path, writable=True)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment: the catalogue, and the rows it speaks of.

        Raises LibraryError if some of these rows are not there.
        """
        while True:
            with self.catalog.snapshot():
                epoch = self.catalog.epoch
                try:
                    self._take_rows(epoch)
                except LibraryError as error:
                    missing = error
                else:
                    yield
                    return
            if self.catalog.epoch == epoch:  # else they were written anew between our looking here and there
                raise missing

    def _take_rows(self, epoch: int) -> None:
        """Hold all rows that are committed by now, so that nobody can delete them under us."""
        generation = self.catalog.generation
        if generation == self._checked:
            return
        if epoch != self._epoch:
            self.store.close()
            self.store = self._store_of(epoch)
            self._epoch = epoch
        for space, level, dim, rows in self.catalog.spaces():
            self.store.check(level, space, dim, rows)
        self._checked = generation

    def _store_of(self, epoch: int) -> Store:
        folder = rows_folder(self.path, epoch)
        store: Store = registry.load("stores", "flat", folder=folder, writable=self._writable, threads=self._threads)
        return store

    def close(self) -> None:
        """Close its files and let others write."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Models -----------------------------------------------------------------------------------------------------

    def model(self, name: str | None = None) -> Model:
        """The model to ask with: `name`, or the default one if it is held, or the only one. Raises ModelError."""
        held = self.catalog.models()
        if not held:
            raise LibraryError(f"the library at {self.path} is empty; fill it with: soundalike index DIR")
        chosen = name if name is not None else (DEFAULT_MODEL if DEFAULT_MODEL in held else next(iter(held)))
        if chosen not in self._models:
            # A model that was given by its folder is held under the name its recipe gives.
            self._models[chosen] = Model.load(held[chosen].source if chosen in held else chosen)
        model = self._models[chosen]
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

    # Questions --------------------------------------------------------------------------------------------------

    def subject(self, path: Path, model: Model, start: float | None = None, end: float | None = None) -> Subject:
        """Listen to a file, or to a region of it; a whole file that the library has heard is not decoded again.

        Raises AudioError.
        """
        path = absolute(path)
        own = self.catalog.track_at(path)
        # What the library knows of a file that has changed since is of another sound; it is still the query's own line.
        known = own if own is not None and is_current(own) else None
        whole = start is None and end is None
        if known and whole and self.catalog.is_encoded(known.id, model.name) and not self._is_damaged(known, model):
            track = self._rows_of(known, model, "track")
            return Subject(
                span=Span(str(path), 0.0, known.duration),
                passages=self._rows_of(known, model, "passage"),
                track={name: rows[0] for name, rows in track.items()},
                audio_hash=known.audio_hash,
                fingerprint=self.catalog.fingerprint(known.id),
                artist=known.artist,
                own=own,
            )
        encoding = model.encode(path, start=start or 0.0, end=end)
        artist = known.artist if known else read_tags(path).artist
        return Subject(
            span=encoding.track.spans[0],
            passages=encoding.passages.rows,
            track={name: rows[0] for name, rows in encoding.track.rows.items()},
            audio_hash=known.audio_hash if known else encoding.info.audio_hash,
            fingerprint=self.catalog.fingerprint(known.id) if known else encoding.fingerprint,
            artist=artist,
            own=own,
        )

    def _rows_of(self, track: Track, model: Model, level: Level) -> dict[str, FloatArray]:
        first, count = self.catalog.rows_of(track.id, level)
        return self.rows(model.spaces, level, np.arange(first, first + count))

    def rows(self, spaces: Iterable[Space], level: Level, positions: IntArray) -> dict[str, FloatArray]:
        """The rows (m, d) of each space, by short name, at `positions` (m,)."""
        return {s.name: self.store.read(level, s.full_name, s.dim, positions) for s in spaces}

    def search(self, query: Query, *heard: Subject) -> Result:
        """The k tracks (or best passages of tracks) most like a query. Raises UsageError, AudioError, ModelError.

        Whoever asks again with other weights hands in what was `heard` the first time, of the query and of each of its
        examples, and nothing is encoded again. With a correction of hubness the best 2,000 tracks by the law (or twice
        as many as are asked for) are scored anew: in a library of no more, the answer is exact.
        """
        from soundalike.searching import Search

        with self.snapshot():
            return Search(self, query, heard).answer()

    def candidates(self, model: Model, level: Level, where: Filter, artists: Collection[str] = ()) -> Candidates:
        """What there is to search, inside `snapshot`; with a filter, and without some artists' tracks."""
        table, groups = self.holdings.table(model.name, level), self.holdings.groups(model.name, level)
        if where == Filter() and not artists:
            return Candidates(table, groups)
        wanted = self.holdings.columns().among(table[:, 2], where, exclude_artists=artists)
        return Candidates(table, groups, None if wanted.all() else wanted)

    def spoiled(self, model: Model, level: Level, rows: IntArray, ids: IntArray) -> BoolArray:
        """Which answers, each a row and its track's id (m,), are not what was written, by their checksums."""
        damaged = np.isin(ids, self.catalog.damaged_tracks(ids.tolist()))
        for space in model.spaces:
            damaged |= self.store.damaged(level, space.full_name, space.dim, rows)
        return damaged

    def _is_damaged(self, track: Track, model: Model) -> bool:
        """Whether anything the library knows of a track's sound is not what was written."""
        for level in LEVELS:
            first, count = self.catalog.rows_of(track.id, level)
            if self.spoiled(model, level, np.arange(first, first + count), np.array([track.id] * count)).any():
                return True
        return False

    def quantiles(self, model: Model, level: Level) -> Quantiles | None:
        """See `Holdings.quantiles`."""
        return self.holdings.quantiles(model, level)

    # The whole of it --------------------------------------------------------------------------------------------

    def vectors(self, level: Level = "passage", model: str | None = None) -> Vectors:
        """Every row of every track that is there, by path and start. Short space names."""
        parts = list(self.parts(level, model))
        rows = {name: np.concatenate([part.rows[name] for part in parts]) for name in parts[0].rows}
        return Vectors(tuple(span for part in parts for span in part.spans), rows, parts[0].digest)

    def parts(self, level: Level = "passage", model: str | None = None) -> Generator[Vectors, None, None]:
        """What `vectors` gives, some thousand rows at a time and all of one moment; at least one part, maybe empty.

        Ask the library for nothing else meanwhile; `close` the generator if it is left before its end. Raises
        LibraryError at rows that are not what was written.
        """
        with self.snapshot():
            chosen = self.model(model)
            tracks = {track.id: track for track in self.catalog.tracks()}
            groups = self.holdings.table(chosen.name, level)
            groups = groups[sorted(range(len(groups)), key=lambda n: str(tracks[int(groups[n, 2])].path))]
            for part in runs(groups[:, 1], _PART) or [slice(0)]:
                spans: list[Span] = []
                for _, count, track_id in groups[part].tolist():
                    spans += [span_of(tracks[track_id], level, n) for n in range(count)]
                positions = positions_of(groups[part])
                rows = {s.name: read_whole(self.store, level, s.full_name, s.dim, positions) for s in chosen.spaces}
                yield Vectors(tuple(spans), rows, chosen.recipe.digest)

    def info(self) -> dict[str, object]:
        """Numbers about the library, for people and machines."""
        size = size_of(self.path)
        with self.snapshot():
            models = []
            for name in self.catalog.models():
                groups = {level: self.holdings.table(name, level) for level in LEVELS}
                models.append(
                    {"name": name, "tracks": len(groups["track"]), "passages": int(groups["passage"][:, 1].sum())}
                )
            features = [asdict(cost) for cost in feature_costs(self.catalog)]
            return {
                "path": str(self.path), "format": FORMAT, "bytes": size, **self.catalog.counts(), "models": models,
                "features": features,
            }  # fmt: skip


def rows_folder(path: Path, epoch: int) -> Path:
    """Where the rows of an epoch lie: at first in the library's folder itself, then in one of their own."""
    return path / f"rows.{epoch}" if epoch else path


def span_of(track: Track, level: Level, index: int) -> Span:
    """The stretch of a track that its row number `index` at a level stands for."""
    if level == "track":
        return Span(str(track.path), 0.0, track.duration)
    return Span(str(track.path), index * HOP, min(index * HOP + WINDOW, track.duration))


def is_current(track: Track) -> bool:
    """Whether the file of a track is there and still what it was, by size and modification time."""
    try:
        status = track.path.stat()
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (track.size, track.mtime_ns)


def _take_lock(path: Path) -> sqlite3.Connection:
    """Hold the right to write to the library until the connection closes, or the process ends in whatever way."""
    try:
        return take_lock(path / "writer.lock")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            raise LibraryBusyError(
                f"another process is writing to the library at {path}; wait until it is done"
            ) from error
        raise LibraryError(
            f"cannot write to the library at {path}: it is read-only or not yours; give another --library"
        ) from error
