"""Fill a library: find files, skip what is known, encode what is new or changed in worker processes.

A track that lacks a model is projected from stored backbone features if there are any, not encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from soundalike.audio import read_tags
from soundalike.core.errors import AudioError
from soundalike.core.executors.processes import run_tasks
from soundalike.core.files import absolute, content_hash
from soundalike.core.types import LEVELS
from soundalike.library.catalog.held import HeldModel
from soundalike.library.catalog.track import Track
from soundalike.library.folder import LibraryFolder, is_current
from soundalike.library.indexing.find_files import File, FoundFiles, Places, find_files
from soundalike.library.indexing.refresh_tags import refresh_tags
from soundalike.library.indexing.writer import EncodedFile, EncodeTask, IndexReport, Projected, Writer
from soundalike.library.kept_features import KeptFeatures
from soundalike.library.stale_rows import remove_stale_rows
from soundalike.models import DEFAULT_MODEL, Model, at_levels, extract, load_once

__all__ = ["IndexReport", "index_files"]


def _encode(task: EncodeTask) -> EncodedFile | Projected:
    """Run in a worker: extract features once per backbone, or project stored features.

    Projections run here too, so that rows are bit-identical: a worker computes with one thread.
    """
    path = task.file.path
    models = {source: load_once(source) for source in task.models}
    if task.features is not None:
        return {source: at_levels(model.project(task.features)) for source, model in models.items()}
    backbones = {name: one for model in models.values() for name, one in model.backbones.items()}
    digest, tags, recording = content_hash(path), read_tags(path), extract(backbones, path)
    encodings = {source: model.encode_features(recording) for source, model in models.items()}
    return EncodedFile(digest, tags, encodings, {name: recording.features[name] for name in task.keep})


def index_files(
    library: LibraryFolder,
    sources: Sequence[Path],
    *,
    model: str | None = None,
    jobs: int | None = None,
    retry: bool = False,
    prune: bool = False,
    keep_features: bool = False,
    progress: Callable[[int, int, float], None] | None = None,
) -> IndexReport:
    """Bring a library up to date with the files under `sources`; only what is new or changed is encoded.

    A file is recognised by size and modification time, then by its content, so moved and copied files are not encoded
    again. Unreadable files are skipped and listed in the report; missing files are flagged. An interruption
    (KeyboardInterrupt) keeps what was done and sets `interrupted`.

    Args:
        library: The library, open for writing.
        sources: Folders, which are searched recursively, and audio files.
        model: The model to encode with; None takes the models that the library holds, or the default one.
        jobs: The number of worker processes; None starts one per core.
        retry: Try files again that could not be read before.
        prune: Remove tracks whose files are missing.
        keep_features: Store backbone features, and encode tracks again that lack them. Stored features are used in any
            case.
        progress: Called with files done, files to encode, and seconds of audio encoded.

    Raises:
        UsageError: No source exists.
        ModelError: The model cannot be loaded.
        LibraryError: The library cannot be written.

    Example:
        >>> with LibraryFolder.create(Path("library")) as library:
        ...     index_files(library, [Path("music")]).added
        12
    """
    began = time.monotonic()
    report = IndexReport()
    models = _prepare_models(library, model)
    seen = find_files([absolute(source) for source in sources])
    report.failed += seen.failed
    job = _Indexer(library, models, report)
    try:
        tasks = job.plan(seen, retry=retry, keep=keep_features)
        steps = job.work(tasks, jobs)
        try:
            for done, _ in enumerate(steps, start=1):
                if progress:
                    progress(done, len(tasks), report.audio_seconds)
        finally:
            steps.close()
        if prune:
            report.pruned = job.prune(seen.sources)
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.monotonic() - began
    return report


def _prepare_models(library: LibraryFolder, model: str | None) -> dict[str, Model]:
    """The models to encode with, by what to load them from: those of the library, and the requested one.

    Rows of another version of a model count as not encoded, and their files are deleted.
    """
    held = library.catalog.models()
    requested = [Model.load(model or DEFAULT_MODEL)] if model or not held else []
    wanted = {one.name: (one, one.source) for one in requested}
    for name, kept in held.items():
        if name not in wanted:
            one = Model.load(kept.source)  # under another name if it was renamed in its folder
            wanted.setdefault(one.name, (one, kept.source))
    with library.catalog.transaction():
        for name in held:
            if name not in wanted or held[name].digest != wanted[name][0].recipe.digest:
                library.catalog.drop_model(name)
        for name, (one, source) in wanted.items():
            dims = [(space.name, level, space.dim) for space in one.spaces for level in LEVELS]
            library.catalog.put_model(name, HeldModel(one.recipe.digest, source), dims)
    remove_stale_rows(library)
    return {source: one for one, source in wanted.values()}


class _Indexer:
    """One run of `index_files`: plan the tasks, then run them."""

    def __init__(self, library: LibraryFolder, models: dict[str, Model], report: IndexReport) -> None:
        self._library, self._catalog = library, library.catalog
        self._sources = tuple(models)
        self._models = models
        self._report = report
        backbones = {name: one for model in models.values() for name, one in model.backbones.items()}
        self._features = KeptFeatures(library.catalog, lambda: library.store, backbones.values())
        self._writer = Writer(library, models, self._features, report)

    # Plan -------------------------------------------------------------------------------------------------------

    def plan(self, seen: FoundFiles, *, retry: bool, keep: bool) -> list[EncodeTask]:
        """The tasks. Missing, returned, moved and copied files are recorded on the way."""
        with self._catalog.transaction():
            self._features.prepare(keep=keep)
        remove_stale_rows(self._library)
        tracks = {track.path: track for track in self._catalog.tracks()}
        failures = self._catalog.failures.all()
        gone = self._missing(seen, tracks)
        by_size: dict[int, list[Track]] = {}
        for one in tracks.values():
            by_size.setdefault(one.size, []).append(one)
        movable = dict(gone)
        fresh: list[EncodeTask] = []
        known: list[tuple[File, Track]] = []
        back: list[int] = []
        ok: list[Path] = []
        for file in seen.files.values():
            track = tracks.get(file.path)
            if track and _same(track, file):
                if track.missing or track.unreadable:
                    back.append(track.id)
                ok.append(file.path)
                known.append((file, track))
                continue
            failure = failures.get(file.path)
            if failure and failure[:2] == (file.size, file.mtime_ns) and not retry:
                self._report.failed.append((str(file.path), f"{failure[2]} (as before; --retry tries again)"))
                continue
            if not self._settle(file, track, by_size.get(file.size, []), movable, seen):
                fresh.append(self._full_task(file, track, keep=keep))
        self._report.missing = len(movable)
        sources = Places(seen.sources)
        lost = [path for path in failures if path not in seen.files and sources.holding(path)]
        with self._catalog.transaction():
            self._catalog.mark(back)
            self._catalog.mark(movable, missing=True)
            self._catalog.failures.forget([*lost, *(path for path in ok if path in failures)])
        refresh_tags(self._catalog, [track for _, track in known])
        return [*self._plan_known(known, keep=keep), *fresh]

    def _plan_known(self, known: Sequence[tuple[File, Track]], *, keep: bool) -> list[EncodeTask]:
        """The tasks for unchanged files: some lack a model, or features that are to be stored."""
        encoded, kept = self._catalog.encoded_by(), self._catalog.features.backbones_by_track()
        wanted = self._backbones(self._sources) if keep else ()
        tasks = []
        for file, track in known:
            encoded_by, stored = encoded.get(track.id, set()), kept.get(track.id, set())
            lacking = [source for source in self._sources if self._models[source].name not in encoded_by]
            to_store = tuple(name for name in wanted if name not in stored)
            project = not to_store and stored.issuperset(self._backbones(lacking))
            # Storing features of a backbone takes a model that uses the backbone.
            lacking += [s for s in self._sources if s not in lacking and set(self._models[s].backbones) & set(to_store)]
            if lacking:
                tasks.append(EncodeTask(file, tuple(lacking), track, same_sound=True, keep=to_store, project=project))
            else:
                self._report.unchanged += 1
        corrupt = set(self._catalog.database.corrupt_tracks(task.track.id for task in tasks if task.track))
        # A corrupt entry may refer to the rows of other tracks.
        return [
            self._full_task(task.file, task.track, keep=keep) if task.track and task.track.id in corrupt else task
            for task in tasks
        ]

    def _full_task(self, file: File, track: Track | None, *, keep: bool) -> EncodeTask:
        """Encode a file with every model."""
        return EncodeTask(
            file, self._sources, track, same_sound=False, keep=self._backbones(self._sources) if keep else ()
        )

    def _missing(self, seen: FoundFiles, tracks: Mapping[Path, Track]) -> dict[int, Track]:
        """Tracks below the sources whose files no longer exist, by id; files in unreadable folders do not count."""
        gone: dict[int, Track] = {}
        sources, unreadable = Places(seen.sources), Places(seen.unreadable)
        with_files = {source for path in seen.files for source in sources.holding(path)}
        held_by: dict[Path, list[Track]] = {source: [] for source in seen.sources}
        for path, track in tracks.items():
            for source in sources.holding(path):
                held_by[source].append(track)
        for source, held in held_by.items():
            lost = [t for t in held if t.path not in seen.files and not unreadable.holding(t.path)]
            lost = [track for track in lost if not track.path.is_file()]
            if len(lost) > 1 and len(lost) == len(held) and source not in with_files:
                why = f"holds none of its {len(held)} tracks any more; is the disk mounted? They stay in the library"
                self._report.failed.append((str(source), f"{why} (--prune on the parent folder removes them)"))
            else:
                gone.update({track.id: track for track in lost})
        return gone

    def _settle(
        self, file: File, track: Track | None, same_size: Sequence[Track], movable: dict[int, Track], seen: FoundFiles
    ) -> bool:
        """Whether the content of the file is known: a touched or moved file keeps its rows, a copy shares them."""
        if not same_size:
            return False
        try:
            digest = content_hash(file.path)
        except AudioError:
            return False  # the worker will report it

        def is_witness(one: Track) -> bool:
            """Whether the file of a track still is what its entry says."""
            file_now = seen.files.get(one.path)
            own = track is not None and one.id == track.id
            return own or one.id in movable or (_same(one, file_now) if file_now else is_current(one))

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
            self._catalog.failures.forget([file.path])
        if own:
            self._report.unchanged += 1
        elif moved:
            del movable[source.id]
            self._report.moved += 1
        else:
            self._report.copied += 1
        return True

    # Work -------------------------------------------------------------------------------------------------------

    def work(self, tasks: Iterable[EncodeTask], jobs: int | None) -> Generator[None, None, None]:
        """Run the tasks; yield after every file. What was done is written in any case."""
        outcomes = run_tasks(_encode, map(self._with_features, tasks), jobs)
        try:
            for task, outcome in outcomes:
                self._writer.take(task, outcome)
                yield
        finally:
            outcomes.close()
            self._writer.flush()

    def _with_features(self, task: EncodeTask) -> EncodeTask:
        """The task with its stored features; if they are corrupt, the file is to be encoded again for all models."""
        if task.track is None or not task.project:
            return task
        features = {}
        for backbone in self._backbones(task.models):
            kept = self._features.read(backbone, task.track.id)
            if kept is None:
                # Committed rows are never overwritten, so everything gets new positions.
                stored = self._catalog.features.editions()
                keep = tuple(name for name in self._backbones(self._sources) if name in stored)
                return replace(self._full_task(task.file, task.track, keep=False), keep=keep)
            features[backbone] = kept
        return replace(task, features=features)

    def _backbones(self, sources: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for source in sources for name in self._models[source].backbones))

    def prune(self, sources: Sequence[Path]) -> int:
        """Remove the missing tracks under `sources`; returns their number."""
        places = Places(sources)
        gone = [track.id for track in self._catalog.tracks("missing") if places.holding(track.path)]
        with self._catalog.transaction():
            self._catalog.remove(gone)
        return len(gone)


def _same(track: Track, file: File) -> bool:
    return (track.size, track.mtime_ns) == (file.size, file.mtime_ns)
