"""A library: a folder that holds a catalogue and vectors, and answers questions about what sounds alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import numpy as np

from soundalike import registry
from soundalike.audio import HOP, WINDOW
from soundalike.catalog import Catalog, Track
from soundalike.database import FORMAT, take_lock
from soundalike.errors import LibraryBusyError, LibraryError, ModelError, UsageError
from soundalike.files import absolute
from soundalike.filters import Filter
from soundalike.fingerprint import Words, same_recording
from soundalike.kin import Kin
from soundalike.model import Model, mean_rows
from soundalike.score import Quantiles, explain, presence, query_terms
from soundalike.spaces import DEFAULT_MODEL, resolve_weights
from soundalike.stores import Store
from soundalike.tags import read_tags
from soundalike.types import LEVELS, FloatArray, IntArray, Level, Match, Span, Vectors, Weights

__all__ = ["Library", "Query", "Result", "Subject", "is_current"]

SHORT = 30.0
"""A query under this many seconds is looked for among passages."""
_OWN_QUANTILES_FROM = 200
_PAIRS = 2000


@dataclass(frozen=True, slots=True)
class Query:
    """A question. `start` and `end` in seconds choose a region; `by` None lets the query's length decide the level.

    With `collapse` only the best match of every version family is listed (`families.keep` made them).
    """

    path: Path
    start: float | None = None
    end: float | None = None
    weights: Mapping[str, float] | None = None
    by: Level | None = None
    k: int = 10
    where: Filter = field(default_factory=Filter)
    exclude_same_artist: bool = False
    include_self: bool = False
    model: str | None = None
    collapse: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What a query sounds like: rows by short space name, (n, d) a passage and (d,) for the whole."""

    span: Span
    passages: Mapping[str, FloatArray]
    track: Mapping[str, FloatArray]
    audio_hash: str
    fingerprint: Words
    artist: str | None
    own: Track | None


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """The answer to a query: matches best first, the copies of the query that were left out, and how it was asked.

    `versions` has, for the path of a match that stands for its family, the paths of the others; None if not collapsed.
    """

    query: Span
    level: Level
    model: str
    weights: Weights
    matches: tuple[Match, ...]
    tracks: Mapping[str, Track]
    copies: tuple[str, ...]
    searched: int
    artist: str | None
    versions: Mapping[str, tuple[str, ...]] | None = None


