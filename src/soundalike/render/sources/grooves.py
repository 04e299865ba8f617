"""Human drum grooves: looping excerpts of performances, and the split by drummer."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score.music import BAR, Groove, Hit, SplitPart
from soundalike.render.sources.cache import cache_path, write_cache
from soundalike.render.sources.midi import (
    DRUM_CHANNEL,
    USED_METERS,
    Skipped,
    Song,
    midi_files,
    read_midi,
    version_of,
)

__all__ = ["PADS", "Grooves", "load_grooves", "performance_of", "split_drummers"]

_VERSION = 1  # of the cached data; increase it when the reader changes
_TABLE = "info.csv"
_EXCERPTS = 4  # per performance, evenly distributed
_HITS_PER_BEAT = 1.25  # five in a bar of 4/4; sparser rhythms are hard to recognise
_LEAST_DRUMS = 2
# Velocities: strokes up to _SOFTEST are accidental and dropped. Strokes below _GHOST are raised to it.
_SOFTEST, _GHOST = 12, 30
_LOOSENESS = 0.15  # share of each stroke's deviation from the grid that remains
_DOUBLE_STROKE = 0.08  # beats; closer strokes on one drum would fall on the same grid position
_LOWEST_DRUM, _HIGHEST_DRUM = 35, 81
PADS: Mapping[int, int] = {22: 42, 26: 46, 58: 43}
"""Notes of the Roland kit of the Groove MIDI Dataset that are not in General MIDI, and their equivalents."""
# Shares of all grooves: the minimum for the test and validation parts, and the maximum for one drummer in them.
_LEAST_SHARE, _MOST_SHARE = 0.1, 0.25


@dataclass(frozen=True, slots=True)
class Grooves:
    """Human grooves.

    Attributes:
        grooves: The grooves, sorted by name.
        skipped: The files that could not be used.
        other_meters: Number of files in meters that are not used.
    """

    grooves: tuple[Groove, ...]
    skipped: tuple[Skipped, ...]
    other_meters: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """Metadata of a file from outside the file. None means that the file's own value is used."""

    source: str
    meter: tuple[int, int] | None = None
    tempo: float | None = None


@dataclass(frozen=True, slots=True)
class _Performance:
    """A drum performance: (n,) sorted starts in quarter notes, General MIDI drums and velocities."""

    name: str
    source: str
    meter: str
    tempo: float | None
    starts: FloatArray
    drums: IntArray
    velocities: IntArray


def load_grooves(path: Path) -> Grooves:
    """Load grooves from drum performances. Later calls with the same files load them from the user's cache.

    Args:
        path: A folder with info.csv and the archive of the Groove MIDI Dataset, or any folder or archive of MIDI files
            with drums (see `midi.midi_files`). For the dataset, beats are used and fills are not. Elsewhere, the
            topmost folder names the drummer.

    Returns:
        Up to four loops of two or four bars per performance, and the files that could not be used.

    Raises:
        UsageError: `path` does not exist, cannot be read, or holds no usable drumming.

    Example:
        >>> grooves = load_grooves(Path("groove")).grooves
        >>> drummers = split_drummers(grooves)
    """
    table = path / _TABLE
    times = table.stat().st_mtime_ns if table.is_file() else None
    cache = cache_path("grooves.json", _VERSION, times, *version_of(path))
    found = _load(cache)
    if found is None:
        found = _read(path, _entries(table) if times is not None else None)
        text = json.dumps(_packed(found)).encode()
        write_cache(cache, lambda file: file.write(text))
    if not found.grooves:
        first = next((f" ({skipped.name}: {skipped.reason})" for skipped in found.skipped), "")
        raise UsageError(f"{path}: no drumming in {', '.join(BAR)}{first}; choose another path for --grooves")
    return found


