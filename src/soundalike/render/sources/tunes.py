"""Large collections of melodies. A work has one or more settings (versions)."""

from __future__ import annotations

import bisect
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar
from zipfile import BadZipFile

import numpy as np

from soundalike.core.errors import AudioError, SoundalikeError, UsageError, one_line
from soundalike.core.executors.base import run_tasks
from soundalike.core.types import IntArray
from soundalike.render.score.music import BAR, METERS, MODES, Melody, Note, SplitPart, part_of
from soundalike.render.sources.cache import cache_path, write_cache
from soundalike.render.sources.corpus import collection_files, corpus_folder, read_collection
from soundalike.render.sources.melody_line import TICKS, Line, melody_of
from soundalike.render.sources.midi import Skipped, midi_files, read_midi, version_of

__all__ = ["Tunes", "corpus_tunes", "load_tunes"]

Task = TypeVar("Task")
Progress: TypeAlias = Callable[[str], None]

_VERSION = 1  # of the cached data; increase it when the reader changes
_BATCH = 300  # files per task, about two seconds of work
_MODE_NAMES = tuple(MODES)
_ARRAYS = ("meters", "modes", "bounds", "bars", "edges", "onsets", "lengths", "pitches", "velocities")
_EXPECTED = (
    f"no usable melody, expected tunes of 8 bars or more in {', '.join(METERS)}; choose another path for --tunes"
)


@dataclass(frozen=True, slots=True)
class _Setting:
    """One version of a work."""

    work: str
    name: str
    line: Line


