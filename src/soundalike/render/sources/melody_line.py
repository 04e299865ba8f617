"""Extract the melody of a song as a monophonic line, and estimate its key."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import AudioError
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score.music import BAR, MODES
from soundalike.render.sources.midi import DRUM_CHANNEL, USED_METERS, Song, Track

__all__ = ["TICKS", "Line", "find_key", "melody_of"]

TICKS = 24  # per quarter note; the smallest number for which 32nds and 16th triplets are integers

_LEAST_NOTES, _LEAST_BARS = 16, 8  # two phrases of four bars; shorter melodies offer no choice of excerpts
_MOST_BARS = 256  # far more than excerpts need, and the ticks still fit into 16 bits
_LONGEST_REST = 2  # bars; a longer rest separates two sections
_LEAD_NAMES = re.compile(r"melod|lead|vocal|voice|solo|sing", re.IGNORECASE)
# abc2midi wrote most collections of traditional tunes. It plays the first note of a bar at 105 and other beats at 95.
_ABC_BAR, _ABC_VELOCITIES = 105, (75, 80, 95, 105)

# Key profiles of Krumhansl ("Cognitive Foundations of Musical Pitch", 1990): how long each degree sounds in major and
# minor. For mixolydian and dorian, the degree that the mode alters swaps its weight with the altered one.
_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
# Bonuses for the last note and for a written key signature, added to the correlation with a profile.
_LAST_NOTE, _SAME_SCALE, _SAME_KEY = 0.15, 0.2, 0.1


@dataclass(frozen=True, slots=True)
class Line:
    """A monophonic melody.

    Attributes:
        meter: One of METERS.
        mode: One of MODES.
        bars: The length in bars.
        onsets: (n,) onsets in ticks.
        lengths: (n,) lengths in ticks.
        pitches: (n,) pitches in semitones above the tonic.
        velocities: (n,) MIDI velocities, 70 to 110.
    """

    meter: str
    mode: str
    bars: int
    onsets: IntArray
    lengths: IntArray
    pitches: IntArray
    velocities: IntArray


def melody_of(song: Song) -> Line | None:
    """Extract the melody of a song.

    The melody is the longest section without a rest of more than two bars. If accents mark the bars, the section must
    also consist of complete bars, because some repeats lack the rest of a bar.

    Args:
        song: The song.

    Returns:
        The melody, starting at a bar line. None if the song is not in one of the meters that are used.

    Raises:
        AudioError: The song has no melody, or a melody that is too short.

    Example:
        >>> line = melody_of(read_midi(data))
        >>> line.meter, line.bars
        ('6/8', 16)
    """
    meters = song.meters or {(4, 4)}  # the format's default for files without a time signature
    bars = {4 * above / below for above, below in meters}
    names = {USED_METERS.get(meter) for meter in meters}
    if len(bars) != 1 or len(names) != 1 or None in names:
        return None
    track = _melody_track(song)
    starts, ends, pitches, velocities = _skyline(track)
    if len(starts) < _LEAST_NOTES:
        raise AudioError(f"its melody has {len(starts)} notes, expected at least {_LEAST_NOTES}")
    meter, written = next(iter(USED_METERS[signature] for signature in meters)), bars.pop()
    marks = _bar_marks(velocities)
    if _half_values(starts[marks], written):
        starts, ends = 2 * starts, 2 * ends
    first, last, bar_line = _longest_section(starts, ends, marks, written)
    inside = slice(first, last)
    onsets = np.round((starts[inside] - bar_line) * TICKS).astype(np.int64)
    offsets = np.round((ends[inside] - bar_line) * TICKS).astype(np.int64)
    bar = round(BAR[meter] * TICKS)
    # The last bar counts if it is more than half full. The pickup fills the rest.
    count = min(int(np.ceil(offsets[-1] / bar - 0.5)), _MOST_BARS)
    # Two notes on the same tick are a grace note and its main note. The later one is the main note.
    keep = (onsets >= 0) & (onsets < count * bar) & (np.diff(onsets, append=1 << 40) > 0)
    if count < _LEAST_BARS or keep.sum() < _LEAST_NOTES:
        raise AudioError(
            f"its melody has {keep.sum()} notes in {max(count, 0)} regular bars, "
            f"expected at least {_LEAST_NOTES} in {_LEAST_BARS}"
        )
    onsets, offsets, pitches = onsets[keep], offsets[keep], pitches[inside][keep]
    limits = np.append(onsets[1:], count * bar)
    lengths = np.maximum(np.minimum(offsets, limits) - onsets, 1)
    tonic, mode = find_key(pitches, lengths, song.key)
    # Choose the octave of the tonic so that the tune centres about a fifth above it.
    tonic += 12 * round((float(np.median(pitches)) - tonic - 6) / 12)
    clipped = np.clip(velocities[inside][keep], 70, 110)
    return Line(meter, mode, count, onsets, lengths, pitches - tonic, clipped)


def find_key(pitches: IntArray, lengths: IntArray, written: tuple[int, str] | None = None) -> tuple[int, str]:
    """Estimate the key of a melody by correlation with key profiles (Krumhansl, 1990).

    Args:
        pitches: (n,) MIDI notes, in order of time.
        lengths: (n,) lengths in any unit.
        written: The key signature as (tonic, mode). It is weak evidence: many files default to C major, and D
            mixolydian is mostly written as G major.

    Returns:
        The tonic in semitones above C, and the mode.

    Example:
        >>> find_key(np.array([60, 64, 67, 65, 62, 60]), np.ones(6))
        (0, 'major')
    """
    histogram = np.bincount(pitches % 12, weights=lengths, minlength=12)
    centred = histogram - histogram.mean()
    scores = _PROFILES @ (centred / max(float(np.linalg.norm(centred)), 1e-9))
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
    """Return the (48, 12) profiles of all keys, with mean 0 and norm 1, in the order of `_KEYS`."""
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
    """Return the track with the melody.

    Tracks with a name such as "melody" or "vocal" are preferred. Among the candidates, the track that is most
    monophonic, busy and high is chosen.
    """
    tracks = [track for track in song.tracks if track.channel != DRUM_CHANNEL]
    if not tracks:
        raise AudioError("it holds no notes" + (" but drums" if song.tracks else ""))
    named = [track for track in tracks if _LEAD_NAMES.search(track.name) and len(track.starts) >= _LEAST_NOTES]
    duration = max(float(track.ends.max()) for track in tracks)

    def rating(track: Track) -> float:
        monophonic = float(np.mean(track.starts[1:] >= track.ends[:-1] - 0.1)) if len(track.starts) > 1 else 0.0
        busy = min(float(np.sum(track.ends - track.starts)) / duration, 1.0)
        high = float(np.clip((np.median(track.pitches) - 48) / 36, 0, 1))
        return monophonic + busy + high

    return max(named or tracks, key=rating)


def _skyline(track: Track) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Return starts, ends, pitches and velocities of the highest notes. Each ends when the next one starts."""
    order = np.lexsort((-track.pitches, track.starts))
    line: list[int] = []
    for k in order:
        if line:
            top, overlap = line[-1], track.ends[line[-1]] - track.starts[k]
            together = track.starts[k] - track.starts[top] < 1 / TICKS
            # A lower note below a held one is accompaniment. A short overlap is legato playing.
            if track.pitches[k] < track.pitches[top] and (
                together or overlap > 0.5 * (track.ends[k] - track.starts[k])
            ):
                continue
        line.append(int(k))
    starts = track.starts[line]
    ends = np.minimum(track.ends[line], np.append(starts[1:], np.inf))
    return starts, ends, track.pitches[line], track.velocities[line]


