"""Standard MIDI Files: finding them, reading them, and the melody that one holds."""

from __future__ import annotations

import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.files import absolute
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score.music import BAR, MODES

__all__ = [
    "TICKS",
    "USED_METERS",
    "Line",
    "Skipped",
    "Song",
    "Track",
    "find_key",
    "melody_of",
    "midi_files",
    "read_midi",
    "version_of",
]

TICKS = 24  # of a quarter note: the least that holds both 32nds and triplets of 16ths
# The meters that are used, by their signature: what they are called here.
USED_METERS: Mapping[tuple[int, int], str] = {
    (4, 4): "4/4",
    (2, 2): "4/4",
    (2, 4): "4/4",
    (3, 4): "3/4",
    (6, 8): "6/8",
    (12, 8): "6/8",
    (9, 8): "9/8",
}

_LEAST_NOTES, _LEAST_BARS = 16, 8  # two phrases of four bars: fewer give no choice of excerpts
_MOST_BARS = 256  # far more than excerpts need, and their ticks fit 16 bits
_LONGEST_REST = 2  # bars; what comes after a longer one is another section
_ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.xz", ".zip")
# What a broken archive, or one with a password, raises besides OSError.
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, lzma.LZMAError, zlib.error, EOFError, RuntimeError)
_LEAD_NAMES = re.compile(r"melod|lead|vocal|voice|solo|sing", re.IGNORECASE)
_DRUM_CHANNEL = 9
# abc2midi, which wrote most collections of traditional tunes, plays a bar's first note at 105, other beats at 95.
_ABC_BAR, _ABC_VELOCITIES = 105, (75, 80, 95, 105)

# How long each degree sounds in a mode: Krumhansl's profiles ("Cognitive Foundations of Musical Pitch", 1990), where
# what the modes add to major and minor changes places with what they lack.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
# How much the last note and a written key signature count against the correlation with a profile.
_LAST_NOTE, _SAME_SCALE, _SAME_KEY = 0.15, 0.2, 0.1


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left out, and why, in one line."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Track:
    """The notes of one track in one channel, in order of time: (n,) starts and ends in quarter notes, MIDI notes and
    velocities.
    """

    name: str
    channel: int
    starts: FloatArray
    ends: FloatArray
    pitches: IntArray
    velocities: IntArray


@dataclass(frozen=True, slots=True)
class Song:
    """What a MIDI file holds: `meters` as (numerator, denominator), the first tempo in quarter notes a minute, and the
    key signature as (tonic above C, mode), where they are written.
    """

    tracks: tuple[Track, ...]
    meters: frozenset[tuple[int, int]]
    tempo: float | None = None
    key: tuple[int, str] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A melody of `bars` bars, monophonic: (n,) onsets and lengths in ticks, semitones above the tonic, velocities."""

    meter: str
    mode: str
    bars: int
    onsets: IntArray
    lengths: IntArray
    pitches: IntArray
    velocities: IntArray


def midi_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield (name, contents) of the MIDI files in a folder, at any depth, or in an archive, or in the only archive of
    a folder. Names are relative, with slashes, in no particular order. Raises UsageError.
    """
    holder = _holder(path)
    try:
        if holder.is_dir():
            for file in _loose(holder):
                yield file.relative_to(holder).as_posix(), file.read_bytes()
        elif holder.name.lower().endswith(".zip"):
            with zipfile.ZipFile(holder) as archive:
                for info in archive.infolist():
                    if _is_midi(info.filename):
                        yield info.filename, archive.read(info)
        else:
            with tarfile.open(holder) as tar:
                for member in tar:
                    handle = tar.extractfile(member) if member.isfile() and _is_midi(member.name) else None
                    if handle is not None:
                        yield member.name.removeprefix("./"), handle.read()
    except _DAMAGED as error:
        reason = str(error).partition("\n")[0].rstrip(":") or type(error).__name__  # tarfile lists all it tried
        raise UsageError(f"{holder} is damaged ({reason}); expected an archive of MIDI files") from error
    except OSError as error:
        raise UsageError(f"{holder} cannot be read: {error.strerror or error}") from error


