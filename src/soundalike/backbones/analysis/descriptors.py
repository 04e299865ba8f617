"""Fixed descriptors of the sound of a passage: melody, rhythm, timbre and harmony, and key.

The input is the compact spectra of a passage, stored as fourth roots of power ("root spectra"). A descriptor depends on
nothing outside the passage, so an excerpt has the same row as the passage within its recording. All descriptors are
invariant to level; `melody` and `harmony` to transposition; `melody`, `rhythm` and `harmony` to shifts in time. These
three are almost invariant to small changes of tempo, because their lag axis is logarithmic.

In shapes, f counts frames.
"""

from __future__ import annotations

import numpy as np
import scipy  # loads scipy.fft on first use: models open without it

from soundalike.audio import dsp
from soundalike.core.types import FloatArray

__all__ = [
    "HARMONY_DIM",
    "KEYS",
    "KEY_SHARPNESS",
    "MELODY_DIM",
    "PER_OCTAVE",
    "PITCH_BANDS",
    "PITCH_LOW",
    "RHYTHM_BANDS",
    "RHYTHM_DIM",
    "TIMBRE_BANDS",
    "TIMBRE_DIM",
    "chroma",
    "harmony",
    "key",
    "key_correlations",
    "melody",
    "onsets",
    "pitch_peaks",
    "pitched",
    "rhythm",
    "timbre",
]

PITCH_LOW = 55.0
"""Centre of the lowest pitch bin in Hz."""
PER_OCTAVE = 36
"""Pitch bins per octave."""
PITCH_BANDS = 7 * PER_OCTAVE
RHYTHM_BANDS = 32
TIMBRE_BANDS = 64

_PER_SEMITONE = PER_OCTAVE // 12
_VOICE = slice(15 * _PER_SEMITONE, 55 * _PER_SEMITONE)  # C3 to E6, the range of leads and voices
_MELODY_LAGS, _MELODY_INTERVALS = 20, 12
_HARMONY_LAGS = 12
_RHYTHM_LAGS = 48
# Limits of the groups of mel bands that are summed: kick, low toms, snare body, voice, snare wires, cymbals.
_GROUPS = (0, 2, 5, 10, 16, 24, 32)
_ACROSS = ((0, 2), (2, 0), (0, 5), (5, 0), (2, 5), (5, 2))
_CEPSTRA = 20

