"""Fill a library: find files, skip what is known, encode what is new or changed in worker processes.

A track that lacks a model is projected from stored backbone features or rows if there are any, not encoded again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from soundalike.audio import fingerprint_of, read_tags
from soundalike.core.errors import AudioError, UsageError
from soundalike.core.executors.base import run_tasks
from soundalike.core.files import absolute, content_hash
from soundalike.core.object_stores import local_copy
from soundalike.core.types import LEVELS
from soundalike.library.catalog.held import HeldModel
from soundalike.library.folder import LibraryFolder
from soundalike.library.held_models import check_backbones, load_held
from soundalike.library.indexing.find_files import FoundFiles, describe_absent, find_files, held_below
from soundalike.library.indexing.plan import Planner, backbones_of
from soundalike.library.indexing.stored_rows import project_rows, read_rows
from soundalike.library.indexing.writer import EncodedFile, EncodeTask, IndexReport, NewFingerprint, Projected, Writer
from soundalike.library.kept_features import KeptFeatures
from soundalike.library.stale_rows import remove_stale_rows
from soundalike.models import DEFAULT_MODEL, Model, at_levels, extract, load_once, load_separator

__all__ = ["IndexReport", "Waiting", "index_files"]

Waiting: TypeAlias = Callable[[Path, float], None]


class _NotFoundError(AudioError):
    """A worker does not find a file."""


def _encode(task: EncodeTask) -> EncodedFile | NewFingerprint | Projected:
    """Run in a worker: extract features once per backbone, or project stored features, or only make the fingerprint.

    Projections run here too, so that rows are bit-identical: a worker computes with one thread.
    """
    models = {source: load_once(source) for source in task.models}
    if task.features is not None:
        return {source: at_levels(model.project(task.features)) for source, model in models.items()}
    if task.rows is not None:
        return project_rows(models, task.rows)
    with local_copy(task.file.path) as path:
        if not path.exists():
            raise _NotFoundError("cannot be read: No such file or directory")
        return _encode_file(path, models, task.keep) if models else NewFingerprint(fingerprint_of(path))


def _encode_file(path: Path, models: Mapping[str, Model], keep: Sequence[str]) -> EncodedFile:
    """Extract features once per backbone, and project them to the rows of every model."""
    backbones = {name: one for model in models.values() for name, one in model.backbones.items()}
    digest, tags = content_hash(path), read_tags(path)
    recording = extract(backbones, path, content_hash=digest)
    # A recording that cannot be separated has no rows of the models that need its stems, but those of the others.
    failed = recording.failures
    encodings = {
        source: model.encode_features(recording)
        for source, model in models.items()
        if model.recipe.separator not in failed
    }
    if not encodings:
        raise AudioError("; ".join(failed.values()))
    kept = {name: recording.features[name] for name in keep if name in recording.features}
    return EncodedFile(digest, tags, encodings, kept, "; ".join(failed.values()) or None)


def index_files(
    library: LibraryFolder,
    sources: Sequence[Path],
    *,
    model: str | Sequence[str] | None = None,
    jobs: int | None = None,
    retry: bool = False,
    prune: bool = False,
    keep_features: bool = False,
    exclude: Sequence[str] = (),
    progress: Callable[[int, int, float], None] | None = None,
    waiting: Waiting | None = None,
    comparing: Callable[[int, int], None] | None = None,
) -> IndexReport:
    """Bring a library up to date with the files under `sources`; only what is new or changed is encoded.

    A file is recognised by size and modification time, then by its content. A new file with the content of a track
    whose file no longer exists, anywhere in the library, takes over its entry; a copy shares the rows of the original.
    Unreadable files are skipped and listed in the report, and remembered, so that the next run leaves them out. Missing
    files are flagged, except in folders of which nothing is left: their disk may not be mounted, and their tracks
    stay as they are (`away`). Tracks whose files are excluded stay until `prune`. An interruption (KeyboardInterrupt)
    keeps what was done and sets `interrupted`.

    Args:
        library: The library, open for writing.
        sources: Folders, which are searched recursively, and audio files.
        model: The model to encode with, or several, besides those that the library holds; None adds none to these, or
            takes the default one.
        jobs: The number of worker processes; None starts one per core.
        retry: Try files again that could not be read before.
        prune: Remove tracks whose files are missing or excluded, but not those that are `away`.
        keep_features: Store backbone features, and encode tracks again that lack them. Stored features are used in any
            case.
        exclude: Patterns of files and folders to leave out, in the syntax of gitignore, relative to each source. Files
            `.soundalikeignore` in any folder hold further patterns, for what lies below this folder.
        progress: Called with files done, files to encode, and seconds of audio encoded.
        waiting: Called about once per second while no file is done, with the path of the file that has been encoded for
            the longest time, and this time in seconds.
        comparing: Called before anything is encoded, with files whose contents were compared with those of known tracks
            or whose tags were read again, and all such files.

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
    found = find_files([absolute(source) for source in sources], exclude)
    if not found.sources:
        raise _nothing_found(library, found)
    report = IndexReport(skipped=dict(found.skipped.most_common()))
    models = _prepare_models(library, model)
    backbones = {name: one for each in models.values() for name, one in each.backbones.items()}
    features = KeptFeatures(library.catalog, lambda: library.store, backbones.values())
    report.failed += [(str(folder), f"folder cannot be read: {why}") for folder, why in found.unreadable]
    try:
        planner = Planner(library, models, features, report, found)
        tasks = planner.plan(retry=retry, keep=keep_features, jobs=jobs, comparing=comparing)
        _load_separators(models, tasks)
        steps = _Indexer(library, models, features, report).work(tasks, jobs, waiting)
        try:
            for done, _ in enumerate(steps, start=1):
                if progress:
                    progress(done, len(tasks), report.audio_seconds)
        finally:
            steps.close()
        if prune:
            report.pruned = planner.prune()
    except KeyboardInterrupt:
        report.interrupted = True
    report.seconds = time.monotonic() - began
    return report


