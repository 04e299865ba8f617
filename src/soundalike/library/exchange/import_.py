"""Import an exported library into a new or existing one, in batches that are as durable as indexing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path
from typing import Protocol

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.types import LEVELS, FloatArray, Level
from soundalike.library.catalog.held import HeldModel
from soundalike.library.exchange.format import ExportedModel, Manifest
from soundalike.library.exchange.read import Line, Sound
from soundalike.library.folder import LibraryFolder

__all__ = ["ImportReport", "import_library"]


@dataclass(slots=True)
class ImportReport:
    """What an import did: tracks added, tracks whose path the library held already, failures added."""

    added: int = 0
    known: int = 0
    failures: int = 0


class Source(Protocol):
    """What can be imported: `Export`, or a library in Milvus."""

    @property
    def manifest(self) -> Manifest:
        """The models, and how many tracks there are at most."""
        ...

    def batches(self) -> Iterator[list[Sound]]:
        """All recordings in batches."""
        ...

    def failures(self) -> Iterator[tuple[Path, int, int, str]]:
        """Path, size, modification time and message of the unreadable files."""
        ...


def import_library(
    library: LibraryFolder, export: Source, progress: Callable[[int, int, float], None] | None = None
) -> ImportReport:
    """Add the tracks of an export to a library. Tracks whose path the library holds already stay as they are.

    The models need not be installed, but models that the library holds must have the same version. Rows are synced to
    disk before a batch of tracks is committed, so an interrupted import can be repeated, and adds the rest.

    Args:
        library: The library, open for writing.
        export: The export, open for reading.
        progress: Called with tracks done, all tracks, and their seconds.

    Raises:
        UsageError: The export is invalid; what was added before stays.
        ModelError: The library holds another version of a model.
        LibraryError: The library cannot be written.

    Example:
        >>> with Export(Path("backup")) as export:
        ...     import_library(library, export).added
        12
    """
    models = export.manifest.models
    held = library.catalog.models()
    for model in models:
        _check_version(library, held, model)
    job, seconds = _Import(library, models), 0.0
    for batch in export.batches():
        job.add(batch)
        seconds += sum(line.track.duration for sound in batch for line in sound.copies)
        if progress:
            progress(job.report.added + job.report.known, export.manifest.tracks, seconds)
    job.add_failures(export.failures())
    return job.report


def _check_version(library: LibraryFolder, held: Mapping[str, HeldModel], model: ExportedModel) -> None:
    """Raise ModelError if the library holds rows of another version of a model."""
    if model.name not in held:
        return
    sizes = {space.full_name: space.dim for space in library.catalog.spaces() if space.model == model.name}
    if held[model.name].digest != model.digest or sizes != model.columns():
        raise ModelError(
            f"the export was encoded by version {model.digest} of {model.name}, the library at {library.path} holds "
            f"version {held[model.name].digest}; encode one of them again, or import into a new library"
        )


def _holds(sounds: Sequence[Sound], model: ExportedModel, number: int) -> bool:
    return sounds[number].holds(model)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Rows of all spaces of a model that were written but not yet committed."""

    model: str
    level: Level
    first: int
    count: int


class _Import:
    """One import: write batches and count them."""

    def __init__(self, library: LibraryFolder, models: Iterable[ExportedModel]) -> None:
        self._library, self._catalog = library, library.catalog
        self._models = tuple(models)
        self._new_models = [model for model in self._models if model.name not in self._catalog.models()]
        self.report = ImportReport()

    def add(self, batch: list[Sound]) -> None:
        """Append the rows of new tracks, sync them to disk, and only then commit the tracks."""
        seen: set[Path] = set()
        fresh = [(sound, lines) for sound in batch if (lines := self._new(sound, seen))]
        if not fresh and not self._new_models:
            return
        self._add_models()
        placed: list[_Placed] = []
        firsts: dict[Level, list[int]] = {}
        for level in LEVELS:
            firsts[level], runs = self._append(level, [sound for sound, _ in fresh])
            placed += runs
        self._library.store.flush()
        with self._catalog.transaction():
            for run in placed:
                self._catalog.commit_rows(run.model, run.level, run.first, run.count)
            for number, (sound, lines) in enumerate(fresh):
                for line in lines:
                    track_id = self._put(line, sound)
                    for level in LEVELS if sound.first.passages else ():
                        self._catalog.assign_rows(track_id, level, firsts[level][number], self._count(sound, level))
            self._catalog.failures.forget(
                [line.track.path for _, lines in fresh for line in lines if not line.track.unreadable]
            )
        self.report.added += sum(len(lines) for _, lines in fresh)

    def _add_models(self) -> None:
        """Add the models that the library lacks; with the first batch, when a part of the export proved valid."""
        if not self._new_models:
            return
        with self._catalog.transaction():
            for model in self._new_models:
                dims = [(name, level, dim) for name, dim in model.spaces.items() for level in LEVELS]
                self._catalog.put_model(model.name, HeldModel(model.digest, model.source), dims)
        self._library.refresh()  # opens the files of the new models
        self._new_models = []

    def _new(self, sound: Sound, seen: set[Path]) -> list[Line]:
        """The copies whose paths the library does not hold yet, each path once."""
        lines = []
        for line in sound.copies:
            if line.track.path in seen or self._catalog.id_at(line.track.path) is not None:
                self.report.known += 1
            else:
                seen.add(line.track.path)
                lines.append(line)
        return lines

    def _append(self, level: Level, sounds: list[Sound]) -> tuple[list[int], list[_Placed]]:
        """Write the rows of some recordings after all others; returns their first positions, and what to commit."""
        counts = [self._count(sound, level) for sound in sounds]
        edges = list(accumulate(counts, initial=self._catalog.next_row(level)))
        placed = []
        for model in self._models:
            # Runs of recordings that the model encoded; in between, its rows stay unwritten.
            for encoded, run in groupby(range(len(sounds)), partial(_holds, sounds, model)):
                numbers = list(run)
                if encoded:
                    first, last = edges[numbers[0]], edges[numbers[-1] + 1]
                    self._write(model, level, first, [sounds[number].rows[level] for number in numbers])
                    placed.append(_Placed(model.name, level, first, last - first))
        return edges[:-1], placed

    def _count(self, sound: Sound, level: Level) -> int:
        """The number of rows of a recording at a level; 0 if no model encoded it."""
        return min(1, sound.first.passages) if level == "track" else sound.first.passages

    def _write(self, model: ExportedModel, level: Level, first: int, parts: Sequence[Mapping[str, FloatArray]]) -> None:
        """Write the rows of all spaces of a model from position `first` on."""
        for full in model.columns():
            self._library.store.write(level, full, first, np.concatenate([part[full] for part in parts]))

    def _put(self, line: Line, sound: Sound) -> int:
        track_id = self._catalog.put_track(line.root, line.track)
        if sound.first.fingerprint is not None:
            self._catalog.fingerprints.put(track_id, sound.first.fingerprint, sound.first.fingerprint_version)
        for model in sorted(line.encoded_by):
            self._catalog.mark_encoded(track_id, model)
        return track_id

    def add_failures(self, failures: Iterable[tuple[Path, int, int, str]]) -> None:
        """Store unreadable files, except those that the library holds or lists already."""
        known = self._catalog.failures.all()
        with self._catalog.transaction():
            for path, size, mtime_ns, message in failures:
                track = self._catalog.track_at(path)
                if path not in known and (track is None or track.unreadable):
                    self._catalog.failures.put(path, size, mtime_ns, message)
                    self.report.failures += 1
