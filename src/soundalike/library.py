"""A library: a folder that holds a catalogue and vectors, and answers questions about what sounds alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

import numpy as np

from soundalike import registry
from soundalike.audio import HOP, WINDOW
from soundalike.catalog import Catalog, Track
from soundalike.database import FORMAT, take_lock
from soundalike.errors import AudioError, LibraryBusyError, LibraryError, ModelError, UsageError
from soundalike.examples import Question, resolve_examples
from soundalike.files import absolute
from soundalike.filters import Filter
from soundalike.fingerprint import same_recording
from soundalike.holdings import Holdings
from soundalike.hubness import CORRECTIONS, RESCORED
from soundalike.migrations import migrate
from soundalike.model import Model
from soundalike.queries import Candidates, Example, Query, Result, Subject
from soundalike.score import Quantiles
from soundalike.spaces import DEFAULT_MODEL
from soundalike.stores import Hits, Store
from soundalike.tags import read_tags
from soundalike.types import LEVELS, BoolArray, FloatArray, IntArray, Level, Match, Space, Span, Vectors, Weights

__all__ = ["Candidates", "Example", "Library", "Query", "Result", "Subject", "is_current", "rows_folder"]

SHORT = 30.0
"""A query under this many seconds is looked for among passages."""


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
            self.store = self._open_store()
            opened.callback(lambda: self.store.close())  # whichever it is by then
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

    def _open_store(self) -> Store:
        """The rows of this epoch. Raises LibraryError if some are not there."""
        self._epoch = self.catalog.epoch
        folder = rows_folder(self.path, self._epoch)
        return self._hold(
            registry.load("stores", "flat", folder=folder, writable=self._writable, threads=self._threads)
        )

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment: the catalogue, and the rows it speaks of."""
        while True:
            with self.catalog.snapshot():
                epoch = self.catalog.epoch
                try:
                    if self.catalog.generation != self._checked:
                        before = self.store
                        self.store = self._open_store() if epoch != self._epoch else self._hold(self.store)
                        if before is not self.store:
                            before.close()
                except LibraryError as error:
                    missing = error
                else:
                    yield
                    return
            if self.catalog.epoch == epoch:  # else they were written anew between our looking here and there
                raise missing

    def _hold(self, store: Store) -> Store:
        """The store, with all rows that are committed by now in its hands."""
        for space, level, dim, rows in self.catalog.spaces():
            store.check(level, space, dim, rows)
        self._checked = self.catalog.generation
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
        return self._rows(model.spaces, level, np.arange(first, first + count))

    def _rows(self, spaces: Iterable[Space], level: Level, positions: IntArray) -> dict[str, FloatArray]:
        return {s.name: self.store.read(level, s.full_name, s.dim, positions) for s in spaces}

    def search(self, query: Query, *heard: Subject) -> Result:
        """The k tracks (or best passages of tracks) most like a query. Raises UsageError, AudioError, ModelError.

        Whoever asks again with other weights hands in what was `heard` the first time, of the query and of each of its
        examples, and nothing is encoded again. With a correction of hubness the best 2,000 tracks by the law (or twice
        as many as are asked for) are scored anew: in a library of no more, the answer is exact.
        """
        if query.k < 1:
            raise UsageError(f"asked for {query.k} matches; ask for at least 1")
        if query.hubness not in CORRECTIONS:
            raise UsageError(f"unknown correction of hubness {query.hubness!r}; known: {', '.join(CORRECTIONS)}")
        with self.snapshot():
            return self._search(query, heard)

    def _search(self, query: Query, heard: Sequence[Subject]) -> Result:
        model = self.model(query.model)
        examples = resolve_examples(query, model.spaces)
        subjects = heard or self._hear(query, model)
        question = self._question(query, model, examples, subjects)
        level, query_span = question.level, subjects[0].span
        likes = [subject for example, subject in zip(examples, subjects, strict=True) if example.like]
        artists = tuple(dict.fromkeys(subject.artist for subject in likes if subject.artist))
        candidates = self.candidates(model, level, query.where, artists if query.exclude_same_artist else ())
        table = candidates.table
        own = set() if query.include_self else {subject.own.id for subject in subjects if subject.own}
        matches: list[Match] = []
        copies: list[str] = []
        damaged: list[str] = []
        tracks: dict[str, Track] = {}
        k = query.k + len(own)
        anew = self._scored_anew(question, candidates, max(RESCORED, 2 * k))
        checked = 0
        # Copies of the examples are folded away before the list is cut: ask for more until k are left.
        while True:
            hits = anew.first(k) if anew else self._best(question, candidates, k)
            spoiled = self.spoiled(model, level, hits.row[checked:], table[hits.group[checked:], 2])
            for group, row, bad in zip(hits.group[checked:], hits.row[checked:], spoiled, strict=True):
                if len(matches) == query.k:
                    break
                if table[group, 2] in own:
                    continue
                track = self._track(int(table[group, 2]))
                if bad:
                    damaged.append(str(track.path))
                    continue
                if not query.include_self and any(self._is_copy(subject, track) for subject in subjects):
                    copies.append(str(track.path))
                    continue
                span = _span(track, level, int(row - table[group, 0]))
                found = {name: rows[0] for name, rows in self._rows(model.spaces, level, np.array([row])).items()}
                matches.append(question.match(span, query_span, int(row), found, self.quantiles(model, level)))
                tracks[span.track] = track
            checked = len(hits.group)
            if len(matches) == query.k or checked < k:
                break
            k += query.k + len(copies) + len(damaged)
        return Result(
            query_span, level, model.name, Weights(examples[0].weights or {}), tuple(matches), tracks, tuple(copies),
            candidates.count(own), artists, examples if query.examples else (), query.hubness, tuple(damaged),
        )  # fmt: skip

    def _best(self, question: Question, candidates: Candidates, k: int) -> Hits:
        return self.store.search(question.level, question.terms, candidates.groups, k, candidates.wanted)

    def _scored_anew(self, question: Question, candidates: Candidates, k: int) -> Hits | None:
        """The k best by the law in the order of mutual proximity; None where it was not asked for."""
        if question.background is None:
            return None
        hits = self._best(question, candidates, k)
        return question.corrected(hits, self._rows([term.space for term in question.terms], question.level, hits.row))

    def _hear(self, query: Query, model: Model) -> list[Subject]:
        """What a query and its examples sound like; errors name the file."""
        regions = [(query.path, query.start, query.end), *((example.path, None, None) for example in query.examples)]
        subjects = []
        for path, start, end in regions:
            try:
                subjects.append(self.subject(path, model, start, end))
            except AudioError as error:
                raise AudioError(f"{path}: {error}") from error
        return subjects

    def _question(
        self, query: Query, model: Model, examples: Sequence[Example], subjects: Sequence[Subject]
    ) -> Question:
        """Passages are asked about if any example is short, or the query is a region."""
        region = query.start is not None or query.end is not None
        short = any(subject.span.end - subject.span.start < SHORT for subject in subjects)
        level: Level = query.by or ("passage" if region or short else "track")
        if query.hubness == "none":
            return Question.of(model.spaces, level, examples, subjects, [-1] * len(subjects))
        if level != "track":
            raise UsageError(
                f"{query.hubness} is for whole tracks, and passages are asked about; ask with --by track, or without it"
            )
        own = [self._position(subject, model) for subject in subjects]
        return Question.of(model.spaces, level, examples, subjects, own, self.holdings.background(model))

    def _position(self, subject: Subject, model: Model) -> int:
        """Where the row of a whole recording lies; -1 if the library has none, or one of something else by now."""
        if subject.own is None or not self.catalog.is_encoded(subject.own.id, model.name):
            return -1
        position, _ = self.catalog.rows_of(subject.own.id, "track")
        held = self._rows(model.spaces, "track", np.array([position]))
        return position if all(np.array_equal(held[name][0], row) for name, row in subject.track.items()) else -1

    def candidates(self, model: Model, level: Level, where: Filter, artists: Collection[str] = ()) -> Candidates:
        """What there is to search, inside `snapshot`; with a filter, and without some artists' tracks."""
        table, groups = self.holdings.table(model.name, level), self.holdings.groups(model.name, level)
        if where == Filter() and not artists:
            return Candidates(table, groups)
        wanted = self.holdings.columns().among(table[:, 2], where, exclude_artists=artists)
        return Candidates(table, groups, wanted)

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

    def _track(self, track_id: int) -> Track:
        return self.catalog.tracks("tracks.id = ?", (track_id,))[0]

    def _is_copy(self, subject: Subject, track: Track) -> bool:
        """The same sound or the same recording as the query: never for being alike."""
        if subject.audio_hash == track.audio_hash:
            return True
        return same_recording(subject.fingerprint, self.catalog.fingerprint(track.id))

    def quantiles(self, model: Model, level: Level) -> Quantiles | None:
        """See `Holdings.quantiles`."""
        return self.holdings.quantiles(model, level)

    # The whole of it --------------------------------------------------------------------------------------------

    def vectors(self, level: Level = "passage", model: str | None = None) -> Vectors:
        """Every row of every track that is there, by path and start. Short space names."""
        with self.snapshot():
            chosen = self.model(model)
            tracks = {track.id: track for track in self.catalog.tracks()}
            entries = []
            for first, count, track_id in self.catalog.groups(chosen.name, level).tolist():
                entries += [(_span(tracks[track_id], level, n), first + n) for n in range(count)]
            entries.sort()
            positions = np.array([row for _, row in entries], dtype=np.int64)
            rows = {s.name: self.store.read(level, s.full_name, s.dim, positions) for s in chosen.spaces}
        return Vectors(tuple(span for span, _ in entries), rows, chosen.recipe.digest)

    def info(self) -> dict[str, object]:
        """Numbers about the library, for people and machines."""
        size = sum(file.stat().st_size for file in self.path.rglob("*") if file.is_file())
        with self.snapshot():
            models = []
            for name in self.catalog.models():
                groups = {level: self.catalog.groups(name, level) for level in LEVELS}
                models.append(
                    {"name": name, "tracks": len(groups["track"]), "passages": int(groups["passage"][:, 1].sum())}
                )
            return {"path": str(self.path), "format": FORMAT, "bytes": size, **self.catalog.counts(), "models": models}


def rows_folder(path: Path, epoch: int) -> Path:
    """Where the rows of an epoch lie: at first in the library's folder itself, then in one of their own."""
    return path / f"rows.{epoch}" if epoch else path


def _span(track: Track, level: Level, index: int) -> Span:
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
