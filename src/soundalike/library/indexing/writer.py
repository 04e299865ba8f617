"""Write what was heard into a library, in batches: rows first, then one transaction that declares them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from soundalike.audio import Tags
from soundalike.backbones import FeatureRows
from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.core.types import LEVELS, Level
from soundalike.library.catalog.catalog import Track
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.find_files import File
from soundalike.library.kept_features import KeptFeatures
from soundalike.models import Encoding, LevelRows, Model

__all__ = ["EncodeTask", "EncodedFile", "IndexReport", "Projected", "Writer"]

Projected: TypeAlias = Mapping[str, LevelRows]
"""Rows per model: what a worker brings back of kept features."""

_BATCH_TRACKS = 32
_BATCH_SECONDS = 0.5


@dataclass(slots=True)
class IndexReport:
    """What an `index` did. Paths with messages for what failed, paths for what is silent."""

    added: int = 0
    changed: int = 0
    reprojected: int = 0
    moved: int = 0
    copied: int = 0
    unchanged: int = 0
    missing: int = 0
    pruned: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    failed: list[tuple[str, str]] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EncodeTask:
    """A file to encode with these models; `track` is the line it has in the catalogue, if any.

    `keep` names the backbones whose features are to be kept, each of one of the models at least. Where the features of
    all the models' backbones were kept (`project`) and are well, `features` has them, and nothing is listened to.
    """

    file: File
    models: tuple[str, ...]
    track: Track | None
    same_sound: bool
    keep: tuple[str, ...] = ()
    project: bool = False
    features: Mapping[str, FeatureRows] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFile:
    """What a worker brings back: the file's digest and tags, an encoding per model, and the features to keep."""

    content_hash: str
    tags: Tags
    encodings: Mapping[str, Encoding]
    features: Mapping[str, FeatureRows]

    @property
    def first(self) -> Encoding:
        """Any of the encodings, for what is the same in all: the passages, the sound's own numbers."""
        return next(iter(self.encodings.values()))


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """Rows to write, per model, and the features to keep; without `heard` they come from features that were kept."""

    task: EncodeTask
    rows: Projected
    features: Mapping[str, FeatureRows]
    heard: EncodedFile | None

    def count(self, level: Level) -> int:
        """Rows at a level, the same in all spaces of all models."""
        return len(next(iter(next(iter(self.rows.values()))[level].values())))