def split_drummers(grooves: Sequence[Groove]) -> Mapping[str, SplitPart]:
    """Assign the sources of grooves (their drummers) to the parts of the split.

    Sources are taken in the order of the hashes of their names. They go to test until it holds a tenth of the grooves,
    then to validation until it holds a tenth, and the rest go to train. A source with more than a quarter of the
    grooves always goes to train.

    Args:
        grooves: All grooves.

    Returns:
        The part of each source. Empty if there are fewer than three sources.

    Example:
        >>> drummers = split_drummers(load_grooves(Path("groove")).grooves)
        >>> test_drummers = [source for source, part in drummers.items() if part == "test"]
    """
    counts = Counter(groove.source for groove in grooves)
    if len(counts) < 3:
        return {}
    total, parts = len(grooves), dict[str, SplitPart]()
    assigned: dict[SplitPart, int] = {"test": 0, "validation": 0}
    for source in sorted(counts, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()):
        parts[source] = "train"
        for part in assigned:
            if assigned[part] < _LEAST_SHARE * total and counts[source] <= _MOST_SHARE * total:
                parts[source] = part
                assigned[part] += counts[source]
                break
    return parts


def performance_of(groove: Groove) -> str:
    """Return the name of the performance that a groove is taken from.

    Example:
        >>> performance_of(Groove("drummer1/3_beat@16", "drummer1", "4/4", 8.0, ()))
        'drummer1/3_beat'
    """
    return groove.name.rpartition("@")[0] or groove.name


def _entries(table: Path) -> Mapping[str, _Entry]:
    """Return the entries of info.csv for beats (not fills), by file name. Raises UsageError if it is invalid."""
    try:
        with table.open(newline="", encoding="utf-8") as file:
            return {
                row["midi_filename"]: _Entry(row["drummer"], _meter(row["time_signature"]), float(row["bpm"]))
                for row in csv.DictReader(file)
                if row["beat_type"] == "beat"
            }
    except OSError as error:
        raise UsageError(f"{table} cannot be read: {error.strerror}") from error
    except (KeyError, ValueError, TypeError) as error:
        columns = "drummer, bpm, beat_type, time_signature, midi_filename"
        raise UsageError(
            f"{table} is invalid ({error}); expected the columns of the Groove MIDI Dataset: {columns}"
        ) from error


def _meter(text: str) -> tuple[int, int]:
    above, below = text.split("-")
    return int(above), int(below)


def _read(path: Path, entries: Mapping[str, _Entry] | None) -> Grooves:
    grooves: list[Groove] = []
    skipped: list[Skipped] = []
    other = 0
    seen = set()
    for name, data in midi_files(path):
        if entries is not None and name not in entries:
            continue
        seen.add(name)
        stem = name.rpartition(".")[0]
        entry = entries[name] if entries is not None else _Entry(stem.partition("/")[0])
        try:
            performance = _performance(stem, read_midi(data), entry)
            if performance is None:
                other += 1
            else:
                grooves += _excerpts(performance)
        except AudioError as error:
            skipped.append(Skipped(name, str(error)))
    skipped += [Skipped(name, f"{_TABLE} lists it, but it is missing") for name in entries or () if name not in seen]
    grooves.sort(key=lambda groove: groove.name)
    return Grooves(tuple(grooves), tuple(sorted(skipped, key=lambda skip: skip.name)), other)


def _performance(name: str, song: Song, entry: _Entry) -> _Performance | None:
    """Return the drum performance of a song, or None if its meter is not used. Raises AudioError if it has no drums."""
    meters = {entry.meter} if entry.meter else song.meters or {(4, 4)}
    names = {USED_METERS.get(meter) for meter in meters}
    meter = names.pop()
    if names or meter is None:
        return None
    drums = [track for track in song.tracks if track.channel == DRUM_CHANNEL] or list(song.tracks)
    if not drums:
        raise AudioError("it holds no notes")
    starts = np.concatenate([track.starts for track in drums])
    pitches = np.concatenate([track.pitches for track in drums])
    pitches = np.array([PADS.get(pitch, pitch) for pitch in pitches.tolist()])
    velocities = np.concatenate([track.velocities for track in drums])
    percussion = (pitches >= _LOWEST_DRUM) & (pitches <= _HIGHEST_DRUM)
    if drums[0].channel != DRUM_CHANNEL and not percussion.all():
        raise AudioError("it holds no drums: channel 10 is empty, and other notes are not General MIDI percussion")
    used = percussion & (velocities > _SOFTEST)
    order = np.lexsort((pitches[used], starts[used]))
    starts, pitches, velocities = (values[used][order] for values in (starts, pitches, velocities))
    tempo = entry.tempo if entry.tempo is not None else song.tempo
    return _Performance(name, entry.source, meter, tempo, starts, pitches, velocities)


