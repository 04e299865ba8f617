"""How something is played, from what a transcriber heard: descriptors of line, strokes, chords and colour.

The counterparts of `descriptors.melody`, `.rhythm`, `.harmony` and `.timbre`, which work on the sound itself: the same
lag correlations, but of probabilities that a pitch leads, a drum is struck, a tone belongs to the chord, in whatever
unit. Invariant to level; but for `colour`, to the sound of the instruments, because that does not change what they
play; `line` and `chords` to transposition; all to shifts in time, and nearly so to small changes of tempo.
"""

from __future__ import annotations

import numpy as np

from soundalike.audio import dsp
from soundalike.backbones.analysis import descriptors
from soundalike.backbones.analysis.transcriber import COLOURS, QUIET, STROKES
from soundalike.core.types import AnyArray, FloatArray

__all__ = ["CHORDS_DIM", "COLOUR_DIM", "LINE_DIM", "STROKES_DIM", "chords", "colour", "line", "strokes"]

_LINE_LAGS, _LINE_INTERVALS = 24, 12
_STROKE_LAGS = 48
_DRUMS = len(STROKES) - 3  # the rest are onsets of notes
_ACROSS = tuple(
    (STROKES.index(first), STROKES.index(second))
    for first in ("kick", "snare", "hat")
    for second in ("kick", "snare", "hat")
    if first != second
)
# What keeps a stroke that is hardly ever heard from being blown up to the size of the others.
_FLOOR = 0.2

LINE_DIM = _LINE_LAGS * (2 * _LINE_INTERVALS + 1)
STROKES_DIM = _STROKE_LAGS * (len(STROKES) + len(_ACROSS))
CHORDS_DIM = descriptors.HARMONY_DIM
COLOUR_DIM = 2 * COLOURS


def line(lead: AnyArray, period: float) -> FloatArray:
    """Interval-by-lag histogram of the leading pitch, (g, n) probabilities every `period` seconds. Returns (600,).

    How often a pitch is followed by one i semitones away (-12 to 12) after each of 24 lags from 0.1 to 4 s: the
    two-dimensional autocorrelation of `descriptors.melody`. What the line does on average is left in, for it tells a
    line that stays from one that roams.
    """
    table = dsp.autocorrelation_2d(lead.astype(np.float32), _LINE_INTERVALS)
    return _unit(dsp.lag_bands(len(lead), period, 0.1, 4.0, _LINE_LAGS, 1.0) @ table)


def strokes(struck: AnyArray, period: float) -> FloatArray:
    """Lag correlations of strokes (f, 9) within themselves and among kick, snare and hat. Returns (720,).

    As `descriptors.rhythm`, with drums in place of bands: 48 lags from 0.08 to 4 s. Onsets of notes weigh half.
    """
    centred = struck - struck.mean(axis=0, dtype=np.float32)
    spread = np.sqrt(np.mean(np.square(centred), axis=0))
    centred = centred / (spread + _FLOOR * float(spread.max(initial=0.0)) + 1e-9)
    bands = dsp.lag_bands(len(centred), period, 0.08, 4.0, _STROKE_LAGS, 2.5)
    first, second = np.array(_ACROSS).T
    within = bands @ dsp.cross_correlation(centred, centred)
    across = bands @ dsp.cross_correlation(centred[:, first], centred[:, second])
    return np.concatenate([_unit(within[:, :_DRUMS]), _unit(across), 0.5 * _unit(within[:, _DRUMS:])])


def chords(tones: AnyArray, period: float) -> FloatArray:
    """How chords move: `descriptors.harmony` of the chord's tones (h, 12). Returns (312,)."""
    return descriptors.harmony(tones.astype(np.float32), period)


def colour(colours: FloatArray, roots: FloatArray) -> FloatArray:
    """Mean and spread of what the sound is made of, (h, 64) of frames with root spectra (h, 64). Returns (128,).

    Frames 40 dB below the loudest are left out.
    """
    loud = np.square(np.square(roots.astype(np.float32))).mean(axis=1)
    heard = colours[loud >= QUIET * loud.max(initial=0.0)].astype(np.float32)
    return np.concatenate([heard.mean(axis=0), np.sqrt(heard.var(axis=0) + 1e-6)])


def _unit(values: FloatArray) -> FloatArray:
    return np.asarray(values / max(float(np.sqrt(np.sum(np.square(values)))), 1e-9), np.float32).ravel()
