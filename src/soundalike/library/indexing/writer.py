"""Write encoded files to a library in batches: rows first, then one transaction that commits them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from soundalike.audio import Tags, Words
from soundalike.backbones import FeatureRows
from soundalike.core.errors import AudioError, SoundalikeError
from soundalike.core.types import LEVELS, FloatArray, Level
from soundalike.library.catalog.track import Track, measured_fields, tag_fields
from soundalike.library.folder import LibraryFolder
from soundalike.library.indexing.find_files import File
from soundalike.library.kept_features import KeptFeatures
from soundalike.models import DEFAULT_MODEL, Encoding, LevelRows, Model

__all__ = ["EncodeTask", "EncodedFile", "IndexReport", "Projected", "Writer"]

Projected: TypeAlias = Mapping[str, LevelRows]
"""Rows per model: what a worker returns for stored features."""

_BATCH_TRACKS = 32
_BATCH_SECONDS = 0.5


@dataclass(slots=True)
class IndexReport:
    """What `index_files` did, in numbers of files.

    Attributes:
        added: New tracks.
        changed: Tracks that were encoded again.
        reprojected: Tracks whose rows were computed from stored features or rows.
        moved, copied, unchanged: Files that were recognised.
        missing: Tracks whose files no longer exist.
        excluded: Tracks whose files are there, but that patterns exclude.
        pruned: Missing and excluded tracks that were removed.
        audio_seconds: Seconds of audio encoded.
        seconds: Seconds that the run took.
        interrupted: Whether Ctrl-C ended the run.
        failed: Paths and messages of what failed in this run: files, folders, and sources that do not exist.
        failed_before: Files that failed in an earlier run and have not changed; they were not tried again.
        away: Folders of which nothing is left, with the number of their tracks; their disk may not be mounted.
        skipped: Files and folders that were passed over, by reason.
        silent: Paths of silent files.
        warnings: Paths of files that could be decoded in part, and what is missing.
    """

    added: int = 0
    changed: int = 0
    reprojected: int = 0
    moved: int = 0
    copied: int = 0
    unchanged: int = 0
    missing: int = 0
    excluded: int = 0
    pruned: int = 0
    audio_seconds: float = 0.0
    seconds: float = 0.0
    interrupted: bool = False
    failed: list[tuple[str, str]] = field(default_factory=list)
    failed_before: int = 0
    away: list[tuple[str, int]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EncodeTask:
    """A file to encode.

    Attributes:
        file: The file.
        models: What to load the models from; none to make only the fingerprint.
        track: Its entry in the catalogue, if any.
        same_sound: Whether its audio is the same as before.
        keep: The backbones whose features are to be stored.
        project: Whether what all models project is stored: the features of their backbones, or the rows of models.
        features: The stored features; with them nothing is encoded.
        rows: The stored rows of the passages, per model whose rows other models project; with them nothing is encoded.
    """

    file: File
    models: tuple[str, ...]
    track: Track | None
    same_sound: bool
    keep: tuple[str, ...] = ()
    project: bool = False
    features: Mapping[str, FeatureRows] | None = None
    rows: Mapping[str, Mapping[str, FloatArray]] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EncodedFile:
    """What a worker returns: the digest and tags of the file, an encoding per model, and the features to store.

    `encodings` maps what a model is loaded from to its encoding. `problem` says why those of other models are missing.
    """

    content_hash: str
    tags: Tags
    encodings: Mapping[str, Encoding]
    features: Mapping[str, FeatureRows]
    problem: str | None = None

    @property
    def first(self) -> Encoding:
        """One of the encodings, for what all share: the passages and the facts about the audio."""
        return next(iter(self.encodings.values()))


@dataclass(frozen=True, slots=True, eq=False)
class NewFingerprint:
    """What a worker returns for a file of which only the fingerprint is out of date."""

    words: Words


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """Rows to write, per model, and features to store; without `encoded` they come from stored features."""

    task: EncodeTask
    rows: Projected
    features: Mapping[str, FeatureRows]
    encoded: EncodedFile | None

    def count(self, level: Level) -> int:
        """Rows at a level, the same in all spaces of all models."""
        return len(next(iter(next(iter(self.rows.values()))[level].values())))


class Writer:
    """Collect the outcomes of tasks and write them in batches. `models` maps what to load a model from to the model."""

    def __init__(
        self, library: LibraryFolder, models: Mapping[str, Model], features: KeptFeatures, report: IndexReport
    ) -> None:
        self._library, self._catalog = library, library.catalog
        self._models, self._features, self._report = models, features, report
        self._done: list[_Entry] = []
        self._failed: list[tuple[EncodeTask, str]] = []
        self._fingerprints: list[tuple[int, Words]] = []
        self._flushed = time.monotonic()
        self._committed: dict[tuple[str, str], set[int]] = {}

    def take(self, task: EncodeTask, outcome: EncodedFile | NewFingerprint | Projected | SoundalikeError) -> None:
        """Record the outcome of a task. Raises errors that concern more than one file."""
        if isinstance(outcome, AudioError):
            self._failed.append((task, str(outcome)))
            self._report.failed.append((str(task.file.path), str(outcome)))
        elif isinstance(outcome, SoundalikeError):
            raise outcome
        elif isinstance(outcome, NewFingerprint):
            if task.track is not None:
                self._fingerprints.append((task.track.id, outcome.words))
        elif isinstance(outcome, EncodedFile):
            rows = {
                source: {level: encoding.at(level).rows for level in LEVELS}
                for source, encoding in outcome.encodings.items()
            }
            self._done.append(_Entry(task, rows, outcome.features, outcome))
            self._report.audio_seconds += outcome.first.info.duration
            if outcome.problem:
                self._report.failed.append((str(task.file.path), outcome.problem))
            if self._describing(outcome)[1].silent:
                self._report.silent.append(str(task.file.path))
            if warning := outcome.first.warning:
                self._report.warnings.append((str(task.file.path), warning))
        else:
            self._done.append(_Entry(replace(task, features=None, rows=None), outcome, {}, None))
        # Projections are so fast that only time counts for them: each flush waits for the disk.
        encoded = sum(entry.encoded is not None for entry in self._done)
        full = encoded + len(self._failed) + len(self._fingerprints) >= _BATCH_TRACKS
        if full or time.monotonic() - self._flushed > _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Append rows, sync them to disk, and only then commit them: a crash leaves at most an ignored tail."""
        if not self._done and not self._failed and not self._fingerprints:
            return
        fingerprints, self._fingerprints = self._fingerprints, []
        done, self._done = self._done, []
        failed, self._failed = self._failed, []
        free = {level: self._catalog.next_row(level) for level in LEVELS}
        placed: list[tuple[_Entry, int | None, dict[Level, int]]] = []
        for entry in done:
            # Rows of a model that a track lacks go to the positions that it has; other rows get new positions.
            beside = self._beside(entry)
            places: dict[Level, int] = {}
            for level in LEVELS:
                places[level] = free[level] if beside is None else self._catalog.rows_of(beside, level)[0]
                free[level] += entry.count(level) if beside is None else 0
            self._write(entry, beside, places)
            placed.append((entry, beside, places))
        self._library.store.flush()
        with self._catalog.transaction():
            for entry, beside, places in placed:
                self._commit(entry, beside, places)
            for track_id, words in fingerprints:
                self._catalog.fingerprints.put(track_id, words)
            for task, message in failed:
                file = task.file
                self._catalog.failures.put(file.path, file.size, file.mtime_ns, message)
                if task.track is not None:  # its entry stays, but the file can no longer be decoded
                    self._catalog.mark([task.track.id], unreadable=True)
        self._flushed = time.monotonic()

    def _beside(self, entry: _Entry) -> int | None:
        """The id of the track whose row positions to use: the audio is the same, and so is the number of rows."""
        track = entry.task.track
        if track is None or not entry.task.same_sound:
            return None
        if entry.encoded is not None and entry.encoded.content_hash != track.content_hash:
            return None  # the file has changed since the run began
        fits = all(self._catalog.rows_of(track.id, level)[1] == entry.count(level) for level in LEVELS)
        return track.id if fits else None

    def _write(self, entry: _Entry, beside: int | None, places: Mapping[Level, int]) -> None:
        first = places["passage"]
        for source, rows in entry.rows.items():
            model = self._models[source]
            if beside is not None:
                if first in self._committed_for("model", model.name):
                    continue  # by the track or a copy of it: committed rows are never overwritten
                self._library.store.drop_prefilter(model.name)  # it lacks the rows that follow
            for level in LEVELS:
                for space in model.spaces:
                    self._library.store.write(level, space.full_name, places[level], rows[level][space.name])
        for backbone, features in entry.features.items():
            if beside is None or first not in self._committed_for("features", backbone):
                self._features.write(backbone, first, features)

    def _committed_for(self, kind: str, name: str) -> set[int]:
        """The first passage positions of the tracks that a model encoded, or that have the features of a backbone."""
        if (kind, name) not in self._committed:
            features = self._catalog.features
            table = features.places(name) if kind == "features" else self._catalog.groups(name, "passage", absent=True)
            self._committed[kind, name] = set(table[:, 0].tolist())
        return self._committed[kind, name]

    def _commit(self, entry: _Entry, beside: int | None, places: Mapping[Level, int]) -> None:
        """Commit what was written. Inside a transaction."""
        if beside is not None:
            track_id = beside
            self._refresh_descriptors(entry, track_id)
            if entry.encoded is not None:
                self._catalog.fingerprints.put(track_id, entry.encoded.first.fingerprint)
        else:
            track_id = self._put(entry)
            self._catalog.database.was_written(track_id)
            self._catalog.unmark_encoded(track_id)
            for level in LEVELS:
                self._catalog.assign_rows(track_id, level, places[level], entry.count(level))
        for source in entry.rows:
            for level in LEVELS:
                self._catalog.commit_rows(self._models[source].name, level, places[level], entry.count(level))
            self._catalog.mark_encoded(track_id, self._models[source].name)
        for backbone in entry.features:
            self._catalog.features.mark(track_id, backbone)
        for kind, name in self._committed:
            if name in (entry.features if kind == "features" else {self._models[one].name for one in entry.rows}):
                self._committed[kind, name].add(places["passage"])
        self._report.reprojected += entry.encoded is None
        self._report.changed += entry.encoded is not None and entry.task.track is not None
        self._report.added += entry.task.track is None

    def _put(self, entry: _Entry) -> int:
        """Store the entry of an encoded file; returns its id. Inside a transaction."""
        task, encoded = entry.task, entry.encoded
        if encoded is None:
            raise RuntimeError(f"{task.file.path}: its features and its rows are of different passages")
        model, encoding = self._describing(encoded)
        info, file = encoding.info, task.file
        track = Track(
            path=file.path,
            size=file.size,
            mtime_ns=file.mtime_ns,
            content_hash=encoded.content_hash,
            audio_hash=info.audio_hash,
            duration=info.duration,
            rate=info.rate,
            channels=info.channels,
            codec=info.codec,
            bit_rate=info.bit_rate,
            silent=encoding.silent,
            warning=encoding.warning,
            id=task.track.id if task.track else 0,
            **tag_fields(encoded.tags),
            **measured_fields(encoding.descriptors, model),
        )
        track_id = self._catalog.put_track(file.root, track)
        if task.track is not None and task.track.audio_hash != track.audio_hash:
            self._catalog.families.leave(track_id)
        self._catalog.fingerprints.put(track_id, encoding.fingerprint)
        self._catalog.failures.forget([file.path])
        return track_id

    def _describing(self, encoded: EncodedFile) -> tuple[str, Encoding]:
        """The model whose descriptors are stored, and its encoding: the default model, or else the first of the mix."""
        found = {self._models[source]: encoding for source, encoding in encoded.encodings.items()}
        model = min(found, key=lambda one: (one.name != DEFAULT_MODEL, not one.describes))
        return model.name, found[model]

    def _refresh_descriptors(self, entry: _Entry, track_id: int) -> None:
        """Store the descriptors of another model that encoded the same audio, unless those of the default model stay.

        Rows that were projected from stored features bring no descriptors. Inside a transaction.
        """
        if entry.encoded is None or not any(self._models[source].describes for source in entry.rows):
            return
        model, encoding = self._describing(entry.encoded)
        if model != DEFAULT_MODEL and self._catalog.is_encoded(track_id, DEFAULT_MODEL):
            return
        (track,) = self._catalog.tracks_of([track_id])
        measured = measured_fields(encoding.descriptors, model)
        self._catalog.put_track(entry.task.file.root, replace(track, silent=encoding.silent, **measured))