class Library:
    """Open a library with `Library(path)`, or `Library.create(path)`; close it when done, or use `with`."""

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        """Open a library; one that is opened for writing is made first if there is none (see `create`).

        Raises LibraryError, or LibraryBusyError if another process is writing to it.
        """
        self.path = path
        # Whatever fails on the way, nothing stays open, the lock least of all.
        with ExitStack() as opened:
            if writable:
                opened.callback(_take_lock(path).close)
            self.catalog = Catalog(path / "catalog.sqlite", writable=writable, create=writable)
            opened.callback(self.catalog.close)
            self.store: Store = registry.load("stores", "flat", folder=path, writable=writable)
            opened.callback(self.store.close)
            for space, level, dim, rows in self.catalog.spaces():
                self.store.check(level, space, dim, rows)
            self._opened = opened.pop_all()
        self._models: dict[str, Model] = {}
        self._generation: int | None = None
        self._groups: dict[tuple[str, Level], IntArray] = {}
        self._quantiles: dict[tuple[str, Level], Quantiles | None] = {}

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
        if known is not None and start is None and end is None and self.catalog.is_encoded(known.id, model.name):
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
        positions = np.arange(first, first + count)
        return {s.name: self.store.read(level, s.full_name, s.dim, positions) for s in model.spaces}

    def search(self, query: Query, subject: Subject | None = None) -> Result:
        """The k tracks (or best passages of tracks) most like a query. Raises UsageError, AudioError, ModelError.

        Whoever asks again with other weights hands in the `subject` of the first time, and nothing is encoded again.
        """
        if query.k < 1:
            raise UsageError(f"asked for {query.k} matches; ask for at least 1")
        with self.catalog.snapshot():
            model = self.model(query.model)
            weights = resolve_weights(query.weights, model.spaces)
            subject = subject or self.subject(query.path, model, query.start, query.end)
            region = query.start is not None or query.end is not None
            short = subject.span.end - subject.span.start < SHORT
            level: Level = query.by or ("passage" if region or short else "track")
            rows = subject.track if level == "track" else mean_rows(subject.passages)
            terms = query_terms(model.spaces, rows, weights, level)
            groups = self._held(model, level)
            artist = subject.artist if query.exclude_same_artist else None
            if query.where != Filter() or artist is not None:
                groups = groups[np.isin(groups[:, 2], self.catalog.select(query.where, exclude_artist=artist))]
            if not query.include_self and subject.own is not None:
                groups = groups[groups[:, 2] != subject.own.id]
            matches: list[Match] = []
            copies: list[str] = []
            tracks: dict[str, Track] = {}
            kin = Kin.of(self.catalog) if query.collapse else None
            k = query.k
            checked = 0
            # Copies of the query, and versions, are folded away before the list is cut: ask for more until k are left.
            while True:
                hits = self.store.search(level, terms, groups[:, :2], k)
                for group, row in zip(hits.group[checked:], hits.row[checked:], strict=True):
                    if len(matches) == query.k:
                        break
                    track = self._track(int(groups[group, 2]))
                    if not query.include_self and self._is_copy(subject, track):
                        copies.append(str(track.path))
                        continue
                    if kin is not None and not kin.is_first(track):
                        continue
                    span = _span(track, level, int(row - groups[group, 0]))
                    found = {
                        s.name: self.store.read(level, s.full_name, s.dim, np.array([row]))[0] for s in model.spaces
                    }
                    score, parts = explain(model.spaces, rows, found, weights, level, self.quantiles(model, level))
                    matches.append(Match(span, score, parts, query_span=subject.span))
                    tracks[span.track] = track
                checked = len(hits.group)
                if len(matches) == query.k or checked < k:
                    break
                k += query.k + checked - len(matches)
            versions = kin.others(groups[:, 2].tolist(), copies) if kin else None
        answer = (tuple(matches), tracks, tuple(copies))
        return Result(subject.span, level, model.name, weights, *answer, len(groups), subject.artist, versions)

    def _track(self, track_id: int) -> Track:
        return self.catalog.tracks("tracks.id = ?", (track_id,))[0]

    def _is_copy(self, subject: Subject, track: Track) -> bool:
        """The same sound or the same recording as the query: never for being alike."""
        if subject.audio_hash == track.audio_hash:
            return True
        return same_recording(subject.fingerprint, self.catalog.fingerprint(track.id))

    def _held(self, model: Model, level: Level) -> IntArray:
        """`Catalog.groups`, kept until the catalogue changes; nothing derived from an older one outlives it."""
        generation = self.catalog.generation
        if generation != self._generation:
            self._generation = generation
            self._groups.clear()
            self._quantiles.clear()
        key = (model.name, level)
        if key not in self._groups:
            self._groups[key] = self.catalog.groups(model.name, level)
        return self._groups[key]

    def quantiles(self, model: Model, level: Level) -> Quantiles | None:
        """Similarities of seeded random pairs of this library's own tracks; None where it holds fewer than 200.

        Tracks of the same sound count once, and spaces in which fewer than 200 of the pairs are audible are left out.
        """
        groups = self._held(model, level)
        key = (model.name, level)
        if key not in self._quantiles:
            different = groups[np.isin(groups[:, 2], self.catalog.one_of_each())]
            enough = len(different) >= _OWN_QUANTILES_FROM
            self._quantiles[key] = self._sample_pairs(model, level, different) if enough else None
        return self._quantiles[key]

    def _sample_pairs(self, model: Model, level: Level, groups: IntArray) -> Quantiles:
        random = np.random.default_rng(0)
        pairs = _PAIRS if level == "track" else _PAIRS // 4
        left = random.integers(len(groups), size=pairs)
        right = (left + random.integers(1, len(groups), size=pairs)) % len(groups)
        asked = groups[left, 0] + random.integers(groups[left, 1])
        starts = np.cumsum(groups[right, 1]) - groups[right, 1]
        answers = np.concatenate([np.arange(first, first + count) for first, count in groups[right, :2]])
        owner = np.repeat(np.arange(pairs), groups[right, 1])
        tables = {}
        for space in model.spaces:
            queries = self.store.read(level, space.full_name, space.dim, asked)
            rows = self.store.read(level, space.full_name, space.dim, answers)
            similarity = np.einsum("nd,nd->n", queries[owner], rows)
            similarity[~(presence(queries)[owner] & presence(rows))] = -np.inf
            best = np.maximum.reduceat(similarity, starts)
            heard = best[best > -np.inf]
            if len(heard) >= _OWN_QUANTILES_FROM:
                tables[space.name] = tuple(np.quantile(heard.astype(np.float64), np.linspace(0, 1, 101)).tolist())
        return tables

    # The whole of it --------------------------------------------------------------------------------------------

    def vectors(self, level: Level = "passage", model: str | None = None) -> Vectors:
        """Every row of every track that is there, by path and start. Short space names."""
        with self.catalog.snapshot():
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
        size = sum(file.stat().st_size for file in self.path.iterdir() if file.is_file())
        with self.catalog.snapshot():
            models = []
            for name in self.catalog.models():
                groups = {level: self.catalog.groups(name, level) for level in LEVELS}
                models.append(
                    {"name": name, "tracks": len(groups["track"]), "passages": int(groups["passage"][:, 1].sum())}
                )
            return {"path": str(self.path), "format": FORMAT, "bytes": size, **self.catalog.counts(), "models": models}


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