def version_of(path: Path) -> tuple[object, ...]:
    """What changes when the MIDI files at `path` change: sizes and times. Raises UsageError as `midi_files` does."""
    holder = absolute(_holder(path))
    files = _loose(holder) if holder.is_dir() else [holder]
    stats = [(str(file), file.stat()) for file in files]
    return tuple((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)


def _holder(path: Path) -> Path:
    """The folder or archive to read. Raises UsageError."""
    if not path.exists():
        raise UsageError(f"{path} does not exist; give a folder or archive of MIDI files")
    if path.is_file():
        if path.name.lower().endswith(_ARCHIVES):
            return path
        raise UsageError(f"{path} is not an archive ({', '.join(_ARCHIVES)}); give a folder or archive of MIDI files")
    if _loose(path):
        return path
    archives = [file for file in sorted(path.iterdir()) if file.name.lower().endswith(_ARCHIVES)]
    if len(archives) != 1:
        raise UsageError(f"{path} holds no MIDI files (.mid, .midi) and {len(archives)} archives, expected one of them")
    return archives[0]


def _loose(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if _is_midi(file.name) and file.is_file())


def _is_midi(name: str) -> bool:
    # What begins with a dot is no music: macOS leaves such companions in archives.
    return name.lower().endswith((".mid", ".midi")) and not name.rpartition("/")[2].startswith(".")


def read_midi(data: bytes) -> Song:
    """Read a MIDI file. Raises AudioError if it is damaged."""
    import mido

    try:
        file = mido.MidiFile(file=io.BytesIO(data))
    except Exception as error:  # mido has no error of its own: damage comes as any of a dozen kinds
        raise AudioError(f"not a whole MIDI file ({type(error).__name__}: {error})".strip()) from error
    if file.ticks_per_beat <= 0:
        raise AudioError("its times are SMPTE frames, expected beats")
    tracks: list[Track] = []
    meters: set[tuple[int, int]] = set()
    tempo: float | None = None
    key: tuple[int, str] | None = None
    for messages in file.tracks:
        tracks += _tracks(messages, file.ticks_per_beat)
        for message in messages:
            if message.type == "time_signature":
                meters.add((message.numerator, message.denominator))
            elif message.type == "set_tempo" and tempo is None and message.tempo > 0:
                tempo = 60e6 / message.tempo
            elif message.type == "key_signature" and key is None:
                key = _signature(message.key)
    return Song(tuple(tracks), frozenset(meters), tempo, key)


def _signature(text: str) -> tuple[int, str]:
    """mido's name of a key, such as "F#m"."""
    letter = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}[text[0]]
    return (letter + text.count("#") - text.count("b")) % 12, "minor" if text.endswith("m") else "major"


def _tracks(messages: Any, ticks: int) -> list[Track]:
    now, name = 0, ""
    sounding: dict[tuple[int, int], tuple[int, int]] = {}
    notes: dict[int, list[tuple[int, int, int, int]]] = {}

    def end(channel: int, pitch: int) -> None:
        start, velocity = sounding.pop((channel, pitch))
        if now > start:
            notes.setdefault(channel, []).append((start, now, pitch, velocity))

    for message in messages:
        now += message.time
        kind = message.type
        if kind in ("note_on", "note_off"):
            place = message.channel, message.note
            if place in sounding:
                end(*place)
            if kind == "note_on" and message.velocity > 0:
                sounding[place] = now, message.velocity
        elif kind == "track_name":
            name = message.name
    for place in list(sounding):
        end(*place)
    made = []
    for channel in sorted(notes):
        table = np.array(sorted(notes[channel]), dtype=np.int64)
        made.append(Track(name, channel, table[:, 0] / ticks, table[:, 1] / ticks, table[:, 2], table[:, 3]))
    return made