def _bar_marks(velocities: IntArray) -> IntArray:
    """Return the indices of the notes that start a bar. Empty unless the velocities are those of abc2midi."""
    if velocities.max() == _ABC_BAR and np.isin(velocities, _ABC_VELOCITIES).all():
        return np.flatnonzero(velocities == _ABC_BAR)
    return np.zeros(0, np.int64)


def _half_values(lines: FloatArray, bar: float) -> bool:
    """Return whether bar lines are half a bar apart.

    This is the case in most polkas of The Session, because of the default note length of ABC in 2/4.
    """
    spacing, counts = np.unique(np.round(np.diff(lines), 2), return_counts=True)
    return len(spacing) > 0 and 2 * spacing[np.argmax(counts)] == bar


def _longest_section(starts: FloatArray, ends: FloatArray, marks: IntArray, bar: float) -> tuple[int, int, float]:
    """Return the longest section of complete bars: its first note, the note after its last one, and its bar line."""
    breaks = starts[1:] - ends[:-1] > _LONGEST_REST * bar
    phases = np.zeros(len(starts))
    if len(marks):
        # A note has the phase of the bar line before it. A pickup has the phase of the first bar line.
        phase = np.round(starts[marks] % bar * 4) / 4 % bar
        phases = phase[np.maximum(np.searchsorted(marks, np.arange(len(starts)), side="right") - 1, 0)]
        breaks = breaks | (np.diff(phases) != 0)
    edges = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(starts)]])
    longest = int(np.argmax(np.diff(edges)))
    first, last = int(edges[longest]), int(edges[longest + 1])
    bars = (starts[first] - phases[first]) / bar
    # A section that starts in the second half of a bar starts with a pickup to the next bar.
    return first, last, float(phases[first] + bar * np.ceil(bars - 0.5))
