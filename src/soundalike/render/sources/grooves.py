"""Human drumming: excerpts of performances that loop, and which drummer belongs to which part of the split."""

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
from soundalike.render.sources.cache import cache_path, keep
from soundalike.render.sources.midi import USED_METERS, Skipped, Song, midi_files, read_midi, version_of

__all__ = ["Grooves", "load_grooves", "performance_of", "split_drummers"]

_VERSION = 1  # of what the cache holds: raise it when reading changes
_TABLE = "info.csv"
_EXCERPTS = 4  # of one performance, spread over it
_HITS_A_BEAT = 1.25  # five in a bar of 4/4: with fewer there is little to recognise
_LEAST_DRUMS = 2
_SOFTEST, _GHOST = 12, 30  # velocities: what is softer is a stray touch; what is kept is made audible
_LOOSE = 0.15  # how much of a player's distance from the grid stays
_TWICE = 0.08  # beats: two strokes on one drum so close would land on one place of the grid
_DRUM_CHANNEL, _LOWEST_DRUM, _HIGHEST_DRUM = 9, 35, 81
# Pads of Roland's kits, on which the Groove MIDI Dataset was played, that General MIDI writes otherwise.
_PADS: Mapping[int, int] = {22: 42, 26: 46, 58: 43}
_LEAST_SHARE, _MOST_SHARE = 0.1, 0.25  # of all grooves, for test and for validation; of all, in one drummer there


@dataclass(frozen=True, slots=True)
class Grooves:
    """Human grooves, sorted by name; the files that could not be used; how many are in meters that are not used."""

    grooves: tuple[Groove, ...]
    skipped: tuple[Skipped, ...]
    other_meters: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """What is known of a file before it is read; None for what the file itself has to tell."""

    source: str
    meter: tuple[int, int] | None = None
    tempo: float | None = None


@dataclass(frozen=True, slots=True)
class _Performance:
    """What a drummer played: (n,) starts in quarter notes, in order, General MIDI drums, velocities."""

    name: str
    source: str
    meter: str
    tempo: float | None
    starts: FloatArray
    drums: IntArray
    velocities: IntArray


def load_grooves(path: Path) -> Grooves:
    """Grooves from the drum performances at `path`, from the cache if they were read before.

    `path` is a folder with the Groove MIDI Dataset's info.csv and archive, of which the beats are used and not the
    fills, or any folder or archive of MIDI files with drums (see `midi.midi_files`), where the topmost folder names the
    drummer. Raises UsageError if nothing there can be used.
    """
    table = path / _TABLE
    times = table.stat().st_mtime_ns if table.is_file() else None
    cache = cache_path("grooves.json", _VERSION, times, *version_of(path))
    found = _load(cache)
    if found is None:
        found = _read(path, _entries(table) if times is not None else None)
        text = json.dumps(_packed(found)).encode()
        keep(cache, lambda file: file.write(text))
    if not found.grooves:
        first = next((f" ({one.name}: {one.reason})" for one in found.skipped), "")
        raise UsageError(f"{path}: no drumming in {', '.join(BAR)}{first}; give another folder to --grooves")
    return found


def split_drummers(grooves: Sequence[Groove]) -> Mapping[str, SplitPart]:
    """The part of the split that each source belongs to; empty if they are fewer than three.

    In order of the hash of their names, sources go to test until it holds a tenth of the grooves, then to validation,
    the rest to train. One who played more than a quarter of all is always in train.
    """
    counts = Counter(groove.source for groove in grooves)
    if len(counts) < 3:
        return {}
    whole, parts = len(grooves), dict[str, SplitPart]()
    held: dict[SplitPart, int] = {"test": 0, "validation": 0}
    for source in sorted(counts, key=lambda name: hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()):
        parts[source] = "train"
        for part in held:
            if held[part] < _LEAST_SHARE * whole and counts[source] <= _MOST_SHARE * whole:
                parts[source] = part
                held[part] += counts[source]
                break
    return parts


def performance_of(groove: Groove) -> str:
    """The name of the performance that a groove is an excerpt of."""
    return groove.name.rpartition("@")[0] or groove.name


def _entries(table: Path) -> Mapping[str, _Entry]:
    """The beats that info.csv lists, by file. Raises UsageError."""
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
            f"{table} is damaged ({error}), expected the Groove MIDI Dataset's columns {columns}"
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
                grooves += _spread(performance)
        except AudioError as error:
            skipped.append(Skipped(name, str(error)))
    skipped += [Skipped(name, f"{_TABLE} lists it, but it is not there") for name in entries or () if name not in seen]
    grooves.sort(key=lambda groove: groove.name)
    return Grooves(tuple(grooves), tuple(sorted(skipped, key=lambda one: one.name)), other)


