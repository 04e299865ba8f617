"""Trivial cues: can positives and negatives be told apart by properties that are not musical?

n clips, c cues, t samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from soundalike.core.errors import AudioError, UsageError
from soundalike.core.types import BoolArray, FloatArray, IntArray

__all__ = ["CUES", "Separability", "clip_cues", "separability"]

# In dB, except: duration in seconds; rolloffs and centroid in octaves above 1 Hz; tonic as the two coordinates of the
# estimated tonic on the circle of fifths.
CUES = (
    "loudness",
    "peak",
    "crest",
    "duration",
    "noise floor",
    "rolloff 95 %",
    "rolloff 99 %",
    "centroid",
    "tilt",
    "codec",
    "tonic x",
    "tonic y",
)

_SILENCE = 1e-12  # lowest power that is distinguished, -120 dB
_FOLDS = 5
_RESAMPLES = 1000

# Krumhansl and Kessler, "Tracing the dynamic changes in perceived tonal organization in a spatial representation of
# musical keys", 1982: how well each pitch class fits a major and a minor key, from the tonic up.
_PROFILES = (
    (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88),
    (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17),
)


@dataclass(frozen=True, slots=True)
class Separability:
    """Area under the ROC curve of a small classifier on held-out clips, with its 95 % interval. Chance level: 0.5."""

    auc: float
    low: float
    high: float


def clip_cues(samples: FloatArray, rate: int) -> FloatArray:
    """Measure the trivial cues of a clip.

    "tilt" is the level above 1 kHz relative to the level below it. "codec" is the level above 15 kHz relative to 10 to
    14 kHz, or 0 if the sampling rate is 30 kHz or less.

    Args:
        samples: (t,) mono.
        rate: Sampling rate in Hz.

    Returns:
        (c,) float64 in the order of `CUES`, all finite.

    Raises:
        AudioError: The clip is shorter than 0.1 s.

    Example:
        >>> loudness = dict(zip(CUES, clip_cues(samples, 44100)))["loudness"]
    """
    from soundalike.audio import SpectrumStream

    seconds = len(samples) / rate
    if seconds < 0.1:
        raise AudioError(f"the clip is {seconds:.2f} s long, expected at least 0.1 s; render it longer")
    size = 2 ** round(math.log2(0.2 * rate))  # about 0.2 s, which resolves semitones from 130 Hz up
    stream = SpectrumStream(size, size // 2)
    power = np.concatenate([stream.push(samples.astype(np.float32)), stream.finish()]).mean(axis=0, dtype=np.float64)
    frequency = np.arange(len(power)) * rate / size
    power[frequency < 20.0] = 0.0

    def band_level(low: float, high: float) -> float:
        return _decibels(float(power[(frequency >= low) & (frequency < high)].sum()))

    total = float(power.sum())
    share = np.cumsum(power) / max(total, _SILENCE)
    # Silence has the lowest rolloff and centroid.
    rolloffs = [frequency[min(int(np.searchsorted(share, part)), len(share) - 1)] for part in (0.95, 0.99)]
    rolloffs = rolloffs if total > _SILENCE else [20.0, 20.0]
    centroid = max(float(power @ frequency) / max(total, _SILENCE), 20.0)
    square = np.square(samples, dtype=np.float64)
    loudness, peak = _decibels(float(square.mean())), _decibels(float(square.max()))
    frame = round(0.02 * rate)
    levels = square[: len(square) // frame * frame].reshape(-1, frame).mean(axis=1)
    angle = 2.0 * math.pi * 7 * _tonic(power, frequency) / 12
    return np.array(
        [
            loudness,
            peak,
            peak - loudness,
            seconds,
            _decibels(float(np.percentile(levels, 5))) - loudness,
            math.log2(rolloffs[0]),
            math.log2(rolloffs[1]),
            math.log2(centroid),
            band_level(1000.0, rate) - band_level(0.0, 1000.0),
            band_level(15000.0, rate) - band_level(10000.0, 14000.0) if rate > 30000 else 0.0,
            math.cos(angle),
            math.sin(angle),
        ]
    )


def separability(rows: FloatArray, labels: BoolArray, groups: Sequence[str], seed: int) -> Separability:
    """Measure how well cues separate the clips labelled True from the others.

    The classifier is a logistic regression on the cues and their squares, with five-fold cross-validation over groups.
    Clips are compared within a fold, because the scores of two classifiers have different offsets. The bootstrap
    interval resamples groups but does not repeat the training. For random labels it covers 0.5 in about 87 % of runs.

    Args:
        rows: Cues, (n, c).
        labels: (n,) bool.
        groups: n names of folders. No folder is split between training and test.
        seed: Seed of the folds and of the bootstrap.

    Returns:
        The area under the ROC curve with its interval.

    Raises:
        UsageError: A label occurs in fewer than two groups, no group has both labels, or a cue is not finite.

    Example:
        >>> cues = np.stack([clip_cues(samples, rate) for samples in clips])
        >>> separability(cues, is_positive, folder_names, seed=0).auc < 0.6
        True
    """
    rows, labels = np.asarray(rows, np.float64), np.asarray(labels, bool)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    for label in (True, False):
        found = len(np.unique(group[labels == label]))
        if found < 2:
            kind = "positives" if label else "negatives"
            raise UsageError(f"found {kind} in {found} folders, expected at least 2; render more folders")
    if not np.isfinite(rows).all():
        raise UsageError("a cue is not a finite number; leave out clips that could not be measured")
    rng = np.random.default_rng(seed)
    folds = min(_FOLDS, len(names))
    fold = (rng.permutation(len(names)) % folds)[group]
    scores = np.zeros(len(rows))
    for part in range(folds):
        test = fold == part
        scores[test] = _scores(rows[~test], labels[~test], rows[test])
    draws = rng.multinomial(len(names), np.full(len(names), 1.0 / len(names)), _RESAMPLES)
    areas = _area(scores, labels, fold, np.concatenate([np.ones((1, len(rows))), draws[:, group]]))
    if np.isnan(areas[0]):
        raise UsageError("no folder has both positives and negatives; render complete folders")
    low, high = np.nanpercentile(areas[1:], [2.5, 97.5])
    return Separability(float(areas[0]), float(low), float(high))


def _decibels(power: float) -> float:
    return 10.0 * math.log10(max(power, _SILENCE))


def _tonic(power: FloatArray, frequency: FloatArray) -> int:
    """The tonic, as a pitch class, of the key whose profile fits the power spectrum (b,) best."""
    used = (frequency > 100.0) & (frequency < 2000.0)
    classes = np.round(69 + 12 * np.log2(frequency[used] / 440.0)).astype(int) % 12
    chroma = np.bincount(classes, np.sqrt(power[used]), minlength=12)
    chroma = chroma - chroma.mean()
    fits = []
    for profile in _PROFILES:
        ideal = (np.array(profile) - np.mean(profile)) / np.std(profile)
        fits.append([float(np.roll(ideal, tonic) @ chroma) for tonic in range(12)])
    return int(np.max(fits, axis=0).argmax())


def _scores(rows: FloatArray, labels: BoolArray, test: FloatArray) -> FloatArray:
    """Log odds (m,) of `test` (m, c) by an L2-regularised logistic regression with balanced labels."""
    from scipy import optimize, special

    def features(values: FloatArray) -> FloatArray:
        # Clipped, so that the square of an outlier does not dominate.
        standard = np.clip((values - mean) / deviation, -4.0, 4.0)
        return np.column_stack([standard, np.square(standard) - 1.0, np.ones(len(values))])

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        margin = sign * (trained @ weights)
        gradient = trained.T @ (-sign * special.expit(-margin) * importance)
        penalised = np.append(weights[:-1], 0.0)
        return float(importance @ np.logaddexp(0.0, -margin) + 0.5 * penalised @ penalised), gradient + penalised

    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    deviation = np.where(deviation > 1e-9, deviation, 1.0)
    trained, sign = features(rows), np.where(labels, 1.0, -1.0)
    importance = np.where(labels, 0.5 / max(labels.sum(), 1), 0.5 / max((~labels).sum(), 1)) * len(rows)
    fitted = optimize.minimize(loss, np.zeros(trained.shape[1]), jac=True, method="L-BFGS-B")
    return features(test) @ fitted.x


def _area(scores: FloatArray, labels: BoolArray, fold: IntArray, weights: FloatArray) -> FloatArray:
    """Area under the ROC curve (r,) for each row of clip weights (r, n), over pairs of the same fold; NaN: no pair."""
    won, pairs = np.zeros(len(weights)), np.zeros(len(weights))
    for part in np.unique(fold):
        yes, no = (np.flatnonzero((fold == part) & (labels == label)) for label in (True, False))
        difference = np.sign(scores[yes][:, None] - scores[no])
        won += np.einsum("rp,pn,rn->r", weights[:, yes], 0.5 + 0.5 * difference, weights[:, no], optimize=True)
        pairs += weights[:, yes].sum(axis=1) * weights[:, no].sum(axis=1)
    return np.where(pairs > 0.0, won / np.maximum(pairs, 1.0), np.nan)
