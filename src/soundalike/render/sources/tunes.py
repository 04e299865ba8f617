"""A large book of melodies: works, and the settings in which people play each."""

from __future__ import annotations

import bisect
import hashlib
import json
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, TypeVar
from zipfile import BadZipFile

import numpy as np

from soundalike.core.errors import AudioError, SoundalikeError, UsageError, one_line
from soundalike.core.executors.processes import run_tasks
from soundalike.core.types import IntArray
from soundalike.render.score.music import BAR, METERS, MODES, Melody, Note, SplitPart, part_of
from soundalike.render.sources.cache import cache_path, keep
from soundalike.render.sources.corpus import collection_files, corpus_folder, read_collection
from soundalike.render.sources.midi import TICKS, Line, Skipped, melody_of, midi_files, read_midi, version_of

__all__ = ["Tunes", "corpus_tunes", "load_tunes"]

Task = TypeVar("Task")
Progress: TypeAlias = Callable[[str], None]

_VERSION = 1  # of what the cache holds: raise it when reading changes
_BATCH = 300  # files to a task: two seconds of work
_MODE_NAMES = tuple(MODES)
_ARRAYS = ("meters", "modes", "bounds", "bars", "edges", "onsets", "lengths", "pitches", "velocities")
_EXPECTED = f"no usable melody, expected tunes of 8 bars or more in {', '.join(METERS)}; give another folder to --tunes"


@dataclass(frozen=True, slots=True)
class _Setting:
    """One version of a work as it was read."""

    work: str
    name: str
    line: Line


@dataclass(slots=True)
class _Read:
    """What became of some files."""

    settings: list[_Setting] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    other_meters: int = 0

    def add(self, work: str, name: str, found: Line | Skipped | None) -> None:
        """Take note of one file's melody, of why it has none, or (None) that it is in a meter that is not used."""
        if isinstance(found, Line):
            self.settings.append(_Setting(work, name, found))
        elif isinstance(found, Skipped):
            self.skipped.append(found)
        else:
            self.other_meters += 1


@dataclass(frozen=True, slots=True)
class _Batch:
    """Files to read, as (name, contents). `nested`: their folder is the work."""

    files: tuple[tuple[str, bytes], ...]
    nested: bool