MELODY_DIM = _MELODY_LAGS * (2 * _MELODY_INTERVALS + 1)
HARMONY_DIM = 2 * 12 * (_HARMONY_LAGS + 1)
RHYTHM_DIM = _RHYTHM_LAGS * (len(_GROUPS) - 1 + len(_ACROSS))
TIMBRE_DIM = 3 * _CEPSTRA - 1 + 2 * RHYTHM_BANDS + 2 * (PITCH_BANDS // PER_OCTAVE)

KEYS = tuple(
    f"{tonic} {mode}"
    for mode in ("major", "minor")
    for tonic in ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
)


def _unit(values: FloatArray) -> FloatArray:
    """Return the values flattened and scaled to length 1."""
    return np.asarray(values / max(float(np.sqrt(np.sum(np.square(values)))), 1e-9), np.float32).ravel()


def _power(roots: FloatArray) -> FloatArray:
    """Return the power of root spectra."""
    return np.square(np.square(roots.astype(np.float32)))


def _rises(roots: FloatArray) -> FloatArray:
    """Return the onset strength of every band of root spectra (f, 32), in the same shape."""
    power = _power(roots)
    rise = dsp.onset_strength(np.log1p(power * (1e3 / max(float(power.mean()), 1e-20))))
    rise[:3] = 0.0
    rise[-2:] = 0.0
    return rise


def timbre(colour: FloatArray, quick: FloatArray, pitch: FloatArray) -> FloatArray:
    """Describe the timbre by statistics over frames.

    The descriptor consists of three parts:

    - Mean, standard deviation, and standard deviation of the change of 20 mel cepstra (Davis and Mermelstein,
      "Comparison of parametric representations for monosyllabic word recognition", 1980), without the mean of the
      first, which is the level. Frames 40 dB below the loudest are excluded. This is a Gaussian over frames with a
      diagonal covariance, after Mandel and Ellis, "Song-level features and support vector machines for music
      classification", 2005.
    - Logarithm of the mean and of the root mean square of the onset strength in 32 bands, which describes attacks.
    - Mean and standard deviation of the spectral contrast in each of seven octaves, after Jiang et al., "Music type
      classification by spectral contrast feature", 2002.

    Args:
        colour: Root spectra (f, 64) of slow frames in mel bands.
        quick: Root spectra (g, 32) of fast frames in mel bands.
        pitch: Root spectra (f, 252) of slow frames in pitch bins.

    Returns:
        (137,) float32.
    """
    power = _power(colour)
    peak = max(float(power.max(initial=0.0)), 1e-20)
    total = power.sum(axis=1)
    loud = power[total >= 1e-4 * total.max(initial=0.0)]
    cepstra = scipy.fft.dct(np.log(np.maximum(loud / peak, 1e-7)), axis=1, norm="ortho")[:, :_CEPSTRA]
    change = np.diff(cepstra, axis=0) if len(cepstra) > 1 else np.zeros((1, _CEPSTRA), np.float32)
    rise = _rises(quick)
    attack = np.log(np.concatenate([rise.mean(axis=0), np.sqrt(np.mean(np.square(rise), axis=0))]) + 1e-3)
    wide = pitch.astype(np.float32)
    octaves = (len(wide), PITCH_BANDS // PER_OCTAVE, PER_OCTAVE)
    standing = np.maximum(wide - dsp.moving_mean(wide, PER_OCTAVE // 2), 0.0).reshape(octaves).sum(axis=2)
    floor = 1e-4 * wide.sum(axis=1, keepdims=True) + 1e-9
    contrast = standing / (wide.reshape(octaves).sum(axis=2) + floor)
    return np.concatenate(
        [
            cepstra.mean(axis=0)[1:],
            cepstra.std(axis=0),
            change.std(axis=0),
            attack,
            20.0 * contrast.mean(axis=0),
            20.0 * contrast.std(axis=0),  # similar in size to the cepstra
        ]
    ).astype(np.float32)


def onsets(roots: FloatArray) -> FloatArray:
    """Return the onset strength of six bands from root spectra: (f, 32) to (f, 6).

    Power is compressed as log(1 + 1000 x), where the mean over the passage is 1 (Klapuri, Eronen and Astola, "Analysis
    of the meter of acoustic musical signals", 2006, eq. 2). Frames at the ends may reach beyond the passage, and are
    zero.
    """
    return np.add.reduceat(_rises(roots), _GROUPS[:-1], axis=1)


def rhythm(strength: FloatArray, period: float) -> FloatArray:
    """Describe the rhythm by lag correlations of the onset strength, within and across bands.

    At 48 lags from 0.08 to 4 s, the descriptor contains the autocorrelation of each band (a beat spectrum per band:
    Foote and Uchihashi, "The beat spectrum", 2001) and the cross-correlations of kick, snare and cymbals in both
    orders, which distinguish a pattern from its permutations. The logarithmic lag axis is that of Gruhne and Dittmar
    ("Improving rhythmic pattern features based on logarithmic preprocessing", 2009). Its bands reach 21 % to either
    side, so two versions whose tempo differs by 8 % still overlap.

    Args:
        strength: Onset strength (f, 6) from `onsets`.
        period: Seconds between frames.

    Returns:
        (576,) float32.
    """
    centred = strength - strength.mean(axis=0)
    deviation = np.sqrt(np.mean(np.square(centred), axis=0))
    centred = centred / (deviation + 1e-3 * float(deviation.max(initial=0.0)) + 1e-9)
    bands = dsp.lag_bands(len(centred), period, 0.08, 4.0, _RHYTHM_LAGS, 2.5)
    first, second = np.array(_ACROSS).T
    within = bands @ dsp.cross_correlation(centred, centred)
    across = bands @ dsp.cross_correlation(centred[:, first], centred[:, second])
    return np.concatenate([_unit(within), _unit(across)])


def pitch_peaks(roots: FloatArray) -> FloatArray:
    """Return whitened peaks of root spectra (f, 252), three bins per semitone from 55 Hz, in the same shape."""
    return dsp.whiten(roots.astype(np.float32), PER_OCTAVE // 2)


def pitched(peaks: FloatArray) -> bool:
    """Return whether whitened peaks (f, 252) contain pitch: spectral lines that persist for two frames.

    For noise and clicks, the 90th percentile of the correlation of frames without common samples stays below 0.2. It is
    higher for every instrument, including unpitched drums, so this excludes noise but not drums.
    """
    middle = peaks[:, PER_OCTAVE : 5 * PER_OCTAVE]
    if len(middle) < 3:
        return False  # a sound below 0.28 s is too short for the test
    centred = middle - middle.mean(axis=1, keepdims=True)
    norms = np.sqrt(np.sum(np.square(centred), axis=1))
    valid = (norms[:-2] > 0.0) & (norms[2:] > 0.0)
    if not valid.any():
        return False
    products = np.sum(centred[:-2] * centred[2:], axis=1)[valid] / (norms[:-2] * norms[2:])[valid]
    return bool(np.percentile(products, 90) > 0.25)


def melody(peaks: FloatArray, offset: float, period: float) -> FloatArray:
    """Describe the melody by an interval-by-lag histogram of the predominant line.

    Salience is a harmonic sum (see `dsp.harmonic_sum`) over 131 to 1319 Hz. The mean of each pitch over two seconds
    counts as accompaniment and is subtracted. The square of the remainder, scaled to unit sum per frame, emphasises one
    line. The two-dimensional autocorrelation then gives how often a pitch is followed by one i semitones away (-12 to
    12) after each of 20 lags from 0.15 to 4 s.

    The descriptor is related to the interval histograms of symbolic retrieval and to the 2-D Fourier magnitude of
    Bertin-Mahieux and Ellis ("Large-scale cover song recognition using the 2D Fourier transform magnitude", 2012): the
    Fourier transform of the autocorrelation is the squared magnitude. Here the lag axis is logarithmic.

    Args:
        peaks: Whitened peaks (f, 252) from `pitch_peaks`.
        offset: Tuning in semitones, from `dsp.tuning`.
        period: Seconds between frames.

    Returns:
        (500,) float32.
    """
    salience = dsp.harmonic_sum(peaks, PER_OCTAVE, 6, 0.8)[:, _VOICE]
    salience = dsp.fold_semitones(salience, _PER_SEMITONE, offset)
    accompaniment = dsp.moving_mean(salience.T, round(1.0 / period)).T
    line = np.square(np.maximum(salience - accompaniment, 0.0))
    total = line.sum(axis=1, keepdims=True)
    line = line / (total + 1e-6 * float(total.max(initial=0.0)) + 1e-9)
    table = dsp.autocorrelation_2d(line - line.mean(axis=0), _MELODY_INTERVALS)
    return _unit(dsp.lag_bands(len(line), period, 0.15, 4.0, _MELODY_LAGS, 1.0) @ table)


def chroma(peaks: FloatArray, offset: float) -> FloatArray:
    """Fold whitened peaks from 55 to 880 Hz to 12 pitch classes from A.

    Higher octaves are excluded, because they contain overtones and the melody rather than the chord.

    Args:
        peaks: Whitened peaks (f, 252) from `pitch_peaks`.
        offset: Tuning in semitones, from `dsp.tuning`.

    Returns:
        Chroma (f, 12) float32.
    """
    semitones = dsp.fold_semitones(peaks, _PER_SEMITONE, offset)[:, :48]
    return np.asarray(semitones.reshape(len(semitones), 4, 12).sum(axis=1), np.float32)


def harmony(pitch_classes: FloatArray, period: float) -> FloatArray:
    """Describe the chord progression by the circular 2-D autocorrelation of chroma averaged over half a second.

    The descriptor contains 12 intervals at lag 0 (the intervals that sound together) and at 12 lags from 0.4 to 7 s:
    once of the chroma itself and once, with half the weight, of the chroma minus its mean over the passage. For its
    relation to the 2-D Fourier magnitude see `melody`.

    Args:
        pitch_classes: Chroma (f, 12).
        period: Seconds between frames.

    Returns:
        (312,) float32.
    """
    smooth = dsp.moving_mean(pitch_classes.T, round(0.25 / period)).T
    norm = np.sqrt(np.sum(np.square(smooth), axis=1, keepdims=True))
    smooth = smooth / (norm + 1e-3 * float(norm.max(initial=0.0)) + 1e-9)
    bands = dsp.lag_bands(len(smooth), period, 0.4, 7.0, _HARMONY_LAGS, 1.0)
    parts = []
    for weight, image in ((1.0, smooth), (0.5, smooth - smooth.mean(axis=0))):
        table = dsp.autocorrelation_2d(image, 0, circular=True)
        parts.append(weight * _unit(np.concatenate([table[:1], bands @ table])))
    return np.concatenate(parts)


# Frequency of each scale degree in classical music, from the tonic: Albrecht and Shanahan, "The use of large corpora to
# train a new type of key-finding algorithm", 2013.
_MAJOR = (0.238, 0.006, 0.111, 0.006, 0.137, 0.094, 0.016, 0.214, 0.009, 0.080, 0.008, 0.081)
_MINOR = (0.220, 0.006, 0.104, 0.123, 0.019, 0.103, 0.012, 0.214, 0.062, 0.022, 0.061, 0.052)
KEY_SHARPNESS = 6.0
"""Factor of the correlations in the softmax of `key`: the most likely one for rendered music."""


def key(pitch_classes: FloatArray) -> tuple[str, float] | None:
    """Estimate the key by profile matching, after Krumhansl, "Cognitive foundations of musical pitch", 1990.

    Args:
        pitch_classes: Chroma (12,) from A, summed over the recording.

    Returns:
        The key whose profile correlates best, such as "F# minor", and its probability: a softmax of the correlations.
        None if the chroma is uniform.
    """
    correlations = key_correlations(pitch_classes)
    if correlations is None:
        return None
    powers = np.exp(KEY_SHARPNESS * (correlations - correlations.max()))
    best = int(np.argmax(correlations))
    return KEYS[best], float(powers[best] / powers.sum())


def key_correlations(pitch_classes: FloatArray) -> FloatArray | None:
    """Return the correlation of chroma (12,) from A with the profile of every key (24,), or None if it is uniform."""
    centred = np.roll(pitch_classes.astype(np.float64), -3)  # from C
    centred = centred - centred.mean()
    length = float(np.sqrt(np.sum(np.square(centred))))
    if length < 1e-6 * np.sqrt(12):
        return None
    profiles = np.array([np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)])
    profiles = profiles - profiles.mean(axis=1, keepdims=True)
    return np.asarray(profiles @ centred / np.linalg.norm(profiles, axis=1) / length)