def _excerpts(performance: _Performance) -> list[Groove]:
    """Return evenly distributed excerpts, alternating two and four bars. Raises AudioError if there are none."""
    if len(performance.starts) == 0:
        raise AudioError("it holds no drum strokes")
    bars = int(np.ceil(performance.starts[-1] / BAR[performance.meter]))
    grooves: list[Groove] = []
    for first in range(0, bars, 4):
        length = 4 if len(grooves) % 2 else 2
        if first + length <= bars and (groove := _excerpt(performance, first, length)):
            grooves.append(groove)
    if not grooves:
        raise AudioError("it has no two bars with enough strokes; expected five per bar of 4/4, on two drums")
    chosen = sorted({round(index) for index in np.linspace(0, len(grooves) - 1, _EXCERPTS)})
    return [grooves[index] for index in chosen]


def _excerpt(performance: _Performance, first: int, bars: int) -> Groove | None:
    """Return bars of a performance as a loop, with strokes moved towards the grid. None if it has too few strokes."""
    beats = bars * BAR[performance.meter]
    starts = performance.starts - first * BAR[performance.meter]
    window = (starts >= -0.1) & (starts < beats - 0.1)  # players often anticipate the first beat
    starts, drums = starts[window], performance.drums[window]
    if len(starts) < _HITS_PER_BEAT * beats or len(set(drums.tolist())) < _LEAST_DRUMS:
        return None
    grid = _grid(starts, performance.meter)
    quantised = np.maximum(_LOOSENESS * starts + (1 - _LOOSENESS) * np.round(starts * grid) / grid, 0.0)
    hits: dict[int, list[Hit]] = {}
    for start, drum, velocity in zip(quantised, drums, performance.velocities[window], strict=True):
        same = hits.setdefault(int(drum), [])
        if not same or start - same[-1].start >= _DOUBLE_STROKE:
            same.append(Hit(round(float(start), 3), int(drum), max(int(velocity), _GHOST)))
    return Groove(
        f"{performance.name}@{first}",
        performance.source,
        performance.meter,
        beats,
        tuple(sorted((hit for same in hits.values() for hit in same), key=lambda hit: (hit.start, hit.drum))),
        _swing(quantised) if grid == 3 else 0.5,
        performance.tempo,
    )


def _grid(starts: FloatArray, meter: str) -> int:
    """Return the number of grid steps per quarter note: three if triplets fit the strokes clearly better, else four.

    Compound meters always use four, because their groups of three are part of the meter.
    """
    if meter in ("6/8", "9/8"):
        return 4
    three, four = (float(np.abs(starts * grid - np.round(starts * grid)).mean()) / grid for grid in (3, 4))
    return 3 if three < 0.7 * four else 4


def _swing(starts: FloatArray) -> float:
    """Return the mean position of the off-beats within the beat, from 0.5 (straight) to 0.75."""
    late = starts % 1.0
    late = late[(late > 0.5) & (late < 0.8)]
    return round(float(np.clip(late.mean(), 0.5, 0.75)), 3) if len(late) else 0.5


def _packed(found: Grooves) -> dict[str, object]:
    rows = [
        [
            groove.name,
            groove.source,
            groove.meter,
            groove.beats,
            groove.swing,
            groove.tempo,
            [astuple(hit) for hit in groove.hits],
        ]
        for groove in found.grooves
    ]
    return {"grooves": rows, "skipped": [[s.name, s.reason] for s in found.skipped], "other": found.other_meters}


def _load(path: Path) -> Grooves | None:
    """Load grooves from the cache. None if they are missing or unreadable."""
    try:
        cached = json.loads(path.read_bytes())
        grooves = tuple(
            Groove(name, source, meter, beats, tuple(Hit(*hit) for hit in hits), swing, tempo)
            for name, source, meter, beats, swing, tempo, hits in cached["grooves"]
        )
        return Grooves(grooves, tuple(Skipped(*fields) for fields in cached["skipped"]), cached["other"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