@dataclass(slots=True)
class _ReadResult:
    """The results of reading some files."""

    settings: list[_Setting] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    other_meters: int = 0

    def add(self, work: str, name: str, found: Line | Skipped | None) -> None:
        """Add the result of one tune: its melody, why it was skipped, or None if its meter is not used."""
        if isinstance(found, Line):
            self.settings.append(_Setting(work, name, found))
        elif isinstance(found, Skipped):
            self.skipped.append(found)
        else:
            self.other_meters += 1


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files to read, as (name, contents). If `nested`, the folder of a file is its work."""

    files: tuple[tuple[str, bytes], ...]
    nested: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tunes:
    """All settings of all works. Flat arrays are used because millions of note objects would take gigabytes of memory.

    Attributes:
        works: (w,) sorted names of the works.
        meters: (w,) indices into METERS.
        modes: (w,) indices into MODES.
        bounds: (w + 1,) offsets. The settings of work k are `bounds[k]` to `bounds[k + 1]`.
        setting_names: (s,) names of the settings.
        bars: (s,) lengths of the settings in bars.
        edges: (s + 1,) offsets. The notes of setting j are `edges[j]` to `edges[j + 1]`.
        onsets: (n,) onsets in ticks.
        lengths: (n,) lengths in ticks.
        pitches: (n,) pitches in semitones above the tonic.
        velocities: (n,) MIDI velocities.
        skipped: The files that could not be used.
        other_meters: Number of files in meters that are not used.
        digest: A hash of all melodies.

    Example:
        >>> tunes = load_tunes(Path("thesession-midi.tar.xz"))
        >>> names = tunes.names("train", "6/8", "dorian")
        >>> settings = tunes.settings(names[0])
    """

    works: tuple[str, ...]
    meters: IntArray
    modes: IntArray
    bounds: IntArray
    setting_names: tuple[str, ...]
    bars: IntArray
    edges: IntArray
    onsets: IntArray
    lengths: IntArray
    pitches: IntArray
    velocities: IntArray
    skipped: tuple[Skipped, ...]
    other_meters: int
    digest: str

    def __len__(self) -> int:
        """Return the number of works."""
        return len(self.works)

    def names(self, part: SplitPart, meter: str, mode: str) -> tuple[str, ...]:
        """Return the sorted names of the works in a meter and mode that belong to a part of the split."""
        indices = np.flatnonzero((self.meters == METERS.index(meter)) & (self.modes == _MODE_NAMES.index(mode)))
        return tuple(name for k in indices if part_of("tune:" + (name := self.works[k])) == part)

    def settings(self, name: str) -> tuple[Melody, ...]:
        """Return all settings of a work. Each starts at a bar line.

        Raises:
            KeyError: There is no such work.
        """
        k = bisect.bisect_left(self.works, name)
        if k == len(self.works) or self.works[k] != name:
            raise KeyError(name)
        return tuple(self._melody(k, j) for j in range(self.bounds[k], self.bounds[k + 1]))

    def _melody(self, work: int, setting: int) -> Melody:
        meter = METERS[self.meters[work]]
        span = slice(self.edges[setting], self.edges[setting + 1])
        notes = zip(
            (self.onsets[span] / TICKS).tolist(),
            (self.lengths[span] / TICKS).tolist(),
            self.pitches[span].tolist(),
            self.velocities[span].tolist(),
            strict=True,
        )
        return Melody(
            self.works[work],
            self.setting_names[setting],
            meter,
            _MODE_NAMES[self.modes[work]],
            float(self.bars[setting]) * BAR[meter],
            tuple(Note(*note) for note in notes),
        )


def load_tunes(path: Path, progress: Progress | None = None) -> Tunes:
    """Load the melodies of MIDI files. Later calls with the same files load them from the user's cache.

    If all files are one folder deep, as in REEL/version.mid, each folder is a work and its files are the settings.
    Otherwise each file is a work.

    Args:
        path: A folder or archive of MIDI files (see `midi.midi_files`).
        progress: Called with a one-line message while the files are read for the first time.

    Returns:
        The melodies, and the files that could not be used.

    Raises:
        UsageError: `path` does not exist, cannot be read, or holds no usable melody.

    Example:
        >>> tunes = load_tunes(Path("thesession-midi.tar.xz"), progress=print)
    """

    def read() -> _ReadResult:
        files = sorted(midi_files(path))
        nested = all(name.count("/") == 1 for name, _ in files)
        batches = [_Batch(tuple(files[k : k + _BATCH]), nested) for k in range(0, len(files), _BATCH)]
        return _read_all(_read_batch, batches, progress)

    return _cached(cache_path("tunes.npz", _VERSION, *version_of(path)), read, str(path))


def corpus_tunes(progress: Progress | None = None) -> Tunes | None:
    """Load the melodies of music21's corpus (see `corpus`). Later calls load them from the user's cache.

    Args:
        progress: Called with a one-line message while the collections are read for the first time.

    Returns:
        The melodies, or None if music21 or its corpus is not installed.

    Raises:
        UsageError: The corpus holds no usable melody.

    Example:
        >>> tunes = corpus_tunes()
    """
    folder = corpus_folder()
    files = collection_files(folder) if folder else []
    if not files:
        return None
    # The largest files come first. Otherwise one worker would read a large file while the others are idle.
    stats = sorted((-(stat := file.stat()).st_size, str(file), stat.st_mtime_ns) for file in files)
    tasks = [Path(name) for _, name, _ in stats]
    path = cache_path("tunes.npz", _VERSION, *stats)
    return _cached(path, lambda: _read_all(_read_collection, tasks, progress), "music21's corpus")


def _read_batch(batch: _Batch) -> _ReadResult:
    read = _ReadResult()
    for name, data in batch.files:
        work = name.partition("/")[0] if batch.nested else name.rpartition(".")[0]
        found: Line | Skipped | None
        try:
            found = melody_of(read_midi(data))
        except AudioError as error:
            found = Skipped(name, str(error))
        read.add(work, name, found)
    return read


def _read_collection(file: Path) -> _ReadResult:
    read = _ReadResult()
    for work, name, found in read_collection(file):
        read.add(work, name, found)
    return read


def _read_all(read: Callable[[Task], _ReadResult], tasks: Sequence[Task], progress: Progress | None) -> _ReadResult:
    """Read all tasks in parallel, and merge the results in the order of their names."""
    outcomes = (outcome for _, outcome in run_tasks(read, tasks))
    total = _ReadResult()
    for done, outcome in enumerate(outcomes, 1):
        if isinstance(outcome, SoundalikeError):
            raise outcome
        total.settings += outcome.settings
        total.skipped += outcome.skipped
        total.other_meters += outcome.other_meters
        if progress:
            progress(
                f"reading tunes for the first time: {100 * done // len(tasks)} %, {len(total.settings):,} melodies"
            )
    total.settings.sort(key=lambda setting: (setting.work, setting.name))
    total.skipped.sort(key=lambda skipped: skipped.name)
    return total


def _cached(path: Path, read: Callable[[], _ReadResult], source: str) -> Tunes:
    tunes = _load(path)
    if tunes is None:
        tunes = _pack(read())
        write_cache(path, partial(_save, tunes))
    if len(tunes) == 0:
        first = next((f" ({one_line(skipped.name)}: {skipped.reason})" for skipped in tunes.skipped), "")
        raise UsageError(f"{source}: {_EXPECTED}{first}")
    return tunes


def _pack(read: _ReadResult) -> Tunes:
    """Pack settings that are sorted by work and name into arrays.

    Settings that differ in meter or mode from most settings of their work are dropped.
    """
    works: list[str] = []
    meters_and_modes: list[tuple[str, str]] = []
    bounds, selected = [0], list[_Setting]()
    for work, group in groupby(read.settings, key=lambda setting: setting.work):
        settings = list(group)
        usual = Counter((setting.line.meter, setting.line.mode) for setting in settings).most_common(1)[0][0]
        selected += [setting for setting in settings if (setting.line.meter, setting.line.mode) == usual]
        works.append(work)
        meters_and_modes.append(usual)
        bounds.append(len(selected))
    lines = [setting.line for setting in selected]

    def flat(name: str, kind: type[np.integer[Any]]) -> IntArray:
        return np.concatenate(
            [np.zeros(0, kind), *(getattr(line, name) for line in lines)], dtype=kind, casting="unsafe"
        )

    arrays: dict[str, IntArray] = {
        "meters": np.array([METERS.index(meter) for meter, _ in meters_and_modes], np.int8),
        "modes": np.array([_MODE_NAMES.index(mode) for _, mode in meters_and_modes], np.int8),
        "bounds": np.array(bounds),
        "bars": np.array([line.bars for line in lines], np.int16),
        "edges": np.cumsum([0, *(len(line.onsets) for line in lines)]),
        "onsets": flat("onsets", np.uint16),
        "lengths": flat("lengths", np.uint16),
        "pitches": flat("pitches", np.int16),
        "velocities": flat("velocities", np.uint8),
    }
    names = tuple(setting.name for setting in selected)
    digest = hashlib.sha256(json.dumps([works, names]).encode())
    for array in arrays.values():
        digest.update(np.ascontiguousarray(array).data)
    return Tunes(
        works=tuple(works),
        setting_names=names,
        skipped=tuple(read.skipped),
        other_meters=read.other_meters,
        digest=digest.hexdigest(),
        **arrays,
    )


def _save(tunes: Tunes, file: BinaryIO) -> None:
    text = {
        "works": tunes.works,
        "setting_names": tunes.setting_names,
        "skipped": [(skipped.name, skipped.reason) for skipped in tunes.skipped],
        "other_meters": tunes.other_meters,
        "digest": tunes.digest,
    }
    packed = np.frombuffer(json.dumps(text).encode(), np.uint8)
    np.savez(file, text=packed, **{name: getattr(tunes, name) for name in _ARRAYS})


def _load(path: Path) -> Tunes | None:
    """Load tunes from the cache. None if they are missing or unreadable."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if sum(entry.file_size for entry in arrays.zip.infolist()) > path.stat().st_size:
                return None  # compressed, so not written by `_save`
            text = json.loads(arrays["text"].tobytes())
            return Tunes(
                works=tuple(text["works"]),
                setting_names=tuple(text["setting_names"]),
                skipped=tuple(Skipped(name, reason) for name, reason in text["skipped"]),
                other_meters=text["other_meters"],
                digest=text["digest"],
                **{name: arrays[name] for name in _ARRAYS},
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile):
        return None