@dataclass(frozen=True, slots=True, eq=False)
class Tunes:
    """All settings of all works, as flat arrays: millions of notes would be gigabytes of objects.

    `works` (w,) sorted names; `meters` and `modes` (w,) their places in METERS and MODES; the settings of work k are
    `bounds[k]` to `bounds[k + 1]`. `setting_names` (s,) and `bars` (s,); the notes of setting j are `edges[j]` to
    `edges[j + 1]` of `onsets` and `lengths` in ticks, `pitches` above the tonic, and `velocities`, all (n,).
    `skipped` names the files that could not be used; `other_meters` counts those in meters that are not used;
    `digest` changes when any melody does.
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
        """How many works there are."""
        return len(self.works)

    def names(self, part: SplitPart, meter: str, mode: str) -> tuple[str, ...]:
        """The works of one part of the split in a meter and mode, sorted."""
        places = np.flatnonzero((self.meters == METERS.index(meter)) & (self.modes == _MODE_NAMES.index(mode)))
        return tuple(name for k in places if part_of("tune:" + (name := self.works[k])) == part)

    def settings(self, name: str) -> tuple[Melody, ...]:
        """Every version of a work in its meter and mode, whole tunes from a bar line on. Raises KeyError."""
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
    """The melodies of the MIDI files at `path` (see `midi.midi_files`), from the cache if they were read before.

    If all files lie one folder down, as in REEL/version.mid, such a folder is a work and its files are its settings;
    otherwise every file is a work of its own. `progress` hears how far a first reading is. Raises UsageError if there
    is no usable melody.
    """

    def read() -> _Read:
        files = sorted(midi_files(path))
        nested = all(name.count("/") == 1 for name, _ in files)
        batches = [_Batch(tuple(files[k : k + _BATCH]), nested) for k in range(0, len(files), _BATCH)]
        return _read_all(_read_batch, batches, progress)

    return _cached(cache_path("tunes.npz", _VERSION, *version_of(path)), read, str(path))


def corpus_tunes(progress: Progress | None = None) -> Tunes | None:
    """The melodies of the collections that come with music21 (see `corpus`), from the cache if they were read before.

    None if music21 is not installed or comes without them. Raises UsageError if none of them can be used.
    """
    folder = corpus_folder()
    files = collection_files(folder) if folder else []
    if not files:
        return None
    # The largest first, or one of them would be read alone at the end.
    stats = sorted((-(stat := file.stat()).st_size, str(file), stat.st_mtime_ns) for file in files)
    tasks = [Path(name) for _, name, _ in stats]
    path = cache_path("tunes.npz", _VERSION, *stats)
    return _cached(path, lambda: _read_all(_read_collection, tasks, progress), "music21's corpus")


def _read_batch(batch: _Batch) -> _Read:
    read = _Read()
    for name, data in batch.files:
        work = name.partition("/")[0] if batch.nested else name.rpartition(".")[0]
        found: Line | Skipped | None
        try:
            found = melody_of(read_midi(data))
        except AudioError as error:
            found = Skipped(name, str(error))
        read.add(work, name, found)
    return read


def _read_collection(file: Path) -> _Read:
    read = _Read()
    for work, name, found in read_collection(file):
        read.add(work, name, found)
    return read


def _read_all(read: Callable[[Task], _Read], tasks: Sequence[Task], progress: Progress | None) -> _Read:
    """Read all tasks on all cores, and put together what came out of them in order of name."""
    outcomes: Iterable[_Read | SoundalikeError]
    if multiprocessing.current_process().daemon:  # a worker process may have no workers of its own
        outcomes = map(read, tasks)
    else:
        outcomes = (outcome for _, outcome in run_tasks(read, tasks))
    whole = _Read()
    for done, one in enumerate(outcomes, 1):
        if isinstance(one, SoundalikeError):
            raise one
        whole.settings += one.settings
        whole.skipped += one.skipped
        whole.other_meters += one.other_meters
        if progress:
            progress(
                f"reading tunes for the first time: {100 * done // len(tasks)} %, {len(whole.settings):,} melodies"
            )
    whole.settings.sort(key=lambda setting: (setting.work, setting.name))
    whole.skipped.sort(key=lambda skipped: skipped.name)
    return whole


def _cached(path: Path, read: Callable[[], _Read], place: str) -> Tunes:
    tunes = _load(path)
    if tunes is None:
        tunes = _bind(read())
        keep(path, partial(_save, tunes))
    if len(tunes) == 0:
        first = next((f" ({one_line(one.name)}: {one.reason})" for one in tunes.skipped), "")
        raise UsageError(f"{place}: {_EXPECTED}{first}")
    return tunes


def _bind(read: _Read) -> Tunes:
    """Make a book of settings that are sorted by work and name."""
    works: list[str] = []
    places: list[tuple[str, str]] = []
    bounds, kept = [0], list[_Setting]()
    for work, group in groupby(read.settings, key=lambda setting: setting.work):
        settings = list(group)
        place = Counter((one.line.meter, one.line.mode) for one in settings).most_common(1)[0][0]
        kept += [one for one in settings if (one.line.meter, one.line.mode) == place]
        works.append(work)
        places.append(place)
        bounds.append(len(kept))
    lines = [one.line for one in kept]

    def flat(name: str, kind: type[np.integer[Any]]) -> IntArray:
        return np.concatenate(
            [np.zeros(0, kind), *(getattr(line, name) for line in lines)], dtype=kind, casting="unsafe"
        )

    arrays: dict[str, IntArray] = {
        "meters": np.array([METERS.index(meter) for meter, _ in places], np.int8),
        "modes": np.array([_MODE_NAMES.index(mode) for _, mode in places], np.int8),
        "bounds": np.array(bounds),
        "bars": np.array([line.bars for line in lines], np.int16),
        "edges": np.cumsum([0, *(len(line.onsets) for line in lines)]),
        "onsets": flat("onsets", np.uint16),
        "lengths": flat("lengths", np.uint16),
        "pitches": flat("pitches", np.int16),
        "velocities": flat("velocities", np.uint8),
    }
    names = tuple(one.name for one in kept)
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
        "skipped": [(one.name, one.reason) for one in tunes.skipped],
        "other_meters": tunes.other_meters,
        "digest": tunes.digest,
    }
    packed = np.frombuffer(json.dumps(text).encode(), np.uint8)
    np.savez(file, text=packed, **{name: getattr(tunes, name) for name in _ARRAYS})


def _load(path: Path) -> Tunes | None:
    """The book that the cache holds; None if it holds none that can be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            text = json.loads(held["text"].tobytes())
            return Tunes(
                works=tuple(text["works"]),
                setting_names=tuple(text["setting_names"]),
                skipped=tuple(Skipped(name, reason) for name, reason in text["skipped"]),
                other_meters=text["other_meters"],
                digest=text["digest"],
                **{name: held[name] for name in _ARRAYS},
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, BadZipFile):
        return None