class Writer:
    """Collects what came of tasks and writes it when enough has come together. Models by what to load them by."""

    def __init__(
        self, library: LibraryFolder, models: Mapping[str, Model], features: KeptFeatures, report: IndexReport
    ) -> None:
        self._catalog, self._store = library.catalog, library.store
        self._models, self._features, self._report = models, features, report
        self._done: list[_Entry] = []
        self._failed: list[tuple[EncodeTask, str]] = []
        self._flushed = time.monotonic()

    def take(self, task: EncodeTask, outcome: EncodedFile | Projected | SoundalikeError) -> None:
        """Note what came of a task. Raises errors that are not one file's."""
        if isinstance(outcome, AudioError):
            self._failed.append((task, str(outcome)))
            self._report.failed.append((str(task.file.path), str(outcome)))
        elif isinstance(outcome, SoundalikeError):
            raise outcome
        elif isinstance(outcome, EncodedFile):
            rows = {
                source: {level: encoding.at(level).rows for level in LEVELS}
                for source, encoding in outcome.encodings.items()
            }
            self._done.append(_Entry(task, rows, outcome.features, outcome))
            self._report.audio_seconds += outcome.first.info.duration
            if outcome.first.silent:
                self._report.silent.append(str(task.file.path))
        else:
            self._done.append(_Entry(replace(task, features=None), outcome, {}, None))
        # Re-projecting is so quick that only time counts there: each flush waits for the disk.
        full = sum(entry.heard is not None for entry in self._done) + len(self._failed) >= _BATCH_TRACKS
        if full or time.monotonic() - self._flushed > _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Append rows, make them durable, and only then commit them: a crash leaves an ignored tail at most."""
        if not self._done and not self._failed:
            return
        done, self._done = self._done, []
        failed, self._failed = self._failed, []
        free = {level: self._catalog.next_row(level) for level in LEVELS}
        placed: list[tuple[_Entry, int | None, dict[Level, int]]] = []
        for entry in done:
            # Rows are put beside those that a track has; all others get new places.
            beside = self._beside(entry)
            places: dict[Level, int] = {}
            for level in LEVELS:
                places[level] = free[level] if beside is None else self._catalog.rows_of(beside, level)[0]
                free[level] += entry.count(level) if beside is None else 0
            self._write(entry, beside, places)
            placed.append((entry, beside, places))
        self._store.flush()
        with self._catalog.transaction():
            for entry, beside, places in placed:
                self._commit(entry, beside, places)
            for task, message in failed:
                file = task.file
                self._catalog.failures.put(file.path, file.size, file.mtime_ns, message)
                if task.track is not None:  # what it was is kept, but nobody can hear it now
                    self._catalog.mark([task.track.id], unreadable=True)
        self._flushed = time.monotonic()

    def _beside(self, entry: _Entry) -> int | None:
        """The id of the track beside whose rows these belong: it has the same sound, and as many."""
        track = entry.task.track
        if track is None or not entry.task.same_sound:
            return None
        fits = all(self._catalog.rows_of(track.id, level)[1] == entry.count(level) for level in LEVELS)
        return track.id if fits else None

    def _write(self, entry: _Entry, beside: int | None, places: Mapping[Level, int]) -> None:
        for source, rows in entry.rows.items():
            model = self._models[source]
            if beside is not None and self._catalog.is_encoded(beside, model.name):
                continue  # it was listened to for other models, or for its features: committed rows stay as they are
            for level in LEVELS:
                for space in model.spaces:
                    self._store.write(level, space.full_name, places[level], rows[level][space.name])
        for backbone, features in entry.features.items():
            self._features.write(backbone, places["passage"], features)

    def _commit(self, entry: _Entry, beside: int | None, places: Mapping[Level, int]) -> None:
        """Declare what was written. Inside a transaction."""
        track_id = beside
        if track_id is None:
            track_id = self._put(entry)
            self._catalog.unmark_encoded(track_id)
            for level in LEVELS:
                self._catalog.assign_rows(track_id, level, places[level], entry.count(level))
        for source in entry.rows:
            for level in LEVELS:
                self._catalog.commit_rows(self._models[source].name, level, places[level], entry.count(level))
            self._catalog.mark_encoded(track_id, self._models[source].name)
        for backbone in entry.features:
            self._catalog.features.mark(track_id, backbone)
        self._report.reprojected += entry.heard is None
        self._report.changed += entry.heard is not None and entry.task.track is not None
        self._report.added += entry.task.track is None

    def _put(self, entry: _Entry) -> int:
        """A line for what was listened to; returns its id. Inside a transaction."""
        task, heard = entry.task, entry.heard
        if heard is None:
            raise RuntimeError(f"{task.file.path}: its features are those of other passages than its rows")
        encoding = heard.first
        tags, info, descriptors, file = heard.tags, encoding.info, encoding.descriptors, task.file
        track = Track(
            path=file.path,
            size=file.size,
            mtime_ns=file.mtime_ns,
            content_hash=heard.content_hash,
            audio_hash=info.audio_hash,
            duration=info.duration,
            rate=info.rate,
            channels=info.channels,
            codec=info.codec,
            title=tags.title,
            artist=tags.artist,
            album=tags.album,
            genre=tags.genre,
            year=tags.year,
            bpm_tag=tags.bpm,
            key_tag=tags.key,
            tempo=descriptors.tempo,
            key=descriptors.key,
            loudness=descriptors.loudness,
            key_confidence=descriptors.key_confidence,
            meter=descriptors.meter,
            silent=encoding.silent,
            id=task.track.id if task.track else 0,
        )
        track_id = self._catalog.put_track(file.root, track)
        self._catalog.put_fingerprint(track_id, encoding.fingerprint)
        self._catalog.failures.forget([file.path])
        return track_id