def melody_of(song: Song) -> Line | None:
    """The melody of a song, from a bar line on; None if the song is not in one of the meters that are used.

    Of tunes whose bars are marked by accents the longest stretch in which the bars are whole, since some repeats lack
    the rest of a bar; of all tunes the longest stretch without a rest of more than two bars. Raises AudioError if there
    is none, or too little of it.
    """
    meters = song.meters or {(4, 4)}  # what the format says of files without a signature
    bars = {4 * above / below for above, below in meters}
    names = {USED_METERS.get(meter) for meter in meters}
    if len(bars) != 1 or len(names) != 1 or None in names:
        return None
    track = _melody_track(song)
    starts, ends, pitches, velocities = _skyline(track)
    if len(starts) < _LEAST_NOTES:
        raise AudioError(f"its melody has {len(starts)} notes, expected at least {_LEAST_NOTES}")
    meter, written = next(iter(USED_METERS[one] for one in meters)), bars.pop()
    marks = _bar_marks(velocities)
    if _half_values(starts[marks], written):
        starts, ends = 2 * starts, 2 * ends
    first, last, line = _stretch(starts, ends, marks, written)
    inside = slice(first, last)
    onsets = np.round((starts[inside] - line) * TICKS).astype(np.int64)
    offs = np.round((ends[inside] - line) * TICKS).astype(np.int64)
    bar = round(BAR[meter] * TICKS)
    # A last bar counts if it is more than half full: what it lacks, the pickup fills.
    count = min(int(np.ceil(offs[-1] / bar - 0.5)), _MOST_BARS)
    # Of notes that fall on one tick, a grace note and its main note, the later one is the main one.
    keep = (onsets >= 0) & (onsets < count * bar) & (np.diff(onsets, append=1 << 40) > 0)
    if count < _LEAST_BARS or keep.sum() < _LEAST_NOTES:
        raise AudioError(
            f"its melody has {keep.sum()} notes in {max(count, 0)} regular bars, "
            f"expected at least {_LEAST_NOTES} in {_LEAST_BARS}"
        )
    onsets, offs, pitches = onsets[keep], offs[keep], pitches[inside][keep]
    limits = np.append(onsets[1:], count * bar)
    lengths = np.maximum(np.minimum(offs, limits) - onsets, 1)
    tonic, mode = find_key(pitches, lengths, song.key)
    # The octave in which the tune lies about a fifth above its tonic.
    tonic += 12 * round((float(np.median(pitches)) - tonic - 6) / 12)
    clipped = np.clip(velocities[inside][keep], 70, 110)
    return Line(meter, mode, count, onsets, lengths, pitches - tonic, clipped)


def find_key(pitches: IntArray, lengths: IntArray, written: tuple[int, str] | None = None) -> tuple[int, str]:
    """The tonic (semitones above C) and mode that (n,) MIDI notes of some lengths are in.

    `written` is the key signature, evidence rather than proof: many files just say C major, and D mixolydian is mostly
    written as G major.
    """
    histogram = np.bincount(pitches % 12, weights=lengths, minlength=12)
    spread = histogram - histogram.mean()
    scores = _PROFILES @ (spread / max(float(np.linalg.norm(spread)), 1e-9))
    for k, (tonic, mode) in enumerate(_KEYS):
        scores[k] += _LAST_NOTE * (tonic == pitches[-1] % 12)
        if written is not None:
            scores[k] += _SAME_SCALE * (_scale(tonic, mode) == _scale(*written)) + _SAME_KEY * (
                written == (tonic, mode)
            )
    return _KEYS[int(np.argmax(scores))]


def _scale(tonic: int, mode: str) -> frozenset[int]:
    return frozenset((tonic + step) % 12 for step in MODES[mode])


def _profiles() -> FloatArray:
    """(48, 12): the profiles of all keys, of mean 0 and norm 1, in the order of `_KEYS`."""
    profiles = {"major": list(_MAJOR), "mixolydian": list(_MAJOR), "dorian": list(_MINOR), "minor": list(_MINOR)}
    for mode, (low, high) in {"mixolydian": (10, 11), "dorian": (8, 9)}.items():
        profile = profiles[mode]
        profile[low], profile[high] = profile[high], profile[low]
    table = np.array([np.roll(profiles[mode], tonic) for tonic, mode in _KEYS])
    table -= table.mean(axis=1, keepdims=True)
    return np.asarray(table / np.linalg.norm(table, axis=1, keepdims=True))


