"""Fill a library: find files, encode what is new or changed in worker processes, commit in batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from soundalike.catalog import HeldModel, Track
from soundalike.errors import AudioError, SoundalikeError
from soundalike.files import absolute
from soundalike.library import Library, is_current
from soundalike.model import Encoding, Model, load_once
from soundalike.scanning import File, Scan, content_hash, scan, under
from soundalike.spaces import DEFAULT_MODEL
from soundalike.tags import Tags, read_tags
from soundalike.types import LEVELS, FloatArray, Level
from soundalike.workers import run_tasks

__all__ = ["Heard", "IndexReport", "index"]

_BATCH_TRACKS = 32
_BATCH_SECONDS = 0.5


@dataclass(slots=True)
class IndexReport:
    """What an `index` did. Paths with messages for what failed, paths for what is silent."""

    added: int = 0
    changed: int = 0
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
class _Task:
    """A file to listen to with these models; `track` is the line it has in the catalogue, if any."""

    file: File
    models: tuple[str, ...]
    track: Track | None
    same_sound: bool


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """What a worker brings back: the file's digest and tags, and an encoding per model."""

    content_hash: str
    tags: Tags
    encodings: Mapping[str, Encoding]

    @property
    def first(self) -> Encoding:
        """Any of the encodings, for what is the same in all: the passages, the sound's own numbers."""
        return next(iter(self.encodings.values()))


def _listen(task: _Task) -> Heard:
    """Runs in a worker."""
    path = task.file.path
    return Heard(content_hash(path), read_tags(path), {name: load_once(name).encode(path) for name in task.models})


def index(
    library: Library,
    sources: Sequence[Path],
    *,
    model: str | None = None,
    jobs: int | None = None,
    retry: bool = False,
    prune: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
) -> IndexReport:
    """Bring a library up to date with the files under `sources`; only what is new or changed is encoded.

    A file is known by size and modification time, then by its content: a moved or copied one is not encoded again.
    A bad file costs only itself. Vanished files are marked missing, and removed with `prune`. An interruption
    (KeyboardInterrupt) keeps what was done and sets `interrupted`. `progress` is told of files done, of all that need
    encoding, and of the seconds of sound in them. Raises UsageError, ModelError, LibraryError.
    """
    began = time.monotonic()
    report = IndexReport()
    models = _prepare_models(library, model)
    seen = scan([absolute(source) for source in sources])
    report.failed += seen.failed
    job = _Indexer(library, models, report)
    try:
        tasks = job.plan(seen, retry=retry)
        outcomes = run_tasks(_listen, tasks, jobs)
        try:
            for done, (task, outcome) in enumerate(outcomes, start=1):
                job.take(task, outcome)
                if progress:
                    progress(done, len(tasks), report.audio_seconds)
        finally:
            outcomes.close()
            job.flush()
        if prune:
            report.pruned = job.prune(seen.sources)
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.monotonic() - began
    return report


def _prepare_models(library: Library, model: str | None) -> dict[str, Model]:
    """The models to encode with, by what to load them by: those held, and the one asked for.

    One of another version starts afresh.
    """
    held = library.catalog.models()
    asked = [Model.load(model or DEFAULT_MODEL)] if model or not held else []
    wanted = {one.name: (one, one.source) for one in asked}
    for name, kept in held.items():
        if name not in wanted:
            wanted[name] = (Model.load(kept.source), kept.source)
    with library.catalog.transaction():
        for name, (one, source) in wanted.items():
            if name in held and held[name].digest != one.recipe.digest:
                library.store.drop_coarse(name)  # rows will be written over
                library.catalog.drop_model(name)
            dims = [(space.name, level, space.dim) for space in one.spaces for level in LEVELS]
            library.catalog.put_model(name, HeldModel(one.recipe.digest, source), dims)
    return {source: one for one, source in wanted.values()}


