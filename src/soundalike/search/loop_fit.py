"""What a loop or a one-shot needs to fit a passage of a stem: another tempo, another pitch.

Where the two hold the same material, their alignment tells both. Otherwise the tempo follows from the measured tempi,
and the transposition from the pitch classes: the shift with the highest correlation of the two profiles (the optimal
transposition index, see `align`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from soundalike.core.types import FloatArray
from soundalike.search.align import AlignmentFrames, align_frames

__all__ = ["ONE_SHOT", "LoopFit", "fit_loop", "fold_stretch"]

ONE_SHOT = 1.0
"""Recordings shorter than this many seconds have no tempo."""
_RATIOS = np.exp(np.linspace(-np.log(2) / 2, np.log(2) / 2, 139))
"""The tempo ratios to try: those within half an octave, in steps of 0.5 %."""
# Stems of four songs of MusicDelta: 4 s of a stem, as they are or stretched and transposed, agree with it by 0.57 and
# more, and with stems of the same kind in other songs by at most 0.49. Shorter ones agree with more by chance.
_SAME_MATERIAL, _SAME_SHORT = 0.55, 0.85
_SHORT = 3.0
_PITCHED = 0.22
"""The strongest pitch class of a one-shot with pitch has at least this share; noise and cymbals stay below 0.2."""


@dataclass(frozen=True, slots=True)
class LoopFit:
    """What a loop needs.

    Attributes:
        stretch: The factor by which it must be played faster, 0.71 to 1.41; None if a tempo is unknown.
        semitones: The transposition, -5 to 6; None without pitch.
    """

    stretch: float | None
    semitones: int | None


def fit_loop(
    query: AlignmentFrames,
    loop: AlignmentFrames,
    seconds: float,
    *,
    query_bpm: float | None,
    bpm: float | None,
    pitched: bool,
) -> LoopFit:
    """Find what a loop needs to fit a passage of a stem.

    Args:
        query: The frames of the passage.
        loop: The frames of the loop.
        seconds: The duration of the loop.
        query_bpm: The tempo of the passage.
        bpm: The tempo of the loop.
        pitched: Whether both have pitch. Of one-shots, the pitch classes are asked too.

    Example:
        >>> query, loop = (alignment_frames(Span(name, 0.0, 8.0)) for name in ("bass.wav", "loop.wav"))
        >>> fit_loop(query, loop, 8.0, query_bpm=126.0, bpm=140.0, pitched=True)
        LoopFit(stretch=0.9, semitones=-3)
    """
    if seconds < ONE_SHOT:
        sounds = pitched and float(loop.profile.max()) >= _PITCHED
        return LoopFit(None, _transposition(query.profile, loop.profile) if sounds else None)
    found = align_frames(query, loop, _RATIOS)
    if found is not None and found.agreement >= (_SAME_MATERIAL if seconds >= _SHORT else _SAME_SHORT):
        return LoopFit(1.0 / found.tempo_ratio, _smallest(-found.semitones) if pitched else None)
    return LoopFit(fold_stretch(bpm, query_bpm), _transposition(query.profile, loop.profile) if pitched else None)


def fold_stretch(bpm: float | None, query_bpm: float | None) -> float | None:
    """Return the factor by which a loop must be played faster to have the tempo of the query.

    Args:
        bpm: The tempo of the loop.
        query_bpm: The tempo of the query.

    Returns:
        The tempo of the query, doubled or halved as often as brings it nearest, by that of the loop: 0.71 to 1.41. None
        if a tempo is unknown.

    Example:
        >>> fold_stretch(50.0, 180.0)
        0.9
    """
    if not bpm or not query_bpm:
        return None
    ratio = query_bpm / bpm
    return ratio * 2.0 ** -round(math.log2(ratio))


def _transposition(query: FloatArray, loop: FloatArray) -> int | None:
    """Return the transposition of a profile of pitch classes that fits another one best; None if either is empty."""
    if not query.any() or not loop.any():
        return None
    return _smallest(int(np.argmax([np.dot(query, np.roll(loop, shift)) for shift in range(12)])))


def _smallest(semitones: int) -> int:
    """Return the smallest transposition to the same pitch classes, -5 to 6."""
    return (semitones + 5) % 12 - 5