_KEYS = [(tonic, mode) for tonic in range(12) for mode in MODES]
_PROFILES = _profiles()


def _melody_track(song: Song) -> Track:
    """The track that is called melody, or else is most like one: one note at a time, at work throughout, high."""
    tracks = [track for track in song.tracks if track.channel != _DRUM_CHANNEL]
    if not tracks:
        raise AudioError("it holds no notes" + (" but drums" if song.tracks else ""))
    named = [one for one in tracks if _LEAD_NAMES.search(one.name) and len(one.starts) >= _LEAST_NOTES]
    whole = max(float(track.ends.max()) for track in tracks)

    def likeness(track: Track) -> float:
        alone = float(np.mean(track.starts[1:] >= track.ends[:-1] - 0.1)) if len(track.starts) > 1 else 0.0
        busy = min(float(np.sum(track.ends - track.starts)) / whole, 1.0)
        high = float(np.clip((np.median(track.pitches) - 48) / 36, 0, 1))
        return alone + busy + high

    return max(named or tracks, key=likeness)


def _skyline(track: Track) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Starts, ends, pitches and velocities of the notes that are on top, each until the next one starts."""
    order = np.lexsort((-track.pitches, track.starts))
    kept: list[int] = []
    for k in order:
        if kept:
            top, held = kept[-1], track.ends[kept[-1]] - track.starts[k]
            together = track.starts[k] - track.starts[top] < 1 / TICKS
            # A lower note under a held one is accompaniment; players overlap a little where they play legato.
            if track.pitches[k] < track.pitches[top] and (together or held > 0.5 * (track.ends[k] - track.starts[k])):
                continue
        kept.append(int(k))
    starts = track.starts[kept]
    ends = np.minimum(track.ends[kept], np.append(starts[1:], np.inf))
    return starts, ends, track.pitches[kept], track.velocities[kept]


def _bar_marks(velocities: IntArray) -> IntArray:
    """Which notes are marked as the first of a bar; none where velocities do not look like abc2midi's."""
    if velocities.max() == _ABC_BAR and np.isin(velocities, _ABC_VELOCITIES).all():
        return np.flatnonzero(velocities == _ABC_BAR)
    return np.zeros(0, np.int64)


def _half_values(lines: FloatArray, bar: float) -> bool:
    """Whether bar lines lie half a bar apart: most of The Session's polkas, through a default unit of ABC in 2/4."""
    spacing, often = np.unique(np.round(np.diff(lines), 2), return_counts=True)
    return len(spacing) > 0 and 2 * spacing[np.argmax(often)] == bar


def _stretch(starts: FloatArray, ends: FloatArray, marks: IntArray, bar: float) -> tuple[int, int, float]:
    """The longest stretch in one section and of whole bars: its notes as (first, after the last), its bar line."""
    breaks = starts[1:] - ends[:-1] > _LONGEST_REST * bar
    phases = np.zeros(len(starts))
    if len(marks):
        # Each note has the phase of the bar line before it; the pickup, that of its own first note.
        phase = np.round(starts[marks] % bar * 4) / 4 % bar
        phases = phase[np.maximum(np.searchsorted(marks, np.arange(len(starts)), side="right") - 1, 0)]
        breaks = breaks | (np.diff(phases) != 0)
    edges = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(starts)]])
    longest = int(np.argmax(np.diff(edges)))
    first, last = int(edges[longest]), int(edges[longest + 1])
    bars = (starts[first] - phases[first]) / bar
    # A note in the first half of a bar belongs to it; one in the second half is a pickup to the next.
    return first, last, float(phases[first] + bar * np.ceil(bars - 0.5))
