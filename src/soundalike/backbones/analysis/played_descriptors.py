"""Descriptors of what is played, from a transcription: line, strokes, chords and colour.

They are the counterparts of `descriptors.melody`, `.rhythm`, `.harmony` and `.timbre`, which describe the sound itself.
They use the same lag correlations, but of probabilities: that a pitch leads, that a stroke begins, that a tone belongs
to the chord. The unit of the probabilities does not matter.

All descriptors are invariant to level and to shifts in time, and almost invariant to small changes of tempo. `line` and
`chords` are also invariant to transposition. Apart from `colour`, they do not depend on the sound of the instruments.
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
_DRUMS = len(STROKES) - 3  # the other strokes are note onsets
_ACROSS = tuple(
    (STROKES.index(first), STROKES.index(second))
    for first in ("kick", "snare", "hat")
    for second in ("kick", "snare", "hat")
    if first != second
)
# Relative to the largest standard deviation. Prevents rare strokes from being amplified to the size of the others.
_FLOOR = 0.2

LINE_DIM = _LINE_LAGS * (2 * _LINE_INTERVALS + 1)
STROKES_DIM = _STROKE_LAGS * (len(STROKES) + len(_ACROSS))
CHORDS_DIM = descriptors.HARMONY_DIM
COLOUR_DIM = 2 * COLOURS


def line(lead: AnyArray, period: float) -> FloatArray:
    """Describe the melody by an interval-by-lag histogram of the lead pitch.

    The descriptor contains how often a pitch is followed by one i semitones away (-12 to 12) after each of 24 lags from
    0.1 to 4 s. This is the two-dimensional autocorrelation of `descriptors.melody`, but the mean is not subtracted,
    because it distinguishes a static line from one with a wide range.

    Args:
        lead: Probabilities (g, n) of n lead pitches.
        period: Seconds between frames.

    Returns:
        (600,) float32.
    """
    table = dsp.autocorrelation_2d(lead.astype(np.float32), _LINE_INTERVALS)
    return _unit(dsp.lag_bands(len(lead), period, 0.1, 4.0, _LINE_LAGS, 1.0) @ table)


def strokes(struck: AnyArray, period: float) -> FloatArray:
    """Describe the rhythm by autocorrelations of the strokes and cross-correlations of kick, snare and hat.

    This is `descriptors.rhythm` with strokes instead of bands: 48 lags from 0.08 to 4 s. Note onsets have half the
    weight of drums.

    Args:
        struck: Probabilities (f, 9) that each stroke begins.
        period: Seconds between frames.

    Returns:
        (720,) float32.
    """
    centred = struck - struck.mean(axis=0, dtype=np.float32)
    deviation = np.sqrt(np.mean(np.square(centred), axis=0))
    centred = centred / (deviation + _FLOOR * float(deviation.max(initial=0.0)) + 1e-9)
    bands = dsp.lag_bands(len(centred), period, 0.08, 4.0, _STROKE_LAGS, 2.5)
    first, second = np.array(_ACROSS).T
    within = bands @ dsp.cross_correlation(centred, centred)
    across = bands @ dsp.cross_correlation(centred[:, first], centred[:, second])
    return np.concatenate([_unit(within[:, :_DRUMS]), _unit(across), 0.5 * _unit(within[:, _DRUMS:])])


def chords(tones: AnyArray, period: float) -> FloatArray:
    """Describe the chord progression by `descriptors.harmony` of the chord tones.

    Args:
        tones: Probabilities (h, 12) that each tone belongs to the chord.
        period: Seconds between frames.

    Returns:
        (312,) float32.
    """
    return descriptors.harmony(tones.astype(np.float32), period)


def colour(colours: FloatArray, roots: FloatArray) -> FloatArray:
    """Describe the timbre by the mean and standard deviation of the colours. Quiet frames (40 dB) are excluded.

    Args:
        colours: Output (h, 64) of the colour network.
        roots: Root spectra (h, 64) of the same frames.

    Returns:
        (128,) float32.
    """
    loud = np.square(np.square(roots.astype(np.float32))).mean(axis=1)
    selected = colours[loud >= QUIET * loud.max(initial=0.0)].astype(np.float32)
    return np.concatenate([selected.mean(axis=0), np.sqrt(selected.var(axis=0) + 1e-6)])


def _unit(values: FloatArray) -> FloatArray:
    """Return the values flattened and scaled to length 1."""
    return np.asarray(values / max(float(np.sqrt(np.sum(np.square(values)))), 1e-9), np.float32).ravel()