def _nothing_found(library: LibraryFolder, found: FoundFiles) -> UsageError:
    """The error for sources none of which exists."""
    if not found.absent:
        return UsageError("no folder was given")
    source, reason = found.absent[0]
    held = held_below([source], (track.path for track in library.catalog.tracks()))
    return UsageError(f"{source}: {describe_absent(source, reason, held[source])}")


def _load_separators(models: Mapping[str, Model], tasks: Sequence[EncodeTask]) -> None:
    """Check that what the tasks need is there, before any worker finds that it is not. Raises ModelError."""
    for source in {source for task in tasks if not task.project for source in task.models}:
        if separator := models[source].recipe.separator:
            load_separator(separator)


def _prepare_models(library: LibraryFolder, model: str | Sequence[str] | None) -> dict[str, Model]:
    """The models to encode with, by what to load them from: those of the library, and the requested one.

    Rows of another version of a model count as not encoded, and their files are deleted.
    """
    held = library.catalog.models()
    names = [model] if isinstance(model, str) else list(model or ())
    requested = [Model.load(name) for name in names or ([] if held else [DEFAULT_MODEL])]
    wanted = {one.name: (one, one.source) for one in requested}
    for name, kept in held.items():
        if name not in wanted:
            one = load_held(library.path, name, kept)  # under another name if it was renamed in its folder
            wanted.setdefault(one.name, (one, kept.source))
    check_backbones(one for one, _ in wanted.values())
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
    """Run the tasks of a plan."""

    def __init__(
        self, library: LibraryFolder, models: dict[str, Model], features: KeptFeatures, report: IndexReport
    ) -> None:
        self._library, self._catalog, self._models, self._features = library, library.catalog, models, features
        self._writer = Writer(library, models, features, report)

    def work(
        self, tasks: Iterable[EncodeTask], jobs: int | None, waiting: Waiting | None
    ) -> Generator[None, None, None]:
        """Run the tasks; yield after every file. What was done is written in any case."""

        def report_running(task: EncodeTask, seconds: float) -> None:
            if waiting:
                waiting(task.file.path, seconds)

        outcomes = run_tasks(_encode, map(self._with_stored, tasks), jobs, report_running)
        try:
            for task, outcome in outcomes:
                if isinstance(outcome, _NotFoundError) and task.file.path.exists():
                    raise UsageError(
                        f"{task.file.path}: a worker on another machine does not find it; the folder must be there "
                        "under the same path on all of them"
                    )
                self._writer.take(task, outcome)
                yield
        finally:
            outcomes.close()
            self._writer.flush()

    def _with_stored(self, task: EncodeTask) -> EncodeTask:
        """The task with what is stored for it; if that is corrupt, the file is to be encoded again for all models."""
        if task.track is None or not task.project:
            return task
        needed, stored = backbones_of(self._models, task.models), self._catalog.features.backbones_of(task.track.id)
        if set(needed) <= set(stored):
            features = {name: self._features.read(name, task.track.id) for name in needed}
            found = {name: kept for name, kept in features.items() if kept is not None}
            if len(found) == len(needed):
                return replace(task, features=found)
        elif (rows := read_rows(self._library, self._models, task)) is not None:
            return replace(task, rows=rows)
        # Committed rows are never overwritten, so everything gets new positions.
        keeping = self._catalog.features.editions()
        keep = tuple(name for name in backbones_of(self._models, tuple(self._models)) if name in keeping)
        return EncodeTask(task.file, tuple(self._models), task.track, same_sound=False, keep=keep)
