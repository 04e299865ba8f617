"""An exported library (`exchange.py`) taken into a library, new or existing: as durable as indexing, in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from pathlib import Path

import numpy as np

from soundalike.core.errors import ModelError
from soundalike.core.types import LEVELS, FloatArray, Level
from soundalike.library.catalog.catalog import HeldModel
from soundalike.library.exchange.format import ExportedModel
from soundalike.library.exchange.read import Export, Line, Sound
from soundalike.library.folder import LibraryFolder

__all__ = ["ImportReport", "import_library"]


@dataclass(slots=True)
class ImportReport:
    """What an import did: tracks added, tracks whose path was there already, failures added."""

    added: int = 0
    known: int = 0
    failures: int = 0


def import_library(
    library: LibraryFolder, export: Export, progress: Callable[[int, int, float], None] | None = None
) -> ImportReport:
    """Add what an export holds to a library that is open for writing; tracks whose path is there are left as they are.

    The models need not be installed, but one that is held has to be of the same version. Rows are appended and made
    durable before a batch of tracks is committed: whatever interrupts it, the library is whole, and importing again
    adds the rest. `progress` is told of tracks done, of all, and of their seconds. Raises UsageError for a damaged
    export (what was added before is whole and stays), ModelError, LibraryError.
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
    sizes = {name: dim for name, _, dim, _ in library.catalog.spaces() if name.startswith(f"{model.name}/")}
    if held[model.name].digest != model.digest or sizes != model.columns():
        raise ModelError(
            f"the export was encoded by version {model.digest} of {model.name}, the library at {library.path} holds "
            f"version {held[model.name].digest}; encode one of them again, or import into a new library"
        )


def _holds(sounds: Sequence[Sound], model: ExportedModel, number: int) -> bool:
    return sounds[number].holds(model)


@dataclass(frozen=True, slots=True)
class _Placed:
    """Rows of all spaces of a model that were written, and are to be committed."""

    model: str
    level: Level
    first: int
    count: int


class _Import:
    """One import: writes batches, and counts."""

    def __init__(self, library: LibraryFolder, models: Iterable[ExportedModel]) -> None:
        self._catalog, self._store = library.catalog, library.store
        self._models = tuple(models)
        self._new_models = [model for model in self._models if model.name not in self._catalog.models()]
        self.report = ImportReport()

    def add(self, batch: list[Sound]) -> None:
        """Append the rows of what is new, make them durable, and only then commit the tracks."""
        seen: set[Path] = set()
        fresh = [(sound, lines) for sound in batch if (lines := self._new(sound, seen))]
        if not fresh and not self._new_models:
            return
        placed: list[_Placed] = []
        firsts: dict[Level, list[int]] = {}
        for level in LEVELS:
            firsts[level], runs = self._append(level, [sound for sound, _ in fresh])
            placed += runs
        self._store.flush()
        with self._catalog.transaction():
            for model in self._new_models:  # with the first batch: by then something of the export was seen to be whole
                dims = [(name, level, dim) for name, dim in model.spaces.items() for level in LEVELS]
                self._catalog.put_model(model.name, HeldModel(model.digest, model.source), dims)
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
        self._new_models = []
        self.report.added += sum(len(lines) for _, lines in fresh)

    def _new(self, sound: Sound, seen: set[Path]) -> list[Line]:
        """The copies whose paths are not there yet, each path once."""
        lines = []
        for line in sound.copies:
            if line.track.path in seen or self._catalog.id_at(line.track.path) is not None:
                self.report.known += 1
            else:
                seen.add(line.track.path)
                lines.append(line)
        return lines

    def _append(self, level: Level, sounds: list[Sound]) -> tuple[list[int], list[_Placed]]:
        """Write the rows of some sounds after all others; returns where each one's are, and what to commit."""
        counts = [self._count(sound, level) for sound in sounds]
        edges = list(accumulate(counts, initial=self._catalog.next_row(level)))
        placed = []
        for model in self._models:
            # Runs of sounds that the model has heard: between them, its rows stay unwritten.
            for there, run in groupby(range(len(sounds)), partial(_holds, sounds, model)):
                numbers = list(run)
                if there:
                    first, last = edges[numbers[0]], edges[numbers[-1] + 1]
                    self._write(model, level, first, [sounds[number].rows[level] for number in numbers])
                    placed.append(_Placed(model.name, level, first, last - first))
        return edges[:-1], placed

    def _count(self, sound: Sound, level: Level) -> int:
        """How many rows a sound has at a level: none where no model has heard it."""
        return min(1, sound.first.passages) if level == "track" else sound.first.passages

    def _write(self, model: ExportedModel, level: Level, first: int, parts: Sequence[Mapping[str, FloatArray]]) -> None:
        """Write the rows of a model's spaces from position `first` on."""
        for full in model.columns():
            self._store.write(level, full, first, np.concatenate([part[full] for part in parts]))

    def _put(self, line: Line, sound: Sound) -> int:
        track_id = self._catalog.put_track(line.root, line.track)
        if sound.first.fingerprint is not None:
            self._catalog.put_fingerprint(track_id, sound.first.fingerprint)
        for model in sorted(line.heard):
            self._catalog.mark_encoded(track_id, model)
        return track_id

    def add_failures(self, failures: Iterable[tuple[Path, int, int, str]]) -> None:
        """Remember files that could not be heard, but for those of which the library knows better."""
        known = self._catalog.failures.all()
        with self._catalog.transaction():
            for path, size, mtime_ns, message in failures:
                track = self._catalog.track_at(path)
                if path not in known and (track is None or track.unreadable):
                    self._catalog.failures.put(path, size, mtime_ns, message)
                    self.report.failures += 1
