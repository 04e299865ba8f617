"""Frame-wise targets of the transcriber, from the ground truth of rendered clips.

f fast frames (`spectra.FAST_HOP`), g pitch frames (`transcriber.HOP`), and h half as many frames for chords.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soundalike.backbones.analysis import CELLS, FAST_HOP, HOP, LOWEST_NOTE, RATE, STROKES
from soundalike.core.types import FloatArray, IntArray
from soundalike.render.score import CHORDS, Truth

__all__ = ["NO_CHORD", "SCORE_FIELDS", "PitchTargets", "pitch_targets", "stroke_targets", "write_score"]

SCORE_FIELDS = ("role", "start", "end", "note", "velocity")
"""The columns of a score: number of the role (lead, comp, bass, drums), start and end in seconds, note, velocity."""
NO_CHORD = -1

_ROLES = ("lead", "comp", "bass", "drums")
_KINDS = tuple(CHORDS)

# General MIDI percussion notes by instrument; all others count as percussion.
_DRUMS: dict[str, tuple[int, ...]] = {
    "kick": (35, 36),
    "snare": (37, 38, 39, 40),
    "hat": (42, 44, 46, 54, 69, 70, 82),
    "tom": (41, 43, 45, 47, 48, 50),
    "cymbal": (49, 51, 52, 53, 55, 57, 59),
}


def _stroke_of_note() -> IntArray:
    table = np.full(128, STROKES.index("percussion"))
    for name, notes in _DRUMS.items():
        table[list(notes)] = STROKES.index(name)
    return table


_STROKE_OF_NOTE = _stroke_of_note()


@dataclass(frozen=True, slots=True, eq=False)
class PitchTargets:
    """Targets of the pitch network.

    Attributes:
        lead: (g,) the cell of the melody; CELLS for none.
        notes: (g, CELLS) 1 where a note sounds, drums excluded.
        tones: (h, 12) 1 for the tones of the chord, from A.
        root: (h,) the root of the chord, from A; NO_CHORD for none.
    """

    lead: IntArray
    notes: FloatArray
    tones: FloatArray
    root: IntArray


def write_score(truth: Truth) -> tuple[FloatArray, FloatArray]:
    """Ground truth as two arrays: notes (m, 5) float32 (`SCORE_FIELDS`), and chords (k, 4): start, end, root, kind."""
    notes = [
        (_ROLES.index(role), note.start, note.end, note.note, note.velocity)
        for role, played in truth.parts.items()
        for note in played
    ]
    chords = [(chord.start, chord.end, chord.root, _KINDS.index(chord.kind)) for chord in truth.chords]
    return (
        np.array(notes, np.float32).reshape(-1, len(SCORE_FIELDS)),
        np.array(chords, np.float32).reshape(-1, 4),
    )


def pitch_targets(notes: FloatArray, chords: FloatArray, frames: int) -> PitchTargets:
    """The targets of `frames` (g) pitch frames, from the arrays of `write_score`."""
    half = (frames + 1) // 2
    lead = np.full(frames, CELLS)
    sounding = np.zeros((frames, CELLS), np.float32)
    tones = np.zeros((half, 12), np.float32)
    root = np.full(half, NO_CHORD)
    for role, start, end, note, _ in notes[notes[:, 0] != _ROLES.index("drums")]:
        cell = int(note) - LOWEST_NOTE
        if 0 <= cell < CELLS:
            span = _frames(start, end, HOP)
            sounding[span, cell] = 1.0
            if role == _ROLES.index("lead"):
                lead[span] = cell
    for start, end, low, kind in chords:
        span = _frames(start, end, 2 * HOP)
        from_a = (int(low) - 9) % 12
        tones[span] = 0.0
        tones[span, [[(from_a + step) % 12] for step in CHORDS[_KINDS[int(kind)]]]] = 1.0
        root[span] = from_a
    return PitchTargets(lead, sounding, tones, root)


def stroke_targets(notes: FloatArray, frames: int) -> FloatArray:
    """The targets of `frames` (f) fast frames: (f, len(STROKES)) float32, 1 where a stroke begins."""
    struck = np.zeros((frames, len(STROKES)), np.float32)
    place = np.round(notes[:, 1] * RATE / FAST_HOP).astype(int)
    inside = (place >= 0) & (place < frames)
    for role, name in enumerate(_ROLES):
        chosen = inside & (notes[:, 0] == role)
        if name == "drums":
            struck[place[chosen], _STROKE_OF_NOTE[notes[chosen, 3].astype(int)]] = 1.0
        else:
            struck[place[chosen], STROKES.index(name)] = 1.0
    return struck


def _frames(start: float, end: float, hop: int) -> slice:
    """The frames closest to a span of seconds; at least one."""
    first = max(round(start * RATE / hop), 0)
    return slice(first, max(round(end * RATE / hop), first + 1))