def _performance(name: str, song: Song, entry: _Entry) -> _Performance | None:
    """The drumming of a file; None if its meter is not used. Raises AudioError if there is none."""
    meters = {entry.meter} if entry.meter else song.meters or {(4, 4)}
    names = {USED_METERS.get(meter) for meter in meters}
    meter = names.pop()
    if names or meter is None:
        return None
    drums = [track for track in song.tracks if track.channel == _DRUM_CHANNEL] or list(song.tracks)
    if not drums:
        raise AudioError("it holds no notes")
    starts = np.concatenate([track.starts for track in drums])
    pitches = np.concatenate([track.pitches for track in drums])
    pitches = np.array([_PADS.get(pitch, pitch) for pitch in pitches.tolist()])
    velocities = np.concatenate([track.velocities for track in drums])
    percussion = (pitches >= _LOWEST_DRUM) & (pitches <= _HIGHEST_DRUM)
    if drums[0].channel != _DRUM_CHANNEL and not percussion.all():
        raise AudioError("it holds no drums: nothing in channel 10, and notes that are not General MIDI's percussion")
    used = percussion & (velocities > _SOFTEST)
    order = np.lexsort((pitches[used], starts[used]))
    starts, pitches, velocities = (one[used][order] for one in (starts, pitches, velocities))
    tempo = entry.tempo if entry.tempo is not None else song.tempo
    return _Performance(name, entry.source, meter, tempo, starts, pitches, velocities)


def _spread(performance: _Performance) -> list[Groove]:
    """Excerpts of two and four bars, in turn, from all over a performance. Raises AudioError if there are none."""
    if len(performance.starts) == 0:
        raise AudioError("it holds no drum strokes")
    bars = int(np.ceil(performance.starts[-1] / BAR[performance.meter]))
    made: list[Groove] = []
    for first in range(0, bars, 4):
        length = 4 if len(made) % 2 else 2
        if first + length <= bars and (one := _excerpt(performance, first, length)):
            made.append(one)
    if not made:
        raise AudioError("no two bars of it hold enough strokes: expected five in a bar of 4/4, on two drums")
    chosen = sorted({round(place) for place in np.linspace(0, len(made) - 1, _EXCERPTS)})
    return [made[place] for place in chosen]


def _excerpt(performance: _Performance, first: int, bars: int) -> Groove | None:
    """Some bars, eased onto their grid so that they loop; None if little happens in them."""
    beats = bars * BAR[performance.meter]
    starts = performance.starts - first * BAR[performance.meter]
    window = (starts >= -0.1) & (starts < beats - 0.1)  # players anticipate a first beat
    starts, drums = starts[window], performance.drums[window]
    if len(starts) < _HITS_A_BEAT * beats or len(set(drums.tolist())) < _LEAST_DRUMS:
        return None
    grid = _grid(starts, performance.meter)
    eased = np.maximum(_LOOSE * starts + (1 - _LOOSE) * np.round(starts * grid) / grid, 0.0)
    hits: dict[int, list[Hit]] = {}
    for start, drum, velocity in zip(eased, drums, performance.velocities[window], strict=True):
        same = hits.setdefault(int(drum), [])
        if not same or start - same[-1].start >= _TWICE:
            same.append(Hit(round(float(start), 3), int(drum), max(int(velocity), _GHOST)))
    return Groove(
        f"{performance.name}@{first}",
        performance.source,
        performance.meter,
        beats,
        tuple(sorted((hit for same in hits.values() for hit in same), key=lambda hit: (hit.start, hit.drum))),
        _swing(eased) if grid == 3 else 0.5,
        performance.tempo,
    )


def _grid(starts: FloatArray, meter: str) -> int:
    """Into how many a quarter note is divided: four, or three where that fits clearly better and is not the meter."""
    if meter in ("6/8", "9/8"):
        return 4
    three, four = (float(np.abs(starts * grid - np.round(starts * grid)).mean()) / grid for grid in (3, 4))
    return 3 if three < 0.7 * four else 4


def _swing(starts: FloatArray) -> float:
    """Where in the beat the late off-beats are, from 0.5 straight to 0.75."""
    late = starts % 1.0
    late = late[(late > 0.5) & (late < 0.8)]
    return round(float(np.clip(late.mean(), 0.5, 0.75)), 3) if len(late) else 0.5


def _packed(found: Grooves) -> dict[str, object]:
    rows = [
        [one.name, one.source, one.meter, one.beats, one.swing, one.tempo, [astuple(hit) for hit in one.hits]]
        for one in found.grooves
    ]
    return {"grooves": rows, "skipped": [[s.name, s.reason] for s in found.skipped], "other": found.other_meters}


def _load(path: Path) -> Grooves | None:
    """What the cache holds; None if it holds nothing that can be read."""
    try:
        held = json.loads(path.read_bytes())
        grooves = tuple(
            Groove(name, source, meter, beats, tuple(Hit(*hit) for hit in hits), swing, tempo)
            for name, source, meter, beats, swing, tempo, hits in held["grooves"]
        )
        return Grooves(grooves, tuple(Skipped(*one) for one in held["skipped"]), held["other"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