class _Indexer:
    """One run of `index`: plans, collects what workers heard, writes it in batches."""

    def __init__(self, library: Library, models: dict[str, Model], report: IndexReport) -> None:
        self._catalog, self._store = library.catalog, library.store
        self._sources = tuple(models)
        self._models = models
        self._report = report
        self._done: list[tuple[_Task, Heard]] = []
        self._failed: list[tuple[_Task, str]] = []
        self._flushed = time.monotonic()

    # Plan -------------------------------------------------------------------------------------------------------

    def plan(self, seen: Scan, *, retry: bool) -> list[_Task]:
        """What has to be listened to. Vanished, returned, moved and copied files are settled on the way."""
        tracks = {track.path: track for track in self._catalog.tracks()}
        encoded = self._catalog.encoded_by()
        failures = self._catalog.failures()
        gone = self._gone(seen, tracks)
        names = {source: model.name for source, model in self._models.items()}
        by_size: dict[int, list[Track]] = {}
        for one in tracks.values():
            by_size.setdefault(one.size, []).append(one)
        movable = dict(gone)
        tasks: list[_Task] = []
        back: list[int] = []
        well: list[Path] = []
        for file in seen.files.values():
            track = tracks.get(file.path)
            if track and _same(track, file):
                if track.missing or track.unreadable:
                    back.append(track.id)
                well.append(file.path)
                lacking = tuple(s for s in self._sources if names[s] not in encoded.get(track.id, set()))
                if not lacking:
                    self._report.unchanged += 1
                else:
                    tasks.append(_Task(file, lacking, track, same_sound=True))
                continue
            failure = failures.get(file.path)
            if failure and failure[:2] == (file.size, file.mtime_ns) and not retry:
                self._report.failed.append((str(file.path), f"{failure[2]} (as before; try again with --retry)"))
                continue
            if not self._settle(file, track, by_size.get(file.size, []), movable, seen):
                tasks.append(_Task(file, self._sources, track, same_sound=False))
        self._report.missing = len(movable)
        lost = [path for path in failures if path not in seen.files and under(path, seen.sources)]
        with self._catalog.transaction():
            self._catalog.mark(back)
            self._catalog.mark(movable, missing=True)
            self._catalog.forget_failures([*lost, *(path for path in well if path in failures)])
        return tasks

    def _gone(self, seen: Scan, tracks: Mapping[Path, Track]) -> dict[int, Track]:
        """Tracks below the sources whose files are no longer there, by id; what cannot be read is not gone."""
        gone: dict[int, Track] = {}
        for source in seen.sources:
            held = [track for path, track in tracks.items() if under(path, [source])]
            lost = [t for t in held if t.path not in seen.files and not under(t.path, seen.unreadable)]
            lost = [track for track in lost if not track.path.is_file()]
            if len(lost) > 1 and len(lost) == len(held) and not any(under(path, [source]) for path in seen.files):
                why = f"holds none of the {len(held)} tracks it had; is its disk there? They are kept"
                self._report.failed.append((str(source), f"{why} (--prune on the folder above forgets them)"))
            else:
                gone.update({track.id: track for track in lost})
        return gone

    def _settle(
        self, file: File, track: Track | None, same_size: Sequence[Track], movable: dict[int, Track], seen: Scan
    ) -> bool:
        """Whether the file's content is already known: touched, moved or copied, its rows are kept or shared."""
        if not same_size:
            return False
        try:
            digest = content_hash(file.path)
        except AudioError:
            return False  # the worker will say so

        def is_witness(one: Track) -> bool:
            """A file that has changed itself says nothing of what its line in the catalogue says."""
            there = seen.files.get(one.path)
            own = track is not None and one.id == track.id
            return own or one.id in movable or (_same(one, there) if there else is_current(one))

        twins = [one for one in same_size if one.content_hash == digest and is_witness(one)]
        if not twins:
            return False
        own = next((one for one in twins if track and one.id == track.id), None)
        source = own or next((one for one in twins if one.id in movable), twins[0])
        moved = source.id in movable and track is None
        fresh = replace(source, path=file.path, size=file.size, mtime_ns=file.mtime_ns, missing=False, unreadable=False)
        with self._catalog.transaction():
            if own or moved:
                self._catalog.put_track(file.root, fresh)
            else:
                target = self._catalog.put_track(file.root, replace(fresh, id=track.id if track else 0))
                self._catalog.share_rows(source.id, target)
            self._catalog.forget_failures([file.path])
        if own:
            self._report.unchanged += 1
        elif moved:
            del movable[source.id]
            self._report.moved += 1
        else:
            self._report.copied += 1
        return True

    # Collect and write ------------------------------------------------------------------------------------------

    def take(self, task: _Task, outcome: Heard | SoundalikeError) -> None:
        """Note what came of a task; write when enough has come together."""
        if isinstance(outcome, AudioError):
            self._failed.append((task, str(outcome)))
            self._report.failed.append((str(task.file.path), str(outcome)))
        elif isinstance(outcome, SoundalikeError):
            raise outcome
        else:
            self._done.append((task, outcome))
            self._report.audio_seconds += outcome.first.info.duration
            if outcome.first.silent:
                self._report.silent.append(str(task.file.path))
        full = len(self._done) + len(self._failed) >= _BATCH_TRACKS
        if full or time.monotonic() - self._flushed > _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Append rows, make them durable, and only then commit them: a crash leaves an ignored tail at most."""
        if not self._done and not self._failed:
            return
        done, self._done = self._done, []
        failed, self._failed = self._failed, []
        # Another model's rows are put beside those that a track has; all others get new places.
        beside = [(task.track, heard) for task, heard in done if task.track and self._fits(task, heard)]
        kept = {track.id for track, _ in beside}
        fresh = [(task, heard) for task, heard in done if task.track is None or task.track.id not in kept]
        placed: list[tuple[str, Level, int, int]] = []
        places: dict[Level, list[tuple[int, int]]] = {}
        for level in LEVELS:
            position = self._catalog.next_row(level)
            counts = [len(heard.first.at(level)) for _, heard in fresh]
            places[level] = list(zip(accumulate(counts, initial=position), counts, strict=False))
            for source in self._sources:
                batch = [heard.encodings[source].at(level).rows for _, heard in fresh]
                if batch:
                    placed.append(self._write(source, level, position, batch))
            for track, heard in beside:
                first = self._catalog.rows_of(track.id, level)[0]
                for source, encoding in heard.encodings.items():
                    placed.append(self._write(source, level, first, [encoding.at(level).rows]))
        self._store.flush()
        with self._catalog.transaction():
            for model, level, first, count in placed:
                self._catalog.commit_rows(model, level, first, count)
            for number, (task, heard) in enumerate(fresh):
                track_id = self._put(task, heard)
                self._catalog.unmark_encoded(track_id)
                for level in LEVELS:
                    self._catalog.assign_rows(track_id, level, *places[level][number])
                self._mark(track_id, heard)
                self._report.changed += task.track is not None
                self._report.added += task.track is None
            for track, heard in beside:
                self._mark(track.id, heard)
                self._report.changed += 1
            for task, message in failed:
                file = task.file
                self._catalog.put_failure(file.path, file.size, file.mtime_ns, message)
                if task.track is not None:  # what it was is kept, but nobody can hear it now
                    self._catalog.mark([task.track.id], unreadable=True)
        self._flushed = time.monotonic()

    def _fits(self, task: _Task, heard: Heard) -> bool:
        """Whether the track keeps the rows that it has, so that another model's are put beside them."""
        if task.track is None or not task.same_sound:
            return False
        held = {level: self._catalog.rows_of(task.track.id, level)[1] for level in LEVELS}
        return all(len(encoding.at(level)) == held[level] for encoding in heard.encodings.values() for level in LEVELS)

    def _write(
        self, source: str, level: Level, first: int, batch: Sequence[Mapping[str, FloatArray]]
    ) -> tuple[str, Level, int, int]:
        model, count = self._models[source], 0
        for space in model.spaces:
            rows = np.concatenate([part[space.name] for part in batch])
            self._store.write(level, space.full_name, first, rows)
            count = len(rows)
        return model.name, level, first, count

    def _put(self, task: _Task, heard: Heard) -> int:
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
        self._catalog.forget_failures([file.path])
        return track_id

    def _mark(self, track_id: int, heard: Heard) -> None:
        for source in heard.encodings:
            self._catalog.mark_encoded(track_id, self._models[source].name)

    def prune(self, sources: Sequence[Path]) -> int:
        """Forget the tracks under `sources` that have vanished; returns how many."""
        gone = [track.id for track in self._catalog.tracks("missing") if under(track.path, sources)]
        with self._catalog.transaction():
            self._catalog.remove(gone)
        return len(gone)


def _same(track: Track, file: File) -> bool:
    return (track.size, track.mtime_ns) == (file.size, file.mtime_ns)
